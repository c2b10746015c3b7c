"""What a trace file can be refused for."""

from __future__ import annotations

from wfstore.errors import WfstoreError


class TraceError(WfstoreError, ValueError):
    """A file is not a valid trace. `path` names the file, `field` the place in it (``workflow.specification...``)."""

    def __init__(self, path: str, field: str, message: str) -> None:
        self.path = path
        self.field = field
        self.message = message
        super().__init__(path, field, message)

    def __str__(self) -> str:
        return f"{self.path}: {self.field}: {self.message}" if self.field else f"{self.path}: {self.message}"
