"""Durable workflows on Ray: a drop-in for the removed ``ray.workflow``.

    from wfstore import workflow

    workflow.init(storage="/data/workflows")
    workflow.run(total.bind(part.bind(1), part.bind(2)), workflow_id="monday")

Functions are ``@ray.remote`` ones built with ``.bind()``, or our own ``@workflow.task``. What has succeeded never runs
again, across crashes and clusters.
"""

from wfstore.engine.actors.handle import get_actor, virtual_actor
from wfstore.engine.context import progress
from wfstore.engine.dag.continuation import continuation
from wfstore.engine.dag.node import task
from wfstore.engine.dag.options import options
from wfstore.engine.dag.special import sleep, wait, wait_for_event
from wfstore.engine.dag.step import Workflow, step
from wfstore.model.statuses import WorkflowStatus
from wfstore.workflow import (
    common,
    event_listener,
    exceptions,
    http_event_provider,
    virtual_actor_class,
    workflow_context,
)
from wfstore.workflow._api import (
    cancel,
    delete,
    get_metadata,
    get_output,
    get_output_async,
    get_status,
    init,
    list_all,
    list_tasks,
    rerun,
    resume,
    resume_all,
    resume_async,
    run,
    run_async,
    send_event,
)
from wfstore.workflow.event_listener import EventListener, TimerListener
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
    "EventListener",
    "FAILED",
    "NONE",
    "PENDING",
    "RESUMABLE",
    "RUNNING",
    "SUCCESSFUL",
    "TimerListener",
    "Workflow",
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
    "event_listener",
    "exceptions",
    "get_actor",
    "get_metadata",
    "get_output",
    "get_output_async",
    "get_status",
    "http_event_provider",
    "init",
    "list_all",
    "list_tasks",
    "options",
    "progress",
    "rerun",
    "resume",
    "resume_all",
    "resume_async",
    "run",
    "run_async",
    "send_event",
    "sleep",
    "step",
    "task",
    "virtual_actor",
    "virtual_actor_class",
    "wait",
    "wait_for_event",
    "workflow_context",
]
