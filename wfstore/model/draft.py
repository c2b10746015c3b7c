"""Events in the making: what one command causes, in order, all at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wfstore.model import events as ev
from wfstore.model.dag import TaskOptions
from wfstore.model.events import Event
from wfstore.model.payload import PayloadRef, payload_uri
from wfstore.model.state import TaskState, WorkflowState
from wfstore.model.statuses import CANCELED, FAILED, PENDING
from wfstore.model.wire import dumps

_ONE_CPU = '{"num_cpus":1}'


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

    def task(self, type_: str, task_id: str, task_status: str, **columns: Any) -> None:
        attributes: Mapping[str, Any] | None = columns.pop("attributes", None)
        self.events.append(
            Event(
                ts=self.now,
                type=type_,
                workflow_id=self.workflow_id,
                run=self.run or None,
                task_id=task_id,
                task_status=task_status,
                attributes=None if attributes is None else dumps(attributes),
                **columns,
            )
        )

    def submit(self, task_id: str, attempt: int, options: TaskOptions) -> None:
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
                attributes=resources(options),
            )
        )

    def drop_attempt(self, task: TaskState, kind: str) -> None:
        """An attempt that nobody will report about any more: lost with its manager, or canceled."""
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
                task_status=CANCELED if canceled else PENDING,
                kind=kind,
                error_type="Canceled" if canceled else "AttemptLost",
                error_message=None if canceled else "the manager that ran this attempt was lost",
            )
        )


def draft_for(workflow: WorkflowState, now: int, request_id: str | None = None, by: str | None = None) -> Draft:
    """A draft that goes on in the workflow's current run."""
    return Draft(workflow.workflow_id, workflow.run, now, request_id, by)
