"""Events in the making: what one command causes, in order, all at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wfstore.model import events as ev
from wfstore.model.dag import ACTOR, EVENT, EVENT_CHECKPOINTED, FUNCTION, TIMER, TaskOptions, TaskSpec
from wfstore.model.events import Event
from wfstore.model.payload import PayloadRef, payload_uri
from wfstore.model.progress import attributes_of
from wfstore.model.state import TaskState, WorkflowState
from wfstore.model.statuses import CANCELED, FAILED, PENDING, RUNNING
from wfstore.model.wire import dumps

_ONE_CPU = '{"num_cpus":1}'
_NO_CPU = '{"num_cpus":0}'


def micros(seconds: float) -> int:
    return round(seconds * 1_000_000)


def resources(options: TaskOptions) -> str:
    """What an attempt asks of Ray, as JSON."""
    if not options.ray_options:
        return _ONE_CPU
    chosen = {key: options.ray_options.get(key) for key in ("num_gpus", "memory", "resources", "accelerator_type")}
    return dumps({"num_cpus": options.ray_options.get("num_cpus", 1), **chosen})


def where(ref: PayloadRef | None, stored: bool = True) -> dict[str, Any]:
    """The columns that point to a payload; one that was not stored has a size and a hash, and no place."""
    if ref is None:
        return {}
    uri = payload_uri(ref.hash) if stored and ref.data is None else None
    return {"bytes": ref.bytes, "hash": ref.hash, "uri": uri, "payload": ref.data if stored else None}


class Draft:
    """Collects the events about one workflow. `run` is the run they belong to."""

    __slots__ = ("by", "events", "now", "request_id", "run", "workflow_id")

    def __init__(
        self, workflow_id: str, run: int, now: int, request_id: str | None = None, by: str | None = None
    ) -> None:
        self.workflow_id = workflow_id
        self.run = run
        self.now = now
        self.request_id = request_id
        self.by = by
        self.events: list[Event] = []

    def workflow(self, type_: str, status: str | None = None, **columns: Any) -> None:
        attributes = columns.pop("attributes", None)
        self.events.append(
            Event(
                ts=self.now,
                type=type_,
                workflow_id=self.workflow_id,
                run=self.run or None,
                status=status,
                request_id=self.request_id,
                by=self.by,
                attributes=None if attributes is None else dumps(attributes),
                **columns,
            )
        )

    def task(self, type_: str, task_id: str, task_status: str | None, **columns: Any) -> None:
        attributes: Mapping[str, Any] | None = columns.pop("attributes", None)
        run: int = columns.pop("run", self.run)
        self.events.append(
            Event(
                ts=self.now,
                type=type_,
                workflow_id=self.workflow_id,
                run=run or None,
                task_id=task_id,
                task_status=task_status,
                attributes=None if attributes is None else dumps(attributes),
                **columns,
            )
        )

    def submit(self, task_id: str, attempt: int, task: TaskSpec | TaskState) -> None:
        """The next attempt of a task. Timers, listeners and waits begin at once: the manager looks after them."""
        changed = task.function_hash if isinstance(task, TaskState) and task.code_set else None
        function = task.type in (FUNCTION, EVENT_CHECKPOINTED, ACTOR)
        self.events.append(
            Event(
                ts=self.now,
                type=ev.ATTEMPT_SUBMITTED,
                workflow_id=self.workflow_id,
                run=self.run,
                task_id=task_id,
                attempt=attempt,
                status=PENDING,
                task_status=PENDING,
                hash=changed,
                attributes=resources(task.options) if function else _NO_CPU,
            )
        )
        if task.type == ACTOR and attempt == 1:
            name, facts = task.name, {"method": task.facts.get("method")}
            self.task(ev.ACTOR_CALL_STARTED, task_id, None, name=name, kind="writer", attributes=facts)
        if not function:
            self._begin_wait(task_id, attempt, task)

    def _begin_wait(self, task_id: str, attempt: int, task: TaskSpec | TaskState) -> None:
        self.task(ev.ATTEMPT_STARTED, task_id, RUNNING, attempt=attempt, status=RUNNING)
        if task.type == EVENT:
            self.task(ev.EVENT_WAIT_STARTED, task_id, None, attributes={"listener": task.function})
            return
        due_at = task.due_at if isinstance(task, TaskState) else None
        if due_at is None:
            due_at = task.facts.get("due_at")
        delay_s = task.facts.get("delay_s" if task.type == TIMER else "timeout_s")
        if due_at is None and delay_s is not None:
            due_at = self.now + micros(delay_s)
        if due_at is not None:
            self.task(ev.TIMER_STARTED, task_id, None, attempt=attempt, attributes={"due_at": due_at})

    def drop_attempt(self, task: TaskState, kind: str, resumable: bool = False) -> None:
        """An attempt that nobody will report about any more: lost with its manager, or canceled (its task too, unless
        `resumable`)."""
        canceled = kind == "canceled"
        self.events.append(
            Event(
                ts=self.now,
                type=ev.ATTEMPT_FAILED,
                workflow_id=self.workflow_id,
                run=task.open_run,
                task_id=task.task_id,
                attempt=task.open_attempt,
                status=CANCELED if canceled else FAILED,
                task_status=CANCELED if canceled and not resumable else PENDING,
                kind=kind,
                error_type="Canceled" if canceled else "AttemptLost",
                error_message=None if canceled else "the manager that ran this attempt was lost",
                attributes=None if task.progress is None else dumps(attributes_of(task.progress)),
            )
        )


def draft_for(workflow: WorkflowState, now: int, request_id: str | None = None, by: str | None = None) -> Draft:
    """A draft that goes on in the workflow's current run."""
    return Draft(workflow.workflow_id, workflow.run, now, request_id, by)
