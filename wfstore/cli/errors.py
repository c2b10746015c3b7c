"""What ends a command before it is done."""

from __future__ import annotations

from wfstore.errors import WfstoreError


class RefusedError(WfstoreError):
    """The command itself says no; the message is the line to print."""


class StoppedError(WfstoreError):
    """Ctrl-C while a workflow was running; the message says what becomes of it."""
