"""Changes of a store that no manager tells about: what the log says came, and the rows about it out of the store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pyarrow as pa

from wfstore._follow import cursor_text, place_of
from wfstore.errors import StorageError
from wfstore.index import WholeLog
from wfstore.log import Cursor
from wfstore.log.follow import Waiter, end_of, waiter_for
from wfstore.model.events import WORKFLOW_DELETED

_READ_BYTES = 4 << 20
#: Reading the rows of more than these costs more than looking at everything anew.
MOST_WORKFLOWS, MOST_TASKS = 32, 2_000
#: What comes at once is gathered for a moment; what never pauses is told of in pieces.
_GATHER_S, _MOST_GATHER_S = 0.01, 0.02


class Touched(NamedTuple):
    """cursor: behind the last event looked at; seq: of that one; too_much: more than is told one by one; tasks: ids by
    workflow; deleted: ids of workflows that were deleted, be they there again or not."""

    cursor: str
    seq: int
    too_much: bool
    tasks: dict[str, set[str]]
    deleted: set[str]


class Following:
    """Reads on from a cursor in one call. Each call is on its own; any number of threads may."""

    def __init__(self, make: Callable[[], WholeLog]) -> None:
        self._make = make
        self._local = threading.local()

    def _log(self) -> WholeLog:
        """Each thread has one, which remembers where it is."""
        found: WholeLog | None = getattr(self._local, "log", None)
        if found is None:
            found = self._local.log = self._make()
        return found

    def now(self) -> tuple[str, int]:
        """The cursor of now, and the seq of the last event."""
        log = self._log()
        end = end_of(log.log)
        return cursor_text(log, end), end.next_seq - 1

    def wait(self, since: str, timeout_s: float, workflow_id: str | None) -> Touched | None:
        """What was touched after the cursor, as soon as something is, or nothing after `timeout_s`; None where the
        cursor is not one of this log. Raises ValueError for text that no cursor gave."""
        log = self._log()
        try:
            start = place_of(log, since)
        except StorageError:
            return None
        found = Touched(since, start.next_seq - 1, False, {}, set())
        told_by: float | None = None
        for table, reached in _tables(log, start, time.monotonic() + timeout_s):
            found = _taken(found, table, workflow_id, reached.next_seq - 1)
            if found.too_much:
                return found._replace(cursor=self.now()[0])
            if found.tasks or found.deleted:
                told_by = told_by or time.monotonic() + _MOST_GATHER_S
                if table.num_rows < 1 or time.monotonic() >= told_by:
                    break
        return found._replace(cursor=cursor_text(log, Cursor.after(found.seq)))


def _tables(log: WholeLog, cursor: Cursor, deadline: float) -> Iterator[tuple[pa.Table, Cursor]]:
    """What there is and what comes until the deadline; an empty one where there is no more for the moment."""
    stop = threading.Event()
    waiter: Waiter | None = None
    try:
        while True:
            table, cursor = log.read(cursor, max_bytes=_READ_BYTES)
            yield table, cursor
            left = deadline - time.monotonic()
            if table.num_rows:
                time.sleep(_GATHER_S)
            elif left <= 0:
                return
            else:
                waiter = waiter or waiter_for(log.storage, stop)
                waiter.wait(0.0)
    finally:
        if waiter is not None:
            waiter.close()


def _taken(found: Touched, table: pa.Table, workflow_id: str | None, seq: int) -> Touched:
    columns = [table.column(name).to_pylist() for name in ("workflow_id", "task_id", "type")]
    for about, task_id, type_ in zip(*columns, strict=True):
        if about is None or workflow_id not in (None, about):
            continue
        tasks = found.tasks.setdefault(about, set())
        if task_id is not None:
            tasks.add(task_id)
        elif type_ == WORKFLOW_DELETED:
            found.deleted.add(about)
            tasks.clear()
    much = len(found.tasks) > MOST_WORKFLOWS or sum(map(len, found.tasks.values())) > MOST_TASKS
    return found._replace(seq=max(found.seq, seq), too_much=much)
