"""Every report over a history whose numbers were worked out by hand: see `tests.reports.stories.shop`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.index.worlds import dag, spec
from tests.reports.stories import Story, at, shop
from wfstore.index import catalog
from wfstore.model.commands import Interrupt, Resume

DAY = 86_400
#: Midnight before the stories begin, 22:13:20 earlier, and the next one.
FIRST, SECOND = at(-80_000), at(-80_000 + DAY)


@pytest.fixture(scope="module")
def story() -> Story:
    return shop()


EXPECTED: dict[str, list[tuple[Any, ...]]] = {
    "task_durations": [
        ("shop", "map", 2, 3.0, 3.8, 3.9, 3.98, 4.0, 6.0),
        ("mill", "load", 1, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0),
        ("mill", "work", 1, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0),
        ("shop", "list", 1, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0),
        ("shop", "total", 1, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    ],
    "output_sizes": [
        ("shop", "map", 2, 3, 5, 5, 8),
        ("shop", "total", 1, 5, 5, 5, 5),
        ("mill", "load", 1, 4, 4, 4, 4),
        ("mill", "work", 1, 4, 4, 4, 4),
        ("shop", "list", 1, 4, 4, 4, 4),
    ],
    "slowest_tasks": [
        ("one", "shop", "map", "map", "SUCCESSFUL", 1, at(4), 1.0, 4.0, 3),
        ("two", "mill", "load", "load", "SUCCESSFUL", 1, at(DAY + 2), 2.0, 3.0, 4),
        ("one", "shop", "list", "list", "SUCCESSFUL", 1, at(1), 1.0, 2.0, 4),
        ("one", "shop", "map_1", "map", "SUCCESSFUL", 2, at(5), 2.0, 2.0, 5),
        ("two", "mill", "work", "work", "SUCCESSFUL", 2, at(DAY + 6), 1.0, 2.0, 4),
        ("one", "shop", "total", "total", "SUCCESSFUL", 1, at(9), 0.5, 1.0, 5),
        ("three", "mill", "load", "load", "FAILED", 1, at(DAY + 40), 10.0, 1.0, None),
    ],
    "failures": [
        ("mill", "load", "ValueError", "cannot read <text> at row <n>", 1, 1, at(DAY + 41), at(DAY + 41),
         "three", "load", "cannot read '/data/2.csv' at row 9"),
        ("mill", "work", "ValueError", "no space left: <n> of <n> MB", 1, 1, at(DAY + 10), at(DAY + 10),
         "two", "work", "no space left: 12 of 4096 MB"),
        ("shop", "map", "ValueError", "cannot read <text> at row <n>", 1, 1, at(6), at(6),
         "one", "map_1", "cannot read '/data/1.csv' at row 17"),
    ],
    "throughput": [
        (at(-800), 5, 4, 1, 10.0, 17, 4 / 3600),
        (at(DAY - 800), 4, 2, 2, 10.0, 8, 2 / 3600),
    ],
    "retries_and_waste": [
        ("mill", "work", 1, 2, 0, 1, 0, 0, 0, 6.0, 4.0, 4 / 6),
        ("shop", "map", 2, 3, 1, 1, 0, 0, 0, 7.0, 1.0, 1 / 7),
        ("mill", "load", 2, 2, 0, 1, 0, 0, 0, 4.0, 1.0, 1 / 4),
        ("shop", "list", 1, 1, 0, 0, 0, 0, 0, 2.0, 0.0, 0.0),
        ("shop", "total", 1, 1, 0, 0, 0, 0, 0, 1.0, 0.0, 0.0),
    ],
    "queue_waits": [
        ("mill", "load", 2, 6.0, 9.6, 9.92, 10.0, 12.0, 4.0, "three", "load"),
        ("shop", "map", 3, 1.0, 1.9, 1.98, 2.0, 3.5, 7.0, "one", "map_1"),
        ("mill", "work", 2, 1.0, 1.0, 1.0, 1.0, 2.0, 6.0, "two", "work"),
        ("shop", "list", 1, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, "one", "list"),
        ("shop", "total", 1, 0.5, 0.5, 0.5, 0.5, 0.5, 1.0, "one", "total"),
    ],
    "stuck": [],
    # what is older than that many days is not compared
    "regressions": [],
    "unusual_outputs": [],  # nothing was made in the last day
    "new_errors": [],
    "similar_errors": [
        (1.0, "ValueError", "cannot read <text> at row <n>", "three", "mill", 1, "load", "shop.load", 1, at(DAY + 41),
         "cannot read '/data/2.csv' at row 9", 2, at(6), 3),
        (1.0, "ValueError", "cannot read <text> at row <n>", "one", "shop", 1, "map_1", "shop.map", 1, at(6),
         "cannot read '/data/1.csv' at row 17", 2, at(6), 3),
    ],
    # attempts, seconds, CPUs, GPUs, GiB, others; cost and share; first, retry, fetch, repeated, canceled, failed
    "cost": [
        ("mill", 4, 10.0, 10 / 3600, 0.0, 0.0, None, 10 / 3600, 0.5, 5 / 3600, 0.0, 0.0, 0.0, 0.0, 5 / 3600, 0.5,
         1, 3 / 3600, 0, None, at(DAY), at(DAY + 30)),
        ("shop", 5, 10.0, 10 / 3600, 0.0, 0.0, None, 10 / 3600, 0.5, 7 / 3600, 2 / 3600, 0.0, 0.0, 0.0, 1 / 3600, 0.1,
         0, 0.0, 0, None, at(0), at(8.5)),
    ],
    # three and four events about workflow and tasks; five attempts are submitted, start and end, one retry is scheduled
    "growth": [
        (FIRST, 23, 3, 4, 16, 0, 1, 16, 17, 3, 0, 36, 0, 36),
        (SECOND, 25, 8, 5, 12, 0, 2, 12, 8, 6, 0, 26, 0, 26),
    ],
    "overview": [
        (3, 2, 1, 0, 0, 0, 7, 9, 1, 3, 20.0, 25, at(0), at(DAY + 30), at(3), at(DAY + 41)),
    ],
    "durations_over_time": [
        (FIRST, "shop", "list", 1, 2.0, 2.0, 2.0, 2.0),
        (FIRST, "shop", "map", 2, 3.0, 3.9, 4.0, 6.0),
        (FIRST, "shop", "total", 1, 1.0, 1.0, 1.0, 1.0),
        (SECOND, "mill", "load", 1, 3.0, 3.0, 3.0, 3.0),
        (SECOND, "mill", "work", 1, 2.0, 2.0, 2.0, 2.0),
    ],
    "sizes_over_time": [
        (FIRST, "shop", "list", 1, 4, 4, 4, 4),
        (FIRST, "shop", "map", 2, 3, 5, 5, 8),
        (FIRST, "shop", "total", 1, 5, 5, 5, 5),
        (SECOND, "mill", "load", 1, 4, 4, 4, 4),
        (SECOND, "mill", "work", 1, 4, 4, 4, 4),
    ],
    "workflow_timeline": [
        ("three", 1, "load", "load", "function", 1, "FAILED", "app", at(DAY + 30), 0.0, 10.0, 11.0, 10.0, 1.0,
         "node", 7),
    ],
    "critical_path": [
        ("three", 1, "load", "load", "shop.load", "function", "FAILED", 10.0, 1.0, 1.0, 1.0, 0.0),
    ],
    # total, dependency, admission, backoff, Ray's queue, fetch, user code, waiting, checkpoint
    "where_time_goes": [
        ("shop", None, "shop.map", 3, 16.5, 6.0, 0.0, 0.0, 3.5, 0.0, 7.0, 0.0, 0.0, 7 / 16.5),
        ("mill", None, "shop.load", 2, 16.0, 0.0, 0.0, 0.0, 12.0, 0.0, 4.0, 0.0, 0.0, 0.25),
        ("mill", None, "shop.work", 2, 13.0, 5.0, 0.0, 0.0, 2.0, 0.0, 6.0, 0.0, 0.0, 6 / 13),
        ("shop", None, "shop.total", 1, 10.0, 8.5, 0.0, 0.0, 0.5, 0.0, 1.0, 0.0, 0.0, 0.1),
        ("shop", None, "shop.list", 1, 3.0, 0.0, 0.0, 0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 2 / 3),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(catalog.folder("reports")))
def test_the_rows_are_those_worked_out_by_hand(story: Story, name: str) -> None:
    found = story.report(name).rows()
    assert len(found) == len(EXPECTED[name])
    for row, expected in zip(found, EXPECTED[name], strict=True):
        assert row == tuple(pytest.approx(value) if isinstance(value, float) else value for value in expected)


@pytest.mark.parametrize("name", sorted(catalog.folder("reports")))
def test_an_empty_store_has_no_rows(name: str) -> None:
    found = Story().report(name)
    assert found.columns == [column.name for column in catalog.folder("reports")[name].columns]
    if name == "overview":
        assert found.row(0) == (0,) * 10 + (0.0, 0, None, None, None, None)
    else:
        assert found.is_empty()


# -- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("task_durations", {"workflow": "mill"}, ["load", "work"]),
        ("task_durations", {"task": "map"}, ["map"]),
        ("task_durations", {"since": at(DAY), "limit": 1}, ["load"]),
        ("task_durations", {"until": at(DAY), "limit": 2}, ["map", "list"]),
        ("output_sizes", {"until": at(3)}, ["list"]),
        ("output_sizes", {"task": "work"}, ["work"]),
        ("slowest_tasks", {"limit": 2}, ["map", "load"]),
        ("slowest_tasks", {"task": "load"}, ["load", "load"]),
        ("failures", {"task": "map"}, ["map"]),
        ("failures", {"since": at(DAY), "until": at(DAY + 30)}, ["work"]),
        ("failures", {"limit": 0}, []),
        ("retries_and_waste", {"workflow": "shop", "limit": 1}, ["map"]),
        ("queue_waits", {"since": at(DAY + 20), "until": at(DAY + 30)}, ["work"]),
        ("durations_over_time", {"limit": 1}, ["map"]),
        ("sizes_over_time", {"task": "total"}, ["total"]),
        ("workflow_timeline", {"id": "one", "task": "map", "limit": 2}, ["map", "map"]),
        ("workflow_timeline", {"id": "nobody"}, []),
        ("critical_path", {"id": "one"}, ["list", "map", "total"]),
        ("critical_path", {"id": "nobody"}, []),
    ],
)
def test_parameters_choose(story: Story, name: str, given: dict[str, Any], expected: list[str]) -> None:
    assert story.report(name, **given)["task_name"].to_list() == expected


def test_spans_of_time_are_chosen_too(story: Story) -> None:
    assert story.report("throughput", bucket="1d", workflow="shop").rows() == [
        (FIRST, 5, 4, 1, 10.0, 17, pytest.approx(4 / DAY))
    ]
    assert story.report("growth", since=at(DAY), bucket="1w")["events"].to_list() == [25]
    assert story.report("growth", until=at(DAY), limit=1)["events"].to_list() == [23]
    assert story.report("overview", workflow="mill")["workflows"].to_list() == [2]
    assert story.report("overview", since=at(1), until=at(DAY + 30))["workflows"].to_list() == [1]


def test_a_timeline_is_on_one_axis(story: Story) -> None:
    columns = ("task_id", "attempt", "status", "submitted_s", "started_s", "ended_s", "queue_s", "duration_s")
    assert story.report("workflow_timeline", id="one").select(columns).rows() == [
        ("list", 1, "SUCCESSFUL", 0.0, 1.0, 3.0, 1.0, 2.0),
        ("map", 1, "SUCCESSFUL", 3.0, 4.0, 8.0, 1.0, 4.0),
        ("map_1", 1, "FAILED", 3.0, 5.0, 6.0, 2.0, 1.0),
        ("map_1", 2, "SUCCESSFUL", 6.0, 6.5, 8.5, 0.5, 2.0),
        ("total", 1, "SUCCESSFUL", 8.5, 9.0, 10.0, 0.5, 1.0),
    ]


# -- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "fingerprint"),
    [
        ("timed out after 30.5 s", "timed out after <n> s"),
        ("-5 is not in 1e-9..+3,000", "<n> is not in <n>..<n>"),
        ("shape (3, 17) at 10:42:07.123", "shape (<n>, <n>) at <n>"),
        ("object at 0x7f3a2b at node deadbeef01", "object at <hex> at node <hex>"),
        ("id 550e8400-e29b-41d4-a716-446655440000 of 1234567890", "id <hex> of <n>"),
        ("no file /tmp/run-17/x.csv: gone", "no file <path>: gone"),
        ("no file C:\\data\\x.csv, data/raw/y.csv or ./z", "no file <path>, <path> or <path>"),
        ("GET https://host:8080/a/b?c=1 failed with 503", "GET <path> failed with <n>"),
        ("and/or 1/2", "and/or <n>/<n>"),
        ("key 'a/b 12' of \"it's\" can't be, isn't", "key <text> of <text> can't be, isn't"),
        ("'it's here'", "<text>"),
        ("two\n  lines\tand 3", "two lines and <n>"),
        ("x" * 5000, "x" * 1000),
        ("", ""),
    ],
)
def test_a_fingerprint_leaves_out_what_differs_each_time(message: str, fingerprint: str) -> None:
    story = Story()
    story.submit("w", dag(spec("a", max_retries=0)))
    story.bad("w", "a", 1, 2, message)
    assert story.report("failures")["fingerprint"].to_list() == [fingerprint]


def test_failures_of_one_kind_are_one_row() -> None:
    story = Story()
    for number in range(3):
        story.now(10 * number)
        story.submit(f"w{number}", dag(spec("a", max_retries=0)))
        story.bad(f"w{number}", "a", 10 * number + 1, 10 * number + 2, f"row {number} of '{number}.csv'")
    row = story.report("failures").row(0, named=True)
    assert (row["fingerprint"], row["n"], row["workflows"]) == ("row <n> of <text>", 3, 3)
    assert (row["first_at"], row["last_at"], row["last_workflow_id"]) == (at(2), at(22), "w2")
    assert row["last_message"] == "row 2 of '2.csv'"


def test_lost_attempts_are_waste_and_no_failure() -> None:
    story = Story()
    story.now(0)
    story.submit("w", dag(spec("a"), spec("b", 0)))
    story.ok("w", "a", 1, 2)
    story.begins("w", "b", 3)
    story.now(13)
    story.do(Interrupt("w"))
    story.now(20)
    story.do(Resume("w"))
    story.ok("w", "b", 21, 24)
    assert story.report("failures").is_empty()
    row = story.report("retries_and_waste", task="b").row(0, named=True)
    assert (row["attempts"], row["failed"], row["lost"], row["busy_s"], row["wasted_s"]) == (2, 0, 1, 13.0, 10.0)


def test_what_was_not_kept_and_ran_again_is_waste() -> None:
    story = Story()
    story.now(0)
    story.submit("w", dag(spec("a", checkpoint=False), spec("b", 0, max_retries=0)))
    story.ok("w", "a", 1, 3, stored=False)
    story.bad("w", "b", 4, 5, "no")
    story.do(Resume("w"))
    story.ok("w", "a", 6, 9, stored=False)
    story.ok("w", "b", 10, 11)
    row = story.report("retries_and_waste", task="a").row(0, named=True)
    assert (row["repeated"], row["busy_s"], row["wasted_s"]) == (1, 5.0, 2.0)
    assert story.report("growth")["output_bytes"].to_list() == [1]  # that of b: a's was never kept


# -- stuck ------------------------------------------------------------------------------------------------------------


def running(past: int, *, managed: bool = True) -> Story:
    """`past` attempts of 10 s, and one that began at second 1,000."""
    story = Story(managed=managed)
    story.now(0)
    for number in range(past):
        story.submit(f"w{number}", dag(spec("a")))
        story.ok(f"w{number}", "a", 0, 10)
    story.submit("now", dag(spec("a")))
    story.begins("now", "a", 1000)
    return story


def test_what_runs_longer_than_its_own_p99_is_stuck() -> None:
    story = running(5)
    assert story.report("stuck", at=at(1010)).is_empty()
    assert story.report("stuck", at=at(1020)).rows() == [
        ("now", "a", 1, "a", "a", 1, at(1000), 20.0, "shop.a", 5, at(0), at(10), 10.0, 10.0, 2.0, "node", 7)
    ]
    assert story.report("stuck")["task_id"].to_list() == ["a"]  # since 2023
    assert story.report("stuck", task="b").is_empty()
    assert story.report("stuck", since=at(5)).is_empty()


def test_too_few_past_runs_say_nothing() -> None:
    assert running(4).report("stuck").is_empty()
    assert running(4).report("stuck", min_runs=4).height == 1


def test_nothing_is_stuck_that_nobody_runs() -> None:
    assert running(5, managed=False).report("stuck").is_empty()
