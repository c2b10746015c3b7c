"""Events that somebody sends to a workflow, and the listeners that wait for them: what follows from either."""

from __future__ import annotations

import re

from wfstore.errors import InvalidCommandError, WorkflowEventHandleError
from wfstore.model import events as ev
from wfstore.model.commands import AwaitEvent, SendEvent
from wfstore.model.define import MAX_ID_LENGTH
from wfstore.model.draft import Draft, draft_for, where
from wfstore.model.events import Event
from wfstore.model.inbox import MOST_KEPT, Inbox, SentEvent
from wfstore.model.payload import PayloadRef
from wfstore.model.state import TaskState, WorkflowState
from wfstore.model.statuses import CANCELED, PENDING, RETRYING, SUCCESSFUL

_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_NONE = Inbox()


def check_event_key(key: object) -> None:
    """Any text of up to 1,024 characters without control characters. Raises TypeError for what is no text,
    InvalidCommandError (a ValueError) else."""
    if not isinstance(key, str):
        raise TypeError(f"event_key has to be text, not {type(key).__name__}")
    if not key:
        raise InvalidCommandError("event_key is empty")
    if len(key) > MAX_ID_LENGTH:
        raise InvalidCommandError(f"event_key has {len(key):,} characters; at most {MAX_ID_LENGTH:,} fit")
    found = _CONTROL.search(key)
    if found:
        raise InvalidCommandError(f"event_key {key[:80]!r} contains {found.group()!r}; use printable characters")


def decide_sent(workflow: WorkflowState, command: SendEvent, now: int) -> list[Event]:
    """The event is kept; a task that waits under its key is given it at once.

    Raises WorkflowEventHandleError when nobody can ever take it, or too many are kept.
    """
    check_event_key(command.key)
    if command.request_id is not None and command.request_id in workflow.requests:
        return []
    if workflow.status == CANCELED or (workflow.status == SUCCESSFUL and workflow.actor is None):
        told = f"it is {workflow.status}, and nothing in it will wait for an event any more"
        raise WorkflowEventHandleError(workflow.workflow_id, told)
    inbox = workflow.inbox or _NONE
    if len(inbox.kept) >= MOST_KEPT:
        told = f"{MOST_KEPT:,} events are kept for it that nobody has taken yet; send more when some of them are"
        raise WorkflowEventHandleError(workflow.workflow_id, told)
    draft = draft_for(workflow, now, command.request_id, command.by)
    number = inbox.sent + 1
    draft.workflow(ev.EVENT_SENT, name=command.key, attributes={"number": number}, **where(command.payload))
    task = workflow.open_attempts.get(inbox.awaited.get(command.key, ""))
    # One that has its event already waits for no second one.
    if task is not None and not any(event.task_id == task.task_id for event in inbox.under(command.key)):
        _deliver(draft, task, command.key, number)
    return draft.events


def decide_awaited(workflow: WorkflowState, task: TaskState, command: AwaitEvent, now: int) -> list[Event]:
    """The open attempt of `task` waits under a key from here on, and gets what is kept there.

    Raises WorkflowEventHandleError when an attempt waits under this key already.
    """
    check_event_key(command.key)
    inbox = workflow.inbox or _NONE
    other = inbox.awaited.get(command.key)
    if other is not None:
        told = f"the same key {command.key!r} is used to get a payload again: task {other!r} waits under it"
        raise WorkflowEventHandleError(workflow.workflow_id, told)
    draft = draft_for(workflow, now)
    at = {"run": task.open_run, "attempt": task.open_attempt}
    draft.task(ev.EVENT_AWAITED, task.task_id, None, name=command.key, **at)
    found = _choose(workflow, task, inbox, command.key)
    if found is not None:
        _deliver(draft, task, command.key, found.number)
    return draft.events


def _choose(workflow: WorkflowState, task: TaskState, inbox: Inbox, key: str) -> SentEvent | None:
    """What it was given before; else the oldest that no other task may still need."""
    free = None
    for event in inbox.under(key):
        if event.task_id == task.task_id:
            return event
        if free is None and (event.task_id is None or not _may_need(workflow.tasks[event.task_id])):
            free = event
    return free


def _may_need(task: TaskState) -> bool:
    """It runs, or will run again: not so once its error was caught, or it was skipped."""
    return task.open_run is not None or task.status in (PENDING, RETRYING)


def _deliver(draft: Draft, task: TaskState, key: str, number: int) -> None:
    at = {"run": task.open_run, "attempt": task.open_attempt}
    draft.task(ev.EVENT_DELIVERED, task.task_id, None, name=key, attributes={"number": number}, **at)


# -- the same events, taken in ----------------------------------------------------------------------------------------


def apply_sent(workflow: WorkflowState, event: Event) -> None:
    if event.request_id:
        workflow.requests.add(event.request_id)
    _inbox(workflow).send(event.name or "", PayloadRef(event.hash or "", event.bytes or 0, event.payload))


def apply_awaited(workflow: WorkflowState, task: TaskState, event: Event) -> None:
    _inbox(workflow).wait(event.name or "", task.task_id)


def apply_delivered(workflow: WorkflowState, task: TaskState, event: Event) -> None:
    _inbox(workflow).deliver(event.attribute("number", 0), task.task_id)


def _inbox(workflow: WorkflowState) -> Inbox:
    if workflow.inbox is None:
        workflow.inbox = Inbox()
    return workflow.inbox
