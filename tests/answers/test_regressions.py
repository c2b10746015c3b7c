"""The report `regressions`: against numbers worked out by hand, then against another implementation."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.answers.comparing import MINUTE, SINCE, Tables

#: Standard errors that the order statistics of 10 values stand apart from each side of the median: 2nd and 9th.
WIDTH_10 = (10 + 1 - 2 * 2) / math.sqrt(10)


def row(found: pl.DataFrame, measure: str = "duration_s", task_key: str = "load") -> dict[str, Any]:
    return found.row(by_predicate=(pl.col("measure") == measure) & (pl.col("task_key") == task_key), named=True)


def tail(z: float) -> float:
    return math.erfc(z / math.sqrt(2)) / 2


def one_sided(before: list[float], after: list[float]) -> float:
    """Mann and Whitney's test by counting pairs: the normal approximation with ties and a continuity correction; or
    Fisher's, where most are the least."""
    both, least = [*before, *after], min(*before, *after)
    if 2 * both.count(least) > len(both):
        more, later = len(both) - both.count(least), len(after) - after.count(least)
        ways = (math.comb(more, x) * math.comb(len(both) - more, len(after) - x) for x in range(later, more + 1))
        return sum(ways) / math.comb(len(both), len(after))
    pairs = sum((b > a) + (b == a) / 2 for b in after for a in before)
    n, m = len(before), len(after)
    values, counts = np.unique([*before, *after], return_counts=True)
    ties = sum(int(count) ** 3 - int(count) for count in counts)
    variance = n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1)))
    return 1.0 if len(values) == 1 else tail((pairs - n * m / 2 - 0.5) / math.sqrt(variance))


# -- worked out by hand -----------------------------------------------------------------------------------------------


def test_all_after_is_above_all_before() -> None:
    tables = Tables()
    tables.durations([float(n) for n in range(1, 11)], [float(n) for n in range(11, 21)])
    found = row(tables.report())
    # 100 pairs of 100, where 50 are expected; their variance is 10 * 10 / 12 * 21 = 175
    assert found["p"] == pytest.approx(tail(49.5 / math.sqrt(175)), rel=1e-6)
    assert found["p"] == found["q"], "one key was compared"
    assert (found["n_before"], found["n_after"], found["verdict"]) == (10, 10, "worse")
    assert (found["value_before"], found["value_after"], found["ratio"]) == (5.5, 15.5, pytest.approx(15.5 / 5.5))
    spread = math.log(9 / 2) ** 2 + math.log(19 / 12) ** 2
    half = 1.959964 * math.sqrt(spread) / 2 / WIDTH_10
    assert found["ratio_low"] == pytest.approx(15.5 / 5.5 * math.exp(-half))
    assert found["ratio_high"] == pytest.approx(15.5 / 5.5 * math.exp(half))
    assert (found["first_workflow_id"], found["changed_at"]) == ("w10", SINCE)
    assert (found["keys_compared"], found["keys_left_out"]) == (1, 0)


def test_what_became_better_or_stayed_is_no_worse() -> None:
    tables = Tables()
    tables.durations([float(n) for n in range(11, 21)], [float(n) for n in range(1, 11)])
    found = row(tables.report())
    assert (found["verdict"], found["first_workflow_id"]) == ("no worse", None)
    assert found["p"] == pytest.approx(1 - tail(50.5 / math.sqrt(175)))
    sizes = row(tables.report(), "output_bytes")
    assert (sizes["p"], sizes["ratio"], sizes["verdict"]) == (1.0, 1.0, "no worse"), "all are equal"


def test_sizes_that_never_vary_but_grew_once() -> None:
    tables = Tables()
    for place in range(24):
        tables.add(SINCE + (place - 12) * MINUTE, [{"output_bytes": 100 if place < 12 else 115}])
    found = row(tables.report(), "output_bytes")
    assert (found["verdict"], found["ratio"], found["ratio_low"]) == ("worse", pytest.approx(1.15), pytest.approx(1.15))
    assert row(tables.report(min_ratio=1.2), "output_bytes")["verdict"] == "no worse"


def test_members_of_a_fan_out_are_one_value() -> None:
    """Ten times as many tasks make nothing more certain."""
    one, many = Tables(), Tables()
    chance = np.random.default_rng(1)
    for place in range(30):
        seconds = float(chance.lognormal(0.4 * (place >= 15), 0.3))
        one.add(SINCE + (place - 15) * MINUTE, [{"duration_s": seconds}])
        many.add(SINCE + (place - 15) * MINUTE, [{"duration_s": seconds * (1 + n / 10)} for n in range(-2, 3)] * 2)
    assert row(many.report())["p"] == pytest.approx(row(one.report())["p"])
    assert row(many.report())["n_after"] == 15


def test_retries_are_compared_by_their_mean() -> None:
    tables = Tables()
    for place in range(40):
        retries = 1 if place >= 20 and place % 2 else 0
        tables.add(SINCE + (place - 20) * MINUTE, [{"retries": retries, "attempts": 1 + retries}])
    found = row(tables.report(), "retries")
    assert (found["value_before"], found["value_after"], found["verdict"]) == (0.0, 0.5, "worse")
    assert found["ratio"] == pytest.approx((0.5 + 0.5 / 20) / (0.5 / 20)), "half a retry more on each side"
    # ten of the ten with a retry are after: C(20, 10) ways of C(40, 10)
    assert found["p"] == pytest.approx(math.comb(20, 10) / math.comb(40, 10))


def test_few_retries_in_many_workflows_are_no_proof() -> None:
    """15 of 428 before and 9 of 69 after: the ranks' normal approximation would say 0.0003."""
    tables = Tables()
    for place in range(497):
        retries = int(place < 15 or 428 <= place < 437)
        tables.add(SINCE + (place - 428) * MINUTE, [{"retries": retries, "attempts": 1 + retries}])
    by_hand = sum(math.comb(24, x) * math.comb(473, 69 - x) for x in range(9, 25)) / math.comb(497, 69)
    assert row(tables.report(), "retries")["p"] == pytest.approx(by_hand)


def test_only_successful_tasks_say_how_long_it_takes_and_timers_say_nothing() -> None:
    tables = Tables()
    tables.durations([1.0] * 10, [9.0] * 10, status="FAILED")
    tables.durations([1.0] * 10, [9.0] * 10, task_key="sleep", type="timer")
    found = tables.report()
    assert sorted(found["measure"]) == ["queue_s", "retries"]


def test_too_few_are_left_out_and_counted() -> None:
    tables = Tables()
    tables.durations([1.0, 2.0] * 10, [5.0] * 9)
    tables.durations([1.0, 2.0] * 10, [5.0] * 10, task_key="save")
    found = tables.report(measure="duration_s")
    assert found.select("task_key", "verdict", "p", "ratio").rows()[1] == ("load", "too few", None, None)
    assert row(found, task_key="save")["verdict"] == "worse"
    assert found["keys_compared"].to_list() == [1, 1]
    assert found["keys_left_out"].to_list() == [1, 1]
    assert tables.report(least=9)["keys_left_out"].sum() == 0
    assert tables.report(verdict="worse", measure="duration_s")["task_key"].to_list() == ["save"]


def test_a_key_that_is_new_or_gone_is_left_out() -> None:
    tables = Tables()
    tables.durations([1.0] * 12, [])
    tables.durations([], [1.0] * 12, task_key="new")
    assert tables.report()["verdict"].unique().to_list() == ["too few"]


def test_the_sides() -> None:
    tables = Tables()
    for days in range(-40, 10):
        tables.add(SINCE + timedelta(days=days), [{}])
    assert row(tables.report())["n_before"] == 28
    assert row(tables.report(baseline="35d"))["n_before"] == 35
    assert row(tables.report(until=SINCE + timedelta(days=4)))["n_after"] == 4
    assert row(tables.report(since=SINCE - timedelta(days=10)))["n_after"] == 20
    assert row(tables.report(most=15))["n_before"] == 15
    assert tables.report(workflow="other").is_empty()
    assert tables.report(task="other").is_empty()


# -- where it changed -------------------------------------------------------------------------------------------------


def changing(at_workflow: int, code_at: int, seed: int = 3, factor: float = 2.0) -> Tables:
    """100 workflows, 60 of them before SINCE; slower from one on, with other code and commit from another on."""
    tables, chance = Tables(), np.random.default_rng(seed)
    for place in range(100):
        new = place >= code_at
        seconds = float(chance.lognormal(math.log(factor) * (place >= at_workflow), 0.2))
        tables.add(
            SINCE + (place - 60) * MINUTE,
            [{"duration_s": seconds, "code_hash": "b" * 16 if new else "a" * 16}],
            git_commit="2" * 40 if new else "1" * 40,
            versions='{"python": "3.11.7", "ray": "2.60.0"}' if new else '{"python": "3.11.7", "ray": "2.59.0"}',
        )
    return tables


@pytest.mark.parametrize("at_workflow", [30, 60, 75])
def test_the_code_that_changed_there(at_workflow: int) -> None:
    found = row(changing(at_workflow, at_workflow).report())
    assert (found["verdict"], found["first_workflow_id"]) == ("worse", f"w{at_workflow}")
    assert found["changed_at"] == SINCE + (at_workflow - 60) * MINUTE
    assert (found["code_hash_before"], found["code_hash"]) == ("a" * 16, "b" * 16)
    assert (found["git_commit_before"], found["git_commit"]) == ("1" * 40, "2" * 40)
    assert found["versions_changed"] == "ray 2.59.0 -> 2.60.0"


def test_code_that_changed_elsewhere_is_not_blamed() -> None:
    found = row(changing(60, 20).report())
    assert found["first_workflow_id"] == "w60"
    assert (found["code_hash_before"], found["code_hash"], found["versions_changed"]) == ("b" * 16, "b" * 16, "")


def test_where_nothing_is_known_of_the_code() -> None:
    tables = Tables()
    tables.durations([1.0, 1.1] * 10, [3.0, 3.1] * 10)
    found = row(tables.report())
    assert (found["first_workflow_id"], found["code_hash"], found["git_commit"]) == ("w20", None, None)
    assert found["versions_changed"] == ""


# -- by code ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{"code": "bbbb"}, {"code": "2222"}, {"code": "b" * 16, "baseline_code": "aaaa"}])
def test_between_versions_of_code(given: dict[str, str]) -> None:
    found = row(changing(60, 60).report(**given))
    assert (found["n_before"], found["n_after"], found["verdict"]) == (60, 40, "worse")
    assert found["first_workflow_id"] == "w60"


def test_code_that_nobody_ran() -> None:
    assert changing(60, 60).report(code="dddd").is_empty()
    found = changing(60, 60).report(code="bbbb", baseline_code="dddd")
    assert found["verdict"].unique().to_list() == ["too few"]


# -- another implementation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_p_and_q_are_those_of_counting(seed: int) -> None:
    chance = np.random.default_rng(seed)
    tables, expected = Tables(), {}
    for number in range(12):
        n, m = (int(size) for size in chance.integers(10, 40, 2))
        # whole numbers: many ties, and now and then nothing but them
        before = [float(value) for value in chance.integers(1, chance.integers(2, 9), n)]
        after = [float(value) for value in chance.integers(1, chance.integers(2, 12), m)]
        tables.durations(before, after, task_key=f"task{number}")
        expected[f"task{number}"] = one_sided(before, after)
    found = tables.report(measure="duration_s")
    rows = {one["task_key"]: one for one in found.iter_rows(named=True)}
    ordered = sorted(expected, key=expected.__getitem__)
    for place, key in enumerate(ordered):
        assert rows[key]["p"] == pytest.approx(expected[key], rel=1e-6), key
        later = [expected[other] * len(ordered) / (rank + 1) for rank, other in enumerate(ordered) if rank >= place]
        assert rows[key]["q"] == pytest.approx(min(1.0, *later), rel=1e-6), key
        assert (rows[key]["verdict"] == "worse") == (
            rows[key]["p"] <= 0.02 and rows[key]["q"] <= 0.2 and rows[key]["ratio"] >= 1.1
        )


@pytest.mark.parametrize("z", [-3.0, 0.5, 5.0])
def test_the_tail_of_the_normal_distribution(z: float) -> None:
    """n = m = 1,000 without ties: any z can be had by shifting ranks."""
    n = 200
    variance = n * n * (2 * n + 1) / 12
    wanted = round(n * n / 2 + z * math.sqrt(variance))
    # `after` takes the places that make as many pairs as wanted: all below, then moved up one by one
    whole, rest = divmod(wanted, n)
    above = [place + 0.5 for place in range(n)]
    after = [*(-1.0 - k for k in range(n - whole - 1)), *([rest - 0.25] if whole < n else [])]
    after += [n + 1.0 + k for k in range(whole)]
    shift = 1 - min(after)
    tables = Tables()
    tables.durations([value + shift for value in above], [value + shift for value in after])
    assert row(tables.report())["p"] == pytest.approx(one_sided(above, after), rel=1e-5)
