"""Histories written down by hand, as the frames that estimates are made of. Times are seconds from the run's start."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import polars as pl

from wfstore.answers.eta import Forecast, forecast
from wfstore.answers.eta_past import Past, past

T0 = datetime(2026, 1, 1)


class Task(NamedTuple):
    """One task and its attempts: (submitted, started, ended, status), None for what has not happened yet."""

    task_id: str
    upstream: tuple[str, ...] = ()
    attempts: tuple[tuple[float, float | None, float | None, str], ...] = ()
    key: str | None = None
    creator: str | None = None
    status: str = "SUCCESSFUL"
    type: str = "function"
    due: float | None = None
    continued: str | None = None


def done(task_id: str, start: float, end: float, *upstream: str, submitted: float | None = None, **more: Any) -> Task:
    waited_from = start if submitted is None else submitted
    return Task(task_id, upstream, ((waited_from, start, end, "SUCCESSFUL"),), **more)


def running(task_id: str, start: float, *upstream: str, **more: Any) -> Task:
    return Task(task_id, upstream, ((start, start, None, "RUNNING"),), status="RUNNING", **more)


def pending(task_id: str, *upstream: str, **more: Any) -> Task:
    return Task(task_id, upstream, status="PENDING", **more)


def at(seconds: float | None, day: int = 0) -> datetime | None:
    return None if seconds is None else T0 + timedelta(days=day, seconds=seconds)


class Frames(NamedTuple):
    tasks: pl.DataFrame
    attempts: pl.DataFrame
    edges: pl.DataFrame


_MOMENT = pl.Datetime("us")
_TASKS = {
    "workflow_id": pl.String, "task_id": pl.String, "task_key": pl.String, "type": pl.String, "status": pl.String,
    "creator": pl.String, "upstream": pl.List(pl.String), "due_at": _MOMENT, "defined_seq": pl.Int64,
}  # fmt: skip
_ATTEMPTS = {
    "workflow_id": pl.String, "run": pl.Int32, "task_id": pl.String, "attempt": pl.Int32, "status": pl.String,
    "submitted_at": _MOMENT, "started_at": _MOMENT, "ended_at": _MOMENT, "submitted_seq": pl.Int64,
}  # fmt: skip
_EDGES = dict.fromkeys(("workflow_id", "upstream_task_id", "task_id", "kind"), pl.String)
_RUNS = {"workflow_id": pl.String, "started_at": _MOMENT, "ended_at": _MOMENT, "tasks": pl.Int64}


def frames(tasks: Sequence[Task], name: str = "now", day: int = 0) -> Frames:
    rows = [
        (name, t.task_id, t.key or t.task_id.split("_")[0], t.type, t.status, t.creator, list(t.upstream),
         at(t.due, day), number)
        for number, t in enumerate(tasks)
    ]  # fmt: skip
    tried = [
        (name, 1, t.task_id, number, status, at(submitted, day), at(started, day), at(ended, day), 100 * place + number)
        for place, t in enumerate(tasks)
        for number, (submitted, started, ended, status) in enumerate(t.attempts, 1)
    ]
    edges = [(name, t.task_id, t.continued, "continuation") for t in tasks if t.continued]
    made = (pl.DataFrame(r, s, orient="row") for r, s in ((rows, _TASKS), (tried, _ATTEMPTS), (edges, _EDGES)))
    return Frames(*made)


def past_of(*runs: Sequence[Task], lag: float = 0.0) -> Past:
    """Runs on days -1, -2, ...: the latest first."""
    parts = [frames(run, f"past-{number}", -number) for number, run in enumerate(runs, 1)]
    ends = [max(ended or 0 for t in run for _, _, ended, _ in t.attempts) + lag for run in runs]
    workflows = pl.DataFrame(
        [(f"past-{n}", at(0, -n), at(ends[n - 1], -n), len(run)) for n, run in enumerate(runs, 1)], _RUNS, orient="row"
    )
    together = [pl.concat([part[place] for part in parts]) for place in range(3)]
    return past(workflows, together[0], together[1], together[2], True)


def estimate(known: Past, now: float, *tasks: Task) -> Forecast:
    moment = at(now)
    assert moment is not None
    found = forecast(*frames(tasks), known, moment)
    assert isinstance(found, Forecast), found
    return found


def left(known: Past, now: float, *tasks: Task, q: float = 0.5) -> float:
    """Seconds until it ends with probability q."""
    return estimate(known, now, *tasks).at(q).remaining_s
