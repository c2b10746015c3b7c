"""What if some tasks took longer or shorter: the makespan over the recorded durations, with workers without end, and
with as many as the run really used.

Both leave out what is not a task's own time (queues, fetching, back-offs), before and after alike: their difference
is the answer, not their value.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from wfstore.answers import paths
from wfstore.answers.paths import Graph, Ints, Ways
from wfstore.answers.paths_frames import WAITING, Critical

_SHOWN = 8
_LONGEST_US = 1_000 * 366 * 86_400 * 1_000_000


@dataclass(frozen=True, slots=True)
class Change:
    """Makespan in seconds, as recorded and as it would be."""

    before_s: float
    after_s: float

    @property
    def saved_s(self) -> float:
        """Less than 0 where it takes longer."""
        return round(self.before_s - self.after_s, 6)


@dataclass(frozen=True, slots=True)
class WhatIf:
    """factors: as given; tasks: how many have a duration, from which this was worked out; changed: how many of them
    take another time now; elapsed_s: what the workflow really took, None while it runs.

    unlimited: every task begins when what it needs is there; workers: how many tasks really ran at the same time at
    most, and limited: with no more than that, in the order in which they become ready, those defined first first; both
    None where no attempt is known to have begun and ended. path: the critical path with the new durations, in order:
    task_id, task_key, duration_s.
    """

    factors: dict[str, float]
    tasks: int
    changed: int
    elapsed_s: float | None
    unlimited: Change
    workers: int | None
    limited: Change | None
    path: pl.DataFrame = field(compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON can hold it."""
        changes = {"unlimited": self.unlimited, "limited": self.limited}
        shown = {
            name: one and {"before_s": one.before_s, "after_s": one.after_s, "saved_s": one.saved_s}
            for name, one in changes.items()
        }
        figures = {"tasks": self.tasks, "changed": self.changed, "elapsed_s": self.elapsed_s, "workers": self.workers}
        return {"factors": self.factors, **figures, **shown, "path": self.path.to_dicts()}


def what_if(
    tasks: pl.DataFrame,
    attempts: pl.DataFrame,
    critical: Critical,
    factors: Mapping[str, float],
    elapsed_s: float | None = None,
) -> WhatIf:
    """tasks, attempts: of one workflow, with the columns of the views; factors: task key (or the name or id of tasks,
    where no key is spelt so) -> what their durations are multiplied with, 0 for none at all.

    Raises ValueError for a key that no task has, a factor below 0 or beyond all measure, or where no task has ended.
    """
    timed = tasks["duration_s"].count()
    if not timed:
        raise ValueError("no task has ended yet, so there is nothing to work it out from")
    dag = critical.graph
    factor = np.ones(len(dag.cost_us))
    for key, value in factors.items():
        factor[_named(tasks, key)] *= _factor(key, value)
    products = np.rint(dag.cost_us * factor)
    if products.sum() > _LONGEST_US:
        raise ValueError("with these factors the workflow would take longer than a thousand years")
    changed = products.astype(np.int64)
    both = np.stack([dag.cost_us, changed], axis=1)
    head = critical.ways.forward.longest(both)
    known = critical.ways.level >= 0
    whole = head[known].max(axis=0, initial=0)
    places = paths.longest_path(dag, critical.ways, head[:, 1], changed)
    taken = pl.Series("duration_s", changed[places] / 1e6)
    path = tasks[places.tolist()].select("task_id", "task_key").with_columns(taken)
    workers = concurrency(attempts)
    limited = None
    if workers:
        needs = np.zeros(len(dag.cost_us), dtype=np.bool_)
        needs[: dag.tasks] = ~tasks["type"].is_in(WAITING).to_numpy()
        limited = Change(*(scheduled(dag, critical.ways, one, workers, needs) / 1e6 for one in (dag.cost_us, changed)))
    counted = int((factor[: dag.tasks] != 1)[dag.cost_us[: dag.tasks] > 0].sum())
    unlimited = Change(int(whole[0]) / 1e6, int(whole[1]) / 1e6)
    return WhatIf(dict(factors), timed, counted, elapsed_s, unlimited, workers, limited, path)


def concurrency(attempts: pl.DataFrame) -> int | None:
    """How many attempts ran user code at the same time at most, over all runs; None where none is known to have begun
    and ended. What ends at the moment at which another begins makes room for it."""
    ran = attempts.filter(~pl.col("task_type").is_in(WAITING)).select("started_at", "ended_at").drop_nulls()
    if ran.is_empty():
        return None
    moments = pl.concat(
        [ran.select(at="started_at", more=pl.lit(1)), ran.select(at=pl.max_horizontal(*ran.columns), more=pl.lit(-1))]
    )
    most: int = moments.sort("at", "more")["more"].cum_sum().max()  # type: ignore[assignment]
    return max(most, 1)


def scheduled(dag: Graph, through: Ways, cost_us: Ints, workers: int, needs: npt.NDArray[np.bool_]) -> int:
    """Makespan in microseconds of list scheduling (Graham 1966): whoever is ready first, and among them defined first,
    takes the next free worker. needs: whether a node holds a worker while it lasts."""
    order = np.argsort(through.above, kind="stable")
    below = through.below[order].tolist()
    starts = np.searchsorted(through.above[order], np.arange(len(cost_us) + 1)).tolist()
    missing = np.bincount(through.below, minlength=len(cost_us)).tolist()
    cost, holds = cost_us.tolist(), (needs & (cost_us > 0)).tolist()
    arrived = [node for node in np.flatnonzero(through.level >= 0).tolist() if not missing[node]]
    waiting: list[tuple[int, int]] = []
    running: list[tuple[int, int]] = []
    now, free = 0, workers
    while arrived or waiting or running:
        for node in arrived:
            if holds[node]:
                heapq.heappush(waiting, (now, node))
            else:
                heapq.heappush(running, (now + cost[node], node))
        while free and waiting:
            node = heapq.heappop(waiting)[1]
            heapq.heappush(running, (now + cost[node], node))
            free -= 1
        arrived = []
        now = running[0][0]
        while running and running[0][0] == now:
            node = heapq.heappop(running)[1]
            free += holds[node]
            for other in below[starts[node] : starts[node + 1]]:
                missing[other] -= 1
                if not missing[other]:
                    arrived.append(other)
    return now


def _named(tasks: pl.DataFrame, key: str) -> Ints:
    for column in ("task_key", "name", "task_id"):
        found = (tasks[column] == key).fill_null(False).arg_true()
        if len(found):
            return found.to_numpy().astype(np.int64)
    known = tasks["task_key"].drop_nulls().unique(maintain_order=True).to_list()
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    raise ValueError(f"no task has the key, name or id {key!r}; the keys are: {', '.join(known[:_SHOWN])}{more}")


def _factor(key: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"the factor of {key!r} has to be a number from 0, not {value!r}")
    return float(value)
