"""Past runs of a workflow, as an estimate of when the running one will end needs them: plain arrays out of frames."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wfstore.answers.eta_model import Durations, fit

Floats = NDArray[np.float64]
Child = tuple[str, int]

TIMER = "timer"
#: Waiting counts as waiting for a slot where it takes this share of the time, and mostly at one level of concurrency.
_WAITED, _MOSTLY = 0.02, 0.5
#: Continuations are taken from so many of the latest runs.
_TEMPLATES = 20


class Added(NamedTuple):
    """A task that a continuation added. Positions of added tasks; above: those whose outputs it takes; creator: -1 is
    the task that the template is of; next: the output task of its own continuation."""

    key: str
    ordinal: int
    type: str
    above: tuple[int, ...]
    creator: int
    next: int | None


class Template(NamedTuple):
    """What a task of a past run added: itself is not in `tasks`; output: the position of what became its output."""

    tasks: tuple[Added, ...]
    output: int | None


class Again(NamedTuple):
    """How often an attempt at a task is not the last, and how long until the next, seconds."""

    share: float
    delay_s: float


NEVER = Again(0.0, 0.0)


@dataclass(frozen=True)
class Past:
    """runs: how many; since, until: from the first one's start to the last one's end; same_dag: all of the same DAG
    hash; durations, waits, lags: models of what tasks take, wait, and what lies between the last task and the end;
    again: by task key; slots: how many ran at a time where that was the limit; templates: per run, (task key, ordinal)
    -> what it added, latest run first."""

    runs: int
    since: datetime
    until: datetime
    same_dag: bool
    durations: Durations
    waits: Durations
    lags: Durations
    again: dict[str, Again]
    slots: int | None
    templates: tuple[dict[Child, Template], ...]


def numbered(tasks: pl.DataFrame) -> pl.DataFrame:
    """With `ordinal`: the place of each among the tasks of its key and workflow, from 0, in the order of definition."""
    order = pl.col("defined_seq").rank("ordinal").over("workflow_id", "task_key")
    return tasks.with_columns((order - 1).cast(pl.Int64).alias("ordinal"))


def past(
    workflows: pl.DataFrame, tasks: pl.DataFrame, attempts: pl.DataFrame, edges: pl.DataFrame, same_dag: bool
) -> Past:
    """Rows of those views about the past runs alone; of `edges` the kinds continuation and waited suffice. `workflows`
    are at least one, the latest first."""
    runs = workflows.select("workflow_id").with_row_index("place").with_columns(pl.col("place").cast(pl.Int64))
    tasks = numbered(tasks).join(runs, on="workflow_id")
    tried = attempts.sort("submitted_seq")
    last = tried.group_by("workflow_id", "task_id", maintain_order=True).last()
    ended = tasks.join(last, on=("workflow_id", "task_id")).filter(pl.col("ended_at") >= pl.col("started_at"))
    seconds = (pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds() / 1e6
    waited = (pl.col("started_at") - pl.col("submitted_at")).dt.total_microseconds() / 1e6
    ended = ended.with_columns(seconds.alias("seconds"), waited.clip(0).fill_null(0.0).alias("waited"))
    timers = (ended["type"] == TIMER).to_numpy()
    keys, place = ended["task_key"].to_list(), ended["place"].to_numpy()
    durations = fit(keys, place, ended["ordinal"].to_numpy(), ended["seconds"].to_numpy(), timers)
    nothing = np.zeros(len(keys), np.int64)
    waits = fit(keys, place, nothing, ended["waited"].to_numpy(), np.ones(len(keys), np.bool_))
    return Past(
        workflows.height,
        workflows["started_at"].min(),  # type: ignore[arg-type]
        workflows["ended_at"].max(),  # type: ignore[arg-type]
        same_dag,
        durations,
        waits,
        _lags(workflows, ended),
        _again(tasks, tried),
        _usual_slots(workflows["workflow_id"].to_list(), attempts),
        _templates(workflows["workflow_id"].head(_TEMPLATES).to_list(), tasks, edges),
    )


def _lags(workflows: pl.DataFrame, ended: pl.DataFrame) -> Durations:
    """From the end of the last task to that of the workflow."""
    last = ended.group_by("workflow_id").agg(pl.col("ended_at").max().alias("last"))
    lags = workflows.join(last, on="workflow_id").select((pl.col("ended_at") - pl.col("last")).dt.total_microseconds())
    found = lags.to_series().to_numpy() / 1e6
    count = len(found)
    return fit([""] * count, np.arange(count), np.zeros(count, np.int64), found, np.ones(count, np.bool_))


def _again(tasks: pl.DataFrame, tried: pl.DataFrame) -> dict[str, Again]:
    """A key with few attempts is taken to fail as often as all do: as if two of them had been at it."""
    following = tried.with_columns(
        pl.col("submitted_at").shift(-1).over("workflow_id", "run", "task_id").alias("next_at")
    )
    failed = pl.col("next_at").is_not_null()
    delay = (pl.col("next_at") - pl.col("ended_at")).dt.total_microseconds().clip(0) / 1e6
    counts = (
        following.join(tasks.select("workflow_id", "task_id", "task_key"), on=("workflow_id", "task_id"))
        .group_by("task_key")
        .agg(failed.sum().alias("failed"), pl.len().alias("n"), delay.filter(failed).mean().alias("delay_s"))
    )
    common = float(counts["failed"].sum()) / max(int(counts["n"].sum()), 1)
    return {
        key: Again((failed_ + 2 * common) / (n + 2), delay_s or 0.0)
        for key, failed_, n, delay_s in counts.iter_rows()
        if failed_ or common
    }


def slots(submitted_s: Floats, started_s: Floats, ended_s: Floats, now_s: float | None = None) -> int | None:
    """How many attempts ran at a time while others waited; None where hardly any waited, or the number was not why.

    Seconds on one clock; NaN where it has not happened by `now_s` (None: by the last of these times). What waits while
    nothing or now this, now that number runs waits for something else: a worker to start, its arguments, the clock of
    another machine.
    """
    last = float(np.nanmax(np.concatenate([submitted_s, started_s, ended_s]))) if now_s is None else now_s
    begins, ends = np.where(np.isnan(started_s), last, started_s), np.where(np.isnan(ended_s), last, ended_s)
    begins = np.maximum(begins, submitted_s)
    ran = ~np.isnan(started_s)
    times = np.concatenate([submitted_s, begins, begins[ran], ends[ran]])
    waiting = np.repeat([1, -1, 0, 0], [len(begins), len(begins), ran.sum(), ran.sum()])
    running = np.repeat([0, 0, 1, -1], [len(begins), len(begins), ran.sum(), ran.sum()])
    order = np.argsort(times, kind="stable")
    spans = np.diff(times[order])
    some_wait = np.cumsum(waiting[order])[:-1] > 0
    levels = np.maximum(np.cumsum(running[order])[:-1], 0)[some_wait]
    waited = spans[some_wait]
    if not len(waited) or waited.sum() <= _WAITED * (times.max() - times.min()):
        return None
    by_level = np.bincount(levels, waited)
    level = int(by_level.argmax())
    return level if level and by_level[level] >= _MOSTLY * by_level.sum() else None


def micros(column: pl.Series) -> Floats:
    """Seconds, NaN for NULL."""
    return (column.dt.epoch("us").cast(pl.Float64) / 1e6).fill_null(float("nan")).to_numpy()


def _usual_slots(workflow_ids: list[str], attempts: pl.DataFrame) -> int | None:
    """The median of the runs' where most had a limit."""
    found: list[int | None] = []
    parts = attempts.filter(pl.col("submitted_at").is_not_null()).partition_by("workflow_id", as_dict=True)
    for name in workflow_ids[:_TEMPLATES]:
        part = parts.get((name,))
        if part is not None:
            found.append(slots(micros(part["submitted_at"]), micros(part["started_at"]), micros(part["ended_at"])))
    limits = sorted(limit for limit in found if limit is not None)
    return limits[len(limits) // 2] if 2 * len(limits) > len(found) else None


def _templates(workflow_ids: list[str], tasks: pl.DataFrame, edges: pl.DataFrame) -> tuple[dict[Child, Template], ...]:
    if tasks["creator"].null_count() == tasks.height:
        return ()
    parts = tasks.sort("defined_seq").partition_by("workflow_id", as_dict=True)
    going_on = edges.filter(pl.col("kind") == "continuation").partition_by("workflow_id", as_dict=True)
    found = []
    for name in workflow_ids:
        if (name,) in parts:
            pairs = going_on[(name,)].select("upstream_task_id", "task_id") if (name,) in going_on else None
            found.append(_of_run(parts[(name,)], dict(pairs.iter_rows()) if pairs is not None else {}))
    return tuple(found)


def _of_run(tasks: pl.DataFrame, goes_on: dict[str, str]) -> dict[Child, Template]:
    """Of every task that added some: all of them, and what those added."""
    rows = {row["task_id"]: row for row in tasks.iter_rows(named=True)}
    children: dict[str, list[str]] = {}
    for task_id, row in rows.items():
        if row["creator"] is not None:
            children.setdefault(row["creator"], []).append(task_id)
    found: dict[Child, Template] = {}
    for root in children:
        names: list[str] = []
        todo = [root]
        while todo:
            added = children.get(todo.pop(), [])
            names += added
            todo += added
        place = {name: number for number, name in enumerate(names)}
        made = tuple(
            Added(
                row["task_key"],
                row["ordinal"],
                row["type"],
                tuple(place[above] for above in row["upstream"] or () if above in place),
                place.get(row["creator"], -1),
                place.get(goes_on.get(name, "")),
            )
            for name, row in ((name, rows[name]) for name in names)
        )
        found[rows[root]["task_key"], rows[root]["ordinal"]] = Template(made, place.get(goes_on.get(root, "")))
    return found
