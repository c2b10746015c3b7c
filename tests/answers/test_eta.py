"""When a running workflow will end, against histories whose answer can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from tests.answers.eta_frames import T0, Task, done, estimate, frames, left, past_of, pending, running
from wfstore.answers.eta import forecast

CHAIN = [done("a", 0, 2), done("b", 2, 7, "a"), done("c", 7, 14, "b")]
#: What a clock that is read twice may differ by.
CLOSE = pytest.approx


def test_a_chain_of_constant_lengths_ends_when_it_must() -> None:
    known = past_of(*[CHAIN] * 5)
    for q in (0.1, 0.5, 0.9):
        assert left(known, 3, done("a", 0, 2), running("b", 2, "a"), pending("c", "b"), q=q) == CLOSE(11, abs=0.01)
        assert left(known, 12, done("a", 0, 2), done("b", 2, 7, "a"), running("c", 7, "b"), q=q) == CLOSE(2, abs=0.01)


def test_it_says_what_it_was_computed_from() -> None:
    found = estimate(past_of(*[CHAIN] * 6), 3, done("a", 0, 2), running("b", 2, "a"), pending("c", "b")).at(0.9)
    assert (found.q, found.runs, found.same_dag, found.slots) == (0.9, 6, True, None)
    assert (found.at - T0).total_seconds() == CLOSE(14, abs=0.01)
    assert found.since.day == 26 and found.until.day == 31  # six days before the first of January, and one


@pytest.mark.parametrize("q", [0.0, 1.0, -0.5, math.nan])
def test_a_quantile_is_a_probability(q: float) -> None:
    found = estimate(past_of(*[CHAIN] * 5), 3, running("a", 0), pending("b", "a"), pending("c", "b"))
    with pytest.raises(ValueError, match="probability"):
        found.at(q)


def test_a_fan_out_over_two_slots() -> None:
    starts = [0.0, 0.0, 10.0, 10.0, 20.0, 20.0]
    fan = [done(f"m_{n}", start, start + 10, submitted=0.0) for n, start in enumerate(starts)]
    known = past_of(*[[*fan, done("t", 30, 34, *(t.task_id for t in fan))]] * 5)
    assert known.slots == 2
    queued = [Task(f"m_{n}", (), ((0.0, None, None, "PENDING"),), status="PENDING") for n in range(2, 6)]
    total = pending("t", *(t.task_id for t in fan))
    found = estimate(known, 5, running("m_0", 0), running("m_1", 0), *queued, total)
    assert found.slots == 2
    assert found.at(0.5).remaining_s == CLOSE(29, abs=0.05)


def test_a_fan_out_that_never_waited_is_as_wide_as_it_is() -> None:
    fan = [done(f"m_{n}", 0, 10) for n in range(6)]
    known = past_of(*[fan] * 5)
    assert known.slots is None
    assert left(known, 5, *(running(f"m_{n}", 0) for n in range(6))) == CLOSE(5, abs=0.01)


def noisy(rng: np.random.Generator, run_sigma: float, task_sigma: float, tasks: int = 12) -> list[Task]:
    """A chain whose tasks take 10 s times a factor of the run and one of the task."""
    factor, now = rng.lognormal(0, run_sigma), 0.0
    made = []
    for number in range(tasks):
        ends = now + 10 * factor * rng.lognormal(0, task_sigma)
        made.append(done(f"k{number}", now, ends, *([f"k{number - 1}"] if number else [])))
        now = ends
    return made


def half_way(run: list[Task]) -> list[Task]:
    half = len(run) // 2
    open_ = [pending(task.task_id, *task.upstream) for task in run[half:]]
    return [*run[:half], open_[0]._replace(status="RUNNING"), *open_[1:]]


def test_a_slow_run_stays_slow() -> None:
    rng = np.random.default_rng(3)
    known = past_of(*(noisy(rng, 0.4, 0.05) for _ in range(12)))
    slow = [done(f"k{n}", 20 * n, 20 * (n + 1), *([f"k{n - 1}"] if n else [])) for n in range(6)]
    rest = [running("k6", 120, "k5"), *(pending(f"k{n}", f"k{n - 1}") for n in range(7, 12))]
    found = estimate(known, 120, *slow, *rest)
    assert found.at(0.5).remaining_s == CLOSE(120, rel=0.1)
    assert found.at(0.9).remaining_s - found.at(0.1).remaining_s < 40


def test_without_differences_between_runs_a_slow_task_says_nothing_about_the_others() -> None:
    rng = np.random.default_rng(4)
    known = past_of(*(noisy(rng, 0.0, 0.3) for _ in range(20)))
    slow = [done("k0", 0, 20), *(done(f"k{n}", 20 + 10 * (n - 1), 20 + 10 * n, f"k{n - 1}") for n in range(1, 6))]
    rest = [running("k6", 70, "k5"), *(pending(f"k{n}", f"k{n - 1}") for n in range(7, 12))]
    assert left(known, 70, *slow, *rest) == CLOSE(63, rel=0.15)


def one_task(seconds: list[float]) -> list[list[Task]]:
    return [[done("a", 0, s)] for s in seconds]


def test_what_has_taken_long_counts() -> None:
    known = past_of(*one_task([1.0, 1.1, 0.9, 1.0, 10.0, 11.0, 9.0, 10.0] * 8))
    early, late = (left(known, now, running("a", 0)) for now in (0.1, 3.0))
    assert 0.5 < early < 9
    assert 6 < late < 8.5


def test_longer_than_ever_seen_goes_on_in_proportion() -> None:
    known = past_of(*one_task([10.0] * 9))
    short, long = (left(known, now, running("a", 0)) for now in (20.0, 200.0))
    assert 0 < short < 20 * 0.1
    assert long == CLOSE(10 * short, rel=0.01)
    varied = past_of(*one_task([8.0, 9.0, 10.0, 11.0, 12.0, 9.5]))
    assert left(varied, 30, running("a", 0)) > 0


PLAN = [
    done("plan", 0, 4, continued="total"),
    done("part_0", 4, 9, creator="plan"),
    done("part_1", 4, 12, creator="plan"),
    done("total", 12, 15, "part_0", "part_1", creator="plan"),
    done("end", 15, 16, "plan"),
]


def test_a_continuation_to_come_is_as_past_ones_were() -> None:
    known = past_of(*[PLAN] * 5)
    assert left(known, 1, running("plan", 0), pending("end", "plan")) == CLOSE(15, abs=0.05)


def test_a_continuation_that_is_there_counts_once() -> None:
    known = past_of(*[PLAN] * 5)
    tasks = [
        done("plan", 0, 4, continued="total"),
        running("part_0", 4, creator="plan"),
        running("part_1", 4, creator="plan"),
        pending("total", "part_0", "part_1", creator="plan"),
        pending("end", "plan"),
    ]
    assert left(known, 6, *tasks) == CLOSE(10, abs=0.05)


def test_half_of_the_past_went_another_way() -> None:
    plain = [done("plan", 0, 4), done("end", 4, 5, "plan")]
    found = estimate(past_of(*[PLAN] * 4, *[plain] * 4), 1, running("plan", 0), pending("end", "plan"))
    assert found.at(0.25).remaining_s == CLOSE(4, abs=0.05)
    assert found.at(0.75).remaining_s == CLOSE(15, abs=0.05)


def test_a_timer_ends_when_it_is_due() -> None:
    past = [done("sleep", 0, 60, type="timer"), done("a", 60, 65, "sleep")]
    timer = Task("sleep", (), ((0.0, 0.0, None, "RUNNING"),), status="RUNNING", type="timer", due=90.0)
    assert left(past_of(*[past] * 5), 30, timer, pending("a", "sleep")) == CLOSE(65, abs=0.05)


def test_a_task_that_waits_for_its_next_attempt() -> None:
    tried = Task("a", (), ((0, 0, 3, "FAILED"), (33, 33, 43, "SUCCESSFUL")))
    again = Task("a", (), ((0, 0, 3, "FAILED"),), status="RETRYING", due=33.0)
    known = past_of(*[[tried]] * 2, *[[done("a", 0, 10)]] * 40)
    assert left(known, 13, again) == CLOSE(30, abs=0.3)


def test_attempts_that_fail_are_made_again() -> None:
    tried = Task("a", (), ((0, 0, 10, "FAILED"), (40, 40, 50, "SUCCESSFUL")))
    known = past_of(*[[tried]] * 20, *[[done("a", 0, 10)]] * 20)
    found = estimate(known, 1, running("a", 0))
    assert found.at(0.3).remaining_s == CLOSE(9, abs=0.1)
    assert found.at(0.8).remaining_s == CLOSE(49, abs=0.1)


def test_after_the_last_task_comes_the_end() -> None:
    known = past_of(*[[done("a", 0, 10)]] * 5, lag=4.0)
    assert left(known, 5, running("a", 0)) == CLOSE(9, abs=0.05)
    assert left(known, 11, done("a", 0, 10)) == CLOSE(3, abs=0.05)


def test_tasks_of_kinds_never_seen_are_no_ground_for_an_estimate() -> None:
    moment = T0.replace(second=3)
    found = forecast(*frames([running("other", 0)]), past_of(*[CHAIN] * 5), moment)
    assert isinstance(found, str) and "no past run had" in found


@pytest.mark.slow
def test_the_band_is_calibrated() -> None:
    rng = np.random.default_rng(7)
    inside = []
    for _ in range(150):
        known = past_of(*(noisy(rng, 0.3, 0.3) for _ in range(8)))
        run = noisy(rng, 0.3, 0.3)
        ends = [task.attempts[0][2] or 0.0 for task in run]
        begun = ends[5]
        now = half_way(run)
        now[6] = running("k6", begun, "k5")
        found = estimate(known, begun, *now)
        inside.append(found.at(0.1).remaining_s <= ends[-1] - begun <= found.at(0.9).remaining_s)
    assert 0.7 < np.mean(inside) < 0.9


def test_attempts_of_which_no_times_are_known() -> None:
    known = past_of(*[CHAIN] * 5)
    unknown = Task("a", (), ((0.0, None, None, "PENDING"),), status="PENDING")
    tasks, attempts, edges = frames([unknown, pending("b", "a"), pending("c", "b")])
    found = forecast(
        tasks,
        attempts.with_columns(pl.lit(None, pl.Datetime("us")).alias("submitted_at")),
        edges,
        known,
        T0.replace(second=1),
    )
    assert not isinstance(found, str)
    assert found.at(0.5).remaining_s == CLOSE(14, abs=0.05)
