"""Live state as rows: the same columns, by the same definitions, as the SQL views over the log.

A property test holds the two together after every prefix of random histories. Times become naive UTC datetimes here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

from wfstore.model.commands import Place
from wfstore.model.progress import Progress, parts, workflow_fraction
from wfstore.model.state import TaskState, WorkflowState
from wfstore.model.statuses import CAUGHT, FAILED, RUNNING, SUCCESSFUL, WORKFLOW_ACTIVE
from wfstore.model.wire import options_to_json

_EPOCH = datetime(1970, 1, 1)
_STATUS, _SIZE = attrgetter("status"), attrgetter("output_bytes")
_UNDER_WAY = ("run", "attempt", "attempt_started_at", "node_id", "worker_pid", "ray_task_id")
_NOT_UNDER_WAY = dict.fromkeys(_UNDER_WAY)


class Report(NamedTuple):
    """What is known about the attempt under way and is not (yet) in the state."""

    place: Place | None = None
    progress: Progress | None = None


#: The report about a task's attempt, if there is one.
Said: TypeAlias = Callable[[WorkflowState, TaskState], Report | None]


def moment(micros: int | None) -> datetime | None:
    """Microseconds UTC as a naive datetime in UTC."""
    return None if micros is None else _EPOCH + timedelta(microseconds=micros)


def seconds(micros: int | None) -> float | None:
    return None if micros is None else micros / 1e6


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), separators=(",", ":"), ensure_ascii=False) if value else "{}"


def _between(start: int | None, end: int | None) -> float | None:
    return None if start is None or end is None else (end - start) / 1e6


def workflow_row(workflow: WorkflowState, said: Said | None = None) -> dict[str, Any]:
    """One row of `workflows`. said: what running tasks said since the log last heard of it."""
    tasks = workflow.tasks.values()
    counts = Counter(map(_STATUS, tasks))
    done = counts[SUCCESSFUL] + counts[CAUGHT]
    running = [task for task in workflow.open_attempts.values() if task.status == RUNNING]
    failed = workflow.status == FAILED
    git = workflow.driver.get("git", {})
    sizes = [size for size in map(_SIZE, tasks) if size is not None]
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
        "tasks_done": done,
        "tasks_failed": counts[FAILED],
        "attempts": workflow.attempts,
        "retries": workflow.retries,
        "output_bytes": workflow.output.bytes if workflow.output else None,
        "total_output_bytes": sum(sizes) if sizes else None,
        "error_type": workflow.error_type if failed else None,
        "error_message": workflow.error_message if failed else None,
        "failed_task_id": workflow.failed_task_id if failed else None,
        "metadata": _json(workflow.metadata),
        "rerun_of": workflow.rerun_of,
        "submitted_seq": workflow.first_seq,
        "progress": workflow_fraction(
            workflow.status, len(tasks), done, sum(parts(_progress(workflow, task, said)) for task in running)
        ),
        "dag_hash": workflow.shape,
        "versions": _json(workflow.driver.get("versions", {})),
        "git_commit": git.get("commit"),
        "git_dirty": git.get("dirty"),
    }


class TaskFacts(NamedTuple):
    """What a row of a task is made of: a quarter of the row's work to make and send. Times are microseconds UTC, JSON
    is text. The last ones are None for a task that is not under way."""

    workflow_id: str
    workflow_name: str
    task_id: str
    name: str
    function: str
    status: str
    upstream: list[str]
    attempts: int
    ready_at: int | None
    submitted_at: int | None
    started_at: int | None
    ended_at: int | None
    duration_us: int | None
    output_bytes: int | None
    output_repr: str | None
    checkpointed: bool | None
    error_type: str | None
    error_message: str | None
    metadata: str
    retries: int
    type: str
    due_at: int | None
    creator: str | None
    defined_seq: int | None
    fraction: float | None
    message: str | None
    metrics: str | None
    task_key: str
    code_hash: str | None
    options: str
    run: int | None
    attempt: int | None
    attempt_started_at: int | None
    place: Place | None


def task_facts(workflow: WorkflowState, task: TaskState, said: Said | None = None) -> TaskFacts:
    """As it stands. said: as in `workflow_row`."""
    progress, place = task.progress, None
    report = None if said is None else said(workflow, task)
    if report is not None:
        progress, place = report.progress or progress, report.place
    fraction, message, metrics = (None, None, None) if progress is None else progress
    running = task.open_run is not None
    return TaskFacts(
        workflow.workflow_id,
        workflow.name,
        task.task_id,
        task.name,
        task.function,
        task.status,
        task.upstream,
        task.attempts,
        task.ready_at,
        task.submitted_at,
        task.started_at,
        task.ended_at,
        task.duration_us,
        task.output_bytes,
        task.output_repr,
        task.checkpointed,
        task.error_type,
        task.error_message,
        _json(task.metadata),
        task.retries,
        task.type,
        task.due_at if task.retry_at is None else task.retry_at,
        task.creator,
        task.defined_seq,
        fraction,
        message,
        _json(metrics) if metrics else None,
        task.key,
        task.code,
        _json(options_to_json(task.options)),
        task.open_run,
        task.open_attempt if running else None,
        task.attempt_started_at if running else None,
        place if running else None,
    )


def task_row(workflow: WorkflowState, task: TaskState, said: Said | None = None) -> dict[str, Any]:
    """One row of `tasks`. said: as in `workflow_row`."""
    return _row(task_facts(workflow, task, said))


def _row(task: TaskFacts) -> dict[str, Any]:
    facts = json.loads(task.output_repr) if task.output_repr else {}
    return {
        "workflow_id": task.workflow_id,
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
        "metadata": task.metadata,
        "retries": task.retries,
        "type": task.type,
        "due_at": moment(task.due_at),
        "workflow_name": task.workflow_name,
        "creator": task.creator,
        "defined_seq": task.defined_seq,
        "progress": task.fraction,
        "progress_message": task.message,
        "progress_metrics": task.metrics,
        "task_key": task.task_key,
        "code_hash": task.code_hash,
    }


def _progress(workflow: WorkflowState, task: TaskState, said: Said | None) -> Progress | None:
    report = None if said is None else said(workflow, task)
    return task.progress if report is None or report.progress is None else report.progress


def live_workflow_row(workflow: WorkflowState, seq: int, now: int, said: Said | None = None) -> dict[str, Any]:
    """One row of `live_workflows`: elapsed_s of an open one runs on until `now`."""
    row = workflow_row(workflow, said)
    if workflow.status in WORKFLOW_ACTIVE:
        row["elapsed_s"] = _between(workflow.submitted_at, now)
    row["as_of_seq"] = seq
    return row


def live_task_row(task: TaskFacts, seq: int, now: int) -> dict[str, Any]:
    """One row of `live_tasks`: elapsed_s of one that is under way runs on until `now`; and where its attempt runs."""
    row = _row(task)
    row["options"] = task.options
    row["as_of_seq"] = seq
    if task.run is None:
        row.update(_NOT_UNDER_WAY)
        return row
    row["elapsed_s"] = _between(task.started_at, now)
    place = task.place
    row["run"] = task.run
    row["attempt"] = task.attempt
    row["attempt_started_at"] = moment(task.attempt_started_at)
    row["node_id"] = None if place is None else place.node_id
    row["worker_pid"] = None if place is None else place.worker_pid
    row["ray_task_id"] = None if place is None else place.ray_task_id
    return row
