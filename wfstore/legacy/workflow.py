"""The older generation of ray.workflow whole, with its own return types: steps, virtual actors, ObjectRefs.

One engine with `wfstore.workflow`: what one starts, the other sees. Here ``get_output`` and ``resume`` return
ObjectRefs, unknown ids are ValueErrors, and a workflow that cannot be resumed is left out by ``resume_all``.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

from wfstore import errors
from wfstore.engine.actors.handle import get_actor, virtual_actor
from wfstore.engine.dag.continuation import continuation
from wfstore.engine.dag.special import sleep, wait, wait_for_event
from wfstore.engine.dag.step import Workflow, step
from wfstore.model.statuses import WorkflowStatus
from wfstore.workflow import (
    CANCELED,
    FAILED,
    NONE,
    PENDING,
    RESUMABLE,
    RUNNING,
    SUCCESSFUL,
    EventListener,
    WorkflowExecutionError,
    cancel,
    common,
    delete,
    event_listener,
    exceptions,
    get_metadata,
    get_status,
    list_all,
    virtual_actor_class,
    workflow_context,
)
from wfstore.workflow import _api as newer

__all__ = [
    "CANCELED",
    "FAILED",
    "NONE",
    "PENDING",
    "RESUMABLE",
    "RUNNING",
    "SUCCESSFUL",
    "EventListener",
    "Workflow",
    "WorkflowExecutionError",
    "WorkflowNotResumableError",
    "WorkflowStatus",
    "cancel",
    "common",
    "continuation",
    "delete",
    "event_listener",
    "exceptions",
    "get_actor",
    "get_metadata",
    "get_output",
    "get_status",
    "init",
    "list_all",
    "resume",
    "resume_all",
    "sleep",
    "step",
    "virtual_actor",
    "virtual_actor_class",
    "wait",
    "wait_for_event",
    "workflow_context",
]


class WorkflowNotResumableError(errors.WorkflowNotResumableError, ValueError):
    """As in `wfstore.workflow`, and the ValueError that the older generation raised."""


def init(storage: str | os.PathLike[str] | None = None, **options: Any) -> None:
    """As ``wfstore.workflow.init``."""
    newer.init(storage, **options)


def resume(workflow_id: str) -> Any:
    """Go on with a workflow: an ObjectRef of its output. Raises WorkflowNotResumableError (here a ValueError)."""
    try:
        return newer.resume_async(workflow_id)
    except errors.WorkflowNotResumableError as error:
        raise WorkflowNotResumableError(*error.args) from None


def get_output(workflow_id: str, *, name: str | None = None) -> Any:
    """An ObjectRef of the output of a workflow, or of its step `name`; it raises where there is none.

    Raises WorkflowNotFoundError (a ValueError).
    """
    newer.get_status(workflow_id)
    return newer.get_output_async(workflow_id, name=name)


def resume_all(include_failed: bool = False) -> list[tuple[str, Any]]:
    """Resume every RESUMABLE workflow (and every FAILED one): [(id, ObjectRef)]; those that cannot are left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return newer.resume_all(include_failed)
