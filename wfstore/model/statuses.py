"""The statuses and the moves between them, as tables."""

from __future__ import annotations

from enum import Enum


class WorkflowStatus(str, Enum):  # noqa: UP042 - the contract of the public API
    """Where a workflow stands. Compares equal to its plain string."""

    NONE = "NONE"
    RUNNING = "RUNNING"
    PENDING = "PENDING"
    FAILED = "FAILED"
    RESUMABLE = "RESUMABLE"
    CANCELED = "CANCELED"
    SUCCESSFUL = "SUCCESSFUL"

    def __str__(self) -> str:
        return self.value


# Plain strings inside: an enum member costs a lookup in every hot comparison.
RUNNING, PENDING, FAILED = "RUNNING", "PENDING", "FAILED"
RESUMABLE, CANCELED, SUCCESSFUL = "RESUMABLE", "CANCELED", "SUCCESSFUL"
RETRYING, CAUGHT, SKIPPED = "RETRYING", "CAUGHT", "SKIPPED"

WORKFLOW_STATUSES = (RUNNING, PENDING, FAILED, RESUMABLE, CANCELED, SUCCESSFUL)
TASK_STATUSES = (PENDING, RUNNING, RETRYING, SUCCESSFUL, FAILED, CAUGHT, CANCELED, SKIPPED)
ATTEMPT_STATUSES = (PENDING, RUNNING, SUCCESSFUL, FAILED, CANCELED)

#: A workflow the manager owes work to.
WORKFLOW_ACTIVE = frozenset({RUNNING, PENDING})
#: An attempt somebody may still report about.
ATTEMPT_OPEN = frozenset({PENDING, RUNNING})

#: (from, to): every move a workflow may make; None is "does not exist".
WORKFLOW_MOVES: frozenset[tuple[str | None, str | None]] = frozenset(
    {
        (None, PENDING),
        (PENDING, RUNNING),
        (PENDING, CANCELED),
        (PENDING, RESUMABLE),
        (RUNNING, SUCCESSFUL),
        (RUNNING, FAILED),
        (RUNNING, CANCELED),
        (RUNNING, RESUMABLE),
        (RESUMABLE, PENDING),
        (RESUMABLE, RUNNING),
        (RESUMABLE, CANCELED),
        (RESUMABLE, None),
        (FAILED, PENDING),
        (FAILED, RUNNING),
        (FAILED, None),
        (SUCCESSFUL, PENDING),
        (SUCCESSFUL, RUNNING),
        (SUCCESSFUL, None),
        (CANCELED, None),
    }
)

#: (from, to): every move a task may make; None is "not defined yet".
TASK_MOVES: frozenset[tuple[str | None, str]] = frozenset(
    {
        (None, PENDING),
        (PENDING, RUNNING),
        (PENDING, SUCCESSFUL),
        (PENDING, FAILED),
        (PENDING, RETRYING),
        (PENDING, SKIPPED),
        (PENDING, CANCELED),
        (RUNNING, SUCCESSFUL),
        (RUNNING, FAILED),
        (RUNNING, RETRYING),
        (RUNNING, PENDING),
        (RUNNING, CANCELED),
        (RUNNING, SKIPPED),
        (RETRYING, PENDING),
        (RETRYING, CANCELED),
        (RETRYING, SKIPPED),
        (FAILED, PENDING),
        (FAILED, RETRYING),
        (FAILED, CAUGHT),
        (FAILED, SKIPPED),
        (SUCCESSFUL, PENDING),
        (SUCCESSFUL, CAUGHT),
        (CAUGHT, PENDING),
        (CANCELED, PENDING),
        (SKIPPED, PENDING),
    }
)
