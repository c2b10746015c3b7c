"""Answers of queries: as cells of a page, and as files to keep (CSV, JSON, Parquet). Columns may share a name."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from starlette.responses import Response

from wfstore import _text as text
from wfstore.cli import output
from wfstore.dashboard.encoding import JsonResponse, dumps
from wfstore.dashboard.templating import task_path, workflow_path

FORMATS = ("json", "csv", "parquet")
_MEDIA = {"json": "application/json", "csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}


class Cell(NamedTuple):
    """text: for people; None: NULL. href: of the page about it; number: whether it stands on the right."""

    text: str | None
    href: str | None = None
    number: bool = False


class Answer(NamedTuple):
    """types: of the columns, as DuckDB calls them; total: None where it is not known."""

    table: pa.Table
    types: Sequence[str]
    truncated: bool = False
    total: int | None = None
    elapsed_s: float | None = None

    @property
    def columns(self) -> list[str]:
        names: list[str] = self.table.column_names
        return names

    def rows(self, most: int | None = None) -> list[list[Any]]:
        """Plain values, row by row; JSON columns opened."""
        table = self.table if most is None else self.table.slice(0, most)
        opened = zip(map(_values, table.itercolumns()), self.types, strict=True)
        columns = [[_opened(value) for value in values] if kind == "JSON" else values for values, kind in opened]
        return [list(row) for row in zip(*columns, strict=True)]


def _values(column: pa.ChunkedArray) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):
        # What Python's own types cannot hold: nanoseconds, years beyond 9999, infinity.
        values = pc.cast(column, pa.string(), safe=False).to_pylist()
    return values


def _opened(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


# -- for people -------------------------------------------------------------------------------------------------------


def cells(answer: Answer, most: int, *, human: bool = False) -> list[list[Cell]]:
    """At most so many rows. human: durations and sizes with units. Ids of workflows and tasks lead to their pages."""
    names = answer.columns
    ids: dict[str, int] = {name: names.index(name) for name in ("workflow_id", "task_id") if name in names}
    return [
        [_cell(name, value, _href(name, row, ids), human) for name, value in zip(names, row, strict=True)]
        for row in answer.rows(most)
    ]


def _cell(name: str, value: Any, href: str | None, human: bool) -> Cell:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is None:
        return Cell(None)
    if human:
        return Cell(output.fact(name, value), href, number)
    if isinstance(value, str):
        return Cell(value, href)
    if isinstance(value, float):
        return Cell(text.decimal(value), None, True)
    if isinstance(value, datetime):
        return Cell(text.iso(value).replace(".000000Z", "Z"))
    return Cell(str(value) if number else _as_text(value), None, number)


def _href(name: str, row: Sequence[Any], ids: dict[str, int]) -> str | None:
    workflow_id = row[ids["workflow_id"]] if "workflow_id" in ids else None
    if not isinstance(workflow_id, str) or not workflow_id:
        return None
    if name == "workflow_id":
        return workflow_path(workflow_id)
    task_id = row[ids["task_id"]] if name == "task_id" else None
    return task_path(workflow_id, task_id) if isinstance(task_id, str) and task_id else None


# -- for machines -----------------------------------------------------------------------------------------------------


def download(answer: Answer, how: str, name: str) -> Response:
    """A file of the answer; one that does not hold all rows says so in its name and headers. Raises ValueError."""
    if how not in FORMATS:
        raise ValueError(f"there is no format {how[:40]!r}; there are {', '.join(FORMATS)}")
    part = f"-first-{answer.table.num_rows}-rows" if answer.truncated else ""
    headers = {"Content-Disposition": f'attachment; filename="{quote(name, safe="")}{part}.{how}"'}
    if answer.truncated:
        headers["X-Wfstore-Truncated"] = "1"
    if answer.total is not None:
        headers["X-Wfstore-Total-Rows"] = str(answer.total)
    data = {"json": _json, "csv": _csv, "parquet": _parquet}[how](answer)
    return Response(data, headers=headers, media_type=_MEDIA[how])


def document(answer: Answer) -> JsonResponse:
    """The answer as the API gives it: columns, types, rows (a list for each), truncated, total_rows, elapsed_s."""
    return JsonResponse(_json(answer))


def _json(answer: Answer) -> bytes:
    return dumps(
        {
            "columns": answer.columns,
            "types": list(answer.types),
            "rows": [[_plain(value) for value in row] for row in answer.rows()],
            "truncated": answer.truncated,
            "total_rows": answer.total,
            "elapsed_s": answer.elapsed_s,
        }
    )


def _plain(value: Any) -> Any:
    """Whole numbers beyond what JSON's readers keep exactly, times and what is nested, as the API has them."""
    return output.plain(value) if isinstance(value, bytes | list | dict | tuple) else value


def _csv(answer: Answer) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(answer.columns)
    for row in answer.rows():
        writer.writerow([_field(value) for value in row])
    return stream.getvalue().encode("utf-8", "backslashreplace")


def _field(value: Any) -> Any:
    if isinstance(value, datetime):
        return text.iso(value)
    if value is None or isinstance(value, str | int | float):
        return value
    return _as_text(value)


def _as_text(value: Any) -> str:
    plain = output.plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain, separators=(",", ":"), ensure_ascii=False)


def _parquet(answer: Answer) -> bytes:
    sink = pa.BufferOutputStream()
    names: list[str] = []
    for name in answer.columns:
        count = 1
        found = name
        while found in names:
            count += 1
            found = f"{name}_{count}"
        names.append(found)
    pq.write_table(_storable(answer.table.rename_columns(names)), sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _storable(table: pa.Table) -> pa.Table:
    """Types that Parquet has none for, as text."""
    for index, field in enumerate(table.schema):
        if pa.types.is_interval(field.type) or pa.types.is_union(field.type):
            texts = [None if value is None else _as_text(value) for value in _values(table.column(index))]
            table = table.set_column(index, field.name, pa.array(texts, pa.string()))
    return table
