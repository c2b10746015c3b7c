"""A manager begins: claim the next epoch, replay the log, say what was interrupted. And what it keeps in memory."""

from __future__ import annotations

import contextlib
import gc
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import pyarrow.compute as pc

from wfstore.errors import WorkflowQueueFullError
from wfstore.log import Reader, Writer, now_us, open_reader, open_writer
from wfstore.model import events as ev
from wfstore.model.apply import apply, replay
from wfstore.model.commands import Interrupt, Resume
from wfstore.model.decide import decide
from wfstore.model.events import Event
from wfstore.model.plan import source
from wfstore.model.state import State, TaskState, WorkflowState
from wfstore.model.statuses import RUNNING, WORKFLOW_ACTIVE
from wfstore.schema.codec import to_events

#: What closed workflows may hold in memory; older ones are read back from the log when asked for. A task weighs its
#: inline payloads and about as much again for its objects.
WARM_BYTES = 128 << 20
_TASK_BYTES = 1500

_BEGINS = frozenset({ev.WORKFLOW_STARTED, ev.WORKFLOW_QUEUED})
_ENDS = frozenset({ev.WORKFLOW_SUCCEEDED, ev.WORKFLOW_FAILED, ev.WORKFLOW_CANCELED})


class Memory:
    """Which closed workflows are held whole. The others keep one small summary each."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._warm: OrderedDict[str, int] = OrderedDict()
        self._weighed: dict[str, tuple[WorkflowState, int, int]] = {}
        self._bytes = 0

    def closed(self, state: State, workflow: WorkflowState) -> None:
        """`workflow` has just ended: it is the last to be let go."""
        self._bytes -= self._warm.pop(workflow.workflow_id, 0)
        self._warm[workflow.workflow_id] = size = self._weight(workflow)
        self._bytes += size
        while self._bytes > WARM_BYTES and len(self._warm) > 1:
            workflow_id, size = self._warm.popitem(last=False)
            self._bytes -= size
            old = state.workflows.get(workflow_id)
            if old is not None and old.status not in WORKFLOW_ACTIVE and not old.open_attempts:
                old.tasks, old.counters, old.cold = {}, {}, True
                self._weighed.pop(workflow_id, None)

    def warm(self, state: State, workflow_id: str) -> None:
        """Read a cold workflow's tasks back."""
        workflow = state.workflows.get(workflow_id)
        if workflow is None or not workflow.cold:
            return
        assert workflow.first_seq is not None and workflow.last_seq is not None
        table = self._reader.read_range(workflow.first_seq, workflow.last_seq)
        own = table.filter(pc.equal(table["workflow_id"], workflow_id))
        alone = State()
        alone.deleted[workflow_id] = (workflow.run - workflow.runs, None)
        again = replay(to_events(own), alone).workflows[workflow_id]
        again.run = workflow.run
        state.workflows[workflow_id] = again
        self.closed(state, again)

    def _weight(self, workflow: WorkflowState) -> int:
        """A virtual actor closes after each of its calls: only what came since the last time is weighed."""
        if workflow.actor is None:
            return _weight(workflow.tasks.values())
        known, count, weight = self._weighed.get(workflow.workflow_id, (workflow, 0, 0))
        if known is not workflow:
            count = weight = 0
        weight += _weight(islice(workflow.tasks.values(), count, None))
        self._weighed[workflow.workflow_id] = workflow, len(workflow.tasks), weight
        return weight

    @staticmethod
    def kept_only_here(workflow: WorkflowState) -> str | None:
        """The task whose output is the workflow's and lies in no file: the manager's memory is its only place."""
        task = workflow.tasks.get(workflow.output_task)
        if task is None:
            return None
        end = source(workflow, task)
        return None if end.stored or end.caught is not None else end.task_id


def _weight(tasks: Iterable[TaskState]) -> int:
    held = 0
    for task in tasks:
        held += _TASK_BYTES
        for ref in (task.args, task.output, task.caught, task.error):
            if ref is not None and ref.data is not None:
                held += len(ref.data)
    return held


@dataclass(slots=True)
class Recovered:
    """The writer of a new epoch, the state it starts from, and the events that resumed what was open, to act on."""

    writer: Writer
    state: State
    memory: Memory
    store_id: str
    resumed: list[Event]


def recover(storage: str, session: str, introduction: list[Event]) -> Recovered:
    """Claim the log and replay it. Blocking. Raises the StorageError family.

    Workflows open at the end of the log are interrupted. When it was last written by a manager of the same cluster
    `session`, they are resumed in the same commit, those that ran before those that waited: their callers still wait,
    and must not find them interrupted.
    """
    writer = open_writer(storage)
    reader = open_reader(storage)
    memory = Memory(reader)
    state = State()
    with _collector_paused():
        _replay(reader, memory, state)
    same_cluster = state.session == session
    workflows = list(state.workflows.values())
    running = [workflow.workflow_id for workflow in workflows if workflow.status == RUNNING]
    left_open = [workflow.workflow_id for workflow in workflows if workflow.open_attempts]
    to_resume = [*running, *state.queue]
    events = _taken_in(state, introduction)
    for workflow_id in dict.fromkeys([*to_resume, *left_open]):
        events += _taken_in(state, decide(state, Interrupt(workflow_id), now_us()))
    resumed: list[Event] = []
    for workflow_id in to_resume if same_cluster else ():
        # The new manager's limits may be narrower than the old one's: what finds no room stays RESUMABLE.
        with contextlib.suppress(WorkflowQueueFullError):
            resumed += _taken_in(state, decide(state, Resume(workflow_id, by="recovery"), now_us()))
    writer.append(events + resumed)
    return Recovered(writer, state, memory, writer.store_id, resumed)


def _replay(reader: Reader, memory: Memory, state: State) -> None:
    for event in reader.events():
        if event.type in _BEGINS and event.workflow_id is not None:
            memory.warm(state, event.workflow_id)
        apply(state, event)
        if event.type in _ENDS and event.workflow_id in state.workflows:
            memory.closed(state, state.workflows[event.workflow_id])


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """The state has no cycles; looking for some took half of the replay's time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _taken_in(state: State, events: list[Event]) -> list[Event]:
    for event in events:
        apply(state, event)
    return events
