"""The functions of ``wfstore.workflow``: each checks what it was given and hands it to the engine's client."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, TypeVar, overload

from wfstore import errors
from wfstore.engine import client
from wfstore.engine.client import fresh_id
from wfstore.engine.dag.node import TaskNode
from wfstore.engine.dag.options import checked_timeout
from wfstore.model.statuses import WorkflowStatus

R = TypeVar("R")


def init(
    storage: str | os.PathLike[str] | None = None,
    *,
    max_running_workflows: int | None = None,
    max_pending_workflows: int | None = None,
    namespace: str | None = None,
    dashboard: bool | Mapping[str, Any] = False,
    limits: Mapping[str, int | None] | None = None,
) -> str | None:
    """Connect to the manager; start Ray and the manager where there are none.

    storage: a path or file:// URI; None joins the running manager, or takes ``$WFSTORE_STORAGE``, then
        ``$RAY_WORKFLOW_STORAGE``, then a folder under the machine's temporary one (with a warning).
    max_running_workflows, max_pending_workflows: how many run and wait at a time; None keeps what is set.
    namespace: the Ray namespace of the manager, ``workflow`` unless given.
    dashboard: True starts the dashboard on the cluster too, or joins the one that runs; its link is printed and
        returned. A mapping says where: host, port (8266), token, allowed_hosts.
    limits: how large things may be: max_event_bytes, max_payload_bytes, max_metadata_bytes, max_tasks (of a workflow),
        max_open_workflows, max_tail_events. They are kept with the store, and hold from now on; None for a default.

    Raises TypeError and ValueError for wrong limits, ValueError for limits that differ from the running manager's,
    RuntimeError when that manager uses another storage, StorageError when the storage cannot be used, OSError for a
    port of the dashboard that is taken.
    """
    _check_limit("max_running_workflows", max_running_workflows, 1)
    _check_limit("max_pending_workflows", max_pending_workflows, 0)
    client.connect(
        None if storage is None else os.fspath(storage),
        namespace=namespace,
        max_running=max_running_workflows,
        max_pending=max_pending_workflows,
        limits=limits,
    )
    return _dashboard(dashboard) if dashboard or isinstance(dashboard, Mapping) else None


def _dashboard(asked: bool | Mapping[str, Any]) -> str:
    # By name: it stands above this package, and needs no web library before it is asked for.
    host = import_module("wfstore.dashboard.host")
    link: str = host.start_as_asked({} if isinstance(asked, bool) else asked)
    print(link, flush=True)
    return link


def _check_limit(name: str, value: object, least: int) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"'{name}' must be None or an integer.")
    if value < least:
        raise ValueError(f"'{name}' is {value}; it must be at least {least}.")


@overload
def run(
    dag: TaskNode[R],
    *args: Any,
    workflow_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    workflow_timeout: float | None = None,
    **kwargs: Any,
) -> R: ...
@overload
def run(
    dag: Any,
    *args: Any,
    workflow_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    workflow_timeout: float | None = None,
    **kwargs: Any,
) -> Any: ...
def run(
    dag: Any,
    *args: Any,
    workflow_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    workflow_timeout: float | None = None,
    **kwargs: Any,
) -> Any:
    """Run a DAG durably and return its output. `args` and `kwargs` feed its InputNode.

    workflow_id: an id that exists is resumed, or answered from the store; a fresh one is made when None.
    metadata: a dict that JSON can hold, kept with the workflow.
    workflow_timeout: seconds that each run of it may take; then it fails with WorkflowTimeoutError.

    Raises WorkflowExecutionError (its cause is the task's own error), WorkflowCancellationError; WorkflowRunningError
    (a RuntimeError) for an id that runs already; ``queue.Full``; TypeError and ValueError for a wrong DAG, id or
    metadata.
    """
    name = fresh_id() if workflow_id is None else workflow_id
    link = client.connect()
    return link.run(link.submission(dag, args, kwargs, name, metadata, checked_timeout(workflow_timeout)))


def run_async(
    dag: Any,
    *args: Any,
    workflow_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    workflow_timeout: float | None = None,
    **kwargs: Any,
) -> Any:
    """As `run`, returning an ObjectRef of the output once the workflow is in the log; async callers may await it."""
    name = fresh_id() if workflow_id is None else workflow_id
    link = client.connect()
    return link.run_async(link.submission(dag, args, kwargs, name, metadata, checked_timeout(workflow_timeout)))


def resume(workflow_id: str, *, code: str = "stored") -> Any:
    """Go on with a workflow that failed or was interrupted, and return its output; finished tasks do not run again.

    code: "stored": with the function bodies that were submitted; "current": with those that their modules define now.

    Raises WorkflowNotResumableError for an unknown or canceled one, ValueError for a function that is not to be found
    any more, else as `run`.
    """
    link = client.connect()
    return link.run(link.resumption(workflow_id, code))


def resume_async(workflow_id: str, *, code: str = "stored") -> Any:
    """As `resume`, returning an ObjectRef of the output."""
    link = client.connect()
    return link.run_async(link.resumption(workflow_id, code))


def rerun(workflow_id: str) -> str:
    """Run the DAG of a workflow again, with the same inputs, under a new id, which is returned once it is in the log.

    Raises WorkflowNotFoundError, ValueError for a virtual actor, ``queue.Full``.
    """
    return client.connect().rerun(workflow_id)


def list_tasks(workflow_id: str) -> list[dict[str, Any]]:
    """One dict per task, in the order in which they were defined: the columns of the SQL view ``tasks`` (status,
    attempts, times as naive UTC datetimes, durations in seconds, output_bytes, error, metadata as JSON, ...).

    Raises WorkflowNotFoundError.
    """
    found: list[dict[str, Any]] = client.connect().call("tasks", workflow_id)
    return found


def resume_all(include_failed: bool = False) -> list[tuple[str, Any]]:
    """Resume every RESUMABLE workflow (and every FAILED one): [(id, ObjectRef of the output)], those that were running
    first. One that cannot be resumed is named in a warning and does not stop the others."""
    link = client.connect()
    resumed = []
    for workflow_id in link.call("resumable", include_failed):
        try:
            resumed.append((workflow_id, link.run_async(link.resumption(workflow_id))))
        except errors.WorkflowError as error:
            warnings.warn(f"not resumed: {error}", stacklevel=2)
    return resumed


def cancel(workflow_id: str) -> None:
    """Cancel a workflow that waits or runs; returns once its status says CANCELED. A finished one stays as it is.

    Raises WorkflowNotFoundError.
    """
    client.connect().cancel(workflow_id)


def delete(workflow_id: str) -> None:
    """Delete a workflow that neither runs nor waits; its id is free again.

    Raises WorkflowNotFoundError, WorkflowStillActiveError.
    """
    client.connect().delete(workflow_id)


def send_event(workflow_id: str, key: str, payload: Any = None, *, request_id: str | None = None) -> None:
    """Send an event to a workflow: ``wait_for_event(http_event_provider.HTTPListener, key)`` in it gives the pair
    (key, payload). Returns once the event is durable; what nobody waits for yet is kept.

    request_id: a second event with the same one is the first one sent again, and counts once.

    Raises WorkflowNotFoundError; WorkflowEventHandleError for a workflow that has succeeded or was canceled, or keeps
    10,000 events already; TypeError and ValueError for what is no key, or cannot be pickled.
    """
    client.connect().send_event(workflow_id, key, payload, request_id)


def get_status(workflow_id: str) -> WorkflowStatus:
    """Raises WorkflowNotFoundError."""
    if not isinstance(workflow_id, str):
        raise TypeError("workflow_id has to be a string type.")
    return WorkflowStatus(client.connect().call("status", workflow_id))


def list_all(
    status_filter: str | WorkflowStatus | Iterable[str | WorkflowStatus] | None = None,
) -> list[tuple[str, WorkflowStatus]]:
    """[(workflow id, status)] in order of submission; with only the statuses asked for, if any are."""
    wanted = _statuses(status_filter)
    names = None if wanted is None else [status.value for status in wanted]
    found: list[tuple[str, str]] = client.connect().call("statuses", names)
    return [(name, WorkflowStatus(status)) for name, status in found if wanted is None or status in wanted]


def _statuses(given: Any) -> set[WorkflowStatus] | None:
    if given is None:
        return None
    if isinstance(given, str):
        return {WorkflowStatus(given)}
    if not isinstance(given, (set, frozenset, list, tuple)):
        raise TypeError("status_filter must be WorkflowStatus or a set of WorkflowStatus.")
    if not all(isinstance(item, str) for item in given):
        raise TypeError(f"status_filter contains element which is not a type of `WorkflowStatus or str`. {given}")
    return {WorkflowStatus(item) for item in given}


def get_output(workflow_id: str, *, task_id: str | None = None, name: str | None = None) -> Any:
    """The output of a workflow or, by `task_id` (or `name`, the same), of one of its tasks; waits for one that runs.

    Raises WorkflowNotFoundError for an unknown workflow, OutputNotFoundError for a task that never was,
    OutputFailedError, OutputCanceledError, OutputNotReadyError, NotCheckpointedError: all of them ValueErrors.
    """
    return client.connect().output(workflow_id, _either(task_id, name))


def get_output_async(workflow_id: str, *, task_id: str | None = None, name: str | None = None) -> Any:
    """As `get_output`, returning an ObjectRef."""
    return client.connect().output_ref(workflow_id, _either(task_id, name))


def get_metadata(workflow_id: str, name: str | None = None, *, task_id: str | None = None) -> dict[str, Any]:
    """What is known now. Of a workflow: status, user_metadata, stats; of a task: task_id, name, task_options,
    user_metadata, stats. Times are seconds since 1970.

    Raises WorkflowNotFoundError, TaskNotFoundError (both ValueErrors).
    """
    try:
        found: dict[str, Any] = client.connect().call("metadata", workflow_id, _either(task_id, name))
    except errors.TaskNotFoundError:
        raise
    except errors.WorkflowNotFoundError as error:
        raise errors.WorkflowNotFoundError(workflow_id, f"No such workflow_id '{workflow_id}'") from error
    return found


def _either(task_id: str | None, name: str | None) -> str | None:
    if task_id is not None and name is not None and task_id != name:
        raise ValueError(f"task_id={task_id!r} and name={name!r} name different tasks; give one of them")
    return task_id if task_id is not None else name
