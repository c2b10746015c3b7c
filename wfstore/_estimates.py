"""When running workflows will end, worked out in the background for whoever shows it: nobody waits for long."""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from wfstore.errors import WfstoreError
from wfstore.model.statuses import RUNNING

if TYPE_CHECKING:
    from wfstore._history import History
    from wfstore._store import Store
    from wfstore.answers.eta import Eta
    from wfstore.index import LiveSource

#: An estimate serves for so long; for longer where making all that are asked for would take more than this share of a
#: processor.
_FRESH_S, _SHARE = 3.0, 0.1
#: One that is so many times as old is waited for; one that is this many times as old is not told any more.
_STALE, _FORGOTTEN = 3, 20
_PATIENCE_S, _PATIENCE_READING_S, _KEPT = 0.05, 0.5, 256


class Expected(NamedTuple):
    """Of one workflow: half of the draws end by `p50`, nine of ten by `p90`; without an estimate `reason` says why."""

    p50: Eta | None
    p90: Eta | None
    reason: str | None


class Estimates:
    """One thread works them out, one after the other, for any number that ask."""

    def __init__(self, history: Callable[[str], History]) -> None:
        """history: as `Store.history`."""
        self._history = history
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._kept: OrderedDict[str, tuple[float, Expected]] = OrderedDict()
        self._under_way: dict[str, Future[None]] = {}
        self._cost_s, self._serves_s = 0.0, _FRESH_S

    def of(self, workflow_ids: Iterable[str], patience_s: float = _PATIENCE_S) -> dict[str, Expected]:
        """What is known of these within so many seconds; an estimate that takes longer is there the next time."""
        wanted = list(workflow_ids)
        with self._lock:
            self._serves_s = max(_FRESH_S, len(wanted) * self._cost_s / _SHARE)
            missing = [name for name in wanted if not self._made_within(name, self._serves_s)]
            for name in missing:
                self._ask(name)
            waited = [self._under_way[name] for name in missing if not self._made_within(name, _STALE * self._serves_s)]
        if waited and patience_s > 0:
            wait_for(waited, timeout=patience_s)
        known = self.known()
        return {name: known[name] for name in wanted if name in known}

    def known(self) -> dict[str, Expected]:
        """What was worked out not long ago, by workflow id."""
        with self._lock:
            limit_s = _FORGOTTEN * self._serves_s
            return {name: made for name, (_, made) in self._kept.items() if self._made_within(name, limit_s)}

    def _made_within(self, workflow_id: str, seconds: float) -> bool:
        return workflow_id in self._kept and time.monotonic() - self._kept[workflow_id][0] < seconds

    def _ask(self, workflow_id: str) -> None:
        if workflow_id not in self._under_way:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, "wfstore-estimates")
            self._under_way[workflow_id] = self._pool.submit(self._make, workflow_id)

    def _make(self, workflow_id: str) -> None:
        began = time.monotonic()
        try:
            found = self._history(workflow_id)
            made = Expected(found.eta(0.5), found.eta(0.9), found.why_no_eta)
        except WfstoreError as error:
            made = Expected(None, None, str(error))
        except Exception as error:  # nobody takes this thread's errors, so whoever looks is told
            made = Expected(None, None, f"{type(error).__name__}: {error}")
        with self._lock:
            self._cost_s = 0.7 * self._cost_s + 0.3 * (time.monotonic() - began)
            self._kept[workflow_id] = time.monotonic(), made
            self._kept.move_to_end(workflow_id)
            self._under_way.pop(workflow_id, None)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)


class LiveRows:
    """The manager's memory as rows, `eta_p50_at` and `eta_p90_at` put to those of workflows; the manager does nothing
    for it."""

    def __init__(self, store: Store, source: LiveSource | None) -> None:
        """source: None where there is no manager to ask."""
        self.source = None if source is None else lambda: self._rows(source)
        # Not the store itself: it has this, and a store in a circle keeps its database until Python looks for circles.
        self._store = weakref.ref(store)
        self._estimates = Estimates(lambda workflow_id: self._there().history(workflow_id))

    def _there(self) -> Store:
        store = self._store()
        if store is None:
            raise WfstoreError("nobody has this store any more")
        return store

    def look(self, query: str) -> None:
        """Before a statement: work out what it may read, as far as that is to be had in time."""
        if self.source is None or "live_workflows" not in query.lower():
            return
        try:
            running = self._there().workflows(status=RUNNING)["workflow_id"]
        except WfstoreError:  # of files that the statement itself may not read; else it says so
            return
        self._estimates.of(running, _PATIENCE_READING_S)

    def _rows(self, source: LiveSource) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        workflows, tasks = source()
        known = self._estimates.known()
        return [{**row, **_columns(known.get(row["workflow_id"]))} for row in workflows], tasks


def _columns(made: Expected | None) -> dict[str, datetime]:
    if made is None or made.p50 is None or made.p90 is None:
        return {}
    return {"eta_p50_at": made.p50.at, "eta_p90_at": made.p90.at}
