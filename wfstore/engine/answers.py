"""What the manager answers about a workflow: outputs by value or by place, metadata as ray.workflow gave it.

The manager never unpickles a user's value. `Delivered` lets an ObjectRef that it hands out resolve to the value itself:
pickling it writes "load these bytes", and whoever gets the object does the loading.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import ray

from wfstore import errors
from wfstore.engine.assignment import FILE, INLINE, REF
from wfstore.engine.orders import Values, place_of
from wfstore.model.plan import source
from wfstore.model.rows import seconds
from wfstore.model.state import TaskState, WorkflowState
from wfstore.model.statuses import CANCELED, FAILED, RESUMABLE, SUCCESSFUL, WORKFLOW_ACTIVE
from wfstore.payloads import PayloadStore, loads


class Answer(NamedTuple):
    """An output (`form` and `value` as in an assignment) or the error that came instead."""

    form: int | None = None
    value: Any = None
    error: Exception | None = None
    cause: tuple[int, Any] | None = None


def fetch(storage: str, form: int | None, value: Any) -> Any:
    """The value an answer stands for. Raises PayloadMissingError, DamageError."""
    if form == REF:
        return ray.get(value[0])
    return loads(PayloadStore(storage).get(value) if form == FILE else value)


class Delivered:
    """Pickles to a value that the manager itself never unpickles."""

    def __init__(self, storage: str, answer: Answer) -> None:
        self._arguments = (storage, answer.form, answer.value)

    def __reduce__(self) -> tuple[Any, ...]:
        return fetch, self._arguments


def output_answer(workflow: WorkflowState, task_id: str | None, values: Values) -> Answer | None:
    """The output of the workflow or of one of its tasks; None while it may still come."""
    active = workflow.status in WORKFLOW_ACTIVE
    if workflow.actor is not None and task_id is None and not active and workflow.status == SUCCESSFUL:
        assert workflow.actor_state is not None
        return Answer(*place_of(workflow.actor_state))
    task = workflow.tasks.get(task_id or workflow.output_task)
    if task is not None:
        end = source(workflow, task)
        found = _value(workflow, end, values)
        if found is not None and (task_id is not None or workflow.status == SUCCESSFUL):
            return found
    if active:
        return None
    return _missing(workflow, task_id, task)


def _value(workflow: WorkflowState, end: TaskState, values: Values) -> Answer | None:
    ref = end.caught or (end.output if end.status == SUCCESSFUL else None)
    if ref is None:
        return None
    held = values.get(workflow.workflow_id, end.task_id)
    if ref.data is not None:
        return Answer(INLINE, ref.data)
    if end.caught is not None or end.stored:
        return Answer(FILE, ref.hash)
    if isinstance(held, bytes):
        return Answer(INLINE, held)
    if held is not None:
        return Answer(REF, [held])
    return None


def _missing(workflow: WorkflowState, task_id: str | None, task: TaskState | None) -> Answer:
    workflow_id = workflow.workflow_id
    if workflow.status == CANCELED:
        return Answer(error=errors.WorkflowCancellationError(workflow_id))
    if task_id is not None and task is None:
        return Answer(error=errors.OutputNotFoundError(workflow_id, task_id))
    if workflow.status == FAILED and workflow.error_type == errors.WorkflowTimeoutError.__name__:
        return Answer(error=errors.WorkflowTimeoutError(workflow_id))
    if workflow.status == FAILED:
        return Answer(error=errors.WorkflowExecutionError(workflow_id), cause=_cause(workflow))
    if workflow.status == RESUMABLE:
        return Answer(error=errors.WorkflowInterruptedError(workflow_id), cause=_cause(workflow))
    words = f"the output of {task_id or workflow_id} was not kept"
    if task is not None and source(workflow, task).checkpointed:
        words = f"the output of {task_id or workflow_id} is no longer kept: retention has removed it"
    return Answer(error=errors.NotCheckpointedError(workflow_id, words))


def as_read(error: Exception, task_id: str | None = None) -> Exception:
    """The error as get_output raises it: of the same class, and a ValueError as well."""
    if isinstance(error, errors.WorkflowInterruptedError):
        return errors.OutputNotReadyError(error.workflow_id)
    if isinstance(error, errors.WorkflowExecutionError):
        if task_id is None:
            return errors.OutputFailedError(error.workflow_id)
        told = f"Cannot load output from task id '{task_id}' in workflow '{error.workflow_id}'"
        return errors.OutputFailedError(error.workflow_id, told)
    if isinstance(error, errors.WorkflowCancellationError):
        return errors.OutputCanceledError(error.workflow_id)
    return error


def _cause(workflow: WorkflowState) -> tuple[int, Any] | None:
    """Where the pickled error of the task that failed lies. The pickle is in the log; its place in memory is the
    task's last error."""
    task = workflow.tasks.get(workflow.failed_task_id or "")
    return None if task is None or task.error is None else place_of(task.error)


def workflow_metadata(workflow: WorkflowState) -> dict[str, Any]:
    """status, user_metadata, stats (start_time and end_time of the last run, seconds since 1970)."""
    stats: dict[str, float | None] = {}
    if workflow.runs:
        stats["start_time"] = seconds(workflow.run_started_at)
    if workflow.status in (SUCCESSFUL, FAILED):
        stats["end_time"] = seconds(workflow.ended_at)
    return {"status": workflow.status, "user_metadata": dict(workflow.metadata), "stats": stats}


def task_metadata(workflow: WorkflowState, task_id: str) -> dict[str, Any]:
    """task_id, name, task_options (alias step_options), user_metadata, workflow_refs (upstream ids), stats."""
    task = workflow.tasks.get(task_id)
    if task is None:
        raise errors.TaskNotFoundError(workflow.workflow_id, task_id)
    retry = task.options.retry_exceptions
    options = {
        "task_type": task.type.upper(),
        "max_retries": task.options.max_retries,
        "catch_exceptions": bool(task.options.catch_exceptions),
        "retry_exceptions": retry if isinstance(retry, bool) else True,
        "checkpoint": task.options.checkpoint is not False,
        "ray_options": dict(task.options.ray_options),
    }
    stats: dict[str, float | None] = {}
    if task.attempt_started_at is not None:
        stats["start_time"] = seconds(task.attempt_started_at)
        if task.status == SUCCESSFUL:
            stats["end_time"] = seconds(task.ended_at)
    return {
        "task_id": task.task_id,
        "name": task.name,
        "task_options": options,
        "step_options": options,
        "user_metadata": dict(task.metadata),
        "workflow_refs": list(task.upstream),
        "stats": stats,
    }
