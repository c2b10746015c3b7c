"""`Store.follow`: the rows of `events` one by one as they are committed, each with a cursor to go on from.

It only reads, and imports no Ray.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from wfstore.errors import StorageError
from wfstore.index import WholeLog
from wfstore.log import Cursor
from wfstore.log.follow import end_of, follow, undisturbed
from wfstore.schema.views import VIEWS

START: Final = "start"
NOW: Final = "now"

_COLUMNS = [column.name for column in VIEWS["events"]]
_CURSOR = re.compile(r"^(\d{1,18})-(\d{1,9})-(-?\d{1,18})$")
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


class FollowedEvent(Mapping[str, Any]):
    """One row of `events`: ``event.type`` or ``event["type"]``, ``dict(event)`` for all columns; and its `cursor`.

    Values are those of `Store.events`: times are datetimes in UTC without a zone, `attributes` is JSON text.
    """

    __slots__ = ("_row",)

    seq: int
    partition: int
    epoch: int
    ts: datetime
    type: str
    workflow_id: str | None
    run: int | None
    task_id: str | None
    attempt: int | None
    status: str | None
    ts_source: datetime | None
    task_status: str | None
    name: str | None
    kind: str | None
    request_id: str | None
    by: str | None
    bytes: int | None
    uri: str | None
    hash: str | None
    error_type: str | None
    error_message: str | None
    node_id: str | None
    worker_pid: int | None
    ray_task_id: str | None
    attributes: str | None

    def __init__(self, row: Mapping[str, Any]) -> None:
        """row: the columns of `events`."""
        self._row = dict(row)

    @property
    def cursor(self) -> str:
        """Opaque text for `since`: what comes after this event, in this process or another."""
        return _cursor_text(self.seq, self.epoch, self.ts)

    def __getattr__(self, name: str) -> Any:
        # The guard keeps copying and unpickling, which make an object without its row, out of a recursion.
        if name != "_row" and name in self._row:
            return self._row[name]
        raise AttributeError(f"an event has no {name!r}")

    def __getitem__(self, key: str) -> Any:
        return self._row[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in self._row.items() if value is not None)
        return f"FollowedEvent({said})"


class Follower(Iterator[FollowedEvent]):
    """An iterator over events that waits for more; it ends when it is closed, and at the first error.

    One thread takes events from it; any thread may close it, and so does the end of a ``with`` block. Nothing is left
    behind once it is closed or dropped.
    """

    def __init__(self, reader: WholeLog, workflow_id: str | None = None, since: str | int | None = None) -> None:
        """As `Store.follow`. Where it begins is settled here, not at the first event taken."""
        self._stop = threading.Event()
        start = place_of(reader, since)
        self._passed = [cursor_text(reader, start)]
        # Not a method: an iterator that knows its follower would keep it from going away when it is dropped.
        self._events = _events(follow(reader, start, self._stop), workflow_id, self._stop, self._passed)

    @property
    def cursor(self) -> str:
        """For `since`: behind everything that was given out or passed over so far."""
        return self._passed[0]

    def close(self) -> None:
        """End it: a thread that waits for an event gets StopIteration. Safe to call again."""
        self._stop.set()
        try:
            self._events.close()
        except ValueError:
            return  # another thread is inside, and ends by itself

    def __next__(self) -> FollowedEvent:
        return next(self._events)

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _events(
    tables: Generator[pa.Table, None, None], workflow_id: str | None, stop: threading.Event, passed: list[str]
) -> Generator[FollowedEvent, None, None]:
    """The rows as events; `passed` holds the cursor of the last one given out or left out."""
    with closing(tables):
        for table in tables:
            last = _cursor_text(*(table.column(name)[-1].as_py() for name in ("seq", "epoch", "ts")))
            for row in _chosen(table, workflow_id):
                if stop.is_set():
                    return
                event = FollowedEvent(row)
                passed[0] = event.cursor
                yield event
            passed[0] = last


def _chosen(table: pa.Table, workflow_id: str | None) -> Iterator[dict[str, Any]]:
    table = table.select(_COLUMNS)
    if workflow_id is not None:
        table = table.filter(pc.equal(table.column("workflow_id"), workflow_id))
    for batch in table.to_batches(max_chunksize=1024):
        yield from batch.to_pylist()


def place_of(reader: WholeLog, since: str | int | None) -> Cursor:
    """Where `Store.follow` begins. Raises ValueError for what no event gave; StorageError where it was not an event of
    this log."""
    if since is None or since == START:
        return Cursor()
    if since == NOW:
        return end_of(reader.log)
    if isinstance(since, int) and not isinstance(since, bool):
        return _behind_seq(reader, since)
    match = _CURSOR.match(since) if isinstance(since, str) else None
    if match is None:
        raise ValueError(f'since is the cursor of an event, a seq, "{START}" or "{NOW}", not {since!r}')
    seq = int(match[1])
    found = _identity(reader, seq) or undisturbed(reader.storage, lambda: _identity(reader, seq))
    # A log that lost its end, or was put back to an older state, gives the same seq to other events. One that history
    # files do not hold any more was deleted.
    if found != since and (found is not None or seq >= reader.log_begins):
        raise StorageError(
            reader.storage,
            f"the event of the cursor {since} is not in this log: it is that of another store, or of one that was put "
            f'back to an earlier state. Follow since="{START}" or since="{NOW}"',
        )
    return Cursor.after(seq)


def _behind_seq(reader: WholeLog, seq: int) -> Cursor:
    if seq < 0:
        raise ValueError(f"a seq is 0 (before the first event) or more, not {seq}")
    if seq >= reader.log_begins and _identity(reader, seq) is None:
        last = end_of(reader.log).next_seq - 1
        if seq > last:
            raise ValueError(f"there is no event {seq} yet: the last one of this log is {last}")
    return Cursor.after(seq)


def _identity(reader: WholeLog, seq: int) -> str | None:
    """What tells the event from any other that may have had its seq; also lets the reader find its place quickly."""
    if seq < 1:
        return None
    rows = reader.read_range(seq, seq, columns=("seq", "epoch", "ts"))
    if rows.num_rows == 0:
        return None
    return _cursor_text(*(rows.column(name)[0].as_py() for name in ("seq", "epoch", "ts")))


def cursor_text(reader: WholeLog, cursor: Cursor) -> str:
    """Text that `place_of` takes back: of the event before the cursor."""
    return _identity(reader, cursor.next_seq - 1) or START


def _cursor_text(seq: int, epoch: int, ts: datetime) -> str:
    return f"{seq}-{epoch}-{(ts.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND}"
