"""One tree of exceptions, each naming the thing it is about in a typed attribute.

Every class survives pickling across processes: an exception's ``args`` are exactly its constructor's arguments.
"""

from __future__ import annotations

import queue


class WfstoreError(Exception):
    """Root of everything this package raises on purpose."""


# -- the public tree of the removed ray.workflow, and what hangs below it ---------------------------------------------


class WorkflowError(WfstoreError):
    """Something about one workflow. ``workflow_id`` names it."""

    def __init__(self, workflow_id: str, message: str | None = None) -> None:
        self.workflow_id = workflow_id
        self.message = message or self._default(workflow_id)
        super().__init__(workflow_id, message)

    @staticmethod
    def _default(workflow_id: str) -> str:
        return f"Workflow[id={workflow_id}]"

    def __str__(self) -> str:
        return self.message


class WorkflowExecutionError(WorkflowError):
    """A task of the workflow failed and nothing caught it."""

    @staticmethod
    def _default(workflow_id: str) -> str:
        return f"Workflow[id={workflow_id}] failed during execution."


class WorkflowInterruptedError(WorkflowExecutionError):
    """The worker of a task died and the workflow can be resumed (tasks of the older generation)."""


class WorkflowTimeoutError(WorkflowExecutionError, TimeoutError):
    """A run took longer than the workflow's timeout."""

    @staticmethod
    def _default(workflow_id: str) -> str:
        return f"Workflow[id={workflow_id}] failed during execution: it took longer than its timeout."


class AttemptTimeoutError(WorkflowError, TimeoutError):
    """An attempt took longer than the task's ``timeout``. ``task_id`` names the task."""

    def __init__(self, workflow_id: str, task_id: str, timeout_s: float) -> None:
        super().__init__(workflow_id, f"an attempt of task {task_id!r} took longer than its timeout of {timeout_s:g} s")
        self.task_id = task_id
        self.timeout_s = timeout_s
        self.args = (workflow_id, task_id, timeout_s)


class WorkflowCancellationError(WorkflowError):
    """The workflow was canceled while somebody waited for its output."""

    @staticmethod
    def _default(workflow_id: str) -> str:
        return f"Workflow[id={workflow_id}] is cancelled during execution."


class WorkflowNotResumableError(WorkflowError):
    """The workflow cannot be resumed: it does not exist, or it was canceled."""

    @staticmethod
    def _default(workflow_id: str) -> str:
        return f"Workflow[id={workflow_id}] is not resumable."


class WorkflowEventHandleError(WorkflowError):
    """An event that was sent to the workflow cannot be kept, or a listener cannot wait for it. ``what_happened`` says
    why."""

    def __init__(self, workflow_id: str, what_happened: str) -> None:
        super().__init__(workflow_id, f"Workflow[id={workflow_id}]: an event cannot be handled: {what_happened}")
        self.what_happened = what_happened
        self.args = (workflow_id, what_happened)


class WorkflowNotFoundError(WorkflowError, ValueError):
    """No workflow (or no task of it) by that name in this store."""

    @staticmethod
    def _default(workflow_id: str) -> str:
        return f"Workflow[id={workflow_id}] was referenced but doesn't exist."


class WorkflowStillActiveError(WorkflowError):
    """The operation needs a workflow that neither runs nor waits."""

    def __init__(self, operation: str, workflow_id: str) -> None:
        super().__init__(
            workflow_id,
            f"{operation} couldn't be completed because Workflow[id={workflow_id}] is still running or pending.",
        )
        self.operation = operation
        self.args = (operation, workflow_id)


class WorkflowRunningError(WorkflowError, RuntimeError):
    """The id belongs to a workflow that runs or waits; a second one cannot start under it."""

    @staticmethod
    def _default(workflow_id: str) -> str:
        return f"Workflow '{workflow_id}' is already running or pending."


class WorkflowQueueFullError(WorkflowError, queue.Full):
    """As many workflows wait as `max_pending_workflows` allows; nothing was written."""

    @staticmethod
    def _default(workflow_id: str) -> str:
        return "Workflow queue has been full"


class VirtualActorNotFoundError(WorkflowNotFoundError, KeyError):
    """No virtual actor by that id in this store."""

    @staticmethod
    def _default(workflow_id: str) -> str:
        return f"Virtual actor '{workflow_id}' doesn't exist."


class VirtualActorNotInitializedError(WorkflowError, ValueError):
    """The construction of the virtual actor has not ended, or it failed."""

    @staticmethod
    def _default(workflow_id: str) -> str:
        return f"Virtual actor '{workflow_id}' has not been created, or it has failed before initialization."


class TaskNotFoundError(WorkflowNotFoundError):
    """The workflow exists, the task does not. ``task_id`` names it."""

    def __init__(self, workflow_id: str, task_id: str) -> None:
        super().__init__(workflow_id, f"No such task_id '{task_id}' in workflow '{workflow_id}'")
        self.task_id = task_id
        self.args = (workflow_id, task_id)


class OutputNotFoundError(WorkflowError, ValueError):
    """The workflow has ended and never had a task by that name."""

    def __init__(self, workflow_id: str, task_id: str) -> None:
        super().__init__(
            workflow_id,
            f"The workflow haven't yet produced output of task '{task_id}' after workflow execution completes.",
        )
        self.task_id = task_id
        self.args = (workflow_id, task_id)


class OutputFailedError(WorkflowExecutionError, ValueError):
    """The output was asked for and the workflow had failed. Its cause is the error of the task that failed."""

    @staticmethod
    def _default(workflow_id: str) -> str:
        return f"Cannot load output from workflow '{workflow_id}': it failed during execution."


class OutputCanceledError(WorkflowCancellationError, ValueError):
    """The output was asked for and the workflow had been canceled."""

    @staticmethod
    def _default(workflow_id: str) -> str:
        return f"Workflow {workflow_id} is canceled"


class OutputNotReadyError(WorkflowError, ValueError):
    """The workflow was interrupted before it had an output; resume it."""

    @staticmethod
    def _default(workflow_id: str) -> str:
        return f"Cannot load output from workflow '{workflow_id}': it was interrupted. Resume it first."


class LimitExceededError(WfstoreError, ValueError):
    """Something is larger than a limit of the store allows; nothing was written. ``limit`` names it, ``allowed`` and
    ``size`` are in its unit (bytes, tasks, workflows or events), ``what`` says whose size it is."""

    def __init__(self, limit: str, allowed: int, size: int, what: str) -> None:
        self.limit, self.allowed, self.size, self.what = limit, allowed, size, what
        super().__init__(limit, allowed, size, what)

    def __str__(self) -> str:
        unit = self.limit.rpartition("_")[2]
        more = f"workflow.init(limits={{{self.limit!r}: ...}}) sets another limit for this store"
        return f"{self.what}: {self.size:,} {unit}, and {self.limit} allows {self.allowed:,}. {more}"


# -- the store --------------------------------------------------------------------------------------------------------


class StorageError(WfstoreError):
    """The storage cannot be used. ``storage`` is its path or URI, the message says why and what to do."""

    def __init__(self, storage: str, message: str) -> None:
        # As plain text: a URI of an object storage carries its secrets along when it is pickled.
        storage = str(storage)
        self.storage = storage
        self.message = message
        super().__init__(storage, message)

    def __str__(self) -> str:
        return f"{self.storage}: {self.message}"


class StorageNotFoundError(StorageError):
    """There is no store at that place."""


class StorageVersionError(StorageError):
    """The store was written by a newer wfstore than this one."""


class StorageFullError(StorageError):
    """No space is left; what was not acknowledged is not in the log."""


class FencedError(StorageError):
    """A newer manager claimed the log: this writer may not write any more. Nothing unacknowledged counts."""


class OutcomeUnknownError(StorageError):
    """An object storage did not say whether it wrote. What was to be committed may or may not be in the log."""


class DamageError(StorageError):
    """Bytes of the store are not what was written. ``path`` and ``offset`` (bytes) say where."""

    def __init__(self, storage: str, path: str, offset: int, message: str) -> None:
        super().__init__(storage, f"{path} at byte {offset}: {message}")
        self.path = path
        self.offset = offset
        self.args = (self.storage, path, offset, message)


class ManagerLostError(StorageError):
    """The manager of this cluster is gone and could not be reached again; the log is safe."""


class PayloadMissingError(StorageError):
    """A stored value is named by the log and is not in the store."""


class NotCheckpointedError(WorkflowError, ValueError):
    """The task succeeded, and its output was not kept (``checkpoint=False``)."""


class OutsideTaskError(WfstoreError, RuntimeError):
    """Something that user code may only do while it runs as a task of a workflow. ``what`` names it."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(what)

    def __str__(self) -> str:
        return f"{self.what} is for the code of a task while a workflow runs it; here none does"


class QueryError(WfstoreError, ValueError):
    """A query was refused or failed. The message carries DuckDB's own words."""


class InvalidCommandError(WfstoreError, ValueError):
    """A command that can never be carried out, whatever the state; nothing was written."""
