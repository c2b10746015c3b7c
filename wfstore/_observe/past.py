"""What observers see of a store as it stood after an earlier event: the same questions, and nothing that changes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection
from datetime import datetime
from typing import Any, NoReturn

from wfstore._asof import StoreAsOf, place
from wfstore._estimates import Estimates
from wfstore._history import History
from wfstore._observe import WorkflowObservability
from wfstore._observe.rows import StoredRows
from wfstore._observe.snapshots import Found
from wfstore._store import Store
from wfstore.errors import WorkflowNotFoundError

#: Each is a database of its own, which takes a moment to make and some memory.
_KEPT = 4


class PastObservability(WorkflowObservability):
    """`WorkflowObservability` over `Store.as_of`: no manager is asked, and actions are refused."""

    def __init__(self, store: StoreAsOf) -> None:
        self.past = store
        self._store: Store = store
        self._rows = PastRows(store)
        self._estimates = Estimates(store.history)

    @property
    def at(self) -> datetime | None:
        """The moment it is about."""
        return self.past.at

    @property
    def live(self) -> bool:
        """Nothing of the past can be changed."""
        return False

    def why_not_live(self) -> str:
        """One sentence for people."""
        return "This is the past, and nothing of it can be changed"

    def _live(self, ids: list[str], tasks: bool) -> Found:
        return {}

    def _snapshot(self, workflow_id: str, tasks: bool) -> None:
        return None

    def _refuse(self, *args: Any, **named: Any) -> NoReturn:
        raise ValueError(self.why_not_live())

    changes = bulk = _do = _refuse


class PastRows(StoredRows):
    """Rows out of views alone: a model that follows the log would go on to the present."""

    def history(self, workflow_id: str) -> History:
        """As `StoredRows.history`; the error says of when, and whether the workflow is no longer kept."""
        try:
            return super().history(workflow_id)
        except WorkflowNotFoundError:
            return self._store.history(workflow_id)

    def _followed(self, workflow_id: str, wanted: Collection[str] | None, *, make: bool) -> None:
        return None


class Pasts:
    """Pasts of one store, of which those that were asked for last are kept. Any number of threads may ask."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, PastObservability] = OrderedDict()

    def get(self, when: str) -> PastObservability:
        """What the store was then: a seq or a moment, as `Store.as_of` takes them. Raises ValueError."""
        seq, asked = place(self._store, when)
        with self._lock:
            found = self._kept.get(seq)
            if found is None:
                found = self._kept[seq] = PastObservability(StoreAsOf(self._store, seq, asked))
            self._kept.move_to_end(seq)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found
