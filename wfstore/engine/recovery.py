"""A manager begins: claim the next epoch, take up what history files say, replay the log behind them, and say what was
interrupted.
"""

from __future__ import annotations

import contextlib
import gc
import heapq
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from wfstore.engine.assignment import AttemptKey, LeaseId
from wfstore.engine.carrying import is_open, keeps_values, losses
from wfstore.engine.memory import Memory
from wfstore.errors import LimitExceededError, StorageError, WorkflowQueueFullError
from wfstore.log import Cursor, Reader, Writer, now_us, open_reader, open_writer
from wfstore.log.archive import Archive
from wfstore.model import events as ev
from wfstore.model.apply import REPLAYED, apply, replay
from wfstore.model.commands import Interrupt, Resume
from wfstore.model.decide import decide
from wfstore.model.events import Event
from wfstore.model.state import State
from wfstore.model.statuses import RUNNING, WORKFLOW_ACTIVE
from wfstore.model.wire import dumps
from wfstore.schema.codec import to_events

_ENDS = frozenset({ev.WORKFLOW_SUCCEEDED, ev.WORKFLOW_FAILED, ev.WORKFLOW_CANCELED})
#: Events about no workflow that the state takes something from.
_MANAGERS = (ev.MANAGER_STARTED, ev.CONFIG_SET)


@dataclass(slots=True)
class Recovered:
    """The writer of a new epoch, the state it starts from, and the events that resumed what was open, to act on.

    carried: workflows that go on in their run, as the attempts do that outlived the last manager: alive
    """

    writer: Writer
    log: Reader
    state: State
    memory: Memory
    store_id: str
    resumed: list[Event]
    alive: dict[AttemptKey, LeaseId] = field(default_factory=dict)
    carried: list[str] = field(default_factory=list)


#: Which attempts of a store are alive, and where: asked for store id, epoch, and whether an attempt is open.
Survivors = Callable[[str, int, Callable[[AttemptKey], bool]], dict[AttemptKey, LeaseId]]


def nobody(store_id: str, epoch: int, is_open: Callable[[AttemptKey], bool]) -> dict[AttemptKey, LeaseId]:
    """No attempt has outlived the last manager."""
    return {}


def recover(storage: str, session: str, introduction: list[Event], survivors: Survivors = nobody) -> Recovered:
    """Claim the log and replay it, from where history files end. Blocking. Raises the StorageError family.

    When it was last written by a manager of the same cluster `session`, workflows with an attempt among the `survivors`
    go on as if nothing had happened. The others that are open are interrupted, and in the same cluster resumed in the
    same commit, those that ran before those that waited: their callers still wait, and must not find them interrupted.
    """
    writer = open_writer(storage)
    log = open_reader(storage)
    archive = Archive(storage, log)
    archive.refresh()
    with _collector_paused():
        state, memory = restored(storage, archive, log)
    pa.default_memory_pool().release_unused()
    # Of a copy that was restored, the original may go on in this very cluster.
    same_cluster = state.session == session and not writer.restored
    workflows = list(state.workflows.values())
    running = [workflow.workflow_id for workflow in workflows if workflow.status == RUNNING]
    left_open = [workflow.workflow_id for workflow in workflows if workflow.open_attempts]
    may_go_on = {name for name in running if same_cluster and keeps_values(state.workflows[name])}
    alive = survivors(writer.store_id, writer.epoch, lambda key: key[0] in may_go_on and is_open(state, key))
    carried = [name for name in running if name in {key[0] for key in alive}]
    to_resume = [name for name in [*running, *state.queue] if name not in carried]
    events = _taken_in(state, [_inheriting(event, state) for event in introduction])
    for workflow_id in dict.fromkeys([*to_resume, *left_open]):
        if workflow_id not in carried:
            events += _taken_in(state, decide(state, Interrupt(workflow_id), now_us()))
    resumed: list[Event] = []
    for workflow_id in carried:
        for command in losses(state.workflows[workflow_id], alive, now_us()):
            resumed += _taken_in(state, decide(state, command, now_us()))
    for workflow_id in to_resume if same_cluster else ():
        # The new manager's limits may be narrower than the old one's: what finds no room stays RESUMABLE.
        with contextlib.suppress(WorkflowQueueFullError, LimitExceededError):
            resumed += _taken_in(state, decide(state, Resume(workflow_id, by="recovery"), now_us()))
    writer.append(events + resumed)
    return Recovered(writer, log, state, memory, writer.store_id, resumed, alive, carried)


def _inheriting(event: Event, state: State) -> Event:
    """Limits are the store's: the next manager has those of the last one."""
    if event.type != ev.CONFIG_SET or not state.given_limits:
        return event
    said = json.loads(event.attributes or "{}")
    return event._replace(attributes=dumps({**said, "limits": state.given_limits}))


def restored(storage: str, archive: Archive, log: Reader) -> tuple[State, Memory]:
    """The state at the end of the log, and what it has let go of; `archive` was refreshed. Raises the StorageError
    family."""
    while True:
        memory = Memory(storage, archive)
        try:
            state = _open_ones(archive, memory)
            _replay(log, memory, state)
            return state, memory
        except StorageError:
            # A compaction beside this has removed segments which its history files hold now.
            if not archive.refresh():
                raise


def _open_ones(archive: Archive, memory: Memory) -> State:
    """The state before the log's first event that history files do not hold: what has ended is not in memory."""
    told = list(to_events(archive.of_no_workflow(_MANAGERS)))
    state = replay(told)
    # Whatever was open when a manager began has ended then.
    began = max((event.seq or 1 for event in told if event.type == ev.MANAGER_STARTED), default=1)
    entries = [*archive.known.entries(WORKFLOW_ACTIVE), *archive.left_open(began)]
    for entry in entries:
        deletion = memory.deletion(entry.workflow_id)
        if deletion is not None:
            state.deleted[entry.workflow_id] = deletion
    histories = archive.histories(dict.fromkeys(entries), REPLAYED)
    replay(heapq.merge(*map(to_events, histories), key=lambda event: event.seq or 0), state)
    state.deleted.clear()
    state.past = memory
    state.seq = archive.known.next_seq - 1
    return state


def _replay(log: Reader, memory: Memory, state: State) -> None:
    for event in log.events(Cursor(state.seq + 1)):
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
