"""When a running workflow will end: what is left of its DAG, drawn many times from what past runs took.

What a task takes is conditional on what it has taken so far and on how fast this run has been; see `eta_model` for the
model, `eta_plan` for what is left, `simulate` for the way through the DAG.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wfstore.answers.eta_model import SHORTEST_S, Durations, Expected
from wfstore.answers.eta_past import NEVER, TIMER, Past, micros, slots
from wfstore.answers.eta_plan import Ended, Open, Plan, futures, plan
from wfstore.answers.simulate import list_schedule

Floats = NDArray[np.float64]

#: Fewer past runs say too little about quantiles.
LEAST_RUNS = 5
_DRAWS, _FEWEST, _CELLS = 1000, 300, 300_000
#: More open tasks of keys that no past run had would make it a guess.
_UNKNOWN = 0.2
#: What takes longer than anything that ever varied by less than this goes on for a while in proportion to it.
_NARROW = 0.05
#: Waits spread over orders of magnitude; what is rarer than this many standard deviations has a cause of its own.
_WIDEST_WAIT = 2.5
#: Of an earlier moment, only what had ended by then is the past.
_PRESENT = timedelta(minutes=1)
_GRID = np.linspace(-6, 6, 121)


@dataclass(frozen=True, slots=True)
class Eta:
    """When the workflow will have ended with probability `q`.

    Times are UTC without a zone, as in the views. remaining_s: seconds from `now` on; now: the moment that it was
    worked out for; runs: how many past successful runs it was computed from; since, until: from the start of the first
    to the end of the last of these; same_dag: they have the DAG hash of this one, else only its name; slots: how many
    tasks run at a time, where that is a limit.
    """

    q: float
    at: datetime
    remaining_s: float
    now: datetime
    runs: int
    since: datetime
    until: datetime
    same_dag: bool
    slots: int | None


@dataclass(frozen=True)
class Forecast:
    """All draws of one moment. `ends_s`: seconds from `now`, ascending."""

    now: datetime
    ends_s: Floats
    past: Past
    slots: int | None

    def at(self, q: float) -> Eta:
        """Raises ValueError for a `q` that is not above 0 and below 1."""
        remaining = float(np.quantile(self.ends_s, probability(q)))
        past = self.past
        moment = self.now + timedelta(seconds=min(remaining, 1e10))
        return Eta(q, moment, remaining, self.now, past.runs, past.since, past.until, past.same_dag, self.slots)


def probability(q: float) -> float:
    """`q`. Raises ValueError for what is not above 0 and below 1."""
    if isinstance(q, bool) or not isinstance(q, int | float) or not 0 < q < 1:
        raise ValueError(f"q is a probability above 0 and below 1, not {q!r}")
    return q


class PastSource(Protocol):
    """Where past runs come from."""

    def now(self) -> datetime:
        """The moment as of which it is read, UTC without a zone."""

    def of(self, row: Mapping[str, Any], until: datetime | None = None) -> Past | str:
        """Past runs of the workflow with that row; a text: why there are none."""


def forecast_of(
    row: Mapping[str, Any], frames: Mapping[str, pl.DataFrame], source: PastSource | None, now: datetime | None
) -> Forecast | str:
    """Of a workflow with that row of `workflows` and these frames, by name. now: UTC; None: as `source` says."""
    if row["status"] != "RUNNING":
        return f"{row['workflow_id']} is {row['status']}: only what runs is estimated"
    if "actor" in frames["tasks"]["type"]:
        return f"{row['workflow_id']} is a virtual actor, which has no end"
    if source is None:
        return "there is no store in which to look for past runs"
    if now is not None and now.tzinfo is not None:
        now = now.astimezone(UTC).replace(tzinfo=None)
    present = source.now()
    long_ago = now is not None and present - now > _PRESENT
    past = source.of(row, now if long_ago else None)
    if isinstance(past, str):
        return past
    return forecast(frames["tasks"], frames["attempts"], frames["edges"], past, now or present)


def forecast(
    tasks: pl.DataFrame, attempts: pl.DataFrame, edges: pl.DataFrame, past: Past, now: datetime
) -> Forecast | str:
    """Of a running workflow's frames (columns as in the views); now: UTC without a zone. A text: why there is none."""
    found = plan(tasks, attempts, edges, now)
    kept = futures(found, past)
    new = sum(task.key not in past.durations.keys for task in found.tasks.values())
    if new > _UNKNOWN * len(found.tasks):
        return f"{new} of its {len(found.tasks)} open tasks are of kinds that no past run had"
    rng = np.random.default_rng(0)
    limit = _slots(attempts, past, now)
    most = max(len(future.tasks) for _, future in kept)
    draws = max(_FEWEST, min(_DRAWS, _CELLS // max(most, 1)))
    ends = [_ends(future, past, limit, max(round(share * draws), 1), rng) for share, future in kept]
    return Forecast(now, np.sort(np.concatenate(ends)), past, limit)


def _slots(attempts: pl.DataFrame, past: Past, now: datetime) -> int | None:
    """Of this run where it had to wait already, else of past ones."""
    current = attempts.filter((pl.col("run") == attempts["run"].max()) & pl.col("submitted_at").is_not_null())
    if not current.height:
        return past.slots
    now_s = now.replace(tzinfo=UTC).timestamp()
    submitted, started, ended = (micros(current[name]) for name in ("submitted_at", "started_at", "ended_at"))
    return slots(submitted, started, ended, now_s) or past.slots


def _ends(plan: Plan, past: Past, limit: int | None, draws: int, rng: np.random.Generator) -> Floats:
    """Seconds from now to the end of the workflow, one per draw."""
    names = plan.order()
    tasks = [plan.tasks[name] for name in names]
    waits = past.waits.of([task.key for task in tasks], [0] * len(tasks))
    # queued: submitted, not known to have begun; where all slots are taken that is why
    running = sum(task.elapsed is not None and task.type != TIMER for task in tasks)
    full = limit is not None and running >= limit
    took = [_elapsed(task, float(np.exp(wait)), full) for task, wait in zip(tasks, waits.location, strict=True)]
    begun = np.array([one is not None for one in took], np.bool_)
    elapsed = np.array([one or 0.0 for one in took])
    expected = past.durations.of([task.key for task in tasks], [task.ordinal for task in tasks])
    factor = _factor(past.durations, plan.ended, expected, elapsed, draws, rng)
    duration = _remaining(past.durations, expected, elapsed, factor, rng)
    duration += _again(past, tasks, expected, factor, rng)
    earliest = _earliest(past, tasks, waits, begun, limit, draws, rng)
    for place, task in enumerate(tasks):
        if task.due is not None and task.type == TIMER:
            duration[place] = task.due
    held = np.array([task.type != TIMER for task in tasks], np.bool_)
    place_of = {name: place for place, name in enumerate(names)}
    above = [[place_of[one] for one in plan.above(name)] for name in names]
    since = np.array([0.0 if tasks else plan.last or 0.0])
    lags: Floats = _remaining(past.lags, past.lags.of([""], [0]), since, np.zeros(draws), rng)[0]
    return lags + list_schedule(above, duration, earliest, limit, held, begun).max(0) if tasks else lags


def _elapsed(task: Open, wait_s: float, full: bool) -> float | None:
    """How long it has run; None: it has not begun."""
    if task.elapsed is not None:
        return task.elapsed
    if task.age is None or full:
        return None
    return max(task.age - wait_s, 0.0)


def _factor(
    model: Durations, ended: Sequence[Ended], now: Expected, elapsed: Floats, draws: int, rng: np.random.Generator
) -> Floats:
    """Draws of the logarithm of this run's factor: how past runs differed, given what its ended tasks took and that
    those under way have not ended."""
    if not model.factor_spread:
        return np.zeros(draws)
    grid = _GRID * model.factor_spread
    freedom = max(model.runs - 1, 1)
    log = -(freedom + 1) / 2 * np.log1p(_GRID**2 / freedom)
    if ended:
        past = model.of([task.key for task in ended], [task.ordinal for task in ended])
        use = past.known & past.follows & (past.spread > 0)
        took = np.log(np.maximum(np.array([task.seconds for task in ended]), SHORTEST_S))[use]
        z = (took[:, None] - past.location[use][:, None] - grid) / past.spread[use][:, None]
        nu = past.freedom[use][:, None]
        log = log - ((nu + 1) / 2 * np.log1p(z**2 / nu)).sum(0)
    use = now.known & now.follows & (now.spread > 0) & (elapsed > SHORTEST_S)
    if use.any():
        z = (np.log(elapsed[use])[:, None] - now.location[use][:, None] - grid) / now.spread[use][:, None]
        # the logistic distribution of unit variance, close to the normal one
        log = log - np.logaddexp(0, np.pi / np.sqrt(3) * z).sum(0)
    weight = np.exp(log - log.max())
    return np.asarray(np.interp(rng.random(draws), np.cumsum(weight) / weight.sum(), grid), np.float64)


def _remaining(
    model: Durations, expected: Expected, elapsed: Floats, factor: Floats, rng: np.random.Generator
) -> Floats:
    """(tasks, draws): seconds that each goes on, given that it has taken `elapsed`."""
    centre = expected.location[:, None] + np.where(expected.follows[:, None], factor, 0.0)
    shares = rng.random(centre.shape)
    total = np.exp(centre)
    began = elapsed > 0
    log_elapsed = np.log(np.maximum(elapsed, 1e-12))
    known, place = np.unique(expected.freedom, return_inverse=True)
    which = [model.shape(float(freedom)) for freedom in known]
    numbers = np.array([number for number, _ in which], np.int64)[place]
    for number, shape in dict(which).items():
        mine = (numbers == number) & (expected.spread > 0)
        if not mine.any():
            continue
        spread, part = expected.spread[mine][:, None], shares[mine]
        under_way = began[mine]
        if under_way.any():
            z = (log_elapsed[mine][under_way][:, None] - centre[mine][under_way]) / spread[under_way]
            part[under_way] *= shape.beyond(z)
        total[mine] *= np.exp(spread * shape.at(part))
    left = np.maximum(total - elapsed[:, None], 0.0)
    late = began[:, None] & (expected.spread < _NARROW)[:, None] & (log_elapsed[:, None] > centre)
    return np.where(late, elapsed[:, None] * np.expm1(-_NARROW * np.log(shares)), left)


def _again(past: Past, tasks: Sequence[Open], expected: Expected, factor: Floats, rng: np.random.Generator) -> Floats:
    """(tasks, draws): seconds for attempts that fail and are made again."""
    more = np.zeros((len(tasks), len(factor)))
    found = [NEVER if task.type == TIMER else past.again.get(task.key, NEVER) for task in tasks]
    share = np.array([again.share for again in found])
    fails = np.nonzero(rng.random(more.shape) < share[:, None])
    if len(fails[0]):
        task, draw = fails
        times = np.minimum(rng.geometric(1 - share[task]), 3)
        length = expected.location[task] + expected.spread[task] * rng.standard_normal(len(task))
        length += np.where(expected.follows[task], factor[draw], 0.0)
        more[task, draw] = times * (np.array([again.delay_s for again in found])[task] + np.exp(length))
    return more


def _earliest(
    past: Past,
    tasks: Sequence[Open],
    waits: Expected,
    begun: NDArray[np.bool_],
    limit: int | None,
    draws: int,
    rng: np.random.Generator,
) -> Floats:
    """(tasks, draws): seconds from now, or from the end of the last upstream task, until it may begin. Waits for slots
    are for the schedule to find."""
    found = np.zeros((len(tasks), draws))
    future = ~begun & np.array([task.age is None for task in tasks], np.bool_)
    if limit is None and future.any():
        noise = np.clip(rng.standard_normal((int(future.sum()), draws)), -_WIDEST_WAIT, _WIDEST_WAIT)
        found[future] = np.exp(waits.location[future][:, None] + waits.spread[future][:, None] * noise)
    for place, task in enumerate(tasks):
        if task.due is not None and task.type != TIMER:
            found[place] += task.due
    return found
