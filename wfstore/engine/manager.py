"""The management actor, as Ray and other processes see it: the only writer of the log.

Each public method is called from another process, and may be called twice with the same request id.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import socket
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, TypeVar

import psutil
import ray

from wfstore import errors
from wfstore._garbage import calm_collector
from wfstore._version import __version__
from wfstore.engine import channel
from wfstore.engine.answers import Answer, Delivered, as_read, output_answer, task_metadata, workflow_metadata
from wfstore.engine.assignment import REF, AttemptKey
from wfstore.engine.compaction import Compactions
from wfstore.engine.core import Core
from wfstore.engine.driverlog import Answer as LogLines
from wfstore.engine.executor import LEAST_WINDOW, WINDOW_PER_CPU
from wfstore.engine.failures import as_rays
from wfstore.engine.incarnation import is_replaced
from wfstore.engine.leases import survivors
from wfstore.engine.orders import place_of
from wfstore.engine.patience import with_patience
from wfstore.engine.recovery import recover
from wfstore.engine.room import Room
from wfstore.engine.waiter import MOST_IN_MANAGER, Key, Outbox, Taken
from wfstore.log import now_us, own_lease, remove_lease, write_lease
from wfstore.model import events as ev
from wfstore.model.commands import CallActor, Command, Place, RecordStarted, Resume, Submit
from wfstore.model.define import defined_again, files_of
from wfstore.model.events import Event
from wfstore.model.payload import PayloadRef
from wfstore.model.plan import at_hand
from wfstore.model.progress import Progress
from wfstore.model.rows import task_row
from wfstore.model.state import WorkflowState
from wfstore.model.statuses import FAILED, RESUMABLE
from wfstore.model.wire import dumps
from wfstore.payloads import PayloadStore

LEASE_EVERY_S = 5.0
#: Of how many attempts the progress is logged at a time.
_MOST_LOGGED = 500
_LOOK_EVERY_S = 0.5
_T = TypeVar("_T")


class WorkflowManagementActor(Core):
    """See the module. Created by `engine.host`, named and detached."""

    def __init__(
        self,
        storage: str,
        name: tuple[str, str],
        max_running: int | None,
        max_pending: int | None,
        runtime_env: dict[str, Any],
    ) -> None:
        calm_collector()
        context = ray.get_runtime_context()
        self._node_id = context.get_node_id()
        self._session = context.get_session_name()
        introduction = self._describe_self(max_running, max_pending)
        begin = partial(recover, storage, self._session, introduction, partial(survivors, name))
        # Who starts the first one is told at once that a disk is full; the next one is there for what was accepted.
        recovered = with_patience(storage, begin) if context.was_current_actor_reconstructed else begin()
        manager = (*name, self._node_id, recovered.writer.epoch)
        super().__init__(storage, recovered, manager, runtime_env)
        self._outbox = Outbox(self.wait)
        self._values_awaited = 0
        self._room = Room(
            lambda: self._commits.waiting_bytes,
            lambda: self._state.seq + 1 - self._memory.archive.known.next_seq,
            lambda: self._state.limits.max_tail_events,
        )
        self._compactions = Compactions(storage, recovered.log, self._memory.archive, self._let_go)
        self._begin(self._compactions.run())
        self._begin(self._keep_lease())
        self._begin(self._log_progress())
        self._begin(self._listen(channel.path_for(*name)))

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

    async def handle(self, pickled: bytes) -> bool:
        """Carry out a command (of wfstore.model, pickled: Ray would take ten times as long over it); returns, once
        everything it caused is durable, whether so many wait here that others had better wait elsewhere."""
        await self.carry_out(pickle.loads(pickled))
        return self._values_awaited >= MOST_IN_MANAGER

    async def run(self, pickled: bytes) -> Answer:
        """`handle` and `wait` in one call, for a caller that does nothing in between."""
        command = pickle.loads(pickled)
        await self.carry_out(command)
        answer: Answer = await self.wait(command.workflow_id)
        return answer

    async def call_actor(self, pickled: bytes, wait: bool) -> tuple[str, Answer | None]:
        """Carry out a `CallActor`; returns the task id of the call and, when it is to be waited for, its output."""
        command = pickle.loads(pickled)
        await self.carry_out(command)
        task_id = self._find(command.workflow_id).calls[command.request_id]
        return task_id, (await self.wait(command.workflow_id, task_id)) if wait else None

    async def send_event(self, pickled: bytes, hold_s: float) -> str:
        """Carry out a `SendEvent`; returns, once it is durable, what `Deliveries.outcome` says within `hold_s`."""
        await self._room.enter()
        return await self._deliveries.outcome(await self._commit(pickle.loads(pickled)), hold_s)

    async def report_read(self, pickled: bytes) -> None:
        """A readonly method of a virtual actor has ended."""
        await self._commit(pickle.loads(pickled))

    async def rerun(self, workflow_id: str, new_id: str, request_id: str, by: str | None) -> None:
        """Submit the DAG and the inputs of a workflow again, under another id."""
        async with self._memory.present(self._state, workflow_id):
            old = self._find(workflow_id)
            dag = defined_again(old)
        # What has been kept for the old one alone must not go before the new one is there.
        await asyncio.to_thread(PayloadStore(self._storage).use, files_of(dag))
        command = Submit(new_id, dag, old.metadata, old.driver, request_id, by, old.timeout_s, workflow_id)
        await self.carry_out(command)

    async def carry_out(self, command: Command) -> None:
        if isinstance(command, Submit | CallActor | Resume):
            await self._room.enter()
        if isinstance(command, Submit | CallActor):
            self._open_log(command.driver)
        await self._commit(command)

    async def report_started(self, workflow_id: str, run: int, task_id: str, attempt: int, place: Place) -> None:
        """A worker says that a long attempt is under way."""
        if self._is_open((workflow_id, run, task_id, attempt)):
            self._changes.reports.started((workflow_id, run, task_id, attempt), place)
        await self._commit(RecordStarted(workflow_id, run, task_id, attempt, place))

    async def report_progress(self, key: AttemptKey, place: Place, progress: Progress) -> float:
        """A worker says how far an attempt is; returns for how many seconds it should say no more."""
        if not self._is_open(key):
            return self._changes.reports.pause_s
        self._stage_and_act([RecordStarted(*key, place)])
        return self._changes.reports.said(key, place, progress)

    def _is_open(self, key: AttemptKey) -> bool:
        task = self._task(key[0], key[2])
        return task is not None and (task.open_run, task.open_attempt) == (key[1], key[3])

    # -- answers ------------------------------------------------------------------------------------------------------

    async def _answered(self, workflow_id: str, ask: Callable[[WorkflowState], _T]) -> _T:
        """What `ask` finds in the workflow as it is now, given out once all of that is durable."""
        try:
            async with self._memory.present(self._state, workflow_id):
                return ask(self._find(workflow_id))
        finally:
            await self._durable()

    def _find(self, workflow_id: str) -> WorkflowState:
        if self._halted is not None:
            raise self._halted
        workflow = self._state.find(workflow_id)
        if workflow is None:
            raise errors.WorkflowNotFoundError(workflow_id)
        return workflow

    @ray.method(max_task_retries=-1)  # a pure wait: refs handed out survive this process
    async def wait(self, workflow_id: str, task_id: str | None = None) -> Answer:
        """The output once it is known, or the error instead. Where the log takes no more, the next manager answers."""
        try:
            return await self._output(workflow_id, task_id)
        except errors.StorageError as error:
            if error is not self._halted or isinstance(error, errors.FencedError):
                raise
        # This process ends in a moment; whoever only waits is asked to come again by that, and loses nothing.
        never: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        return await never

    async def _output(self, workflow_id: str, task_id: str | None) -> Answer:
        async with self._memory.present(self._state, workflow_id):
            self._find(workflow_id)
        while True:
            answer = output_answer(self._find(workflow_id), task_id, self._values)
            if answer is not None:
                await self._durable()
                return answer
            # No await between the look and this: an end in between would wake nobody.
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiting = self._waiting if task_id is None else self._waiting_for_tasks
            waiting.setdefault(workflow_id, []).append(future)
            await future

    @ray.method(max_task_retries=-1)
    async def value(self, workflow_id: str, task_id: str | None = None, reading: bool = False) -> Any:
        """As `wait`; the ObjectRef of this call resolves to the value itself, or raises. `reading`: with the errors
        of get_output."""
        self._values_awaited += 1
        try:
            answer = await self.wait(workflow_id, task_id)
        finally:
            self._values_awaited -= 1
        if answer.error is not None:
            error = as_rays(as_read(answer.error, task_id) if reading else answer.error)
            raise error from self._told(workflow_id)
        return Delivered(self._storage, answer)

    async def outputs(self, keys: list[Key], timeout_s: float) -> Taken:
        """Outputs that `engine.waiter` waits for, as soon as there are any; `keys` are new ones."""
        self._outbox.watch(keys)
        return await self._outbox.take(timeout_s)

    def _told(self, workflow_id: str) -> Exception | None:
        """The error of the task that failed, in words: unpickling the error itself is for its owner's process."""
        workflow = self._state.find(workflow_id)
        if workflow is None or workflow.error_type is None:
            return None
        return RuntimeError(f"{workflow.failed_task_id}: {workflow.error_type}: {workflow.error_message}")

    async def keep(self, data: bytes, as_file: bool) -> PayloadRef:
        """Store a payload for a driver that does not see the storage itself."""
        store = PayloadStore(self._storage, self._state.limits.max_payload_bytes)
        return await asyncio.to_thread(store.put_file if as_file else store.put, data)

    async def status(self, workflow_id: str) -> str:
        if self._halted is not None:
            raise self._halted
        status = self._memory.status(self._state, workflow_id)
        await self._durable()
        if status is None:
            raise errors.WorkflowNotFoundError(workflow_id)
        return status

    async def metadata(self, workflow_id: str, task_id: str | None) -> dict[str, Any]:
        def ask(workflow: WorkflowState) -> dict[str, Any]:
            return workflow_metadata(workflow) if task_id is None else task_metadata(workflow, task_id)

        return await self._answered(workflow_id, ask)

    async def tasks(self, workflow_id: str) -> list[dict[str, Any]]:
        """Rows of `tasks`, in the order in which they were defined."""

        def ask(workflow: WorkflowState) -> list[dict[str, Any]]:
            return [task_row(workflow, task) for task in workflow.tasks.values()]

        return await self._answered(workflow_id, ask)

    async def unfinished_functions(self, workflow_id: str) -> list[tuple[str, str]]:
        """(name, hash) of the bodies of tasks that a resume would run."""

        def ask(workflow: WorkflowState) -> list[tuple[str, str]]:
            tasks = workflow.tasks.values()
            return sorted({(task.function, task.function_hash) for task in tasks if not at_hand(task)})

        return await self._answered(workflow_id, ask)

    async def actor(self, workflow_id: str) -> tuple[str, str, tuple[int, Any] | None]:
        """(class, hash of the pickled class, where the last committed state lies: None before the first)."""

        def ask(workflow: WorkflowState) -> tuple[str, str, tuple[int, Any] | None]:
            if workflow.actor is None:
                raise errors.VirtualActorNotFoundError(workflow_id)
            state = workflow.actor_state
            return workflow.actor["class"], workflow.actor["hash"], None if state is None else place_of(state)

        try:
            return await self._answered(workflow_id, ask)
        except errors.WorkflowNotFoundError:
            raise errors.VirtualActorNotFoundError(workflow_id) from None

    async def statuses(self, wanted: Collection[str] | None = None) -> list[tuple[str, str]]:
        """(id, status) of every workflow, or of those with a wanted status, in order of submission; those that ran
        before those that waited."""
        answer = await self._memory.listed(self._state, wanted)
        await self._durable()
        return answer

    async def resumable(self, include_failed: bool) -> list[str]:
        """Ids to resume, those that were running before those that were waiting."""
        wanted = {RESUMABLE, FAILED} if include_failed else {RESUMABLE}
        return [workflow_id for workflow_id, _ in await self.statuses(wanted)]

    async def live(self, ids: Collection[str] | None = None, tasks: bool = True) -> tuple[Any, ...]:
        """What is in memory now (of `ids`): an `engine.changes.Memory` as a plain tuple."""
        found = tuple(self._changes.live(ids, tasks))
        await self._durable()
        return found

    async def changes(self, since: str | None, timeout_s: float, workflow_id: str | None = None) -> bytes:
        """What changed since the cursor `since`: see `engine.changes`."""
        answer = await self._changes.wait(since, timeout_s, workflow_id)
        await self._durable()
        return answer

    async def log_lines(self, submitter: str, since: int, timeout_s: float) -> LogLines:
        """What happened to a driver's workflows since it last asked: see `engine.driverlog`."""
        return await self._log.wait(submitter, since, timeout_s)

    async def describe(self) -> dict[str, Any]:
        """storage, limits and where this manager runs."""
        return {
            "storage": self._storage,
            "max_running_workflows": self._state.max_running,
            "max_pending_workflows": self._state.max_pending,
            "limits": self._state.limits._asdict(),
            "node_id": self._node_id,
            "pid": os.getpid(),
            "epoch": self._recovered.writer.epoch,
            "rss_bytes": _rss_bytes(),
        }

    # -- in the background --------------------------------------------------------------------------------------------

    async def _listen(self, path: str | None) -> None:
        """Take requests of processes on this node by a shorter way than Ray's."""
        if path is not None:
            with contextlib.suppress(OSError):  # they go by Ray then
                self._server = await channel.listen(path, self._serve)

    async def _serve(self, method: str, args: tuple[Any, ...]) -> Any:
        if method not in channel.SERVED:
            raise channel.ByRay
        answer = await getattr(self, method)(*args)
        told = answer[1] if method == "call_actor" else answer
        if isinstance(told, Answer) and told.form == REF:
            raise channel.ByRay
        return answer

    async def _keep_lease(self) -> None:
        while self._halted is None:
            lease = own_lease(now_us(), self._session, self._recovered.writer.epoch)
            with contextlib.suppress(errors.StorageError):  # a full disk may have room again in five seconds
                await asyncio.to_thread(write_lease, self._storage, lease)
            cpus = (await asyncio.to_thread(ray.cluster_resources)).get("CPU", 0)
            self._executor.window = max(LEAST_WINDOW, round(cpus * WINDOW_PER_CPU))
            await asyncio.sleep(LEASE_EVERY_S)

    async def _log_progress(self) -> None:
        """So that a manager that is killed has told the last word of long attempts, or nearly so."""
        while self._halted is None:
            await asyncio.sleep(_LOOK_EVERY_S)
            if self._halted is None and self._changes.reports and (commands := self._changes.reports.due(_MOST_LOGGED)):
                self._stage_and_act(commands)

    def _let_go(self) -> None:
        self._memory.let_go(self._state)

    def _halt(self, error: errors.StorageError) -> None:
        self._compactions.stop()
        super()._halt(error)

    def _leave(self, for_good: bool) -> None:
        if for_good and not is_replaced():  # nobody will take over what runs here
            self._executor.close()
        super()._leave(for_good)

    async def stop(self) -> None:
        """Leave in good order: everything durable, the log sealed, the lease gone."""
        self._compactions.stop()
        await self._commits.append([Event(ts=now_us(), type=ev.MANAGER_STOPPED)])
        for task in self._tasks:
            task.cancel()
        self._commits.close()
        self._executor.close()
        self._recovered.writer.close()
        remove_lease(self._storage)


def _rss_bytes() -> int:
    return int(psutil.Process().memory_info().rss)
