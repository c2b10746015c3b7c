"""Rows of followed workflows without SQL: a model of each, made once from its events and fed with those that come.

The rows are those of the views: `model.rows` is the same fold, and a test holds the two together. Whatever is not as
expected ends the model, and whoever asks goes to the store.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from wfstore._observe.opening import Row, unfolded
from wfstore.errors import StorageError
from wfstore.log import Cursor, Reader, lease_alive, now_us
from wfstore.log.follow import end_of
from wfstore.model import events as ev
from wfstore.model.apply import REPLAYED, apply
from wfstore.model.events import Event
from wfstore.model.rows import task_row, workflow_row
from wfstore.model.state import State, WorkflowState
from wfstore.model.statuses import RESUMABLE, WORKFLOW_ACTIVE
from wfstore.model.wire import options_to_json
from wfstore.schema.codec import to_events

#: Of those asked for last, together: a task takes about 2 kB.
MOST_WORKFLOWS, MOST_TASKS = 64, 50_000
#: After so long without a question, and so many events meanwhile, it costs less to begin anew than to read on.
_FORGOTTEN_AFTER_S, _FORGOTTEN_AFTER_EVENTS = 60.0, 10_000
_READ_BYTES = 4 << 20
#: No row shows a payload.
_COLUMNS = REPLAYED - {"payload"}
#: What a log that no manager of ours wrote can make of the fold.
_UNEXPECTED = (LookupError, TypeError, ValueError, AttributeError, AssertionError)

_log = logging.getLogger(__name__)


class Folded(NamedTuple):
    """Rows of `workflows` and `tasks`, JSON columns as objects; as_of_seq: the last event they know of. Not to be
    changed: they are given out again."""

    workflow: Row
    tasks: list[Row]
    as_of_seq: int


class Fold:
    """One workflow: the model's state of it, and the rows made of that since they changed last."""

    def __init__(self, workflow_id: str) -> None:
        self._id = workflow_id
        self._state = State()
        self._rows: dict[str, Row] = {}

    @property
    def workflow(self) -> WorkflowState | None:
        return self._state.workflows.get(self._id)

    @property
    def size(self) -> int:
        """How many tasks."""
        return len(self.workflow.tasks) if self.workflow else 0

    def feed(self, events: Iterable[Event]) -> None:
        """Take in its next events; those it has already do nothing."""
        for event in events:
            assert event.seq is not None
            if event.seq <= self._state.seq:
                continue
            apply(self._state, event)
            task_id = event.task_id or ""
            if task_id:
                self._rows.pop(task_id, None)
            else:
                self._rows.clear()

    def rows(self, alive: bool, wanted: Collection[str] | None, seq: int) -> Folded | None:
        """None: there is no such workflow (any more). wanted: ids of tasks, None for all; in the order of definition.
        alive: whether a manager holds the store."""
        workflow = self.workflow
        if workflow is None:
            return None
        row = unfolded(workflow_row(workflow))
        if row["status"] in WORKFLOW_ACTIVE and not alive:
            row["status"] = RESUMABLE
        tasks = workflow.tasks
        chosen = tasks if wanted is None else [task_id for task_id in tasks if task_id in wanted]
        return Folded(row, [self._rows.get(task_id) or self._task(workflow, task_id) for task_id in chosen], seq)

    def _task(self, workflow: WorkflowState, task_id: str) -> Row:
        task = workflow.tasks[task_id]
        row = self._rows[task_id] = {**unfolded(task_row(workflow, task)), "options": options_to_json(task.options)}
        return row


class Folds:
    """Those of the workflows that were asked for last. Any number of threads may ask."""

    def __init__(self, log: Reader, events: Callable[[Collection[str]], dict[str, pa.Table]]) -> None:
        """log: for this alone; events: all there are about each of some ids, in log order, up to now."""
        self._reader, self._events = log, events
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Fold] = OrderedDict()
        self._unfit: set[str] = set()
        # How far all of them have read; None where there is nothing to read on for.
        self._position: Cursor | None = None
        self._expecting = False
        self._asked_at = 0.0

    def rows(self, workflow_id: str, wanted: Collection[str] | None = None, *, make: bool = True) -> Folded | None:
        """As they are now; None where the store has to be asked. make: also where there is no model of it yet."""
        with self._lock:
            if workflow_id in self._unfit or not (make or workflow_id in self._kept):
                return None
            try:
                return self._rows(workflow_id, wanted)
            except StorageError:
                self._begin_anew()
            except _UNEXPECTED:
                _log.exception("workflow %s is read by SQL from now on", workflow_id)
                self._drop(workflow_id)
            return None

    def make(self, ids: Collection[str]) -> None:
        """Models of those of which there is none yet: of all of them the store is asked once. That changes nothing but
        how long `rows` takes."""
        with self._lock:
            try:
                self._read_on()
                missing = [one for one in ids if one not in self._kept and one not in self._unfit]
                if missing:
                    self._add(missing)
            except StorageError:
                self._begin_anew()

    def expect(self, ids: Collection[str]) -> None:
        """Models of those, and from here on of all that is submitted, which the store is not asked about at all."""
        with self._lock:
            self._expecting = True
        self.make(ids)

    def _begin_anew(self) -> None:
        """Compaction took the place in the log away, or what was read was never acknowledged."""
        self._kept.clear()
        self._position = None

    def _add(self, ids: Collection[str]) -> None:
        if self._position is None:
            self._position = end_of(self._reader)
        # They reach as far as the position, or beyond; then all are read on to the same event.
        for workflow_id, table in self._events(ids).items():
            try:
                fold = self._made(workflow_id, table)
            except _UNEXPECTED:
                _log.exception("workflow %s is read by SQL from now on", workflow_id)
                self._drop(workflow_id)
                continue
            if fold is not None:
                self._kept[workflow_id] = fold

    def _rows(self, workflow_id: str, wanted: Collection[str] | None) -> Folded | None:
        self._read_on()
        if workflow_id not in self._kept:
            self._add((workflow_id,))
            if workflow_id not in self._kept:
                return None
            self._read_on()
        fold = self._kept.get(workflow_id)
        if fold is None or self._too_large(workflow_id, fold.size):
            return None
        self._kept.move_to_end(workflow_id)
        self._make_room()
        lease = self._reader.lease()
        alive = lease is not None and lease_alive(lease, now_us())
        assert self._position is not None
        return fold.rows(alive, wanted, self._position.next_seq - 1)

    def _made(self, workflow_id: str, table: pa.Table) -> Fold | None:
        """None where there is no such workflow, or it is too large to be kept."""
        if self._too_large(workflow_id, pc.sum(pc.equal(table.column("type"), ev.TASK_DEFINED)).as_py() or 0):
            return None
        fold = Fold(workflow_id)
        fold.feed(to_events(table, _COLUMNS))
        return None if fold.workflow is None else fold

    def _read_on(self) -> None:
        """Feed what has come since to all of them."""
        now = time.monotonic()
        if now - self._asked_at > _FORGOTTEN_AFTER_S and self._far_behind():
            self._begin_anew()
            self._unfit.clear()
        self._asked_at = now
        if not (self._kept or self._expecting):
            self._position = None
            return
        if self._position is None:
            self._position = end_of(self._reader)
        while True:
            table, self._position = self._reader.read(self._position, max_bytes=_READ_BYTES)
            self._take(table)
            if not self._position.more:
                break
        self._make_room()

    def _far_behind(self) -> bool:
        if self._position is None:
            return True
        return end_of(self._reader).next_seq - self._position.next_seq > _FORGOTTEN_AFTER_EVENTS

    def _take(self, table: pa.Table) -> None:
        ids = table.column("workflow_id")
        if self._expecting:
            begun = ids.filter(pc.equal(table.column("type"), ev.WORKFLOW_SUBMITTED)).to_pylist()
            for workflow_id in begun:
                if workflow_id not in self._kept and workflow_id not in self._unfit:
                    self._kept[workflow_id] = Fold(workflow_id)
        for event in to_events(table.filter(pc.is_in(ids, pa.array(list(self._kept), pa.string()))), _COLUMNS):
            workflow_id = event.workflow_id or ""
            try:
                if workflow_id in self._kept:
                    self._kept[workflow_id].feed((event,))
            except _UNEXPECTED:
                _log.exception("workflow %s is read by SQL from now on", workflow_id)
                self._drop(workflow_id)

    def _too_large(self, workflow_id: str, size: int) -> bool:
        if size > MOST_TASKS:
            self._drop(workflow_id)
        return size > MOST_TASKS

    def _drop(self, workflow_id: str) -> None:
        self._kept.pop(workflow_id, None)
        self._unfit.add(workflow_id)

    def _make_room(self) -> None:
        for workflow_id in [name for name, fold in self._kept.items() if fold.size > MOST_TASKS]:
            self._drop(workflow_id)
        size = sum(fold.size for fold in self._kept.values())
        while len(self._kept) > MOST_WORKFLOWS or size > MOST_TASKS:
            size -= self._kept.popitem(last=False)[1].size
