"""What the manager holds of workflows that have ended: the last ones whole, older ones as a summary until history files
hold them, and then nothing. Whatever is asked for comes back from history files and the log.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from itertools import islice
from typing import NamedTuple

from wfstore.errors import StorageError
from wfstore.log.archive import Archive
from wfstore.log.known import Entry
from wfstore.model.apply import REPLAYED, replay
from wfstore.model.plan import source
from wfstore.model.state import Deletion, State, TaskState, WorkflowState
from wfstore.model.statuses import WORKFLOW_ACTIVE
from wfstore.schema.codec import to_events

#: What ended workflows may hold in memory, and what those may that history files hold too. A task weighs its inline
#: payloads and about as much again for its objects.
WARM_BYTES = 128 << 20
ARCHIVED_BYTES = 16 << 20
_TASK_BYTES = 1500


class Place(NamedTuple):
    """Where the events of a workflow are that is not whole in memory; before: the last deletion of its id."""

    workflow_id: str
    first_seq: int
    last_seq: int
    before: Deletion | None


class Memory:
    """The past of one state (`wfstore.model.state.Past`). Only `read` may be called in another thread."""

    def __init__(self, storage: str, archive: Archive) -> None:
        self.archive = archive
        self._storage = storage
        self._warm: OrderedDict[str, int] = OrderedDict()
        self._weighed: dict[str, tuple[WorkflowState, int, int]] = {}
        self._bytes = 0
        self._coming: dict[str, asyncio.Future[None]] = {}

    # -- back into memory ---------------------------------------------------------------------------------------------

    def recall(self, state: State, workflow_id: str) -> WorkflowState | None:
        """Reads where it stands: a thread that must not wait for a disk goes by `present` before."""
        place = self.lacks(state, workflow_id)
        return state.workflows.get(workflow_id) if place is None else self._take(state, self.read(place))

    def deletion(self, workflow_id: str) -> Deletion | None:
        gone = self.archive.known.gone(workflow_id)
        return None if gone is None else Deletion(gone.run or 0, gone.request_id, gone.seq)

    def lacks(self, state: State, workflow_id: str) -> Place | None:
        """Where the workflow can be read; None when it is in memory as a whole, or there is none."""
        found = state.workflows.get(workflow_id)
        if found is not None:
            if not found.cold:
                return None
            assert found.first_seq is not None and found.last_seq is not None
            return Place(workflow_id, found.first_seq, found.last_seq, state.deletion(workflow_id))
        entry = None if workflow_id in state.deleted else self.archive.known.find(workflow_id)
        if entry is None:
            return None
        return Place(workflow_id, entry.first_seq, entry.last_seq, self.deletion(workflow_id))

    def read(self, place: Place) -> WorkflowState:
        """The workflow as its events make it. Blocking. Raises DamageError, StorageError."""
        rows = self.archive.events(place.workflow_id, place.first_seq, place.last_seq, REPLAYED)
        alone = State()
        if place.before is not None:
            alone.deleted[place.workflow_id] = place.before
        found = replay(to_events(rows), alone).workflows.get(place.workflow_id)
        if found is None or found.last_seq != place.last_seq:
            reason = f"events of workflow {place.workflow_id!r} are missing in its history"
            raise StorageError(self._storage, f"{reason}; `wfstore verify` tells what is damaged")
        return found

    def _take(self, state: State, workflow: WorkflowState) -> WorkflowState:
        state.workflows[workflow.workflow_id] = workflow
        if _ended(workflow):
            self.closed(state, workflow)
        return workflow

    @asynccontextmanager
    async def present(self, state: State, workflow_id: str) -> AsyncIterator[None]:
        """Bring the workflow into memory, if there is one, without blocking the loop. Those who come meanwhile get in
        one after the other, in the order in which they came."""
        ahead = self._coming.get(workflow_id)
        if ahead is None and self.lacks(state, workflow_id) is None:
            yield
            return
        mine = self._coming[workflow_id] = asyncio.get_running_loop().create_future()
        try:
            if ahead is not None:
                await asyncio.shield(ahead)
            place = self.lacks(state, workflow_id)
            if place is not None:
                found = await asyncio.to_thread(self.read, place)
                if self.lacks(state, workflow_id) == place:  # nobody was quicker, and it has not gone on since
                    self._take(state, found)
            yield
        finally:
            mine.set_result(None)
            if self._coming[workflow_id] is mine:
                del self._coming[workflow_id]

    # -- without bringing it back -------------------------------------------------------------------------------------

    def status(self, state: State, workflow_id: str) -> str | None:
        """None when there is no such workflow."""
        found = state.workflows.get(workflow_id)
        if found is not None:
            return found.status
        entry = None if workflow_id in state.deleted else self.archive.known.find(workflow_id)
        return None if entry is None else entry.status

    async def listed(self, state: State, statuses: Collection[str] | None) -> list[tuple[str, str]]:
        """(id, status) of every workflow, or of those with such a status, as `Known.listed` orders them."""
        here = [
            Entry(
                workflow.workflow_id,
                workflow.status,
                workflow.first_seq or 0,
                workflow.last_seq or 0,
                workflow.runs > 0,
            )
            for workflow in state.workflows.values()
        ]
        hidden = state.workflows.keys() | state.deleted.keys()
        return await asyncio.to_thread(self.archive.known.listed, statuses, here, hidden)

    # -- out of memory ------------------------------------------------------------------------------------------------

    def closed(self, state: State, workflow: WorkflowState) -> None:
        """`workflow` has just ended, or was asked for: it is the last to be let go."""
        self._bytes -= self._warm.pop(workflow.workflow_id, 0)
        self._warm[workflow.workflow_id] = size = self._weight(workflow) + _events_weight(workflow)
        self._bytes += size
        while self._bytes > WARM_BYTES and len(self._warm) > 1:
            self._release(state, next(iter(self._warm)))

    def let_go(self, state: State) -> None:
        """History files hold more than before."""
        next_seq = self.archive.known.next_seq
        state.deleted = {name: deletion for name, deletion in state.deleted.items() if deletion.seq >= next_seq}
        for workflow in list(state.workflows.values()):
            if workflow.workflow_id not in self._warm and self._archived(workflow):
                del state.workflows[workflow.workflow_id]
        archived = [name for name in self._warm if self._archived(state.workflows.get(name))]
        held = sum(self._warm[name] for name in archived)
        for name in archived:
            if held <= ARCHIVED_BYTES:
                break
            held -= self._warm[name]
            self._release(state, name)

    def _release(self, state: State, workflow_id: str) -> None:
        self._bytes -= self._warm.pop(workflow_id)
        found = state.workflows.get(workflow_id)
        if found is None or not _ended(found):
            return
        self._weighed.pop(workflow_id, None)
        if self._archived(found):
            del state.workflows[workflow_id]
            state.deleted.pop(workflow_id, None)  # it came before, and history files know of it
        else:
            found.tasks, found.counters, found.inbox, found.cold = {}, {}, None, True

    def _archived(self, workflow: WorkflowState | None) -> bool:
        """It has ended, and history files hold all of it."""
        if workflow is None or workflow.last_seq is None or not _ended(workflow):
            return False
        return workflow.last_seq < self.archive.known.next_seq

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


def _ended(workflow: WorkflowState) -> bool:
    """Nothing will happen to it unless somebody asks."""
    return workflow.status not in WORKFLOW_ACTIVE and not workflow.open_attempts


def _events_weight(workflow: WorkflowState) -> int:
    """Of events that were sent and not used."""
    return 0 if workflow.inbox is None else workflow.inbox.held_bytes


def _weight(tasks: Iterable[TaskState]) -> int:
    held = 0
    for task in tasks:
        held += _TASK_BYTES
        for ref in (task.args, task.output, task.caught, task.error):
            if ref is not None and ref.data is not None:
                held += len(ref.data)
    return held
