"""The critical path, slack, the makespan and what-if, against figures worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import wfstore
from tests.index.waiting import timer, wait_for
from tests.index.worlds import dag, spec
from tests.reports.stories import Story, shop, store_of
from wfstore.answers.paths_frames import Makespan


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> wfstore.Store:
    return store_of(shop(), tmp_path_factory.mktemp("shop") / "s")


def told(story: Story, tmp_path: Path, workflow_id: str = "w") -> wfstore.History:
    return store_of(story, tmp_path / "s").history(workflow_id)


def slack(history: wfstore.History) -> dict[str, float | None]:
    return dict(history.tasks.select("task_id", "slack_s").iter_rows())


def test_the_path_is_a_frame(store: wfstore.Store) -> None:
    table = store.history("one").critical_path
    assert table["position"].to_list() == [1, 2, 3]
    assert table["task_key"].to_list() == ["shop.list", "shop.map", "shop.total"]
    columns = ("task_id", "gap_s", "retried_s", "duration_s", "path_s", "slack_s")
    assert table.select(columns).rows() == [
        ("list", 1.0, 0.0, 2.0, 2.0, 0.0),
        ("map", 1.0, 0.0, 4.0, 6.0, 0.0),
        ("total", 1.0, 0.0, 1.0, 7.0, 0.0),
    ]
    assert table["share"].to_list() == pytest.approx([2 / 7, 4 / 7, 1 / 7])


def test_slack_is_latest_minus_earliest_finish(store: wfstore.Store) -> None:
    history = store.history("one")
    assert slack(history) == {"list": 0.0, "map": 0.0, "map_1": 2.0, "total": 0.0}
    assert history.tasks["on_critical_path"].to_list() == [True, True, False, True]


def test_the_makespan_is_the_sum_of_what_it_went_to(store: wfstore.Store) -> None:
    assert store.history("one").makespan == Makespan(10.0, 3, code_s=7.0, waits_s=0.0, retries_s=0.0, gaps_s=3.0)
    # work began at 6, failed, and succeeded in the next run from 21 to 23
    assert store.history("two").makespan == Makespan(23.0, 2, code_s=5.0, waits_s=0.0, retries_s=15.0, gaps_s=3.0)
    made = store.history("one").makespan
    assert made is not None and made.shares() == {"code_s": 0.7, "waits_s": 0.0, "retries_s": 0.0, "gaps_s": 0.3}


def test_a_timer_waits(tmp_path: Path) -> None:
    story = Story()
    story.now(0)
    story.submit("w", dag(timer("nap"), spec("b", 0)))
    story.simulation.ring(story.simulation.now + 60_000_000)
    story.write()
    story.ok("w", "b", 61, 64)
    assert told(story, tmp_path).makespan == Makespan(64.0, 2, code_s=3.0, waits_s=60.0, retries_s=0.0, gaps_s=1.0)


def test_slack_around_a_continuation(tmp_path: Path) -> None:
    story = Story()
    story.now(0)
    story.submit("w", dag(spec("a"), spec("b", 0), spec("c"), spec("d", 1, 2)))
    story.ok("w", "a", 1, 2, output=None, continuation=dag(spec("x"), spec("y", 0)))
    story.ok("w", "c", 1, 9)
    story.ok("w", "x", 9, 13)
    story.ok("w", "y", 13, 16)
    story.ok("w", "b", 16, 17)
    story.ok("w", "d", 17, 18)
    history = told(story, tmp_path)
    # a 1, x 4, y 3, b 1, d 1 against c 8, d 1
    assert history.critical_path["task_id"].to_list() == ["a", "x", "y", "b", "d"]
    assert slack(history) == {"a": 0.0, "b": 0.0, "c": 1.0, "d": 0.0, "x": 0.0, "y": 0.0}


def test_what_a_wait_left_behind_has_the_slack_of_an_end(tmp_path: Path) -> None:
    story = Story()
    story.now(0)
    story.submit("w", dag(spec("quick"), spec("slow"), wait_for(0, 1), spec("after", 2)))
    story.ok("w", "quick", 1, 5)
    story.ok("w", "wait", 0, 5)
    story.ok("w", "slow", 1, 6)
    story.ok("w", "after", 6, 8)
    # quick 4, wait 0, after 2 against slow 5, for which nobody waited
    assert slack(told(story, tmp_path)) == {"quick": 0.0, "slow": 1.0, "wait": 0.0, "after": 0.0}


def test_what_has_no_duration_has_no_slack(tmp_path: Path) -> None:
    story = Story()
    story.now(0)
    story.submit("w", dag(spec("a"), spec("b"), spec("c", 0, 1)))
    story.ok("w", "a", 1, 3)
    history = told(story, tmp_path)
    assert slack(history) == {"a": 0.0, "b": None, "c": None}
    assert history.makespan is None
    assert history.critical_path["task_id"].to_list() == ["a", "c"]


def test_an_attempt_that_outlasts_its_workflow_is_counted_to_its_end(tmp_path: Path) -> None:
    story = Story()
    story.now(0)
    story.submit("w", dag(spec("a"), spec("b"), spec("c", 0, 1)))
    story.bad("w", "a", 1, 2, "no")
    story.ok("w", "b", 1, 9)
    history = told(story, tmp_path)
    assert history.workflow["elapsed_s"] == 2.0
    assert history.makespan == Makespan(9.0, 1, code_s=8.0, waits_s=0.0, retries_s=0.0, gaps_s=1.0)


# -- what if ----------------------------------------------------------------------------------------------------------


def test_what_if_says_both_makespans(store: wfstore.Store) -> None:
    answer = store.history("one").what_if({"shop.map": 0.25})
    # list 2, map_1 0.5 and map 1 beside each other, total 1
    assert (answer.unlimited.before_s, answer.unlimited.after_s, answer.unlimited.saved_s) == (7.0, 4.0, 3.0)
    assert answer.workers == 2
    assert answer.limited is not None and (answer.limited.before_s, answer.limited.after_s) == (7.0, 4.0)
    assert (answer.tasks, answer.changed, answer.elapsed_s) == (4, 2, 10.0)
    assert answer.path.rows() == [("list", "shop.list", 2.0), ("map", "shop.map", 1.0), ("total", "shop.total", 1.0)]


def test_the_path_goes_elsewhere(store: wfstore.Store) -> None:
    answer = wfstore.what_if("one", {"map_1": 3, "list": 0}, storage=store.storage)
    assert answer.path["task_id"].to_list() == ["list", "map_1", "total"]
    assert answer.unlimited.after_s == 7.0
    assert answer.to_dict()["unlimited"] == {"before_s": 7.0, "after_s": 7.0, "saved_s": 0.0}


def test_with_one_worker_all_is_one_after_the_other(tmp_path: Path) -> None:
    story = Story()
    story.now(0)
    story.submit("w", dag(spec("a"), spec("b"), spec("c", 0, 1)))
    story.ok("w", "a", 1, 3)
    story.ok("w", "b", 3, 6)
    story.ok("w", "c", 6, 7)
    answer = told(story, tmp_path).what_if({"shop.b": 0.5})
    assert answer.workers == 1
    assert answer.limited is not None and (answer.limited.before_s, answer.limited.after_s) == (6.0, 4.5)
    assert (answer.unlimited.before_s, answer.unlimited.after_s) == (4.0, 3.0)


@pytest.mark.parametrize(
    ("factors", "words"),
    [({"nobody": 1}, "no task has the key, name or id 'nobody'; the keys are: shop.list"), ({"list": -1}, "from 0"),
     ({"list": float("nan")}, "from 0"), ({"list": "2"}, "from 0"), ({"list": True}, "from 0"),
     ({"list": 1e20}, "longer than a thousand years")],
)  # fmt: skip
def test_what_cannot_be_is_refused(store: wfstore.Store, factors: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        store.history("one").what_if(factors)


def test_nothing_is_guessed_from_nothing(tmp_path: Path) -> None:
    story = Story()
    story.now(0)
    story.submit("w", dag(spec("a")))
    with pytest.raises(ValueError, match="no task has ended"):
        told(story, tmp_path).what_if({"a": 2})
