"""One side of a comparison: a workflow as it stands, or one run of it, with its tasks as rows that can be matched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from wfstore.answers.paths_frames import Critical

#: What a matched task is compared by. span_s: from when it was ready to its end, with waits and attempts that failed;
#: slack_s: by how much it could have ended later, and nothing after it (by spans).
COLUMNS = (
    "task_id",
    "status",
    "attempts",
    "duration_s",
    "wait_s",
    "span_s",
    "output_bytes",
    "code_hash",
    "options",
    "error_type",
    "error_message",
    "slack_s",
)
_DONE = ("SUCCESSFUL", "CAUGHT")


@dataclass(frozen=True, slots=True)
class Side:
    """workflow: its row of `workflows`; run: which of its runs, None for all of it; elapsed_s: of wall time, None while
    it goes on; rows: its tasks in the columns of the view `tasks`, in the order of definition, as the run left them;
    tasks: task_key, position (from 1, among the tasks of that key) and `COLUMNS` of each."""

    workflow: Mapping[str, Any]
    run: int | None
    status: str
    elapsed_s: float | None
    rows: pl.DataFrame
    tasks: pl.DataFrame

    @property
    def name(self) -> str:
        """The workflow's id, with "@2" for run 2."""
        workflow_id = str(self.workflow["workflow_id"])
        return workflow_id if self.run is None else f"{workflow_id}@{self.run}"

    @property
    def done(self) -> int:
        """How many of its tasks have succeeded."""
        return int(self.tasks["status"].is_in(_DONE).sum())


def side(
    workflow: Mapping[str, Any],
    runs: pl.DataFrame,
    tasks: pl.DataFrame,
    attempts: pl.DataFrame,
    edges: pl.DataFrame,
    run: int | None = None,
) -> Side:
    """Of one workflow: its row, and its rows of the other views. Raises ValueError for a run that there was not."""
    status, elapsed = str(workflow["status"]), workflow["elapsed_s"]
    if run is not None:
        known = runs["run"].to_list()
        if run not in known:
            raise ValueError(f"workflow {workflow['workflow_id']!r} has no run {run}; it has {_listed(known)}")
        row = runs.row(by_predicate=pl.col("run") == run, named=True)
        status, elapsed = str(row["outcome"]), row["duration_s"]
        tasks = _in_run(tasks, attempts, run)
    spans = tasks.with_columns(span_s=(pl.col("ended_at") - pl.col("ready_at")).dt.total_microseconds() / 1e6)
    weighed = spans.with_columns(Critical(spans.with_columns(duration_s="span_s"), edges).slack)
    place = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("task_key").alias("position")
    return Side(workflow, run, status, elapsed, tasks, weighed.select("task_key", place, *COLUMNS))


def _in_run(tasks: pl.DataFrame, attempts: pl.DataFrame, run: int) -> pl.DataFrame:
    """The tasks that were tried in the run, and those whose output it took over: SUCCESSFUL, without an attempt."""
    tried = attempts.filter(pl.col("run") <= run).sort("submitted_seq")
    ended_well = pl.col("status") == "SUCCESSFUL"
    now = (
        tried.filter(pl.col("run") == run)
        .group_by("task_id")
        .agg(
            pl.col("status").last(),
            pl.len().cast(pl.Int64).alias("attempts"),
            pl.coalesce(pl.col("duration_s").filter(ended_well).last(), pl.col("duration_s").last()),
            pl.col("queue_s").first().alias("wait_s"),
            pl.col("submitted_at").first().alias("ready_at"),
            pl.col("started_at").first(),
            pl.col("ended_at").last(),
            pl.col("output_bytes").last(),
            pl.col("error_type").last(),
            pl.col("error_message").last(),
        )
    )
    before = tried.filter((pl.col("run") < run) & ended_well)["task_id"].unique()
    reused = tasks.filter(
        pl.col("task_id").is_in(before.implode()) & ~pl.col("task_id").is_in(now["task_id"].implode())
    )
    told = [name for name in now.columns if name != "task_id"]
    spent = ("duration_s", "wait_s", "ready_at", "started_at", "ended_at")
    kept = reused.with_columns(
        status=pl.lit("SUCCESSFUL"),
        attempts=pl.lit(0, dtype=pl.Int64),
        **{name: pl.lit(None, dtype=tasks.schema[name]) for name in spent},
    )
    tried_now = tasks.drop(told).join(now, on="task_id", how="inner").select(tasks.columns)
    return pl.concat([tried_now, kept]).sort("defined_seq")


def _listed(runs: list[int]) -> str:
    return f"run{'s' * (len(runs) > 1)} {', '.join(map(str, runs))}" if runs else "none"
