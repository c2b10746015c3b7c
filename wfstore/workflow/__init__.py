"""Durable workflows on Ray: a drop-in for the removed ``ray.workflow``.

    from wfstore import workflow

    workflow.init(storage="/data/workflows")
    workflow.run(total.bind(part.bind(1), part.bind(2)), workflow_id="monday")

Functions are ``@ray.remote`` ones built with ``.bind()``, or our own ``@workflow.task``. What has succeeded never runs
again, across crashes and clusters.
"""

from wfstore.engine.dag.continuation import continuation
from wfstore.engine.dag.node import task
from wfstore.engine.dag.options import options
from wfstore.model.statuses import WorkflowStatus
from wfstore.workflow import common, exceptions
from wfstore.workflow._api import (
    cancel,
    delete,
    get_metadata,
    get_output,
    get_output_async,
    get_status,
    init,
    list_all,
    resume,
    resume_all,
    resume_async,
    run,
    run_async,
)
from wfstore.workflow.exceptions import (
    WorkflowCancellationError,
    WorkflowError,
    WorkflowExecutionError,
    WorkflowNotFoundError,
    WorkflowNotResumableError,
    WorkflowStillActiveError,
)

RUNNING = WorkflowStatus.RUNNING
PENDING = WorkflowStatus.PENDING
FAILED = WorkflowStatus.FAILED
RESUMABLE = WorkflowStatus.RESUMABLE
CANCELED = WorkflowStatus.CANCELED
SUCCESSFUL = WorkflowStatus.SUCCESSFUL
NONE = WorkflowStatus.NONE

__all__ = [
    "CANCELED",
    "FAILED",
    "NONE",
    "PENDING",
    "RESUMABLE",
    "RUNNING",
    "SUCCESSFUL",
    "WorkflowCancellationError",
    "WorkflowError",
    "WorkflowExecutionError",
    "WorkflowNotFoundError",
    "WorkflowNotResumableError",
    "WorkflowStatus",
    "WorkflowStillActiveError",
    "cancel",
    "common",
    "continuation",
    "delete",
    "exceptions",
    "get_metadata",
    "get_output",
    "get_output_async",
    "get_status",
    "init",
    "list_all",
    "options",
    "resume",
    "resume_all",
    "resume_async",
    "run",
    "run_async",
    "task",
]
