"""The reports over everything that a task or a workflow can be: waits, virtual actors, resumes, ends of every kind."""

from __future__ import annotations

import pytest

from tests.index.waiting import Counter, slow_retry, timed, timer, wait_for
from tests.index.worlds import World, dag, spec
from tests.model.histories import random_history
from tests.reports.stories import Story, at
from wfstore.index import Index, catalog, reports, to_polars
from wfstore.log import MemoryLog
from wfstore.model.commands import Cancel, Delete, Interrupt, Resume
from wfstore.model.payload import PayloadRef

NAMES = sorted(catalog.folder("reports"))


def everything() -> World:
    """Waits, a slow retry, a virtual actor, a continuation; canceled, interrupted, deleted, resumed, running ones."""
    world = World()
    timed(world)
    world.submit("retries", dag(slow_retry("flaky"), spec("b", 0)))
    world.fail("flaky", retryable=True, error_message="try 1 of 3")
    counter = Counter(world)
    counter.end(counter.call(), 1, 1)
    counter.returns(counter.call(), dag(spec("inner")), 2)
    counter.read()
    counter.read(error="KeyError")
    world.submit("continued", dag(spec("a"), spec("b", 0)))
    world.end("a", "continued", output=None, continuation=dag(spec("x")))
    world.submit("canceled", dag(spec("a"), spec("b", 0)))
    world.do(Cancel("canceled"))
    world.submit("interrupted", dag(spec("a")))
    world.do(Interrupt("interrupted"))
    world.submit("deleted", dag(spec("gone")), {"name": "deleted"})
    world.end("gone", "deleted")
    world.do(Delete("deleted"))
    world.submit("resumed", dag(spec("a"), spec("last", 0)))
    world.end("a", "resumed")
    world.fail("last")
    world.do(Resume("resumed"))
    world.end("last", "resumed")
    return world


@pytest.fixture(scope="module")
def world() -> World:
    return everything()


def rows(world: World, name: str, **params: object) -> list[dict[str, object]]:
    query = catalog.folder("reports")[name]
    found: list[dict[str, object]] = to_polars(world.index.run(query, reports.bind(query, params))).to_dicts()
    return found


def test_who_only_waits_is_in_no_ones_queue(world: World) -> None:
    waiting = {"sleep", "nap", "wait"}
    for name in ("queue_waits", "retries_and_waste", "slowest_tasks", "durations_over_time"):
        assert waiting.isdisjoint(str(row["task_name"]) for row in rows(world, name)), name
    kinds = {row["type"]: row["queue_s"] for row in rows(world, "workflow_timeline", id="timed")}
    assert (kinds["timer"], kinds["wait"]) == (0.0, 0.0)


def test_the_time_before_a_retry_is_no_queue() -> None:
    story = Story()
    story.now(0)
    story.submit("w", dag(slow_retry("a")))
    story.bad("w", "a", 1, 2, "no", retryable=True)
    story.simulation.ring(story.simulation.now + 30_000_000)
    story.write()
    story.ok("w", "a", 33, 35)
    assert [(row["n"], row["total_s"], row["max_s"]) for row in rows(story, "queue_waits")] == [(2, 2.0, 1.0)]


def test_a_call_of_a_virtual_actor_is_a_task(world: World) -> None:
    counts = {row["task_name"]: row["n"] for row in rows(world, "task_durations")}
    assert (counts["__init__"], counts["incr"]) == (1, 2)
    assert {row["type"] for row in rows(world, "workflow_timeline", id="c")} == {"actor", "function"}


def test_states_are_a_kind_of_bytes(world: World) -> None:
    grown = rows(world, "growth")
    said = world.row("SELECT count(*) AS n, sum(bytes) FILTER (type = 'actor.state_committed') AS states FROM events")
    assert sum(int(str(row["events"])) for row in grown) == said["n"]
    assert sum(int(str(row["state_bytes"])) for row in grown) == said["states"]
    assert all(
        row["events"] == sum(int(str(row[f"{kind}_events"])) for kind in ("workflow", "task", "attempt", "other"))
        for row in grown
    )


def test_what_was_deleted_is_in_growth_only(world: World) -> None:
    for name in NAMES:
        if "workflow_name" in {column.name for column in catalog.folder("reports")[name].columns}:
            assert "deleted" not in {row["workflow_name"] for row in rows(world, name)}, name
    assert rows(world, "workflow_timeline", id="deleted") == rows(world, "critical_path", id="deleted") == []


def test_each_end_is_counted_as_what_it_is(world: World) -> None:
    (row,) = rows(world, "overview")
    counts = ("workflows", "succeeded", "failed", "canceled", "resumable", "active")
    assert [row[name] for name in counts] == [7, 1, 0, 1, 1, 4]
    assert row["attempts"] == world.row("SELECT count(*) AS n FROM attempts")["n"]
    waste = {(r["workflow_name"], r["task_name"]): r for r in rows(world, "retries_and_waste")}
    assert sum(int(str(r["canceled"])) for r in waste.values()) == 1
    assert sum(int(str(r["lost"])) for r in waste.values()) == 1
    assert {r["error_type"] for r in rows(world, "failures")} == {"ValueError"}


def test_payload_files_are_counted_once() -> None:
    story = Story()
    story.now(0)
    stored = PayloadRef("ab" * 32, 1_000_000)
    for number in range(2):
        story.submit(f"w{number}", dag(spec("a")))
        story.ok(f"w{number}", "a", 1, 2, output=stored)
    (row,) = rows(story, "growth")
    assert (row["output_bytes"], row["file_bytes"], row["inline_bytes"]) == (2_000_000, 1_000_000, 8)
    assert row["payload_bytes"] == 1_000_008


def test_a_task_that_waits_is_never_stuck() -> None:
    story = Story()
    story.now(0)
    for number in range(6):
        story.submit(f"w{number}", dag(spec("a"), timer("nap"), wait_for(0, 1), spec("after", 2)))
        story.ok(f"w{number}", "a", 0, 1)
        story.ok(f"w{number}", "wait", 0, 1)
        story.ok(f"w{number}", "after", 1, 2)
    story.submit("now", dag(spec("a"), wait_for(0)))
    assert rows(story, "stuck", at=at(10_000)) == []


@pytest.mark.parametrize("seed", range(6))
def test_any_history_is_reported_whole(seed: int) -> None:
    """What the reports sum up is what the views hold, whatever happened."""
    log = MemoryLog()
    log.append(random_history(seed, 120).log)
    index = Index(log)

    def total(name: str, column: str) -> int:
        query = catalog.folder("reports")[name]
        return int(to_polars(index.run(query, reports.bind(query, {})))[column].sum())

    def count(query: str) -> int:
        return int(index.sql(f"SELECT count(*) FROM {query}").fetchall()[0][0])

    waits = "SELECT (workflow_id, task_id) FROM tasks WHERE type IN ('timer', 'event', 'wait')"
    computing = f"(workflow_id, task_id) NOT IN ({waits})"
    assert total("overview", "workflows") == count("workflows")
    assert total("overview", "tasks") == count("tasks")
    assert total("throughput", "attempts") == count("attempts WHERE ended_at IS NOT NULL")
    assert total("failures", "n") == count("attempts WHERE status = 'FAILED' AND kind <> 'lost'")
    assert total("retries_and_waste", "attempts") == count(f"attempts WHERE {computing}")
    assert total("queue_waits", "n") == count(f"attempts WHERE started_at IS NOT NULL AND {computing}")
    assert total("task_durations", "n") == count("attempts WHERE status = 'SUCCESSFUL' AND duration_s IS NOT NULL")
    assert total("output_sizes", "n") == count("tasks WHERE output_bytes IS NOT NULL")
    assert total("growth", "events") == count("events")
