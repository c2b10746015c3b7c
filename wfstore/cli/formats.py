"""The answer of a query as a table, CSV, JSON, JSON lines or Parquet, on stdout or in a file."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from wfstore import _text as text
from wfstore.cli import output
from wfstore.cli.fitting import Column

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

#: A table on a terminal shows so many rows and says how many there are; files and pipes get them all.
TERMINAL_ROWS = 1_000
_CSV_TIME = "%Y-%m-%dT%H:%M:%S%.6fZ"


class Format(StrEnum):
    """How rows are written."""

    table = "table"
    csv = "csv"
    json = "json"
    jsonl = "jsonl"
    parquet = "parquet"


FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format", help="Default: by the ending of FILE, else table.", show_default=False, case_sensitive=False
    ),
]
OutputOption = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write to FILE.", show_default=False)
]


def chosen(asked: Format | None, as_json: bool, target: Path | None) -> Format:
    """The format that the options mean. Raises BadParameter where they contradict each other."""
    if as_json and asked not in (None, Format.json):
        raise typer.BadParameter(f"--json and --format {asked.value if asked else ''} contradict", param_hint="--json")
    if asked or as_json:
        asked = asked or Format.json
    else:
        ending = target.suffix.lstrip(".").lower() if target else ""
        asked = Format(ending) if ending in Format.__members__ else Format.table
    if asked is Format.parquet and target is None and sys.stdout.isatty():
        raise typer.BadParameter("Parquet is not for a terminal: name a file with -o", param_hint="--format")
    return asked


def write(
    frame: pl.DataFrame,
    how: Format,
    target: Path | None = None,
    *,
    json_columns: Collection[str] = (),
    human: bool = False,
) -> None:
    """`frame` in that format. `json_columns` hold JSON texts; `human`: durations and sizes of a table with units."""
    if how is Format.table and target is None:
        _table(frame, human)
        return
    with opened(target) as stream:
        if how is Format.parquet:
            frame.write_parquet(stream)
        else:
            _WRITERS[how](frame, stream, json_columns)


@contextmanager
def opened(target: Path | None) -> Iterator[IO[bytes]]:
    """Bytes to stdout, or to `target`, which is there whole or not at all."""
    if target is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if target.exists() and not target.is_file():  # a pipe or a device is written as it is
        with target.open("wb") as stream:
            yield stream
        return
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            yield stream
        part.replace(target)
    except OSError as error:
        error.filename = str(target)
        raise
    finally:
        part.unlink(missing_ok=True)


def _csv(frame: pl.DataFrame, stream: IO[bytes], json_columns: Collection[str]) -> None:
    import polars as pl

    def flat(column: pl.Series) -> pl.Series:
        if column.dtype.is_nested():
            return pl.Series(column.name, [None if v is None else output.json_line(v) for v in column.to_list()])
        if column.dtype == pl.Binary:
            return column.bin.encode("base64")
        return column.dt.total_microseconds() / 1e6 if column.dtype == pl.Duration else column

    frame.select(flat(column) for column in frame.iter_columns()).write_csv(stream, datetime_format=_CSV_TIME)


def _json(frame: pl.DataFrame, stream: IO[bytes], json_columns: Collection[str]) -> None:
    rows = [output.opened(row, *json_columns) for row in frame.iter_rows(named=True)]
    stream.write(json.dumps(output.plain(rows), indent=2).encode() + b"\n")


def _jsonl(frame: pl.DataFrame, stream: IO[bytes], json_columns: Collection[str]) -> None:
    for row in frame.iter_rows(named=True):
        stream.write(output.json_line(output.opened(row, *json_columns)).encode() + b"\n")


def _text(frame: pl.DataFrame, stream: IO[bytes], json_columns: Collection[str]) -> None:
    lines = output.lines(_columns(frame, human=False), [_cells(frame.columns, row, False) for row in frame.iter_rows()])
    stream.write("".join(lines).encode())


_WRITERS: dict[Format, Callable[[pl.DataFrame, IO[bytes], Collection[str]], None]] = {
    Format.csv: _csv,
    Format.json: _json,
    Format.jsonl: _jsonl,
    Format.table: _text,
}


def _table(frame: pl.DataFrame, human: bool) -> None:
    shown = frame.head(TERMINAL_ROWS) if sys.stdout.isatty() else frame
    if frame.width:
        output.table(_columns(frame, human), (_cells(frame.columns, row, human) for row in shown.iter_rows()))
    if sys.stdout.isatty():
        rows = f"{text.number(frame.height)} rows"
        more = f"{text.number(shown.height)} of {rows}; --format csv, json or parquet writes them all"
        print(rows if shown.height == frame.height else more)


def _columns(frame: pl.DataFrame, human: bool) -> list[Column]:
    if not human:
        return [Column(name, right=kind.is_numeric()) for name, kind in frame.schema.items()]
    # A report is about its numbers: where there is no room, times go first and then names.
    return [
        Column(output.header(name), right=True, keep=True)
        if kind.is_numeric()
        else Column(output.header(name), drop=2 if kind.is_temporal() else 1)
        for name, kind in frame.schema.items()
    ]


def _cells(names: Sequence[str], row: Sequence[Any], human: bool) -> list[str]:
    return [output.fact(n, value) if human else _raw(value) for n, value in zip(names, row, strict=True)]


def _raw(value: Any) -> str:
    """A value as it was asked for: no units, but no noise either."""
    if value is None:
        return "NULL"
    if isinstance(value, float):
        return text.decimal(value)
    return output.json_line(value) if isinstance(value, list | dict | bytes) else str(value)
