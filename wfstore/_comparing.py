"""What `Store` answers about differences: what became worse, and what is not alike in two workflows."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from wfstore._history import History
from wfstore.errors import WorkflowNotFoundError
from wfstore.index import catalog

if TYPE_CHECKING:
    from wfstore._store import Store
    from wfstore.answers.diff import Diff
    from wfstore.answers.regressions import Side
    from wfstore.index.filters import Moment

    #: Which run of each; None: the whole workflow, its last state.
    Runs = tuple[int | None, int | None]


class Comparisons(ABC):
    """For `Store`, which says how one workflow and one report are read."""

    @abstractmethod
    def history(self, workflow_id: str) -> History:
        """The whole history of one workflow. Raises WorkflowNotFoundError."""

    @abstractmethod
    def report(self, name: str, **params: Any) -> pl.DataFrame:
        """The rows of a report. Raises ValueError."""

    def _present(self) -> datetime | None:
        """What ages count back from, UTC; None: now."""
        return None

    def regressions(
        self,
        since: Moment = "7d",
        baseline: Side = None,
        min_ratio: float = 1.1,
        *,
        until: Side = None,
        workflow: str | None = None,
        task: str | None = None,
        measure: str | None = None,
        max_p: float = 0.02,
        max_q: float = 0.2,
        least: int = 10,
        most: int = 500,
        verdict: str = "worse",
    ) -> pl.DataFrame:
        """What became worse, by workflow name, task_key and measure: rows of the report `regressions`, worst first.

        since: where after begins: a moment, or how long ago; baseline: how much before it is compared with (28d where
        nothing is said), or where that begins. Both may be code instead, as the beginning of a code_hash or git_commit;
        without a baseline it is compared with all other code. until: only what was submitted before that.
        workflow, task, measure: only this name, this task_key; duration_s, output_bytes, retries or queue_s.
        min_ratio: how many times as much is worse; max_p: share of keys that may be reported where nothing changed;
        max_q: share of false rows among those of a measure that is accepted (Benjamini and Hochberg); least: with fewer
        workflows on a side nothing is said; most: so many are taken of a name and side, evenly.
        verdict: worse, no worse, too few, or any; the columns keys_compared and keys_left_out count.

        Columns as the report's: n, medians and ratio with its 95 % interval, p (Mann and Whitney, one-sided, on one
        value for each workflow) and q, changed_at, first_workflow_id, code and commit before and after that.
        Raises ValueError for what cannot be read as a side, a measure or a verdict.
        """
        from wfstore.answers import regressions as answer

        given = {
            **answer.parameters(since, baseline, until, self._present()),
            "measure": answer.choice(measure, answer.MEASURES, "measure"),
            "verdict": answer.choice(verdict, answer.VERDICTS, "verdict"),
        }
        limits = {"min_ratio": min_ratio, "max_p": max_p, "max_q": max_q, "least": least, "most": most}
        return self.report("regressions", workflow=workflow, task=task, **limits, **given)

    def diff(self, a: str, b: str, *, runs: Runs | None = None) -> Diff:
        """What is not alike in two workflows: their tasks, matched by task_key and place within it, worst first.

        a, b: ids; "ID@2" means run 2 of that workflow alone, as does runs=(None, 2). Raises WorkflowNotFoundError, and
        ValueError for a run there was not.
        """
        from wfstore.answers.diff import diff

        if runs is not None and len(runs) != 2:
            raise ValueError(f"runs is a pair, of a and of b, not {runs!r}")
        first, second = runs or (None, None)
        return diff(*(self._side(named, run) for named, run in ((a, first), (b, second))))

    def _side(self, named: str, run: int | None) -> Any:
        from wfstore.answers.diff import side

        workflow_id, number = named, run
        try:
            history = self.history(named)
        except WorkflowNotFoundError:
            workflow_id, at, said = named.rpartition("@")
            if run is not None or not workflow_id or not at or not said.isdecimal():
                raise
            history, number = self.history(workflow_id), int(said)
        return side(history.workflow, history.runs, history.tasks, history.attempts, history.edges, number)


def before(store: Store, workflow_id: str) -> str | None:
    """The workflow of the same name that was submitted last before this one. Raises WorkflowNotFoundError."""
    row = store.history(workflow_id).workflow
    asked = {"name": row["name"], "seq": row["submitted_seq"]}
    (found,) = store.sql(catalog.folder("dashboard")["previous"].sql, asked).fetchall()[0]
    return None if found is None else str(found)


def regressions(
    since: Moment = "7d",
    baseline: Side = None,
    min_ratio: float = 1.1,
    *,
    storage: str | os.PathLike[str] | None = None,
    **more: Any,
) -> pl.DataFrame:
    """What became worse in a store. As `Store.regressions`, which says what `more` may be."""
    from wfstore._store import open

    return open(storage).regressions(since, baseline, min_ratio, **more)


def diff(a: str, b: str, *, storage: str | os.PathLike[str] | None = None, runs: Runs | None = None) -> Diff:
    """What is not alike in two workflows of a store. As `Store.diff`."""
    from wfstore._store import open

    return open(storage).diff(a, b, runs=runs)
