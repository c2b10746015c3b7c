"""What an import did, for people and for machines."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple


class Imported(NamedTuple):
    """A workflow that is in the store now (or would be, in a dry run). tasks: how many."""

    workflow_id: str
    status: str
    tasks: int


class Problem(NamedTuple):
    """Something about one workflow. task_id: the task it is about, None: the whole workflow."""

    workflow_id: str
    task_id: str | None
    reason: str

    def __str__(self) -> str:
        return f"{self.workflow_id}{f' / {self.task_id}' if self.task_id else ''}: {self.reason}"


@dataclass(slots=True)
class ImportReport:
    """What an import did.

    source, storage: from where to where; dry_run: nothing was written
    existing: ids that the store has already, left as they are
    broken: workflows that could not be read; nothing of them is in the store
    not_resumable: workflows that are there to be read, but would fail when they are resumed as things stand here
    notes: what else there is to know: files that a crash cut off, folders of workflows that were never accepted
    """

    source: str
    storage: str
    dry_run: bool
    imported: list[Imported] = field(default_factory=list)
    existing: list[str] = field(default_factory=list)
    broken: list[Problem] = field(default_factory=list)
    not_resumable: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)

    @property
    def statuses(self) -> dict[str, int]:
        """How many were imported, by status."""
        return dict(sorted(Counter(item.status for item in self.imported).items()))
