"""What follows from a command. Pure: reads the state, never changes it; returns events or refuses with an error."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Mapping
from typing import Any

from wfstore import errors
from wfstore.model import events as ev
from wfstore.model.commands import (
    AwaitEvent,
    CallActor,
    Cancel,
    Command,
    Configure,
    Delete,
    Expire,
    Fire,
    Interrupt,
    Outcome,
    RecordOutcome,
    RecordProgress,
    RecordRead,
    RecordStarted,
    Resume,
    SendEvent,
    Submit,
)
from wfstore.model.dag import TIMER, WAIT
from wfstore.model.define import Names, check_metadata, check_workflow_id, define
from wfstore.model.draft import Draft, draft_for
from wfstore.model.events import Event
from wfstore.model.identity import shape
from wfstore.model.outcomes import decide_outcome, decide_progress, started_event
from wfstore.model.payload import PayloadRef
from wfstore.model.plan import at_hand, begin, resolved, split_open, start, submit_again, submit_ready
from wfstore.model.sending import decide_awaited, decide_sent
from wfstore.model.state import State, TaskState, WorkflowState
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
from wfstore.model.wire import dumps

#: Output of a timer: a pickled None.
_NONE_DATA = pickle.dumps(None, 5)
_NONE = PayloadRef(hashlib.sha256(_NONE_DATA).hexdigest(), len(_NONE_DATA), _NONE_DATA)


def decide(state: State, command: Command, now: int) -> list[Event]:
    """The events that `command` causes at `now` (microseconds UTC); none when there is nothing to do.

    Raises WorkflowNotFoundError, WorkflowNotResumableError, WorkflowStillActiveError, WorkflowRunningError,
    WorkflowQueueFullError, WorkflowEventHandleError, LimitExceededError and InvalidCommandError (ValueErrors); then
    nothing has happened.
    """
    return _DECIDE[type(command)](state, command, now)


def _find(state: State, workflow_id: str) -> WorkflowState:
    workflow = state.find(workflow_id)
    if workflow is None:
        raise errors.WorkflowNotFoundError(workflow_id)
    return workflow


def _submit(state: State, command: Submit, now: int) -> list[Event]:
    check_workflow_id(command.workflow_id)
    command = command._replace(metadata=check_metadata(command.metadata))
    existing = state.find(command.workflow_id)
    if existing is not None:
        return _submit_again(state, existing, command, now)
    _check_queue(state, command.workflow_id)
    state.limits.check_metadata(command.metadata, f"workflow {command.workflow_id!r}")
    state.limits.check_tasks(len(command.dag.tasks), command.dag.tasks, command.workflow_id)
    last_run = state.last_run(command.workflow_id)
    draft = Draft(command.workflow_id, last_run, now, command.request_id, command.by)
    names = Names()
    specs = define(draft, command.dag, names)
    output_id, output = specs[command.dag.output]
    metadata = dict(command.metadata or {})
    given = metadata.get("name")
    head = Draft(command.workflow_id, last_run, now, command.request_id, command.by)
    head.workflow(
        ev.WORKFLOW_SUBMITTED,
        PENDING,
        name=given if isinstance(given, str) else command.actor[0] if command.actor else output.name,
        attributes={
            "metadata": metadata,
            "output_task": output_id,
            "tasks": len(specs),
            "shape": shape((names.keys.of(task_id), spec.upstream, spec.kinds) for task_id, spec in specs),
            "driver": dict(command.driver),
            "timeout_s": command.timeout_s,
            "rerun_of": command.rerun_of,
            "actor": None if command.actor is None else {"class": command.actor[0], "hash": command.actor[1]},
        },
    )
    if command.actor is not None:
        head.workflow(ev.ACTOR_CREATED, hash=command.actor[1], attributes={"class": command.actor[0]})
    events = head.events + draft.events
    if _slot_free(state):
        begin_new = Draft(command.workflow_id, last_run + 1, now)
        start(begin_new, "new", command.timeout_s)
        submit_ready(begin_new, None, specs)
        return events + begin_new.events
    head.events = []
    head.workflow(ev.WORKFLOW_QUEUED, PENDING)
    return events + head.events


def _submit_again(state: State, workflow: WorkflowState, command: Submit, now: int) -> list[Event]:
    if command.request_id is not None and command.request_id in workflow.requests:
        return []
    if (command.actor is None) != (workflow.actor is None):
        what = "a workflow" if workflow.actor is None else "a virtual actor"
        raise errors.InvalidCommandError(f"{workflow.workflow_id!r} is the id of {what} already; choose another id")
    if command.actor is not None:
        return []  # it exists: the arguments given now do not count
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
    state.limits.check("max_open_workflows", state.running + len(state.queue) + 1, "workflows that run or wait")
    if _slot_free(state) or state.max_pending is None:
        return
    if len(state.queue) >= state.max_pending:
        raise errors.WorkflowQueueFullError(workflow_id)


def _resume(state: State, command: Resume, now: int) -> list[Event]:
    workflow = state.find(command.workflow_id)
    if workflow is None or workflow.status == CANCELED:
        raise errors.WorkflowNotResumableError(command.workflow_id)
    if command.request_id is not None and command.request_id in workflow.requests:
        return []
    if workflow.status in WORKFLOW_ACTIVE:
        raise errors.WorkflowRunningError(workflow.workflow_id)
    if workflow.status == SUCCESSFUL and (workflow.actor is not None or not _output_lost(workflow)):
        return []
    _check_queue(state, workflow.workflow_id)
    changed = _code_set(workflow, command, now)
    if _slot_free(state):
        bodies = {event.task_id: event.hash for event in changed}
        begun = begin(workflow, now, "resume", command.request_id, command.by)
        return changed + [_with_body(event, bodies) for event in begun] if changed else begun
    draft = draft_for(workflow, now, command.request_id, command.by)
    draft.workflow(ev.WORKFLOW_QUEUED, PENDING)
    return changed + draft.events


def _with_body(event: Event, bodies: Mapping[str | None, str | None]) -> Event:
    """An attempt that begins in the moment in which its task is given another body says so as the later ones do."""
    new = event.type == ev.ATTEMPT_SUBMITTED and event.task_id in bodies
    return event._replace(hash=bodies[event.task_id]) if new else event


def _code_set(workflow: WorkflowState, command: Resume, now: int) -> list[Event]:
    bodies = {old: (new, code) for old, new, code in command.functions}
    draft = draft_for(workflow, now, command.request_id, command.by)
    for task in workflow.tasks.values() if bodies else ():
        body, code = bodies.get(task.function_hash, (None, None))
        # What returned a continuation has succeeded: only the continuation has not.
        done = at_hand(task) or (task.status == SUCCESSFUL and task.continued_to is not None)
        if body is not None and body != task.function_hash and not done:
            draft.task(ev.TASK_CODE_SET, task.task_id, None, hash=body, attributes={"code": code})
    return draft.events


def _call_actor(state: State, command: CallActor, now: int) -> list[Event]:
    workflow = state.find(command.workflow_id)
    if workflow is None:
        raise errors.VirtualActorNotFoundError(command.workflow_id)
    if workflow.actor is None:
        raise errors.InvalidCommandError(f"{workflow.workflow_id!r} is a workflow, not a virtual actor")
    if command.request_id is not None and command.request_id in workflow.calls:
        return []
    if workflow.status == CANCELED:
        raise errors.WorkflowNotResumableError(workflow.workflow_id)
    if workflow.status not in WORKFLOW_ACTIVE:
        _check_queue(state, workflow.workflow_id)
    draft = draft_for(workflow, now, command.request_id, command.by)
    specs = define(draft, command.dag, Names(workflow), after=workflow.last_call)
    output_id, _ = specs[command.dag.output]
    draft.events = [_marked(event, command) if event.task_id == output_id else event for event in draft.events]
    if workflow.status == RUNNING:
        submit_ready(draft, workflow, specs)
    elif workflow.status != PENDING and not _slot_free(state):
        draft.workflow(ev.WORKFLOW_QUEUED, PENDING)
    elif workflow.status != PENDING:
        # What failed before is tried again first; the new call waits behind it.
        draft.events += begin(workflow, now, "call" if workflow.status == SUCCESSFUL else "resume", call=specs)
    return draft.events


def _marked(event: Event, command: CallActor) -> Event:
    return event._replace(kind="call", request_id=command.request_id, by=command.by)


def _output_lost(workflow: WorkflowState) -> bool:
    """A SUCCESSFUL workflow whose output was not kept (checkpoint=False): a resume computes it again. Not so what
    retention has removed: nobody wants its effects twice."""
    task = workflow.tasks.get(workflow.output_task)
    while task is not None and task.caught is None and task.continued_to is not None:
        task = workflow.tasks[task.continued_to]
    return task is not None and task.caught is None and not task.checkpointed


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
    gone = state.deletion(command.workflow_id)
    if gone is not None and command.request_id == gone.request_id is not None:
        return []
    workflow = _find(state, command.workflow_id)
    if workflow.status in WORKFLOW_ACTIVE or command.run not in (None, workflow.run):
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
    """A running slot has come free: the first in the queue takes it, and the next one if that ends at once."""
    events: list[Event] = []
    for workflow_id in state.queue:
        workflow = state.workflows[workflow_id]
        events += begin(workflow, now, "resume" if workflow.runs else "new")
        if events[-1].type != ev.WORKFLOW_SUCCEEDED:
            break
    return events


def _fire(state: State, command: Fire, now: int) -> list[Event]:
    workflow = state.workflows.get(command.workflow_id)
    task = None if workflow is None else workflow.tasks.get(command.task_id)
    if workflow is None or task is None:
        return []
    draft = draft_for(workflow, now)
    if task.open_run is None:
        next_one = command.run == workflow.run and command.attempt == task.attempt + 1
        if workflow.status == RUNNING and task.status == RETRYING and next_one:
            submit_again(draft, workflow, task, command.attempt)
    elif (task.open_run, task.open_attempt) == (command.run, command.attempt):  # it may be of an earlier run
        if task.type == TIMER:
            return _ended(state, workflow, decide_outcome(workflow, task, Outcome(True, now, output=_NONE), now), now)
        if task.type == WAIT and task.split is None and task.due_at is not None:
            lacking = {name for name in task.upstream if not resolved(workflow, name)}
            split_open(draft, task, lacking, over=True)
    return draft.events


def _expire(state: State, command: Expire, now: int) -> list[Event]:
    workflow = state.workflows.get(command.workflow_id)
    if workflow is None or workflow.status != RUNNING or workflow.run != command.run or workflow.deadline_at is None:
        return []
    draft = draft_for(workflow, now)
    for task in list(workflow.open_attempts.values()):
        draft.drop_attempt(task, "canceled", resumable=True)
    draft.workflow(
        ev.WORKFLOW_FAILED,
        FAILED,
        error_type="WorkflowTimeoutError",
        error_message=f"the run took longer than {workflow.timeout_s:g} s",
    )
    return draft.events + admit(state, now)


def _send_event(state: State, command: SendEvent, now: int) -> list[Event]:
    return decide_sent(_find(state, command.workflow_id), command, now)


def _await_event(state: State, command: AwaitEvent, now: int) -> list[Event]:
    workflow, task = _open(state, command)
    if workflow is None or task is None:
        return []
    return decide_awaited(workflow, task, command, now)


def _record_read(state: State, command: RecordRead, now: int) -> list[Event]:
    workflow = state.find(command.workflow_id)
    if workflow is None:
        return []
    draft = draft_for(workflow, now)
    draft.workflow(
        ev.ACTOR_CALL_SUCCEEDED if command.error_type is None else ev.ACTOR_CALL_FAILED,
        ts_source=command.ended_at,
        kind="readonly",
        name=command.method,
        error_type=command.error_type,
        error_message=command.error_message,
        attributes={"method": command.method, "duration_s": command.duration_s, "caller": command.caller},
    )
    return draft.events


def _open(
    state: State, command: AwaitEvent | RecordStarted | RecordProgress | RecordOutcome
) -> tuple[WorkflowState, TaskState] | tuple[None, None]:
    """The workflow and the task of an attempt that somebody may still report about."""
    workflow = state.workflows.get(command.workflow_id)
    task = None if workflow is None else workflow.tasks.get(command.task_id)
    if workflow is None or task is None or (task.open_run, task.open_attempt) != (command.run, command.attempt):
        return None, None
    return workflow, task


def _record_started(state: State, command: RecordStarted, now: int) -> list[Event]:
    _, task = _open(state, command)
    if task is None or task.open_started:
        return []
    return [started_event(command.workflow_id, command.run, command.task_id, command.attempt, command.place, now)]


def _record_progress(state: State, command: RecordProgress, now: int) -> list[Event]:
    workflow, task = _open(state, command)
    return [] if workflow is None or task is None else decide_progress(workflow, task, command, now)


def _record_outcome(state: State, command: RecordOutcome, now: int) -> list[Event]:
    workflow, task = _open(state, command)
    if workflow is None or task is None:
        return []
    state.limits.check_outcome(command.outcome, workflow)
    return _ended(state, workflow, decide_outcome(workflow, task, command.outcome, now), now)


def _ended(state: State, workflow: WorkflowState, events: list[Event], now: int) -> list[Event]:
    """With those of the workflow that takes the place of one that has ended by `events`."""
    ends = (ev.WORKFLOW_SUCCEEDED, ev.WORKFLOW_FAILED, ev.WORKFLOW_INTERRUPTED)
    return events + admit(state, now) if workflow.status == RUNNING and events[-1].type in ends else events


def _configure(state: State, command: Configure, now: int) -> list[Event]:
    said = state.configured(command.limits)
    told = Event(ts=now, type=ev.CONFIG_SET, request_id=command.request_id, by=command.by, attributes=dumps(said))
    return [told] if said else []


_DECIDE: dict[type, Callable[[State, Any, int], list[Event]]] = {
    Submit: _submit,
    CallActor: _call_actor,
    Fire: _fire,
    Expire: _expire,
    Resume: _resume,
    Cancel: _cancel,
    Delete: _delete,
    Interrupt: _interrupt,
    SendEvent: _send_event,
    AwaitEvent: _await_event,
    Configure: _configure,
    RecordRead: _record_read,
    RecordStarted: _record_started,
    RecordOutcome: _record_outcome,
    RecordProgress: _record_progress,
}
