"""An attempt ended: what becomes of its task, of those that wait for it, and of the workflow."""

from __future__ import annotations

from wfstore.model import events as ev
from wfstore.model.commands import Outcome, Place
from wfstore.model.define import define
from wfstore.model.draft import Draft, draft_for, where
from wfstore.model.events import Event
from wfstore.model.plan import finish
from wfstore.model.state import TaskState, WorkflowState
from wfstore.model.statuses import CAUGHT, FAILED, PENDING, RETRYING, RUNNING, SKIPPED, SUCCESSFUL
from wfstore.model.wire import dumps

#: The worker's fault, not the user's code's: always retried while `max_retries` allows, never caught.
SYSTEM_KINDS = frozenset({"system", "oom"})


def started_event(workflow_id: str, run: int, task_id: str, attempt: int, place: Place, now: int) -> Event:
    return Event(
        ts=now,
        ts_source=place.started_at,
        type=ev.ATTEMPT_STARTED,
        workflow_id=workflow_id,
        run=run,
        task_id=task_id,
        attempt=attempt,
        status=RUNNING,
        task_status=RUNNING,
        node_id=place.node_id,
        worker_pid=place.worker_pid,
        ray_task_id=place.ray_task_id,
    )


def decide_outcome(workflow: WorkflowState, task: TaskState, outcome: Outcome, now: int) -> list[Event]:
    """The events of an attempt's end. The workflow goes on only while it is RUNNING: what ends after a failure
    elsewhere is recorded, so that a resume need not run it again."""
    draft = draft_for(workflow, now)
    if outcome.place is not None and not task.open_started:
        run = task.open_run or workflow.run
        draft.events.append(
            started_event(workflow.workflow_id, run, task.task_id, task.open_attempt, outcome.place, now)
        )
    if outcome.ok:
        _success(draft, workflow, task, outcome)
    else:
        _failure(draft, workflow, task, outcome)
    return draft.events


def _success(draft: Draft, workflow: WorkflowState, task: TaskState, outcome: Outcome) -> None:
    facts = {
        "output_repr": outcome.output_repr,
        "checkpointed": None if outcome.output is None else outcome.stored,
        "fetch_s": outcome.fetch_s,
        "checkpoint_s": outcome.checkpoint_s,
    }
    draft.events.append(
        Event(
            ts=draft.now,
            ts_source=outcome.ended_at,
            type=ev.ATTEMPT_SUCCEEDED,
            workflow_id=workflow.workflow_id,
            run=task.open_run,
            task_id=task.task_id,
            attempt=task.open_attempt,
            status=SUCCESSFUL,
            task_status=SUCCESSFUL,
            attributes=dumps(facts),
            **where(outcome.output, outcome.stored),
        )
    )
    if outcome.continuation is not None:
        _continue(draft, workflow, task, outcome)
    elif workflow.status == RUNNING:
        _release(draft, workflow, task, outcome)


def _continue(draft: Draft, workflow: WorkflowState, task: TaskState, outcome: Outcome) -> None:
    assert outcome.continuation is not None
    before = len(draft.events)
    specs = define(
        draft,
        outcome.continuation,
        taken=set(workflow.tasks),
        counters=dict(workflow.counters),
        creator=task.task_id,
        parent=task.options,
    )
    defined = draft.events[before:]
    del draft.events[before:]
    output_id = specs[outcome.continuation.output][0]
    draft.task(ev.TASK_CONTINUED, task.task_id, SUCCESSFUL, attributes={"output_task": output_id})
    draft.events += defined
    if workflow.status == RUNNING:
        for task_id, spec in specs:
            if not spec.upstream:
                draft.submit(task_id, 1, spec.options)


def _release(draft: Draft, workflow: WorkflowState, task: TaskState, outcome: Outcome) -> None:
    """`task` has its value: those for whom it was the last one missing start; the workflow may have its output."""
    root = workflow.tasks[task.root]
    for task_id in root.downstream:
        dependent = workflow.tasks[task_id]
        if dependent.waiting == 1 and dependent.status == PENDING and dependent.open_run is None:
            draft.submit(task_id, dependent.attempt + 1, dependent.options)
    if root.task_id == workflow.output_task:
        caught = outcome.error if not outcome.ok else None
        finish(draft, task.task_id, caught or outcome.output, outcome.stored or caught is not None)


def _failure(draft: Draft, workflow: WorkflowState, task: TaskState, outcome: Outcome) -> None:
    failed = Event(
        ts=draft.now,
        ts_source=outcome.ended_at,
        type=ev.ATTEMPT_FAILED,
        workflow_id=workflow.workflow_id,
        run=task.open_run,
        task_id=task.task_id,
        attempt=task.open_attempt,
        status=FAILED,
        task_status=FAILED,
        kind=outcome.kind,
        error_type=outcome.error_type,
        error_message=outcome.error_message,
        attributes=dumps({"traceback": outcome.traceback, "fetch_s": outcome.fetch_s}),
        **where(outcome.error),
    )
    draft.events.append(failed)
    if workflow.status != RUNNING:
        return
    catcher = _catcher(workflow, task)
    if catcher is not None and catcher.status == CAUGHT:
        return  # what is below a caught error is not needed any more
    if (outcome.kind in SYSTEM_KINDS or outcome.retryable) and task.attempt_failed < task.options.max_retries:
        attempt = task.attempt + 1
        draft.task(ev.ATTEMPT_RETRY_SCHEDULED, task.task_id, RETRYING, attempt=attempt)
        draft.submit(task.task_id, attempt, task.options)
        return
    if catcher is not None and outcome.kind not in SYSTEM_KINDS:
        _catch(draft, workflow, catcher, task, outcome)
        return
    draft.workflow(
        ev.WORKFLOW_FAILED,
        FAILED,
        error_type=outcome.error_type,
        error_message=outcome.error_message,
        attributes={"failed_task_id": task.task_id},
    )


def _catcher(workflow: WorkflowState, task: TaskState) -> TaskState | None:
    """The nearest task that asked to catch: the failed one, or one of those whose continuation made it."""
    candidate: TaskState | None = task
    while candidate is not None and not candidate.options.catch_exceptions:
        candidate = None if candidate.creator is None else workflow.tasks[candidate.creator]
    return candidate


def _catch(draft: Draft, workflow: WorkflowState, catcher: TaskState, task: TaskState, outcome: Outcome) -> None:
    draft.task(
        ev.TASK_ERROR_CAUGHT,
        catcher.task_id,
        CAUGHT,
        error_type=outcome.error_type,
        error_message=outcome.error_message,
        attributes={"failed_task_id": task.task_id},
        **where(outcome.error),
    )
    below = list(catcher.created)
    while below:
        made = workflow.tasks[below.pop()]
        below += made.created
        if made is not task and made.status == PENDING and made.open_run is None:
            draft.task(ev.TASK_SKIPPED, made.task_id, SKIPPED)
    _release(draft, workflow, catcher, outcome._replace(output=None))
