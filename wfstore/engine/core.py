"""The heart of the manager: what follows from durable events. Attempts are given to workers and listeners, alarms are
set, drivers are told, whoever waits is woken; and what attempts report goes back into `engine.commits`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from wfstore import errors
from wfstore.engine import tails
from wfstore.engine.alarms import EXPIRE, FIRE, TIMEOUT, Alarm, Alarms
from wfstore.engine.assignment import INLINE, AttemptKey, load_outcome
from wfstore.engine.carrying import alarms_of
from wfstore.engine.changes import Changes
from wfstore.engine.commits import Commits
from wfstore.engine.deliveries import Deliveries
from wfstore.engine.driverlog import LogBuffers
from wfstore.engine.executor import Ended, Order, TaskExecutor
from wfstore.engine.leases import OwnedLeases
from wfstore.engine.listeners.host import Ask
from wfstore.engine.listeners.pool import ListenerPool
from wfstore.engine.orders import Orders, Values, same_kind
from wfstore.engine.recovery import Recovered
from wfstore.engine.worker import failed
from wfstore.model import events as ev
from wfstore.model.commands import AwaitEvent, Command, Expire, Fire, Outcome, RecordOutcome
from wfstore.model.dag import ACTOR, EVENT, EVENT_CHECKPOINTED, FUNCTION, TIMER
from wfstore.model.events import Event
from wfstore.model.outcomes import SYSTEM_KINDS
from wfstore.model.state import TaskState, WorkflowState
from wfstore.model.statuses import WORKFLOW_ACTIVE

_SUBMIT_BURST = 32
#: How long the worker of a virtual actor's call is kept for the next one.
_LINGER_S = 0.02
_ENDS = frozenset(
    {
        ev.WORKFLOW_SUCCEEDED,
        ev.WORKFLOW_FAILED,
        ev.WORKFLOW_INTERRUPTED,
        ev.WORKFLOW_CANCELED,
        ev.WORKFLOW_DELETED,
    }
)
_SETS_ALARM = frozenset({ev.TIMER_STARTED, ev.ATTEMPT_RETRY_SCHEDULED, ev.ATTEMPT_STARTED, ev.WORKFLOW_STARTED})
_ENDS_ATTEMPT = frozenset({ev.ATTEMPT_SUCCEEDED, ev.ATTEMPT_FAILED, ev.TASK_ERROR_CAUGHT})


class Core(Commits):
    """One manager's state, log and attempts. Create it on the loop that it is to live on.

    manager: name and namespace of the actor, the node it runs on, its epoch; runtime_env: that its own tasks inherit
    """

    def __init__(
        self, storage: str, recovered: Recovered, manager: tuple[str, str, str, int], runtime_env: dict[str, Any]
    ) -> None:
        self._storage = storage
        super().__init__(recovered)
        self._values = Values()
        self._orders = Orders(storage, recovered.store_id, manager, self._values)
        self._orders.runtime_env = runtime_env
        self._orders.most_bytes = lambda: self._state.limits.max_payload_bytes
        leases = OwnedLeases(manager[:2], recovered.store_id, manager[3], self._durable)
        self._executor = TaskExecutor(self._on_ended, leases)
        self._listeners = ListenerPool(
            self._on_ended, on_asked=self._on_asked, on_reported=lambda reports: self._deliveries.reported(reports)
        )
        self._deliveries = Deliveries(self._state, self._listeners.answer)
        self._alarms = Alarms(self._on_due)
        self._log = LogBuffers()
        self._changes = Changes(recovered.writer.epoch, recovered.state)
        for workflow in self._state.workflows.values():
            self._open_log(workflow.driver if workflow.status in WORKFLOW_ACTIVE else {})
        self._preparing: dict[tuple[str, ...], list[AttemptKey]] = {}
        self._lingering: dict[str, tuple[AttemptKey, asyncio.Future[Order | None]]] = {}
        self._to_submit: deque[AttemptKey] = deque()
        self._pump: asyncio.Task[None] | None = None
        for workflow_id in recovered.carried:
            workflow = self._state.workflows[workflow_id]
            for due_at, alarm in alarms_of(workflow):
                self._alarms.set(due_at, alarm, workflow)
        self._executor.adopt(recovered.alive)
        asyncio.get_running_loop().call_soon(self._act, recovered.resumed)

    async def exchange(self, key: AttemptKey, outcome: bytes) -> bytes | None:
        """A worker reports how its attempt ended, and takes the next one of the same kind that this made ready."""
        if not self._executor.runs(key):
            return None  # canceled
        end = Ended(key, load_outcome(outcome))
        self._hold(end)
        events, commit = self._stage([RecordOutcome(*key, end.outcome)])
        held = self._executor.take(key)
        if held is not None:  # it does not hang on this outcome: nobody has to wait for the disk
            self._executor.hand_over(key, held)
            if commit is not None:
                commit.add_done_callback(partial(self._committed, events))
            return held.assignment.dumps()
        if commit is not None:
            await self._committing(commit)
        following = self._follow(key, events) if self._executor.runs(key) else None
        if following is not None:
            self._executor.hand_over(key, following)
        self._act(events)
        if following is None and self._executor.runs(key):
            following = await self._linger(key) if self._lingers(key) else None
            if following is None and self._executor.runs(key):
                self._executor.hand_over(key, None)
        return None if following is None else following.assignment.dumps()

    def _lingers(self, key: AttemptKey) -> bool:
        """The next call of a virtual actor often comes as soon as this one is answered."""
        workflow = self._state.workflows.get(key[0])
        return workflow is not None and workflow.actor is not None and key[0] not in self._lingering

    async def _linger(self, key: AttemptKey) -> Order | None:
        """What `_give` hands over to the worker that ran `key`, if it does so soon."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[Order | None] = loop.create_future()
        self._lingering[key[0]] = key, waiting
        timer = loop.call_later(_LINGER_S, _give_up, waiting)
        try:
            return await waiting
        finally:
            timer.cancel()
            del self._lingering[key[0]]

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
            if task.type not in (FUNCTION, ACTOR) or not same_kind(workflow.tasks[key[2]], task):
                continue
            order = self._order(workflow, task)
            if isinstance(order, Order) and not order.inputs:
                self._changes.note([event])
                del events[position]
                return order
        return None

    def _hold(self, end: Ended) -> None:
        """Keep the Ray object of a large output, and the bytes of a small one that is not stored.

        Only for an attempt that still counts: a workflow of the same id may have taken the place of a deleted one.
        """
        workflow_id, run, task_id, attempt = end.key
        workflow = self._state.workflows.get(workflow_id)
        task = None if workflow is None else workflow.tasks.get(task_id)
        if task is None or (task.open_run, task.open_attempt) != (run, attempt):
            return
        output = end.outcome.output
        if end.value is not None:
            self._values.put(workflow_id, task_id, end.value)
        elif output is not None and not end.outcome.stored and output.data is not None:
            self._values.put(workflow_id, task_id, output.data)

    def _on_ended(self, ends: list[Ended]) -> None:
        dead = [end for end in ends if end.outcome.kind in SYSTEM_KINDS and end.outcome.stdout is None]
        if dead:
            self._begin(self._look_after(dead))
            ends = [end for end in ends if end not in dead]
        for end in ends:
            self._hold(end)
        if self._halted is not None:
            return  # the attempts count as lost, and run again
        self._stage_and_act(RecordOutcome(*end.key, end.outcome) for end in ends)

    def _stage(self, commands: Iterable[Command]) -> tuple[list[Event], asyncio.Future[int] | None]:
        reports = self._changes.reports
        return super()._stage(reports.before(commands) if reports else commands)

    def _stage_and_act(self, commands: Iterable[Command]) -> None:
        """Carry them out; nobody waits."""
        events, commit = self._stage(commands)
        if commit is not None:
            commit.add_done_callback(partial(self._committed, events))

    def _on_asked(self, asks: list[Ask]) -> None:
        """Listeners wait for events that are, or will be, sent."""
        for key, event_key in asks:
            if self._halted is not None:
                return  # they will ask the next manager
            try:
                self._stage_and_act([AwaitEvent(*key, event_key)])
            except errors.WfstoreError as error:
                self._listeners.answer(key, event_key, INLINE, b"", error)

    async def _look_after(self, ends: list[Ended]) -> None:
        """What workers that died had printed, as far as it lies on this node."""
        found = []
        for end in ends:
            stdout, stderr = await asyncio.to_thread(tails.of_dead_attempt, repr(end.key))
            found.append(end._replace(outcome=end.outcome._replace(stdout=stdout, stderr=stderr)))
        self._on_ended(found)

    def _committed(self, events: list[Event], commit: asyncio.Future[int]) -> None:
        error = commit.exception()
        if isinstance(error, errors.StorageError):
            self._halt(error)
        elif error is None:
            self._act(events)

    # -- acts ---------------------------------------------------------------------------------------------------------

    def _act(self, events: list[Event]) -> None:
        ended: set[str] = set()
        self._changes.note(events)
        if self._log.is_open:
            self._log.tell(events, self._state.workflows)
        for event in events:
            kind = event.type
            if kind == ev.ATTEMPT_SUBMITTED or kind == ev.WAIT_DECIDED:
                self._to_submit.append(_attempt_key(event))
            elif kind in _ENDS_ATTEMPT:
                self._changes.reports.ended(event)
                ended.add(event.workflow_id or "")
                if event.kind == "canceled":
                    self._withdraw(_attempt_key(event))
            elif kind in _SETS_ALARM:
                self._set_alarm(event)
            elif kind == ev.EVENT_DELIVERED:
                self._deliveries.delivered(event)
            elif kind == ev.EVENT_CHECKPOINTED:
                self._deliveries.told(event)
            elif kind in _ENDS:
                self._wake(self._waiting, event.workflow_id or "")
                self._deliveries.ended(event.workflow_id or "")
                ended.add(event.workflow_id or "")
        for workflow_id in ended:
            self._wake(self._waiting_for_tasks, workflow_id)
            self._close(workflow_id)
        if self._pump is None and self._submit_some():
            self._pump = asyncio.get_running_loop().create_task(self._submit_rest())

    def _open_log(self, driver: Mapping[str, Any]) -> None:
        submitter = driver.get("log")
        if submitter:
            self._log.open(submitter)

    def _withdraw(self, key: AttemptKey) -> None:
        self._executor.cancel(key)
        self._listeners.cancel(key)

    def _set_alarm(self, event: Event) -> None:
        """For what this event lets begin now and has to be done later."""
        workflow_id, run, task_id, attempt = _attempt_key(event)
        if event.type == ev.WORKFLOW_STARTED:
            due_at = event.attribute("deadline_at")
            alarm = Alarm(EXPIRE, workflow_id, run)
        elif event.type == ev.ATTEMPT_STARTED:
            task = self._task(workflow_id, task_id)
            timeout_s = None if task is None or task.open_run is None else task.options.timeout_s
            due_at = None if timeout_s is None else (event.ts_source or event.ts) + round(timeout_s * 1e6)
            alarm = Alarm(TIMEOUT, workflow_id, run, task_id, attempt)
        else:
            due_at = event.attribute("due_at")
            alarm = Alarm(FIRE, workflow_id, run, task_id, attempt)
        if due_at is not None:
            self._alarms.set(due_at, alarm, self._state.workflows.get(workflow_id))

    def _on_due(self, alarms: list[Alarm]) -> None:
        if self._halted is not None:
            return
        commands: list[Command] = []
        for alarm in alarms:
            key = (alarm.workflow_id, alarm.run, alarm.task_id, alarm.attempt)
            if alarm.kind == FIRE:
                commands.append(Fire(*key))
            elif alarm.kind == EXPIRE:
                commands.append(Expire(alarm.workflow_id, alarm.run))
            else:
                self._time_out(key)
        self._stage_and_act(commands)

    def _time_out(self, key: AttemptKey) -> None:
        """An attempt that still runs has taken too long: its worker is stopped."""
        task = self._task(key[0], key[2])
        if task is None or (task.open_run, task.open_attempt) != (key[1], key[3]):
            return
        self._withdraw(key)
        error = errors.AttemptTimeoutError(key[0], key[2], task.options.timeout_s or 0.0)
        self._on_ended([Ended(key, failed(error, "timeout"))])

    def _task(self, workflow_id: str, task_id: str) -> TaskState | None:
        workflow = self._state.workflows.get(workflow_id)
        return None if workflow is None else workflow.tasks.get(task_id)

    def _submit_some(self) -> bool:
        """Submit a burst; True when more are waiting."""
        for _ in range(min(_SUBMIT_BURST, len(self._to_submit))):
            key = self._to_submit.popleft()
            workflow_id, run, task_id, attempt = key
            workflow = self._state.workflows.get(workflow_id)
            task = None if workflow is None else workflow.tasks.get(task_id)
            if workflow is None or task is None or (task.open_run, task.open_attempt) != (run, attempt):
                continue  # canceled between the decision and now
            if task.type == TIMER or self._executor.runs(key) or not self._orders.ready(workflow, task):
                continue
            if self._waits_for_packages(workflow, key):
                continue
            order = self._order(workflow, task)
            if isinstance(order, Order):
                self._give(order)
            else:
                self._on_ended([Ended(key, order)])
        return bool(self._to_submit)

    def _waits_for_packages(self, workflow: WorkflowState, key: AttemptKey) -> bool:
        """The submitter's packages have to be in this cluster first: they went with the one that it submitted to, or
        may go with its job."""
        kept = workflow.driver.get("packages")
        if not kept or self._orders.prepared(kept):
            return False
        name = tuple(sorted(kept))
        if name not in self._preparing:
            self._begin(self._prepare(name, workflow.driver))
        self._preparing.setdefault(name, []).append(key)
        return True

    async def _prepare(self, name: tuple[str, ...], driver: Mapping[str, Any]) -> None:
        try:
            await asyncio.to_thread(self._orders.prepare, driver["runtime_env"], driver["packages"])
        except Exception as error:  # of the GCS or of the storage: a later attempt may do better
            self._on_ended([Ended(key, failed(error, "system")) for key in self._preparing.pop(name)])
            return
        self._to_submit.extend(self._preparing.pop(name))
        self._act([])

    def _give(self, order: Order) -> None:
        if order.assignment.type in (EVENT, EVENT_CHECKPOINTED):
            self._listeners.submit(order)
        elif not self._give_lingering(order):
            self._executor.submit(order)

    def _give_lingering(self, order: Order) -> bool:
        """Hand it over to a worker that waits for it. At once: it may be canceled before that worker has it."""
        key, waiting = self._lingering.get(order.key[0], (None, None))
        if key is None or waiting is None or waiting.done() or order.inputs or order.options:
            return False
        if not self._executor.runs(key):  # its worker has died
            return False
        self._executor.hand_over(key, order)
        waiting.set_result(order)
        return True

    def _order(self, workflow: WorkflowState, task: TaskState) -> Order | Outcome:
        """What a worker needs for the open attempt of `task`; the outcome instead, when the store does not give it."""
        try:
            return self._orders.order(workflow, task)
        except Exception as error:  # a payload may be gone, and pickled Ray options may raise anything while they load
            return failed(error, "serialization")

    async def _submit_rest(self) -> None:
        try:
            while self._submit_some():
                await asyncio.sleep(0)
        finally:
            self._pump = None

    def _close(self, workflow_id: str) -> None:
        """Let go of what an ended workflow holds, once nobody will report about it any more."""
        workflow = self._state.find(workflow_id)
        if workflow is None:
            self._values.forget(workflow_id)
            return
        if workflow.status in WORKFLOW_ACTIVE or workflow.open_attempts:
            return
        self._values.forget(workflow_id, keep=self._memory.kept_only_here(workflow))
        self._memory.closed(self._state, workflow)


def _attempt_key(event: Event) -> AttemptKey:
    return event.workflow_id or "", event.run or 0, event.task_id or "", event.attempt or 0


def _give_up(waiting: asyncio.Future[Order | None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
