"""The report `regressions` over rows that a test makes: tables in place of the views, so that thousands are cheap."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from benchmarks.regressions import SINCE, over

__all__ = ["MINUTE", "SINCE", "Tables"]

MINUTE = timedelta(minutes=1)
_WORKFLOWS = {
    "workflow_id": pl.String,
    "name": pl.String,
    "submitted_at": pl.Datetime("us"),
    "submitted_seq": pl.Int64,
    "git_commit": pl.String,
    "versions": pl.String,
}
_TASKS = {
    "workflow_id": pl.String,
    "task_key": pl.String,
    "type": pl.String,
    "status": pl.String,
    "code_hash": pl.String,
    "duration_s": pl.Float64,
    "output_bytes": pl.Int64,
    "attempts": pl.Int64,
    "retries": pl.Int64,
    "wait_s": pl.Float64,
}


class Tables:
    """Workflows are added in the order in which they were submitted, a minute apart."""

    def __init__(self) -> None:
        self._workflows: list[dict[str, Any]] = []
        self._tasks: list[dict[str, Any]] = []

    def add(self, at: datetime, tasks: Sequence[dict[str, Any]], **said: Any) -> str:
        """A workflow "w0", "w1", ...; each of `tasks` says what differs from a successful one of 1 s."""
        number = len(self._workflows)
        given = {"name": "flow", "git_commit": None, "versions": "{}", **said}
        self._workflows.append({"workflow_id": f"w{number}", "submitted_at": at, "submitted_seq": number, **given})
        usual = {"task_key": "load", "type": "function", "status": "SUCCESSFUL", "code_hash": None, "duration_s": 1.0}
        usual |= {"output_bytes": 10, "attempts": 1, "retries": 0, "wait_s": 0.5}
        self._tasks += [{"workflow_id": f"w{number}", **usual, **task} for task in tasks]
        return f"w{number}"

    def durations(self, before: Sequence[float], after: Sequence[float], **task: Any) -> None:
        """Workflows of one task each, before and after SINCE."""
        begin = SINCE - len(before) * MINUTE
        for place, seconds in enumerate(itertools.chain(before, after)):
            self.add(begin + place * MINUTE, [{"duration_s": seconds, **task}])

    def report(self, **params: Any) -> pl.DataFrame:
        """Since SINCE, all verdicts, unless `params` says otherwise."""
        workflows = pl.DataFrame(self._workflows, schema=_WORKFLOWS)
        tasks = pl.DataFrame(self._tasks, schema=_TASKS)
        return over(workflows, tasks, **params)
