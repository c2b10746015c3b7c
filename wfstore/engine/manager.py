"""The management actor: the only writer of the log. It decides, commits, and only then acts.

Decisions are made over a state that runs ahead of the disk by at most the commits in flight; nothing of it shows before
it is durable: acts wait for their own commit, and every answer waits for all commits before it (`_durable`).
Each public method is called by Ray from another process and may be called twice with the same request id.
"""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import socket
from collections import deque
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import psutil
import ray

from wfstore import errors
from wfstore._version import __version__
from wfstore.engine.answers import Answer, Delivered, as_read, output_answer, task_metadata, workflow_metadata
from wfstore.engine.assignment import load_outcome
from wfstore.engine.executor import AttemptKey, Ended, Order, TaskExecutor
from wfstore.engine.orders import Orders, Values, same_kind
from wfstore.engine.recovery import Memory, recover
from wfstore.log import GroupCommit, now_us, own_lease, remove_lease, write_lease
from wfstore.model import events as ev
from wfstore.model.apply import apply
from wfstore.model.commands import Command, Outcome, Place, RecordOutcome, RecordStarted
from wfstore.model.decide import decide
from wfstore.model.events import Event
from wfstore.model.payload import PayloadRef
from wfstore.model.rows import live_task_row, live_workflow_row
from wfstore.model.state import WorkflowState
from wfstore.model.statuses import RESUMABLE, WORKFLOW_ACTIVE
from wfstore.model.wire import dumps
from wfstore.payloads import PayloadStore
from wfstore.schema.rows import Rows, join, pack

LEASE_EVERY_S = 5.0
_SUBMIT_BURST = 32
_ENDS = frozenset({ev.WORKFLOW_SUCCEEDED, ev.WORKFLOW_FAILED, ev.WORKFLOW_CANCELED, ev.WORKFLOW_DELETED})
_ENDS_ATTEMPT = frozenset({ev.ATTEMPT_SUCCEEDED, ev.ATTEMPT_FAILED, ev.TASK_ERROR_CAUGHT})
_Waiting = dict[str, list[asyncio.Future[None]]]


class WorkflowManagementActor:
    """See the module. Created by `engine.host`, named and detached."""

    def __init__(
        self,
        storage: str,
        name: tuple[str, str],
        max_running: int | None,
        max_pending: int | None,
        runtime_env: dict[str, Any],
    ) -> None:
        _calm_garbage_collector()
        context = ray.get_runtime_context()
        self._node_id = context.get_node_id()
        self._session = context.get_session_name()
        self._recovered = recover(storage, self._session, self._describe_self(max_running, max_pending))
        self._storage = storage
        self._state = self._recovered.state
        self._state.max_running, self._state.max_pending = max_running, max_pending
        self._memory: Memory = self._recovered.memory
        self._values = Values()
        self._name = (*name, self._node_id, self._recovered.writer.epoch)
        self._orders = Orders(storage, self._recovered.store_id, self._name, self._values)
        self._orders.runtime_env = runtime_env
        self._commits = GroupCommit(self._recovered.writer)
        self._executor = TaskExecutor(self._on_ended)
        self._to_submit: deque[AttemptKey] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._waiting: _Waiting = {}
        self._waiting_for_tasks: _Waiting = {}
        self._last_commit: asyncio.Future[int] | None = None
        self._halted: errors.StorageError | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._begin(self._keep_lease())
        asyncio.get_running_loop().call_soon(self._act, self._recovered.resumed)

    def _describe_self(self, max_running: int | None, max_pending: int | None) -> list[Event]:
        facts = {
            "session": self._session,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "node_id": self._node_id,
            "version": __version__,
        }
        limits = {"max_running_workflows": max_running, "max_pending_workflows": max_pending}
        now = now_us()
        return [
            Event(ts=now, type=ev.MANAGER_STARTED, node_id=self._node_id, attributes=dumps(facts)),
            Event(ts=now, type=ev.CONFIG_SET, attributes=dumps(limits)),
        ]

    # -- commands ---------------------------------------------------------------------------------------------------

    async def handle(self, pickled: bytes) -> str | None:
        """Carry out a command (of wfstore.model, pickled: Ray would take ten times as long over it); returns the
        workflow's status once everything it caused is durable."""
        return await self.carry_out(pickle.loads(pickled))

    async def carry_out(self, command: Command) -> str | None:
        workflow_id = command.workflow_id
        self._memory.warm(self._state, workflow_id)
        await self._commit(command)
        workflow = self._state.workflows.get(workflow_id)
        return None if workflow is None else workflow.status

    async def _commit(self, command: Command) -> None:
        """Decide a command and make what follows durable; then act on it."""
        events, commit = self._stage([command])
        if commit is None:
            await self._durable()
            return
        try:
            await commit
        except errors.StorageError as error:
            self._halt(error)
            raise
        # Whoever asked is answered first: the acts need not be waited for.
        asyncio.get_running_loop().call_soon(self._act, events)

    def _stage(self, commands: Iterable[Command]) -> tuple[list[Event], asyncio.Future[int] | None]:
        """Decide the commands, one after the other, and append what follows as one; None when nothing does."""
        if self._halted is not None:
            raise self._halted
        now = now_us()
        events: list[Event] = []
        packed: list[Rows] = []
        for command in commands:
            caused, rows = self._decide(command, now)
            for event in caused:
                apply(self._state, event)
            events += caused
            packed.append(rows)
        if not events:
            return events, None
        self._last_commit = self._commits.append_rows(join(packed))
        return events, self._last_commit

    def _decide(self, command: Command, now: int) -> tuple[list[Event], Rows]:
        """What follows from a command, checked to fit the log before the state knows it.

        An outcome with a value that does not fit becomes a failed one that says so: nobody could be told otherwise.
        """
        caused = decide(self._state, command, now)
        try:
            return caused, pack(caused)
        except (TypeError, ValueError) as error:
            if not isinstance(command, RecordOutcome):
                raise errors.InvalidCommandError(str(error)) from error
            kind, message = type(error).__name__, ascii(error)
        failed = Outcome(False, now, kind="serialization", error_type=kind, error_message=message)
        caused = decide(self._state, replace(command, outcome=failed), now)
        return caused, pack(caused)

    async def report_started(self, workflow_id: str, run: int, task_id: str, attempt: int, place: Place) -> None:
        """A worker says that a long attempt is under way."""
        await self._commit(RecordStarted(workflow_id, run, task_id, attempt, place))

    async def exchange(self, key: AttemptKey, outcome: bytes) -> bytes | None:
        """A worker reports how its attempt ended, and takes the next one of the same kind that this made ready."""
        if not self._executor.runs(key):
            return None  # canceled
        end = Ended(key, load_outcome(outcome))
        self._keep_unstored(end)
        events, commit = self._stage([RecordOutcome(*key, end.outcome)])
        if commit is not None:
            await commit
        following = self._follow(key, events)
        self._executor.hand_over(key, following)
        self._act(events)
        return None if following is None else following.assignment.dumps()

    def _follow(self, key: AttemptKey, events: list[Event]) -> Order | None:
        """Take one of the attempts that `events` submit for the worker that ran `key`, out of `events`."""
        workflow = self._state.workflows.get(key[0])
        if workflow is None:
            return None
        for position, event in enumerate(events):
            task = workflow.tasks.get(event.task_id or "")
            if event.type != ev.ATTEMPT_SUBMITTED or event.workflow_id != key[0] or task is None:
                continue
            if (task.open_run, task.open_attempt) != (event.run, event.attempt):
                continue
            if same_kind(workflow.tasks[key[2]], task):
                order = self._orders.order(workflow, task)
                if not order.inputs:
                    del events[position]
                    return order
        return None

    def _keep_unstored(self, end: Ended) -> None:
        output = end.outcome.output
        if output is not None and not end.outcome.stored and output.data is not None:
            self._values.put(end.key[0], end.key[2], output.data)

    def _on_ended(self, ends: list[Ended]) -> None:
        for end in ends:
            if end.value is not None:
                self._values.put(end.key[0], end.key[2], end.value)
            self._keep_unstored(end)
        if self._halted is not None:
            return  # the attempts count as lost, and run again
        events, commit = self._stage(RecordOutcome(*end.key, end.outcome) for end in ends)
        if commit is not None:
            commit.add_done_callback(partial(self._committed, events))

    def _committed(self, events: list[Event], commit: asyncio.Future[int]) -> None:
        error = commit.exception()
        if isinstance(error, errors.StorageError):
            self._halt(error)
        elif error is None:
            self._act(events)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _durable(self) -> None:
        if self._halted is not None:
            raise self._halted
        if self._last_commit is not None and not self._last_commit.done():
            await asyncio.shield(self._last_commit)

    def _halt(self, error: errors.StorageError) -> None:
        """The state is ahead of a log that takes no more: say so to every caller, then leave. Ray starts a new one."""
        if self._halted is not None:
            return
        self._halted = error
        for waiting in (self._waiting, self._waiting_for_tasks):
            for workflow_id in list(waiting):
                self._wake(waiting, workflow_id)
        fenced = isinstance(error, errors.FencedError)
        asyncio.get_running_loop().call_later(1.0, self._leave, fenced)

    @staticmethod
    def _leave(for_good: bool) -> None:
        if for_good:
            ray.kill(ray.get_runtime_context().current_actor, no_restart=True)
        os._exit(1)

    # -- acts ---------------------------------------------------------------------------------------------------------

    def _act(self, events: list[Event]) -> None:
        ended: set[str] = set()
        for event in events:
            kind = event.type
            if kind == ev.ATTEMPT_SUBMITTED:
                self._to_submit.append(_attempt_key(event))
            elif kind in _ENDS_ATTEMPT:
                ended.add(event.workflow_id or "")
                if event.kind == "canceled":
                    self._executor.cancel(_attempt_key(event))
            elif kind in _ENDS:
                self._wake(self._waiting, event.workflow_id or "")
                ended.add(event.workflow_id or "")
        for workflow_id in ended:
            self._wake(self._waiting_for_tasks, workflow_id)
            self._close(workflow_id)
        if self._pump is None and self._submit_some():
            self._pump = asyncio.get_running_loop().create_task(self._submit_rest())

    def _submit_some(self) -> bool:
        """Submit a burst; True when more are waiting."""
        for _ in range(min(_SUBMIT_BURST, len(self._to_submit))):
            workflow_id, run, task_id, attempt = self._to_submit.popleft()
            workflow = self._state.workflows.get(workflow_id)
            task = None if workflow is None else workflow.tasks.get(task_id)
            if workflow is None or task is None or (task.open_run, task.open_attempt) != (run, attempt):
                continue  # canceled between the decision and now
            self._executor.submit(self._orders.order(workflow, task))
        return bool(self._to_submit)

    async def _submit_rest(self) -> None:
        while self._submit_some():
            await asyncio.sleep(0)
        self._pump = None

    def _close(self, workflow_id: str) -> None:
        """Let go of what an ended workflow holds, once nobody will report about it any more."""
        workflow = self._state.workflows.get(workflow_id)
        if workflow is None:
            self._values.forget(workflow_id)
            return
        if workflow.status in WORKFLOW_ACTIVE or workflow.open_attempts:
            return
        self._values.forget(workflow_id, keep=self._memory.kept_only_here(workflow))
        self._memory.closed(self._state, workflow)

    @staticmethod
    def _wake(waiting: _Waiting, workflow_id: str) -> None:
        for future in waiting.pop(workflow_id, ()):
            if not future.done():
                future.set_result(None)

    # -- answers ------------------------------------------------------------------------------------------------------

    async def _find(self, workflow_id: str) -> WorkflowState:
        await self._durable()
        self._memory.warm(self._state, workflow_id)
        workflow = self._state.workflows.get(workflow_id)
        if workflow is None:
            raise errors.WorkflowNotFoundError(workflow_id)
        return workflow

    @ray.method(max_task_retries=-1)  # a pure wait: refs handed out survive this process
    async def wait(self, workflow_id: str, task_id: str | None = None) -> Answer:
        """The output once it is known, or the error instead."""
        while True:
            answer = output_answer(await self._find(workflow_id), task_id, self._values)
            if answer is not None:
                return answer
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiting = self._waiting if task_id is None else self._waiting_for_tasks
            waiting.setdefault(workflow_id, []).append(future)
            await future

    @ray.method(max_task_retries=-1)
    async def value(self, workflow_id: str, task_id: str | None = None, reading: bool = False) -> Any:
        """As `wait`; the ObjectRef of this call resolves to the value itself, or raises. `reading`: with the errors
        of get_output."""
        answer = await self.wait(workflow_id, task_id)
        if answer.error is not None:
            raise answer.error if not reading else as_read(answer.error)
        return Delivered(self._storage, answer)

    async def keep(self, data: bytes, as_file: bool) -> PayloadRef:
        """Store a payload for a driver that does not see the storage itself."""
        store = PayloadStore(self._storage)
        return await asyncio.to_thread(store.put_file if as_file else store.put, data)

    async def status(self, workflow_id: str) -> str:
        return (await self._find(workflow_id)).status

    async def metadata(self, workflow_id: str, task_id: str | None) -> dict[str, Any]:
        workflow = await self._find(workflow_id)
        return workflow_metadata(workflow) if task_id is None else task_metadata(workflow, task_id)

    async def statuses(self) -> list[tuple[str, str]]:
        """(id, status) of every workflow, in order of submission; those that ran before those that waited."""
        await self._durable()
        found = self._state.workflows.values()
        ordered = sorted(found, key=lambda workflow: workflow.status == RESUMABLE and workflow.runs == 0)
        return [(workflow.workflow_id, workflow.status) for workflow in ordered]

    async def resumable(self, include_failed: bool) -> list[str]:
        """Ids to resume, those that were running before those that were waiting."""
        await self._durable()
        wanted = {RESUMABLE, "FAILED"} if include_failed else {RESUMABLE}
        found = [workflow for workflow in self._state.workflows.values() if workflow.status in wanted]
        return [workflow.workflow_id for workflow in sorted(found, key=lambda workflow: workflow.runs == 0)]

    async def live(self) -> dict[str, Any]:
        """What is in memory now, as rows of `workflows` and `tasks`, and the seq they stand for."""
        await self._durable()
        warm = [workflow for workflow in self._state.workflows.values() if not workflow.cold]
        seq, now = self._state.seq, now_us()
        return {
            "workflows": [live_workflow_row(workflow, seq, now) for workflow in warm],
            "tasks": [live_task_row(workflow, task, seq, now) for workflow in warm for task in workflow.tasks.values()],
        }

    async def describe(self) -> dict[str, Any]:
        """storage, limits and where this manager runs."""
        return {
            "storage": self._storage,
            "max_running_workflows": self._state.max_running,
            "max_pending_workflows": self._state.max_pending,
            "node_id": self._node_id,
            "pid": os.getpid(),
            "epoch": self._recovered.writer.epoch,
            "rss_bytes": _rss_bytes(),
        }

    # -- in the background --------------------------------------------------------------------------------------------

    async def _keep_lease(self) -> None:
        while self._halted is None:
            lease = own_lease(now_us(), self._session, self._recovered.writer.epoch)
            await asyncio.to_thread(write_lease, self._storage, lease)
            await asyncio.sleep(LEASE_EVERY_S)

    async def stop(self) -> None:
        """Leave in good order: everything durable, the log sealed, the lease gone."""
        await self._commits.append([Event(ts=now_us(), type=ev.MANAGER_STOPPED)])
        for task in self._tasks:
            task.cancel()
        self._commits.close()
        self._recovered.writer.close()
        remove_lease(self._storage)


def _attempt_key(event: Event) -> AttemptKey:
    return event.workflow_id or "", event.run or 0, event.task_id or "", event.attempt or 0


def _calm_garbage_collector() -> None:
    """The state is a large heap without cycles: full collections found nothing and took a tenth of the loop's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _rss_bytes() -> int:
    return int(psutil.Process().memory_info().rss)
