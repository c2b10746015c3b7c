"""Live state as rows: the same columns, by the same definitions, as the SQL views over the log.

A property test holds the two together after every prefix of random histories. Times become naive UTC datetimes here.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from wfstore.model.state import TaskState, WorkflowState
from wfstore.model.statuses import CAUGHT, FAILED, SUCCESSFUL, WORKFLOW_ACTIVE

_EPOCH = datetime(1970, 1, 1)


def moment(micros: int | None) -> datetime | None:
    """Microseconds UTC as a naive datetime in UTC."""
    return None if micros is None else _EPOCH + timedelta(microseconds=micros)


def seconds(micros: int | None) -> float | None:
    return None if micros is None else micros / 1e6


def _between(start: int | None, end: int | None) -> float | None:
    return None if start is None or end is None else (end - start) / 1e6


def workflow_row(workflow: WorkflowState) -> dict[str, Any]:
    """One row of `workflows`."""
    tasks = workflow.tasks.values()
    failed = workflow.status == FAILED
    sizes = [task.output_bytes for task in tasks if task.output_bytes is not None]
    return {
        "workflow_id": workflow.workflow_id,
        "name": workflow.name,
        "status": workflow.status,
        "submitted_at": moment(workflow.submitted_at),
        "started_at": moment(workflow.started_at),
        "ended_at": moment(workflow.ended_at),
        "queue_wait_s": _between(workflow.submitted_at, workflow.started_at),
        "duration_s": seconds(workflow.runs_us),
        "elapsed_s": _between(workflow.submitted_at, workflow.ended_at),
        "runs": workflow.runs,
        "tasks": len(workflow.tasks),
        "tasks_done": sum(task.status in (SUCCESSFUL, CAUGHT) for task in tasks),
        "tasks_failed": sum(task.status == FAILED for task in tasks),
        "attempts": workflow.attempts,
        "retries": workflow.retries,
        "output_bytes": workflow.output.bytes if workflow.output else None,
        "total_output_bytes": sum(sizes) if sizes else None,
        "error_type": workflow.error_type if failed else None,
        "error_message": workflow.error_message if failed else None,
        "failed_task_id": workflow.failed_task_id if failed else None,
        "metadata": json.dumps(dict(workflow.metadata), separators=(",", ":"), ensure_ascii=False),
        "rerun_of": workflow.rerun_of,
    }


def task_row(workflow: WorkflowState, task: TaskState) -> dict[str, Any]:
    """One row of `tasks`."""
    facts = json.loads(task.output_repr) if task.output_repr else {}
    return {
        "workflow_id": workflow.workflow_id,
        "task_id": task.task_id,
        "name": task.name,
        "function": task.function,
        "status": task.status,
        "upstream": list(task.upstream),
        "attempts": task.attempts,
        "ready_at": moment(task.ready_at),
        "submitted_at": moment(task.submitted_at),
        "started_at": moment(task.started_at),
        "ended_at": moment(task.ended_at),
        "wait_s": _between(task.ready_at, task.started_at),
        "duration_s": seconds(task.duration_us),
        "elapsed_s": _between(task.started_at, task.ended_at),
        "output_bytes": task.output_bytes,
        "output_repr": facts.get("output_repr"),
        "checkpointed": task.checkpointed,
        "error_type": task.error_type,
        "error_message": task.error_message,
        "metadata": json.dumps(dict(task.metadata), separators=(",", ":"), ensure_ascii=False),
        "type": task.type,
        "due_at": moment(task.due_at if task.retry_at is None else task.retry_at),
        "workflow_name": workflow.name,
    }


def live_workflow_row(workflow: WorkflowState, seq: int, now: int) -> dict[str, Any]:
    """One row of `live_workflows`: elapsed_s of an open one runs on until `now`."""
    row = workflow_row(workflow)
    if workflow.status in WORKFLOW_ACTIVE:
        row["elapsed_s"] = _between(workflow.submitted_at, now)
    return {**row, "as_of_seq": seq}


def live_task_row(workflow: WorkflowState, task: TaskState, seq: int, now: int) -> dict[str, Any]:
    """One row of `live_tasks`: elapsed_s of one that is under way runs on until `now`."""
    row = task_row(workflow, task)
    if task.open_run is not None:
        row["elapsed_s"] = _between(task.started_at, now)
    return {**row, "as_of_seq": seq}
