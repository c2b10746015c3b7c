"""Running workflows out of the manager's memory, one asking for all who want the same at the same moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

#: workflows, tasks -> rows
Found: TypeAlias = dict[str, Sequence[dict[str, Any]]]

#: A snapshot serves everybody who asks within this time, but for those who may know of something newer.
SHARED_S = 0.1


class Snapshots:
    """Any number of threads may ask."""

    def __init__(self, ask: Callable[[str, bool], Found]) -> None:
        """ask: for the row of one workflow, and with True those of its tasks, as they are now."""
        self._ask = ask
        self._lock = threading.Lock()
        # (id, with its tasks) -> (when it was asked for, rows); id -> when somebody was told of a change
        self._kept: dict[tuple[str, bool], tuple[float, Found]] = {}
        self._told: dict[str, float] = {}
        self._all_told = 0.0

    def of(self, workflow_id: str, tasks: bool) -> Found:
        """As it is now, or was a moment ago; never older than what `outdate` was told of.

        Without tasks it costs the manager next to nothing."""
        now = time.monotonic()
        with self._lock:
            told_at = self._told.get(workflow_id, self._all_told)
            for key in ((workflow_id, True), (workflow_id, tasks)):
                asked_at, found = self._kept.get(key, (0.0, {}))
                if asked_at > told_at and now - asked_at <= SHARED_S:
                    return found
        found = self._ask(workflow_id, tasks)
        with self._lock:
            self._kept = {key: kept for key, kept in self._kept.items() if now - kept[0] <= SHARED_S}
            self._kept[workflow_id, tasks] = now, found
        return found

    def outdate(self, workflow_ids: Iterable[str]) -> None:
        """Somebody hears of a change of these now, and will ask what it is about: an answer that was asked for before,
        and may still be under way, is too old for that."""
        now = time.monotonic()
        with self._lock:
            if len(self._told) > 1_000:
                self._told = {name: at for name, at in self._told.items() if now - at <= SHARED_S}
            self._told.update(dict.fromkeys(workflow_ids, now))

    def outdate_all(self) -> None:
        """Somebody begins to listen, or has missed what it was."""
        with self._lock:
            self._told, self._all_told = {}, time.monotonic()
