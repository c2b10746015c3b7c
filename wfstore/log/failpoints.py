"""Named points on the way of a commit or a compaction at which a test may kill, fail or delay it. Without a test they
do nothing.

`WFSTORE_FAILPOINT=<name>=kill[@n]` arms a point in a process of its own: the n-th time it is hit (default: the first),
the process kills itself with SIGKILL. In process, `arm(name, callback)` does whatever the test wants.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

CLAIM_CREATED = "claim.created"
CLAIM_SCANNED = "claim.scanned"
CLAIM_SYNCED = "claim.synced"
APPEND_BEFORE_WRITE = "append.before_write"
APPEND_HALF_WRITTEN = "append.half_written"
APPEND_WRITTEN = "append.written"
APPEND_SYNCED = "append.synced"
APPEND_CHECKED = "append.checked"
ROTATE_CREATED = "rotate.created"
ROTATE_SYNCED = "rotate.synced"
CLOSE_BEFORE_WITNESS = "close.before_witness"
WITNESS_BEFORE_RENAME = "witness.before_rename"

#: Every point, in the order in which a writer that claims, appends, rotates and closes comes by.
ALL = (
    CLAIM_CREATED,
    CLAIM_SCANNED,
    CLAIM_SYNCED,
    WITNESS_BEFORE_RENAME,
    APPEND_BEFORE_WRITE,
    APPEND_HALF_WRITTEN,
    APPEND_WRITTEN,
    APPEND_SYNCED,
    APPEND_CHECKED,
    ROTATE_CREATED,
    ROTATE_SYNCED,
    CLOSE_BEFORE_WITNESS,
)

WORK_MADE = "compact.work_made"
FILE_WRITTEN = "compact.file_written"
FILES_WRITTEN = "compact.files_written"
FILE_PUBLISHED = "compact.file_published"
MANIFEST_DRAFTED = "compact.manifest_drafted"
MANIFEST_PUBLISHED = "compact.manifest_published"
FILE_REMOVED = "sweep.file_removed"
MANIFEST_REMOVED = "sweep.manifest_removed"
SEGMENT_REMOVED = "sweep.segment_removed"

#: Every point of a compaction, in the order in which it comes by.
COMPACTION = (
    WORK_MADE,
    FILE_WRITTEN,
    FILES_WRITTEN,
    FILE_PUBLISHED,
    MANIFEST_DRAFTED,
    MANIFEST_PUBLISHED,
    FILE_REMOVED,
    MANIFEST_REMOVED,
    SEGMENT_REMOVED,
)

BACKUP_FILE_COPIED = "backup.file_copied"
BACKUP_LOG_COPIED = "backup.log_copied"
BACKUP_BEFORE_NOTE = "backup.before_note"
BACKUP_NOTED = "backup.noted"

#: Every point of a backup or a restore, in the order in which it comes by; a restore has no note.
BACKUP = (BACKUP_FILE_COPIED, BACKUP_LOG_COPIED, BACKUP_BEFORE_NOTE, BACKUP_NOTED)

_armed: dict[str, Callable[[], None]] = {}


def hit(name: str) -> None:
    """Pass the point `name`."""
    if _armed and (action := _armed.get(name)) is not None:
        action()


def armed(name: str) -> bool:
    """Whether somebody waits at `name`; for points that only exist when they are armed."""
    return name in _armed


def arm(name: str, action: Callable[[], None]) -> None:
    """Call `action` whenever `name` is hit. Raises KeyError for a name that does not exist."""
    if name not in ALL + COMPACTION + BACKUP:
        raise KeyError(name)
    _armed[name] = action


def disarm() -> None:
    """Forget every armed point."""
    _armed.clear()


def _kill_at(count: int) -> Callable[[], None]:
    left = count

    def action() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return action


def _arm_from_environment() -> None:
    if setting := os.environ.get("WFSTORE_FAILPOINT"):
        name, _, action = setting.partition("=")
        arm(name, _kill_at(int(action.partition("@")[2] or 1)))


_arm_from_environment()
