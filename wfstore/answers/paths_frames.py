"""The critical path as frames: slack beside each task, the path itself, and what the elapsed time went to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from wfstore.answers import paths
from wfstore.model.dag import EVENT, TIMER, WAIT

#: Types of tasks that run no code: what they take is waiting.
WAITING = (TIMER, EVENT, WAIT)


@dataclass(frozen=True, slots=True)
class Makespan:
    """What the time from a workflow's submission to its end went to, along its critical path. Seconds.

    elapsed_s is the sum of the others; where an attempt of the path outlasts a workflow that failed or was canceled, it
    is the time until the end of that. tasks: how many tasks of the path have ended, from which this was worked out;
    code_s: their user code, the attempts that count alone; waits_s: timers, events and waits on the path; retries_s:
    from a task's first start to the start of the attempt that counts, so earlier attempts, back-offs and the time
    between runs; gaps_s: all else, which is the engine's and Ray's: queues, starting workers, fetching arguments,
    storing outputs. Where clocks of nodes differ, gaps_s takes the difference, and may then be less than 0.
    """

    elapsed_s: float
    tasks: int
    code_s: float
    waits_s: float
    retries_s: float
    gaps_s: float

    def shares(self) -> dict[str, float]:
        """Of code_s, waits_s, retries_s and gaps_s: as a share of elapsed_s, 0 to 1; {} where that is 0."""
        parts = {"code_s": self.code_s, "waits_s": self.waits_s, "retries_s": self.retries_s, "gaps_s": self.gaps_s}
        return {name: value / self.elapsed_s for name, value in parts.items()} if self.elapsed_s > 0 else {}


class Critical:
    """The longest path of one workflow, and by how much every other task is shorter. Worked out when it is asked for.

    The definition of the graph is that of `wfstore.answers.paths`, and of the report `critical_path`.
    """

    def __init__(self, tasks: pl.DataFrame, edges: pl.DataFrame, submitted_at: datetime | None = None) -> None:
        """Frames with the columns of the views, tasks in the order of definition; submitted_at: of the workflow."""
        self._tasks, self._edges, self._submitted_at = tasks, edges, submitted_at

    @classmethod
    def of_rows(
        cls,
        tasks: Sequence[Mapping[str, Any]],
        edges: Sequence[Mapping[str, Any]],
        submitted_at: datetime | None = None,
    ) -> Critical:
        """Of plain rows, live ones too, which may have more columns and lack some."""
        return cls(*paths.frames(tasks, edges), submitted_at)

    @cached_property
    def graph(self) -> paths.Graph:
        return paths.graph(self._tasks, self._edges)

    @cached_property
    def ways(self) -> paths.Ways:
        return paths.ways(self.graph)

    @cached_property
    def _lengths(self) -> paths.Lengths:
        return paths.lengths(self.graph, self.ways)

    @cached_property
    def _places(self) -> list[int]:
        found: list[int] = paths.longest_path(self.graph, self.ways, self._lengths.head).tolist()
        return found

    @cached_property
    def ids(self) -> list[str]:
        """The tasks of the path, first to last."""
        found: list[str] = self._tasks["task_id"].gather(self._places).to_list()
        return found

    @cached_property
    def length_s(self) -> float:
        """What the durations of the path sum up to."""
        return self._lengths.whole / 1e6

    @cached_property
    def slack(self) -> pl.Series:
        """Of each task, seconds by which it could have ended later and the longest path been none longer; None where it
        has no duration yet."""
        count = self.graph.tasks
        known = self._lengths.known[:count] & ~np.isnan(self._tasks["duration_s"].to_numpy())
        return pl.Series("slack_s", np.where(known, self._lengths.slack[:count] / 1e6, np.nan), nan_to_null=True)

    @cached_property
    def tasks(self) -> pl.DataFrame:
        """The tasks with two columns more: on_critical_path, slack_s."""
        on_path = np.zeros(self._tasks.height, dtype=np.bool_)
        on_path[self._places] = True
        return self._tasks.with_columns(pl.Series("on_critical_path", on_path), self.slack)

    @cached_property
    def table(self) -> pl.DataFrame:
        """A row for each task of the path, in the columns of the report `critical_path`, and beside them gap_s and
        retried_s: with duration_s they sum up to the time from the workflow's submission to the path's end."""
        cost_us = self.graph.cost_us[self._places]
        rows = self.tasks[self._places].with_columns(cost=pl.Series(cost_us))
        began = pl.col("ended_at") - pl.duration(microseconds="cost")
        first = pl.when(pl.col("cost") > 0).then(pl.min_horizontal("started_at", began)).otherwise(began)
        rows = rows.with_columns(
            gap=(first - pl.col("ended_at").shift(fill_value=self._submitted_at)).dt.total_microseconds(),
            retried=(began - first).dt.total_microseconds(),
        )
        return rows.select(
            position=pl.int_range(1, pl.len() + 1, dtype=pl.Int64),
            task_id="task_id",
            task_key="task_key",
            task_name="name",
            type="type",
            status="status",
            wait_s="wait_s",
            gap_s=seconds(rows["gap"]),
            retried_s=seconds(rows["retried"]),
            duration_s=pl.Series(cost_us / 1e6),
            path_s=pl.Series(cost_us.cumsum() / 1e6),
            share=pl.Series(cost_us / (self._lengths.whole or np.nan), nan_to_null=True),
            slack_s="slack_s",
        )

    def makespan(self, workflow: Mapping[str, Any]) -> Makespan | None:
        """workflow: the row of `workflows`. None while it has not ended, or where no task of the path has."""
        ends = self._tasks[self._places]["ended_at"]
        ended = self.table.filter(ends.is_not_null())
        if workflow["ended_at"] is None or ended.is_empty():
            return None
        # a workflow that fails or is canceled does not wait for the attempts that are under way
        last = max(workflow["ended_at"], ends.max())
        elapsed = (last - workflow["submitted_at"]) / timedelta(seconds=1)
        waiting = ended["type"].is_in(WAITING)
        spent = [_total(one["duration_s"]) for one in (ended.filter(~waiting), ended.filter(waiting))]
        retried = _total(ended["retried_s"])
        gaps = (round(elapsed * 1e6) - sum(spent) - retried) / 1e6
        return Makespan(elapsed, ended.height, spent[0] / 1e6, spent[1] / 1e6, retried / 1e6, gaps)


def _total(spans: pl.Series) -> int:
    """Microseconds: whole numbers, so that parts sum up to what they are parts of."""
    return round(float(spans.sum()) * 1e6)


def seconds(microseconds: pl.Series) -> pl.Series:
    """Divided by a million as SQL does it: polars multiplies with a millionth, which is another number now and then."""
    return pl.Series(microseconds.name, microseconds.cast(pl.Float64).to_numpy() / 1e6, nan_to_null=True)
