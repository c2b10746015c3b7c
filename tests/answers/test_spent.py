"""What the time of attempts went to: parts worked out by hand, and what holds of any history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import wfstore
from tests.index.waiting import Counter, slow_retry, timer
from tests.index.worlds import World, dag, spec
from tests.model.histories import T0, random_history
from tests.reports.stories import Story, shop, store_of
from wfstore.answers.spent import PARTS, summed
from wfstore.index import Index, to_polars
from wfstore.log import MemoryLog
from wfstore.model import events as ev
from wfstore.model.events import Event

#: dependency, admission, backoff, Ray's queue, fetch, user code, waiting, checkpoint
Parts = tuple[float, float, float, float, float, float, float, float]


def rows(index: Index, workflow_id: str = "w") -> dict[tuple[str, int, int], dict[str, Any]]:
    found = index.sql("FROM time_spent WHERE workflow_id = $id", {"id": workflow_id}).pl().to_dicts()
    return {(row["task_id"], row["run"], row["attempt"]): row for row in found}


def parts(row: dict[str, Any]) -> Parts:
    return tuple(row[name] for name in PARTS)  # type: ignore[return-value]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> wfstore.Store:
    return store_of(shop(), tmp_path_factory.mktemp("shop") / "s")


def test_waiting_for_tasks_and_retries_are_apart() -> None:
    found = rows(shop().index, "one")
    assert parts(found["list", 1, 1]) == (0, 0, 0, 1, 0, 2, 0, 0)
    assert parts(found["map", 1, 1]) == (3, 0, 0, 1, 0, 4, 0, 0)
    assert parts(found["map_1", 1, 2]) == (0, 0, 0, 0.5, 0, 2, 0, 0)
    assert found["total", 1, 1]["total_s"] == 10.0
    # of the second run, what was before it does not count
    assert parts(rows(shop().index, "two")["work", 2, 1]) == (0, 0, 0, 1, 0, 2, 0, 0)


def test_fetching_and_storing_are_not_user_code() -> None:
    story = Story()
    story.now(0)
    story.submit("w", dag(spec("a"), spec("b", 0)))
    story.ok("w", "a", 3, 5, fetch_s=0.5, checkpoint_s=0.25)
    story.ok("w", "b", 7, 8, fetch_s=2.5)
    found = rows(story.index)
    assert parts(found["a", 1, 1]) == (0, 0, 0, 2.5, 0.5, 2, 0, 0.25)
    # fetching took longer than there was time for: nothing lasts less than no time
    assert parts(found["b", 1, 1]) == (5, 0, 0, 0, 2.5, 1, 0, 0)


def test_arguments_that_cannot_be_unpickled_were_fetched() -> None:
    story = Story()
    story.now(0)
    story.submit("w", dag(spec("a")))
    story.bad("w", "a", 1, 4, "no module", kind="serialization")
    assert parts(rows(story.index)["a", 1, 1]) == (0, 0, 0, 1, 3, 0, 0, 0)


def test_a_back_off_and_a_timer() -> None:
    story = Story()
    story.now(0)
    story.submit("w", dag(slow_retry("a"), timer("nap"), spec("b", 0, 1)))
    story.bad("w", "a", 1, 2, "no", retryable=True)
    story.simulation.ring(T0 + 32_000_000)
    story.write()
    story.ok("w", "a", 33, 34)
    story.simulation.ring(T0 + 60_000_000)
    story.write()
    story.ok("w", "b", 61, 62)
    found = rows(story.index)
    assert parts(found["a", 1, 2]) == (0, 0, 30, 1, 0, 1, 0, 0)
    assert parts(found["nap", 1, 1]) == (0, 0, 0, 0, 0, 0, 60, 0)
    assert parts(found["b", 1, 1]) == (60, 0, 0, 1, 0, 1, 0, 0)


def test_the_queue_of_workflows_is_admission() -> None:
    story = Story()
    story.simulation.append(Event(ts=T0, type=ev.CONFIG_SET, attributes='{"max_running_workflows":1}'))
    story.now(0)
    story.submit("first", dag(spec("a")))
    story.submit("w", dag(spec("a"), spec("b", 0)))
    story.ok("first", "a", 1, 6)
    story.ok("w", "a", 7, 9)
    story.ok("w", "b", 10, 11)
    found = rows(story.index)
    assert parts(found["a", 1, 1]) == (0, 6, 0, 1, 0, 2, 0, 0)
    assert parts(found["b", 1, 1]) == (3, 6, 0, 1, 0, 1, 0, 0)


def test_what_a_continuation_adds_begins_with_it() -> None:
    story = Story()
    story.now(0)
    story.submit("w", dag(spec("a"), spec("b", 0)))
    story.ok("w", "a", 1, 5, output=None, continuation=dag(spec("x"), spec("y", 0)))
    story.ok("w", "x", 6, 8)
    story.ok("w", "y", 9, 10)
    found = rows(story.index)
    assert parts(found["x", 1, 1]) == (0, 0, 0, 1, 0, 2, 0, 0)
    assert parts(found["y", 1, 1]) == (3, 0, 0, 1, 0, 1, 0, 0)


def test_a_call_begins_when_it_is_made() -> None:
    world = World()
    counter = Counter(world)
    first = counter.call()
    second = counter.call()
    counter.end(first, 1, 1)
    counter.end(second, 2, 2)
    found = rows(world.index, "c")
    asked = world.index.sql("SELECT task_id, ts FROM events WHERE type = 'task.defined'").fetchall()
    called = dict(asked)[second]
    assert found[second, 2, 1]["begun_at"] == called
    waited = (found[second, 2, 1]["submitted_at"] - called).total_seconds()
    assert found[second, 2, 1]["dependency_s"] == waited > 0


def test_what_is_under_way_has_no_total() -> None:
    story = Story()
    story.now(0)
    story.submit("w", dag(spec("a"), spec("b"), spec("c", 0, 1)))
    story.begins("w", "a", 2)
    found = rows(story.index)
    row = found["a", 1, 1]
    assert (row["total_s"], row["dependency_s"], row["ray_queue_s"], row["user_s"]) == (None, 0.0, 2.0, None)
    assert found["b", 1, 1]["ray_queue_s"] is None
    assert summed(pl.DataFrame(list(found.values())))["attempts"].to_list() == [0]


def test_a_clock_that_is_behind_makes_no_negative_time() -> None:
    story = Story()
    story.now(10)
    story.submit("w", dag(spec("a")))
    story.ok("w", "a", 4, 7)
    assert parts(rows(story.index)["a", 1, 1]) == (0, 0, 0, 0, 0, 3, 0, 0)


# -- any history ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_parts_sum_up_to_the_whole(seed: int) -> None:
    log = MemoryLog()
    log.append(random_history(seed, 80).log)
    index = Index(log)
    spent, tries = index.sql("FROM time_spent").pl(), index.sql("FROM attempts").pl()
    keys = ("workflow_id", "run", "task_id", "attempt")
    assert spent.select(keys).sort(keys).equals(tries.select(keys).sort(keys))
    ended = spent.drop_nulls("total_s")
    assert ended.height == tries.filter(~pl.col("status").is_in(["PENDING", "RUNNING"])).height > 10
    whole = [round(value * 1e6) for value in ended["total_s"]]
    assert whole == [sum(round(value * 1e6) for value in row) for row in ended.select(*PARTS).iter_rows()]
    assert min(min(row) for row in ended.select(*PARTS).iter_rows()) >= 0
    # where no clock is behind another, that is the time that went by
    straight = ended.join(tries.select(*keys, "started_at", "ended_at", "checkpoint_s", "fetch_s"), on=keys)
    straight = straight.filter(
        pl.col("begun_at") <= pl.col("submitted_at"),
        pl.col("submitted_at") + pl.duration(microseconds=pl.col("fetch_s").fill_null(0) * 1e6) <= pl.col("started_at"),
        pl.col("started_at") <= pl.col("ended_at"),
    )
    took = (straight["ended_at"] - straight["begun_at"]).dt.total_microseconds()
    stored = (straight["checkpoint_s"].fill_null(0) * 1e6).round().cast(pl.Int64)
    assert straight.height > 5
    assert [round(value * 1e6) for value in straight["total_s"]] == (took + stored).to_list()


def test_a_history_says_what_sql_says(store: wfstore.Store) -> None:
    for workflow_id in ("one", "two", "three"):
        said = store.sql("FROM time_spent WHERE workflow_id = ? ORDER BY submitted_seq", [workflow_id]).pl()
        spent = store.history(workflow_id).time_spent
        assert spent.equals(said)
        report = store.report("where_time_goes", id=workflow_id)
        assert report.select("task_key", "attempts", "total_s", *PARTS).equals(summed(spent, "task_key"))
        whole = store.report("where_time_goes", id=workflow_id, by="workflow")
        assert whole.select("attempts", "total_s", *PARTS).equals(summed(spent))
        assert whole["workflow_id"].to_list() == [workflow_id]


def test_the_report_chooses(store: wfstore.Store) -> None:
    assert store.report("where_time_goes", workflow="mill")["task_key"].to_list() == ["shop.load", "shop.work"]
    assert store.report("where_time_goes", by="workflow")["workflow_id"].to_list() == ["one", "two", "three"]
    assert store.report("where_time_goes", since="2023-11-15T22:13:45")["attempts"].to_list() == [1]
    with pytest.raises(ValueError, match="by is one of task, workflow, not 'day'"):
        store.report("where_time_goes", by="day")
    with pytest.raises(ValueError, match="scope is one of path, all, not 'some'"):
        store.report("critical_path", scope="some")


def test_empty_histories_have_their_columns(tmp_path: Path) -> None:
    story = Story()
    story.now(0)
    story.submit("w", dag(spec("a")))
    history = store_of(story, tmp_path / "s").history("w")
    assert history.time_spent.height == 1
    assert summed(history.time_spent, "task_key").is_empty()
    assert to_polars(story.index.sql("FROM time_spent")).height == 1
