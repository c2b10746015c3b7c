"""Take an event in. Cannot refuse: whatever was decided happened. Live state and recovery both come through here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from wfstore.model import events as ev
from wfstore.model.dag import FUNCTION, WAIT
from wfstore.model.events import Event
from wfstore.model.identity import remember
from wfstore.model.payload import PayloadRef
from wfstore.model.progress import progress_in
from wfstore.model.sending import apply_awaited, apply_delivered, apply_sent
from wfstore.model.state import Deletion, State, TaskState, WorkflowState
from wfstore.model.statuses import (
    CANCELED,
    CAUGHT,
    FAILED,
    PENDING,
    RESUMABLE,
    RETRYING,
    RUNNING,
    SKIPPED,
    SUCCESSFUL,
)
from wfstore.model.wire import options_from_json, refs_from_json

#: The columns that say everything there is to apply: events without the others give the same state.
REPLAYED = frozenset(Event._fields) - {"partition", "epoch", "status", "by", "node_id", "worker_pid", "ray_task_id"}


def apply(state: State, event: Event) -> State:
    """Fold one event into `state`, in place, and return it. An event without a seq gets the next one."""
    seq = event.seq or state.seq + 1
    state.seq = seq
    if event.type == ev.WORKFLOW_SUBMITTED:
        _submitted(state, event, seq)
        return state
    if event.workflow_id is None:
        if event.type == ev.CONFIG_SET:
            state.configure(json.loads(event.attributes or "{}"))
        elif event.type == ev.MANAGER_STARTED:
            state.session = event.attribute("session")
        return state
    workflow = state.find(event.workflow_id)
    if workflow is None:
        return state
    workflow.last_seq = seq
    on_attempt = _ON_TASK.get(event.type)
    if on_attempt is not None:
        task = workflow.tasks.get(event.task_id or "")
        if task is not None:
            on_attempt(workflow, task, event)
    elif event.type == ev.TASK_DEFINED:
        _defined(workflow, event)
    else:
        on_workflow = _ON_WORKFLOW.get(event.type)
        if on_workflow is not None:
            on_workflow(state, workflow, event)
    return state


def replay(events: Iterable[Event], state: State | None = None) -> State:
    """The state after `events`, in log order."""
    state = State() if state is None else state
    for event in events:
        apply(state, event)
    return state


# -- the workflow -----------------------------------------------------------------------------------------------------


def _submitted(state: State, event: Event, seq: int) -> None:
    assert event.workflow_id is not None
    workflow = WorkflowState(event.workflow_id)
    facts = json.loads(event.attributes or "{}")
    workflow.name = event.name or ""
    workflow.metadata = facts.get("metadata", {})
    workflow.driver = facts.get("driver", {})
    workflow.output_task = facts["output_task"]
    workflow.timeout_s = facts.get("timeout_s")
    workflow.rerun_of, workflow.shape = facts.get("rerun_of"), facts.get("shape")
    workflow.actor = facts.get("actor")
    if workflow.actor is not None:
        workflow.last_call = workflow.output_task
    workflow.submitted_at = event.ts
    workflow.first_seq = workflow.last_seq = seq
    workflow.run = state.last_run(event.workflow_id)
    if event.request_id:
        workflow.requests.add(event.request_id)
    state.workflows[event.workflow_id] = workflow


def _leave(state: State, workflow: WorkflowState) -> None:
    if workflow.status == RUNNING:
        state.running -= 1
    elif workflow.status == PENDING and workflow.workflow_id in state.queue:
        state.queue.remove(workflow.workflow_id)


def _queued(state: State, workflow: WorkflowState, event: Event) -> None:
    workflow.status = PENDING
    if event.request_id:
        workflow.requests.add(event.request_id)
    state.queue.append(workflow.workflow_id)


def _started(state: State, workflow: WorkflowState, event: Event) -> None:
    _leave(state, workflow)
    state.running += 1
    workflow.status = RUNNING
    workflow.kind = event.kind or "new"
    workflow.run = event.run or workflow.run + 1
    workflow.runs += 1
    workflow.run_started_at = event.ts
    workflow.started_at = workflow.started_at or event.ts
    workflow.ended_at = None
    workflow.error_type = workflow.error_message = workflow.failed_task_id = None
    if event.request_id:
        workflow.requests.add(event.request_id)
    workflow.deadline_at = event.attribute("deadline_at")
    if workflow.kind != "call":  # no task of an idle actor is ever tried again
        for task in workflow.tasks.values():
            task.attempt = task.attempt_failed = 0


def _end(state: State, workflow: WorkflowState, event: Event, status: str) -> None:
    if workflow.status == RUNNING and workflow.run_started_at is not None:
        workflow.runs_us = (workflow.runs_us or 0) + max(0, event.ts - workflow.run_started_at)
        workflow.ended_at = event.ts
    _leave(state, workflow)
    workflow.status = status


def _succeeded(state: State, workflow: WorkflowState, event: Event) -> None:
    _end(state, workflow, event, SUCCESSFUL)
    if event.hash is not None and event.bytes is not None:
        workflow.output = PayloadRef(event.hash, event.bytes)


def _failed(state: State, workflow: WorkflowState, event: Event) -> None:
    _end(state, workflow, event, FAILED)
    workflow.error_type = event.error_type
    workflow.error_message = event.error_message
    workflow.failed_task_id = event.attribute("failed_task_id")


def _canceled(state: State, workflow: WorkflowState, event: Event) -> None:
    _end(state, workflow, event, CANCELED)
    workflow.ended_at = event.ts


def _interrupted(state: State, workflow: WorkflowState, event: Event) -> None:
    _end(state, workflow, event, RESUMABLE)
    workflow.failed_task_id = event.attribute("failed_task_id")


def _metadata_set(state: State, workflow: WorkflowState, event: Event) -> None:
    workflow.metadata = event.attribute("metadata", {})
    if event.request_id:
        workflow.requests.add(event.request_id)


def _deleted(state: State, workflow: WorkflowState, event: Event) -> None:
    state.deleted[workflow.workflow_id] = Deletion(workflow.run, event.request_id, state.seq)
    del state.workflows[workflow.workflow_id]


# -- the task ---------------------------------------------------------------------------------------------------------


def _defined(workflow: WorkflowState, event: Event) -> None:
    assert event.task_id is not None
    task = TaskState(event.task_id, event.name or event.task_id)
    task.defined_seq = workflow.last_seq
    facts = json.loads(event.attributes or "{}")
    task.function = facts.get("function", "")
    task.function_hash = event.hash or ""
    if event.bytes is not None:
        task.args = PayloadRef(facts.get("args", ""), event.bytes, event.payload)
    task.upstream = facts.get("upstream", [])
    task.kinds = facts.get("kinds") or ["argument"] * len(task.upstream)
    task.shared = refs_from_json(facts.get("shared", []))
    task.options = options_from_json(facts.get("options"))
    task.metadata = facts.get("metadata", {})
    task.type = facts.get("type", FUNCTION)
    task.facts = facts.get("facts", {})
    tasks = workflow.tasks
    # The value of a task is known by the root that it stands for.
    roots = [tasks[tasks[upstream_id].root] for upstream_id in task.upstream]
    if task.type == WAIT:
        for root in roots:  # one that is given twice counts twice
            root.waited_by.append(task.task_id)
            task.arrived += root.resolved
    else:
        for root in {root.task_id: root for root in roots}.values():
            root.downstream.append(task.task_id)
            task.waiting += not root.resolved
    creator_id = facts.get("creator")
    if creator_id is not None:
        task.creator = creator_id
        creator = tasks[creator_id]
        creator.created.append(task.task_id)
        if creator.continued_to == task.task_id:
            task.root = creator.root
    remember(workflow, task, facts)
    tasks[task.task_id] = task
    if event.kind == "call":
        workflow.output_task = workflow.last_call = task.task_id
        if event.request_id:
            workflow.calls[event.request_id] = task.task_id
    workflow.counters[task.name] = workflow.counters.get(task.name, 0) + 1


def resolve(workflow: WorkflowState, task: TaskState, known: bool = True) -> None:
    """Whether the value of `task` is known from here on: for the task it stands for, and for that one's dependents."""
    task.resolved = known
    root = workflow.tasks[task.root]
    if root is not task and root.resolved == known:
        return
    root.resolved = known
    change = 1 if known else -1
    for task_id in root.downstream:
        workflow.tasks[task_id].waiting -= change
    for task_id in root.waited_by:
        workflow.tasks[task_id].arrived += change


def _close_attempt(workflow: WorkflowState, task: TaskState) -> None:
    task.open_run = None
    workflow.open_attempts.pop(task.task_id, None)
    if workflow.inbox is not None:
        workflow.inbox.leave(task.task_id)


def _attempt_submitted(workflow: WorkflowState, task: TaskState, event: Event) -> None:
    task.status = PENDING
    task.open_run = event.run
    task.open_attempt = task.attempt = event.attempt or 1
    task.open_started = False
    task.attempts += 1
    task.ready_at = task.ready_at or event.ts
    task.submitted_at = task.submitted_at or event.ts
    task.ended_at = task.attempt_started_at = task.retry_at = task.progress = None
    if not task.succeeded:
        task.duration_us = None
    workflow.open_attempts[task.task_id] = task
    workflow.attempts += 1
    if task.attempt > 1:
        task.retries += 1
        workflow.retries += 1


def _attempt_started(workflow: WorkflowState, task: TaskState, event: Event) -> None:
    task.status = RUNNING
    task.open_started = True
    task.attempt_started_at = event.ts_source or event.ts
    task.started_at = task.started_at or task.attempt_started_at


def _progressed(workflow: WorkflowState, task: TaskState, event: Event) -> None:
    task.progress = progress_in(event.attributes)


def _attempt_ended(task: TaskState, event: Event, succeeded: bool) -> None:
    """The duration of a task is that of its last successful attempt (whose start is known), else of its last one."""
    task.ended_at = event.ts_source or event.ts
    task.progress = progress_in(event.attributes)
    start = task.attempt_started_at
    succeeded = succeeded and start is not None
    if succeeded or not task.succeeded:
        task.duration_us = None if start is None else task.ended_at - start
    task.succeeded = task.succeeded or succeeded


def _attempt_succeeded(workflow: WorkflowState, task: TaskState, event: Event) -> None:
    _close_attempt(workflow, task)
    _attempt_ended(task, event, True)
    task.status = SUCCESSFUL
    if workflow.inbox is not None:
        workflow.inbox.use(task.task_id)
    task.error_type = task.error_message = task.error = task.caught = task.continued_to = None
    if event.bytes is not None and event.hash is not None:
        task.stored = event.payload is not None or event.uri is not None
        task.output = PayloadRef(event.hash, event.bytes, event.payload)
        task.output_bytes = event.bytes
        task.output_seq = event.seq
        task.output_run = workflow.run
        task.output_repr = event.attributes  # parsed when somebody asks: replay has no use for it
        # Retention may have removed the value since.
        task.checkpointed = task.stored or bool(event.attribute("checkpointed", False))
        resolve(workflow, task)


def _attempt_failed(workflow: WorkflowState, task: TaskState, event: Event) -> None:
    _close_attempt(workflow, task)
    _attempt_ended(task, event, False)
    task.status = event.task_status or FAILED
    task.error_type = event.error_type
    task.error_message = event.error_message
    if event.hash is not None and event.bytes is not None:
        task.error = PayloadRef(event.hash, event.bytes, event.payload)
    if event.kind not in ("lost", "canceled"):
        task.attempt_failed += 1


def _retry_scheduled(workflow: WorkflowState, task: TaskState, event: Event) -> None:
    task.status = RETRYING
    task.retry_at = event.attribute("due_at")


def _code_set(workflow: WorkflowState, task: TaskState, event: Event) -> None:
    task.function_hash, task.code = event.hash or task.function_hash, event.attribute("code")
    task.code_set = True


def _timer_started(workflow: WorkflowState, task: TaskState, event: Event) -> None:
    task.due_at = event.attribute("due_at")


def _wait_decided(workflow: WorkflowState, task: TaskState, event: Event) -> None:
    task.split = event.attribute("ready", [])


def _actor_state(workflow: WorkflowState, task: TaskState, event: Event) -> None:
    if event.hash is not None and event.bytes is not None:
        workflow.actor_state = PayloadRef(event.hash, event.bytes, event.payload)


def _continued(workflow: WorkflowState, task: TaskState, event: Event) -> None:
    task.continued_to = event.attribute("output_task")


def _error_caught(workflow: WorkflowState, task: TaskState, event: Event) -> None:
    task.status = CAUGHT
    task.error_type = event.error_type
    task.error_message = event.error_message
    if event.hash is not None and event.bytes is not None:
        task.caught = PayloadRef(event.hash, event.bytes, event.payload)
        task.output_bytes = event.bytes
    resolve(workflow, task)


def _reset(workflow: WorkflowState, task: TaskState, event: Event) -> None:
    task.status = PENDING
    root = workflow.tasks[task.root]
    if task.resolved or root.resolved:
        resolve(workflow, task, known=False)


def _task_canceled(workflow: WorkflowState, task: TaskState, event: Event) -> None:
    task.status = CANCELED


def _skipped(workflow: WorkflowState, task: TaskState, event: Event) -> None:
    task.status = SKIPPED


_ON_WORKFLOW: dict[str, Callable[[State, WorkflowState, Event], None]] = {
    ev.WORKFLOW_QUEUED: _queued,
    ev.WORKFLOW_STARTED: _started,
    ev.WORKFLOW_SUCCEEDED: _succeeded,
    ev.WORKFLOW_FAILED: _failed,
    ev.WORKFLOW_CANCELED: _canceled,
    ev.WORKFLOW_INTERRUPTED: _interrupted,
    ev.WORKFLOW_METADATA_SET: _metadata_set,
    ev.EVENT_SENT: lambda _, workflow, event: apply_sent(workflow, event),
    ev.WORKFLOW_DELETED: _deleted,
}

_ON_TASK: dict[str, Callable[[WorkflowState, TaskState, Event], None]] = {
    ev.ATTEMPT_SUBMITTED: _attempt_submitted,
    ev.ATTEMPT_STARTED: _attempt_started,
    ev.ATTEMPT_PROGRESSED: _progressed,
    ev.ATTEMPT_SUCCEEDED: _attempt_succeeded,
    ev.ATTEMPT_FAILED: _attempt_failed,
    ev.ATTEMPT_RETRY_SCHEDULED: _retry_scheduled,
    ev.TASK_CONTINUED: _continued,
    ev.TASK_ERROR_CAUGHT: _error_caught,
    ev.TASK_RESET: _reset,
    ev.TASK_CANCELED: _task_canceled,
    ev.TASK_SKIPPED: _skipped,
    ev.TASK_CODE_SET: _code_set,
    ev.TIMER_STARTED: _timer_started,
    ev.WAIT_DECIDED: _wait_decided,
    ev.EVENT_AWAITED: apply_awaited,
    ev.EVENT_DELIVERED: apply_delivered,
    ev.ACTOR_STATE_COMMITTED: _actor_state,
}
