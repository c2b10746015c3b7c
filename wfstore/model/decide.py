"""What follows from a command. Pure: reads the state, never changes it; returns events or refuses with an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wfstore import errors
from wfstore.model import events as ev
from wfstore.model.commands import Cancel, Command, Delete, Interrupt, RecordOutcome, RecordStarted, Resume, Submit
from wfstore.model.define import check_metadata, check_workflow_id, define
from wfstore.model.draft import Draft, draft_for
from wfstore.model.events import Event
from wfstore.model.outcomes import decide_outcome, started_event
from wfstore.model.plan import begin
from wfstore.model.state import State, WorkflowState
from wfstore.model.statuses import (
    CANCELED,
    FAILED,
    PENDING,
    RESUMABLE,
    RETRYING,
    RUNNING,
    SUCCESSFUL,
    WORKFLOW_ACTIVE,
)


def decide(state: State, command: Command, now: int) -> list[Event]:
    """The events that `command` causes at `now` (microseconds UTC); none when there is nothing to do.

    Raises WorkflowNotFoundError, WorkflowNotResumableError, WorkflowStillActiveError, WorkflowRunningError,
    WorkflowQueueFullError, InvalidCommandError (a ValueError); then nothing has happened.
    """
    return _DECIDE[type(command)](state, command, now)


def _find(state: State, workflow_id: str) -> WorkflowState:
    workflow = state.workflows.get(workflow_id)
    if workflow is None:
        raise errors.WorkflowNotFoundError(workflow_id)
    return workflow


def _submit(state: State, command: Submit, now: int) -> list[Event]:
    check_workflow_id(command.workflow_id)
    check_metadata(command.metadata)
    existing = state.workflows.get(command.workflow_id)
    if existing is not None:
        return _submit_again(state, existing, command, now)
    _check_queue(state, command.workflow_id)
    last_run = state.deleted.get(command.workflow_id, (0, None))[0]
    draft = Draft(command.workflow_id, last_run, now, command.request_id, command.by)
    specs = define(draft, command.dag, taken=set(), counters={}, creator=None, parent=None)
    output_id, output = specs[command.dag.output]
    metadata = dict(command.metadata or {})
    given = metadata.get("name")
    head = Draft(command.workflow_id, last_run, now, command.request_id, command.by)
    head.workflow(
        ev.WORKFLOW_SUBMITTED,
        PENDING,
        name=given if isinstance(given, str) else output.name,
        attributes={
            "metadata": metadata,
            "output_task": output_id,
            "tasks": len(specs),
            "driver": dict(command.driver),
        },
    )
    events = head.events + draft.events
    if _slot_free(state):
        begin_new = Draft(command.workflow_id, last_run + 1, now)
        begin_new.workflow(ev.WORKFLOW_STARTED, RUNNING, kind="new")
        for task_id, spec in specs:
            if not spec.upstream:
                begin_new.submit(task_id, 1, spec.options)
        return events + begin_new.events
    head.events = []
    head.workflow(ev.WORKFLOW_QUEUED, PENDING)
    return events + head.events


def _submit_again(state: State, workflow: WorkflowState, command: Submit, now: int) -> list[Event]:
    if command.request_id is not None and command.request_id in workflow.requests:
        return []
    if workflow.status in WORKFLOW_ACTIVE:
        raise errors.WorkflowRunningError(workflow.workflow_id)
    events: list[Event] = []
    if command.metadata is not None and dict(command.metadata) != dict(workflow.metadata):
        draft = draft_for(workflow, now, command.request_id, command.by)
        draft.workflow(ev.WORKFLOW_METADATA_SET, attributes={"metadata": dict(command.metadata)})
        events = draft.events
    return events + _resume(state, Resume(workflow.workflow_id, command.request_id, command.by), now)


def _slot_free(state: State) -> bool:
    return state.max_running is None or state.running < state.max_running


def _check_queue(state: State, workflow_id: str) -> None:
    if _slot_free(state) or not state.max_pending:
        return
    if len(state.queue) >= state.max_pending:
        raise errors.WorkflowQueueFullError(workflow_id)


def _resume(state: State, command: Resume, now: int) -> list[Event]:
    workflow = state.workflows.get(command.workflow_id)
    if workflow is None or workflow.status == CANCELED:
        raise errors.WorkflowNotResumableError(command.workflow_id)
    if command.request_id is not None and command.request_id in workflow.requests:
        return []
    if workflow.status in WORKFLOW_ACTIVE:
        raise errors.WorkflowRunningError(workflow.workflow_id)
    if workflow.status == SUCCESSFUL and not _output_lost(workflow):
        return []
    _check_queue(state, workflow.workflow_id)
    if _slot_free(state):
        return begin(workflow, now, "resume", command.request_id, command.by)
    draft = draft_for(workflow, now, command.request_id, command.by)
    draft.workflow(ev.WORKFLOW_QUEUED, PENDING)
    return draft.events


def _output_lost(workflow: WorkflowState) -> bool:
    """A SUCCESSFUL workflow whose output was not kept (checkpoint=False): a resume computes it again."""
    task = workflow.tasks.get(workflow.output_task)
    while task is not None and task.caught is None and task.continued_to is not None:
        task = workflow.tasks[task.continued_to]
    return task is not None and task.caught is None and not task.stored


def _cancel(state: State, command: Cancel, now: int) -> list[Event]:
    workflow = _find(state, command.workflow_id)
    if workflow.status in (SUCCESSFUL, FAILED, CANCELED):
        return []
    draft = draft_for(workflow, now, command.request_id, command.by)
    draft.workflow(ev.WORKFLOW_CANCEL_REQUESTED)
    for task in list(workflow.open_attempts.values()):
        draft.drop_attempt(task, "canceled")
    for task in workflow.tasks.values():
        if task.open_run is None and task.status in (PENDING, RETRYING, RUNNING):
            draft.task(ev.TASK_CANCELED, task.task_id, CANCELED)
    draft.workflow(ev.WORKFLOW_CANCELED, CANCELED)
    return draft.events + (admit(state, now) if workflow.status == RUNNING else [])


def _delete(state: State, command: Delete, now: int) -> list[Event]:
    gone = state.deleted.get(command.workflow_id)
    if command.workflow_id not in state.workflows and gone is not None and command.request_id == gone[1] is not None:
        return []
    workflow = _find(state, command.workflow_id)
    if workflow.status in WORKFLOW_ACTIVE:
        raise errors.WorkflowStillActiveError("DELETE", command.workflow_id)
    draft = draft_for(workflow, now, command.request_id, command.by)
    for task in list(workflow.open_attempts.values()):  # of a workflow that failed elsewhere
        draft.drop_attempt(task, "canceled")
    draft.workflow(ev.WORKFLOW_DELETED)
    return draft.events


def _interrupt(state: State, command: Interrupt, now: int) -> list[Event]:
    workflow = _find(state, command.workflow_id)
    draft = draft_for(workflow, now)
    for task in list(workflow.open_attempts.values()):
        draft.drop_attempt(task, "lost")
    if workflow.status in WORKFLOW_ACTIVE:
        draft.workflow(ev.WORKFLOW_INTERRUPTED, RESUMABLE)
    return draft.events


def admit(state: State, now: int) -> list[Event]:
    """A running slot has come free: the first in the queue takes it."""
    if not state.queue:
        return []
    workflow = state.workflows[state.queue[0]]
    return begin(workflow, now, "resume" if workflow.runs else "new")


def _record_started(state: State, command: RecordStarted, now: int) -> list[Event]:
    workflow = state.workflows.get(command.workflow_id)
    task = None if workflow is None else workflow.tasks.get(command.task_id)
    if workflow is None or task is None or task.open_started:
        return []
    if (task.open_run, task.open_attempt) != (command.run, command.attempt):
        return []
    return [started_event(command.workflow_id, command.run, command.task_id, command.attempt, command.place, now)]


def _record_outcome(state: State, command: RecordOutcome, now: int) -> list[Event]:
    workflow = state.workflows.get(command.workflow_id)
    task = None if workflow is None else workflow.tasks.get(command.task_id)
    if workflow is None or task is None or (task.open_run, task.open_attempt) != (command.run, command.attempt):
        return []
    events = decide_outcome(workflow, task, command.outcome, now)
    if workflow.status == RUNNING and events[-1].type in (ev.WORKFLOW_SUCCEEDED, ev.WORKFLOW_FAILED):
        events += admit(state, now)
    return events


_DECIDE: dict[type, Callable[[State, Any, int], list[Event]]] = {
    Submit: _submit,
    Resume: _resume,
    Cancel: _cancel,
    Delete: _delete,
    Interrupt: _interrupt,
    RecordStarted: _record_started,
    RecordOutcome: _record_outcome,
}
