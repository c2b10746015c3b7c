"""Answers that are costly to make and asked for often, kept as they were sent for as long as they are true.

An answer out of the store is true until something of that workflow is in the log: each time it is asked for, `changes`
says whether there is. One about a workflow that is under way grows older by the moment, wherever it came from: it
serves for a tenth of a second those who ask together.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from wfstore._observe import WorkflowObservability

_MOST_BYTES = 64 * 2**20
LIVE_S = 0.1
#: That a manager died is in no event; what follows from it shows after so long at the latest.
STORED_S = 5.0


class Made(NamedTuple):
    """An answer as it is sent. live: it came from the manager's memory; open: out of the store, about a workflow that
    is under way."""

    body: bytes
    live: bool
    open: bool = False


class _Kept(NamedTuple):
    body: bytes
    live: bool
    open: bool
    cursor: str
    made_at: float


class Kept:
    """Up to 64 MB of answers, the most recently asked for. Used from any thread."""

    def __init__(self, observability: WorkflowObservability) -> None:
        self._observability = observability
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0

    def get(self, workflow_id: str, make: Callable[[], Made]) -> bytes:
        """The answer about that workflow: a kept one that is still true, or a new one. Blocks."""
        found = self._true(workflow_id)
        if found is not None:
            return found
        began = time.monotonic()
        cursor = self._observability.changes(None, timeout_s=0.0).cursor  # first: what comes while it is made, counts
        made = make()
        self._keep(workflow_id, _Kept(*made, cursor, began))
        return made.body

    def _true(self, workflow_id: str) -> bytes | None:
        with self._lock:
            kept = self._answers.get(workflow_id)
        if kept is None:
            return None
        age_s = time.monotonic() - kept.made_at
        if age_s > (LIVE_S if kept.live else STORED_S):
            return None
        if not kept.live and not (kept.open and age_s <= LIVE_S):
            since = self._observability.changes(kept.cursor, timeout_s=0.0, workflow_id=workflow_id)
            if since.resync or since.workflows or since.tasks or since.deleted:
                return None
            self._keep(workflow_id, kept._replace(cursor=since.cursor))
        return kept.body

    def _keep(self, workflow_id: str, kept: _Kept) -> None:
        with self._lock:
            before = self._answers.pop(workflow_id, None)
            self._bytes += len(kept.body) - (0 if before is None else len(before.body))
            self._answers[workflow_id] = kept
            while self._bytes > _MOST_BYTES:
                _, oldest = self._answers.popitem(last=False)
                self._bytes -= len(oldest.body)
