"""Whether a replay of the events, as a manager makes it, says what the views say: row by row, over the whole store.

It goes through the ids range by range, each on a snapshot of its own, so that it needs no more memory for a large store
than for a small one, and may run while the store is written and compacted.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from wfstore.index.catalog import folder
from wfstore.index.history import to_polars
from wfstore.index.replaying import KEYS, WORKFLOWS, Replay, Row
from wfstore.index.tail import Between, Index
from wfstore.schema.codec import conform, to_events
from wfstore.schema.columns import EVENT_SCHEMA
from wfstore.schema.views import VIEWS

Progress = Callable[[str, int, int], None]
#: A range of ids has about so many events; one workflow is never divided.
RANGE_EVENTS = 100_000
#: So many differences are told in full, the others counted.
MOST_TOLD = 20
#: What a log that no manager of ours wrote can make of the model.
_UNEXPECTED = (LookupError, TypeError, ValueError, AttributeError, AssertionError)
_JSON = frozenset({column.name for name in KEYS for column in VIEWS[name] if column.type == "JSON"})
#: Columns that history files of an older version lack; they read as NULL there.
_LATER = frozenset({"progress", "progress_message", "progress_metrics"})
_LAST = "\U0010ffff" * 8
_COLUMNS = frozenset(EVENT_SCHEMA.names) - {"payload"}


class Difference(NamedTuple):
    """A row of a view that a replay makes otherwise. key: of the row, without the workflow's id; column: None where the
    row is there only in one of them; seq: the workflow's last event."""

    view: str
    workflow_id: str
    key: tuple[Any, ...]
    column: str | None
    replayed: Any
    shown: Any
    seq: int | None

    def __str__(self) -> str:
        row = f"{self.view} {', '.join(map(str, (self.workflow_id, *self.key)))}"
        if self.column is None:
            has, lacks = ("a replay", "SQL") if self.replayed else ("SQL", "a replay")
            return f"{row}: {has} has this row, and {lacks} has no such row"
        return f"{row}: {self.column} is {_short(self.shown)} in SQL and {_short(self.replayed)} by a replay"


@dataclass(slots=True)
class Agreement:
    """How much was compared, and what differed. more: differences beyond those told."""

    workflows: int = 0
    rows: int = 0
    events: int = 0
    differences: list[Difference] = field(default_factory=list)
    more: int = 0

    def add(self, difference: Difference) -> None:
        if len(self.differences) < MOST_TOLD:
            self.differences.append(difference)
        else:
            self.more += 1


def compare(index: Index, progress: Progress) -> Agreement:
    """Replay every workflow and compare it with SQL. Raises the StorageError family and QueryError."""
    found = Agreement()
    ranges = to_polars(index.run(folder("verify")["ranges"], {"events": RANGE_EVENTS})).rows()
    total = sum(events for _, events in ranges)
    lows = ["", *(low for low, _ in ranges[1:])]
    for low, high in zip(lows, [*lows[1:], _LAST], strict=True):
        progress("replaying", found.events, max(total, found.events))
        with _collector_paused():
            _compare_range(index.between(low, high, tuple(KEYS)), index.older, found)
    return found


def _compare_range(between: Between, older: bool, found: Agreement) -> None:
    replay = Replay()
    found.events += between.events.num_rows
    last = None
    try:
        for event in to_events(conform(between.events), _COLUMNS):
            last = event
            replay.feed((event,))
        rows = replay.rows(between.alive)
    except _UNEXPECTED as error:
        assert last is not None
        what = f"{type(error).__name__}: {error}"
        found.add(Difference("events", last.workflow_id or "", (last.seq,), last.type, what, "a row", last.seq))
        return
    found.workflows += len(rows[WORKFLOWS])
    seqs = _last_seqs(between.events)
    for view, expected in rows.items():
        found.rows += len(expected)
        for key, column, replayed, shown in differing(view, expected, between.views[view], older):
            found.add(Difference(view, key[0], key[1:], column, replayed, shown, seqs.get(key[0])))


def differing(
    view: str, expected: Sequence[Row], shown: pa.Table, older: bool
) -> Iterator[tuple[tuple[Any, ...], str | None, Any, Any]]:
    """(key, column, in the expected row, in the shown one); both sorted by key. A row that one of them lacks has no
    column, and tells who has it."""
    keys = [tuple(row[name] for name in KEYS[view]) for row in expected]
    there = list(zip(*(shown.column(name).to_pylist() for name in KEYS[view]), strict=True))
    if keys != there:
        ours, theirs = set(keys), set(there)
        yield from ((key, None, True, False) for key in keys if key not in theirs)
        yield from ((key, None, False, True) for key in there if key not in ours)
        expected = [row for row, key in zip(expected, keys, strict=True) if key in theirs]
        shown = shown.take([place for place, key in enumerate(there) if key in ours])
        keys = [key for key in keys if key in theirs]
    for column in expected[0] if expected else ():
        values = [row[column] for row in expected]
        cells = shown.column(column)
        if pa.chunked_array([pa.array(values, cells.type)]).equals(cells):
            continue
        for key, value, cell in zip(keys, values, cells.to_pylist(), strict=True):
            if not (_same(column, value, cell) or (older and column in _LATER and cell is None)):
                yield key, column, value, cell


def _same(column: str, value: Any, cell: Any) -> bool:
    if value == cell:
        return True
    return column in _JSON and None not in (value, cell) and bool(json.loads(value) == json.loads(cell))


def _last_seqs(events: pa.Table) -> dict[str, int]:
    last = events.group_by("workflow_id").aggregate([("seq", "max")])
    return dict(zip(last.column("workflow_id").to_pylist(), last.column("seq_max").to_pylist(), strict=True))


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


@contextmanager
def _collector_paused() -> Iterator[None]:
    """The states of a range have no cycles; looking for some took as long as the replay."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
