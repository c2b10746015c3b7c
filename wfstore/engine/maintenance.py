"""What maintenance of a store asks of the manager that holds it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from wfstore.engine import client
from wfstore.errors import StorageError, WorkflowNotFoundError, WorkflowStillActiveError
from wfstore.model.commands import Delete

#: The manager writes what comes at once in one commit.
_AT_ONCE = 16


class Deleter:
    """Deletes workflows of a store through its manager, in whose cluster this process has to be."""

    def __init__(self, storage: str) -> None:
        """Raises StorageError where this process is in no cluster, or in one that works on another store."""
        found = client.join()
        if found is None or found.storage != storage:
            there = "none is to be found from here" if found is None else f"the one found here works on {found.storage}"
            raise StorageError(storage, f"a manager holds this store, and {there}: run this where its cluster is")
        self._client = found

    def delete(self, workflows: Sequence[tuple[str, int]], by: str, progress: Callable[[int], None]) -> list[bool]:
        """Delete workflows whose last run is still the given one; which of them were. progress: told how many are done.

        Raises the StorageError family.
        """
        gone: list[bool] = []
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            for deleted in threads.map(lambda each: self._delete(each[0], each[1], by), workflows):
                gone.append(deleted)
                progress(len(gone))
        return gone

    def _delete(self, workflow_id: str, run: int, by: str) -> bool:
        try:
            self._client.order(Delete(workflow_id, uuid.uuid4().hex, by, run))
        except (WorkflowNotFoundError, WorkflowStillActiveError):
            return False  # somebody deleted it, or ran it again
        return True
