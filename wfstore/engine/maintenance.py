"""What maintenance of a store asks of the manager that holds it."""

from __future__ import annotations

import uuid

from wfstore.engine import client
from wfstore.errors import StorageError
from wfstore.model.commands import Delete


class Deleter:
    """Deletes workflows of a store through its manager, in whose cluster this process has to be."""

    def __init__(self, storage: str) -> None:
        """Raises StorageError where this process is in no cluster, or in one that works on another store."""
        found = client.join()
        if found is None or found.storage != storage:
            there = "none is to be found from here" if found is None else f"the one found here works on {found.storage}"
            raise StorageError(storage, f"a manager holds this store, and {there}: run this where its cluster is")
        self._client = found

    def delete(self, workflow_id: str, by: str) -> None:
        """Raises WorkflowNotFoundError, WorkflowStillActiveError."""
        self._client.order(Delete(workflow_id, uuid.uuid4().hex, by=by))
