"""The exceptions of workflows; `wfstore.errors` has the whole tree, that of the store included."""

from wfstore.errors import (
    NotCheckpointedError,
    OutputCanceledError,
    OutputFailedError,
    OutputNotFoundError,
    OutputNotReadyError,
    TaskNotFoundError,
    WorkflowCancellationError,
    WorkflowError,
    WorkflowExecutionError,
    WorkflowNotFoundError,
    WorkflowNotResumableError,
    WorkflowQueueFullError,
    WorkflowRunningError,
    WorkflowStillActiveError,
)

__all__ = [
    "NotCheckpointedError",
    "OutputCanceledError",
    "OutputFailedError",
    "OutputNotFoundError",
    "OutputNotReadyError",
    "TaskNotFoundError",
    "WorkflowCancellationError",
    "WorkflowError",
    "WorkflowExecutionError",
    "WorkflowNotFoundError",
    "WorkflowNotResumableError",
    "WorkflowQueueFullError",
    "WorkflowRunningError",
    "WorkflowStillActiveError",
]
