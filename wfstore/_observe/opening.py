"""A row of a view as observers have it: JSON columns as objects, and where it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias, overload

import polars as pl

from wfstore.model.progress import workflow_fraction
from wfstore.model.rows import TaskFacts, live_task_row
from wfstore.schema.views import VIEWS

Row: TypeAlias = dict[str, Any]

LIVE, STORED = "live", "store"
_JSON = frozenset({column.name for view in VIEWS.values() for column in view if column.type == "JSON"})


def unfolded(row: Mapping[str, Any]) -> Row:
    """A copy with its JSON columns as objects. What facts of an older version do not tell of a workflow's progress
    follows from its tasks."""
    out = dict(row)
    for name in _JSON:
        if value := out.get(name):
            out[name] = {} if value == "{}" else json.loads(value)
    if "tasks_done" in out and out.get("progress") is None:
        out["progress"] = workflow_fraction(out["status"], out["tasks"], out["tasks_done"], 0)
    return out


def with_origin(row: Row, origin: str, as_of_seq: int) -> Row:
    """A copy that says where it comes from, and the last event that it knows of (unless it says so already)."""
    return {**row, "origin": origin, "as_of_seq": row.get("as_of_seq") or as_of_seq}


def opened_rows(frame: pl.DataFrame, as_of_seq: int) -> list[Row]:
    """`opened` for all rows of a frame of the store's, at once; not for those of `workflows`."""
    nested = [name for name in frame.columns if name in _JSON]
    rows = frame.with_columns(origin=pl.lit(STORED), as_of_seq=pl.lit(as_of_seq)).to_dicts()
    for row in rows:
        for name in nested:
            if row[name]:
                row[name] = json.loads(row[name])
    return rows


def opened(row: Mapping[str, Any], origin: str, as_of_seq: int) -> Row:
    """Both."""
    return with_origin(unfolded(row), origin, as_of_seq)


class LiveTasks(Sequence[Row]):
    """Rows of `live_tasks` out of the manager's facts, made when the first of them is looked at: who shows workflows
    alone only counts them."""

    def __init__(self, facts: Sequence[Sequence[Any]], as_of_seq: int, now: int) -> None:
        self._facts, self._seq, self._now = facts, as_of_seq, now
        self._made: list[Row] | None = None

    @property
    def _rows(self) -> list[Row]:
        if self._made is None:
            rows = [live_task_row(TaskFacts._make(task), self._seq, self._now) for task in self._facts]
            self._made = [opened(row, LIVE, self._seq) for row in rows]
        return self._made

    def __len__(self) -> int:
        return len(self._facts)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        return self._rows[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    def __repr__(self) -> str:
        return repr(self._rows)
