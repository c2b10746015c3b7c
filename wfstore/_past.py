"""Past runs of a workflow, read once and kept for a while: what estimates of the end are made from."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from wfstore.index import Index, catalog, to_polars

if TYPE_CHECKING:
    import polars as pl

    from wfstore.answers.eta_past import Past

#: So many of the latest runs at most, and so many tasks of them together, but never fewer runs than an estimate needs.
_MOST_RUNS, _MOST_TASKS = 60, 20_000
#: Runs that end meanwhile are taken in after so long.
_KEPT_S, _KEPT = 30.0, 64


class PastRuns:
    """Of one store. Any number of threads may ask; what is new to it takes some ten milliseconds."""

    def __init__(self, index: Index, at: datetime | None = None) -> None:
        """at: the moment as of which the store is read, UTC without a zone; without it, the present."""
        self._index, self._at = index, at
        self._lock = threading.Lock()
        self._found: OrderedDict[tuple[Any, ...], tuple[float, Past | str]] = OrderedDict()

    def now(self) -> datetime:
        """UTC without a zone."""
        return datetime.now(UTC).replace(tzinfo=None) if self._at is None else self._at

    def of(self, row: Mapping[str, Any], until: datetime | None = None) -> Past | str:
        """Of the workflow with that row of `workflows`: the successful ones of the same name and DAG hash that ended
        by `until` (UTC without a zone; None: by now); where these are fewer than five, those of the same name. A text:
        why there is none."""
        key = (row["name"], row["dag_hash"], until)
        with self._lock:
            read_at, kept = self._found.get(key, (0.0, ""))
        if kept and time.monotonic() - read_at < _KEPT_S:
            return kept
        found = self._read(row["name"], row["dag_hash"], until or self.now())
        with self._lock:
            self._found[key] = time.monotonic(), found
            self._found.move_to_end(key)
            while len(self._found) > _KEPT:
                self._found.popitem(last=False)
        return found

    def _read(self, name: str | None, dag_hash: str | None, until: datetime) -> Past | str:
        from wfstore.answers.eta import LEAST_RUNS
        from wfstore.answers.eta_past import past

        runs = self._runs(name, dag_hash, until)
        same_dag = dag_hash is not None
        if same_dag and runs.height < LEAST_RUNS:
            runs, same_dag = self._runs(name, None, until), False
        if runs.height < LEAST_RUNS:
            return f"{runs.height} past successful runs of {name!r}, and fewer than {LEAST_RUNS} say too little"
        runs = runs.head(max(LEAST_RUNS, int((runs["tasks"].cum_sum() <= _MOST_TASKS).sum())))
        ids = {"ids": runs["workflow_id"].to_list()}
        tasks, attempts = self._run("past_tasks", ids), self._run("past_attempts", ids)
        if not (attempts["started_at"].is_not_null() & attempts["ended_at"].is_not_null()).any():
            return f"nothing is known of when the tasks of past runs of {name!r} ran"
        grows = tasks["creator"].null_count() < tasks.height
        edges = self._run("past_edges", ids if grows else {"ids": []})
        return past(runs, tasks, attempts, edges, same_dag)

    def _runs(self, name: str | None, dag_hash: str | None, until: datetime) -> pl.DataFrame:
        return self._run("past_runs", {"name": name, "dag_hash": dag_hash, "until": until, "most": _MOST_RUNS})

    def _run(self, query: str, params: Mapping[str, Any]) -> pl.DataFrame:
        return to_polars(self._index.run(catalog.folder("eta")[query], params))
