"""The critical path is the longest one, whichever way it is looked for."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.index.waiting import Counter, timer, wait_for
from tests.index.worlds import World, dag, spec
from tests.model.histories import random_history
from tests.reports.stories import Story
from wfstore.index import Index, catalog, reports, to_polars
from wfstore.log import MemoryLog

SEEDS = st.integers(0, 2**32)


def path_of(index: Index, workflow_id: str | None = None) -> pl.DataFrame:
    query = catalog.folder("reports")["critical_path"]
    return to_polars(index.run(query, reports.bind(query, {"id": workflow_id})))


def ids(world: World, workflow_id: str) -> list[str]:
    found: list[str] = path_of(world.index, workflow_id)["task_id"].to_list()
    return found


# -- any DAG ----------------------------------------------------------------------------------------------------------


def ran(upstream: list[set[int]], seconds: list[int]) -> Story:
    """A workflow of these tasks, each of which begins a second after it was submitted."""
    story = Story()
    story.now(0)
    story.submit("w", dag(*(spec(f"t{i}", *sorted(above)) for i, above in enumerate(upstream))))
    while opened := story.simulation.open_attempts():
        began = (story.simulation.now - story.simulation.log[0].ts) / 1e6 + 1
        task_id = opened[0][2]
        story.ok("w", task_id, began, began + seconds[int(task_id[1:])])
    return story


def every_path(upstream: list[set[int]], end: int) -> Iterator[list[int]]:
    yield [end]
    for above in upstream[end]:
        for path in every_path(upstream, above):
            yield [*path, end]


@settings(max_examples=12, deadline=None)
@given(SEEDS)
def test_it_is_the_longest_of_all_paths(seed: int) -> None:
    rng = random.Random(seed)
    width = rng.randint(1, 8)
    # the model drops a task that nothing leads from to the last one: so the last takes all that nobody else takes
    upstream = [set(rng.sample(range(i), rng.randint(0, min(i, 3)))) for i in range(width)]
    upstream[-1] |= set(range(width - 1)) - set().union(*upstream)
    seconds = [rng.choice([0, 1, 2, 5, 9]) for _ in range(width)]
    found = path_of(ran(upstream, seconds).index)
    longest = max(sum(seconds[i] for i in path) for end in range(width) for path in every_path(upstream, end))
    nodes = [int(name[1:]) for name in found["task_id"]]
    assert found["path_s"].max() == longest == sum(seconds[i] for i in nodes)
    assert all(above in upstream[below] for above, below in pairwise(nodes))
    assert found["position"].to_list() == list(range(1, len(nodes) + 1))
    assert found["path_s"].to_list() == [sum(seconds[i] for i in nodes[: at + 1]) for at in range(len(nodes))]
    assert found["share"].sum() == pytest.approx(1.0) if longest else found["share"].null_count() == found.height


def test_a_thousand_tasks_in_a_row_and_side_by_side() -> None:
    chained = [set[int]()] + [{i} for i in range(999)]
    layers = [set(range((i // 50 - 1) * 50, (i // 50) * 50, 7)) if i >= 50 else set[int]() for i in range(1000)]
    layers[-1] |= set(range(999)) - set().union(*layers)
    for upstream in (chained, layers):
        story = ran(upstream, [1] * 1000)
        began = time.perf_counter()
        found = path_of(story.index, "w")
        assert time.perf_counter() - began < 5  # 0.2 s when nothing else runs
        assert found["path_s"].max() == found.height
        assert upstream is not chained or found.height == 1000


# -- anything that can be in a log ------------------------------------------------------------------------------------


def expected_us(index: Index, workflow_id: str) -> int:
    """The length of the longest path, by the definition: what a task waits for, and how long it takes itself."""
    chosen = {"id": workflow_id}
    rows = index.sql("FROM tasks WHERE workflow_id = $id", chosen).pl().to_dicts()
    tasks: dict[str, dict[str, Any]] = {row["task_id"]: row for row in rows}
    edges = index.sql("SELECT upstream_task_id, task_id, kind FROM edges WHERE workflow_id = $id", chosen).fetchall()
    continued = {above: below for above, below, kind in edges if kind == "continuation"}

    def arrived(task_id: str) -> list[str]:
        ended = tasks[task_id]["ended_at"]
        waited = [above for above, below, kind in edges if below == task_id and kind == "waited"]
        return [a for a in waited if ended is not None and tasks[a]["ended_at"] and tasks[a]["ended_at"] <= ended]

    @cache
    def given_after(task_id: str) -> int:
        return given_after(continued[task_id]) if task_id in continued else ends(task_id)

    @cache
    def ends(task_id: str) -> int:
        plain = [a for a, b, kind in edges if b == task_id and kind in ("argument", "nested", "order")]
        creator = tasks[task_id]["creator"]
        above = [given_after(name) for name in (*plain, *arrived(task_id))] + ([ends(creator)] if creator else [])
        took = 0 if arrived(task_id) else max(round((tasks[task_id]["duration_s"] or 0) * 1e6), 0)
        return took + max(above, default=0)

    return max(map(ends, tasks))


def agrees(seed: int, steps: int) -> None:
    log = MemoryLog()
    log.append(random_history(seed, steps).log)
    index = Index(log)
    for (workflow_id,) in index.sql("SELECT workflow_id FROM workflows WHERE tasks > 0").fetchall():
        found = path_of(index, workflow_id)
        assert round(found["path_s"].max() * 1e6) == expected_us(index, workflow_id), workflow_id
        assert found["duration_s"].sum() == pytest.approx(found["path_s"].max())
        assert found["task_id"].n_unique() == found.height


@settings(max_examples=4, deadline=None)
@given(SEEDS)
def test_it_follows_from_the_views_in_any_history(seed: int) -> None:
    agrees(seed, 60)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(SEEDS)
def test_it_follows_from_the_views_in_many_more_histories(seed: int) -> None:
    agrees(seed, 150)


# -- what needs care --------------------------------------------------------------------------------------------------


def test_who_takes_the_output_of_a_continuation_comes_after_it() -> None:
    story = Story()
    story.now(0)
    story.submit("w", dag(spec("a"), spec("b", 0), spec("c"), spec("d", 1, 2)))
    story.ok("w", "a", 1, 2, output=None, continuation=dag(spec("x"), spec("y", 0)))
    story.ok("w", "c", 1, 9)
    story.ok("w", "x", 9, 13)
    story.ok("w", "y", 13, 16, output=None, continuation=dag(spec("z")))
    story.ok("w", "z", 16, 18)
    story.ok("w", "b", 18, 19)
    story.ok("w", "d", 19, 20)
    found = path_of(story.index, "w")
    assert found["task_id"].to_list() == ["a", "x", "y", "z", "b", "d"]
    assert found["duration_s"].to_list() == [1.0, 4.0, 3.0, 2.0, 1.0, 1.0]


def test_a_wait_goes_on_with_what_had_ended() -> None:
    story = Story()
    story.now(0)
    story.submit("w", dag(spec("quick"), spec("slow"), wait_for(0, 1), spec("after", 2)))
    story.ok("w", "quick", 1, 5)
    story.ok("w", "wait", 0, 5)
    story.ok("w", "after", 6, 8)
    assert ids(story, "w") == ["quick", "wait", "after"]
    assert path_of(story.index, "w")["duration_s"].to_list() == [4.0, 0.0, 2.0]


def test_a_wait_that_got_nothing_took_its_time_and_a_timer_does() -> None:
    story = Story()
    story.now(0)
    story.submit("w", dag(spec("slow"), wait_for(0)._replace(facts={"num_returns": 1, "timeout_s": 7.0}), spec("b", 1)))
    story.ok("w", "wait", 0, 7)
    story.ok("w", "b", 7, 8)
    assert path_of(story.index, "w").select("task_id", "duration_s").rows() == [("wait", 7.0), ("b", 1.0)]
    story.now(10)
    story.submit("nap", dag(timer("nap"), spec("b", 0)))
    story.simulation.ring(story.simulation.now + 60_000_000)
    story.write()
    story.ok("nap", "b", 70, 71)
    assert path_of(story.index, "nap").select("task_id", "duration_s").rows() == [("nap", 60.0), ("b", 1.0)]


def test_the_calls_of_a_virtual_actor_follow_each_other() -> None:
    world = World()
    counter = Counter(world)
    for value in range(3):
        counter.end(counter.call(), value, value)
    assert ids(world, "c") == ["__init__", "incr", "incr_1", "incr_2"]


def test_hostile_ids_are_ids() -> None:
    story = Story()
    name = 'it\'s "a" $id -- \\ é'
    story.submit(name, dag(spec("a'; DROP VIEW tasks --")))
    assert ids(story, name) == ["a'; DROP VIEW tasks --"]
    assert json.loads(path_of(story.index, name).write_json())[0]["workflow_id"] == name
