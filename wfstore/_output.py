"""What `Store.output` gives once it is known where the output lies: the value, or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from wfstore import errors
from wfstore.model.statuses import CANCELED, FAILED
from wfstore.payloads import PayloadStore, loads


def output(
    storage: str,
    workflow_id: str,
    task_id: str | None,
    row: Mapping[str, Any] | None,
    payload: Callable[[str, int], bytes | None],
) -> Any:
    """The value, unpickled. row: of `queries/store/output.sql`; payload: gives what stood in the event of a seq itself.

    Raises what `Store.output` does.
    """
    if row is None:
        raise errors.WorkflowNotFoundError(workflow_id)
    if row["task_status"] is None:
        raise errors.TaskNotFoundError(workflow_id, row["task_id"])
    ended_badly = task_id is None and row["workflow_status"] in (FAILED, CANCELED)
    if row["seq"] is None or (ended_badly and not row["is_state"]):
        _no_output(workflow_id, task_id, row)
    if not row["kept"]:
        what = f"The output of task {row['task_id']!r} of workflow {workflow_id!r} was not kept"
        raise errors.NotCheckpointedError(workflow_id, f"{what} (checkpoint=False, or imported without values).")
    inline = payload(workflow_id, row["seq"])
    try:
        data = PayloadStore(storage).get(row["hash"] or "") if inline is None else inline
    except errors.PayloadMissingError as error:
        what = "The output" if task_id is None else f"The output of task {task_id!r}"
        words = f"{what} of workflow {workflow_id!r} is not to be had: {error.message}"
        raise errors.PayloadMissingError(storage, words) from error
    return loads(data)


def _no_output(workflow_id: str, task_id: str | None, row: Mapping[str, Any]) -> NoReturn:
    status = row["workflow_status"] if task_id is None else row["task_status"]
    what = f"Workflow[id={workflow_id}]" if task_id is None else f"Task {task_id!r} of workflow {workflow_id!r}"
    if status == CANCELED:
        raise errors.WorkflowCancellationError(workflow_id, f"{what} was canceled and has no output.")
    if status == FAILED:
        reason = f": {row['error_type']}: {row['error_message']}" if row["error_type"] else ""
        raise errors.WorkflowExecutionError(workflow_id, f"{what} failed and has no output{reason}")
    raise errors.WorkflowError(workflow_id, f"{what} has no output yet: it is {status}.")
