"""Timers, waits and retries that wait, in the views."""

from __future__ import annotations

from datetime import timedelta

from tests.index.waiting import lost_worker, slow_retry, timed
from tests.index.worlds import World, dag, spec
from wfstore.model.commands import Resume, Submit


def test_the_type_of_a_task_and_when_it_is_due() -> None:
    world = World()
    timed(world)
    found = {row["task_id"]: row for row in world.rows("FROM tasks")}
    assert {name: row["type"] for name, row in found.items()} == {
        "a": "function", "nap": "timer", "wait": "wait", "after": "function",
    }  # fmt: skip
    assert found["nap"]["due_at"] - found["nap"]["submitted_at"] == timedelta(minutes=1)
    assert found["a"]["due_at"] is None
    assert found["wait"]["status"] == "SUCCESSFUL"


def test_a_wait_has_edges_of_its_own_kind() -> None:
    world = World()
    timed(world)
    assert {tuple(row.values()) for row in world.rows("SELECT upstream_task_id, task_id, kind FROM edges")} == {
        ("a", "wait", "waited"),
        ("nap", "wait", "waited"),
        ("wait", "after", "argument"),
    }


def test_a_retry_that_waits_is_due_until_it_begins() -> None:
    world = World()
    world.submit("w", dag(slow_retry("a")))
    world.fail("a", retryable=True)
    ended = world.row("FROM attempts")["ended_at"]
    task = world.row("FROM tasks")
    assert task["status"] == "RETRYING"
    assert timedelta(seconds=29) < task["due_at"] - ended < timedelta(seconds=36)
    world.simulation.ring(world.simulation.now + 40_000_000)
    world.write()
    assert world.row("SELECT status, due_at FROM tasks") == {"status": "PENDING", "due_at": None}


def test_what_a_failed_attempt_printed_and_which_code_it_ran() -> None:
    world = World()
    world.submit("w", dag(spec("a", max_retries=0)))
    lost_worker(world, "a")
    first = world.row("FROM attempts")
    assert (first["stdout"], first["stderr"]) == ("out\n", "err\n")
    assert first["function_hash"] == world.row("SELECT hash FROM events WHERE type = 'task.defined'")["hash"]
    world.do(Resume("w", functions=((first["function_hash"], "fixed", None),)))
    assert [row["function_hash"] for row in world.rows("FROM attempts ORDER BY run")] == [
        first["function_hash"],
        "fixed",
    ]


def test_a_rerun_names_what_it_repeats() -> None:
    world = World()
    world.submit("w", dag(spec("a")))
    world.do(Submit("again", dag(spec("a")), rerun_of="w"))
    found = world.rows("SELECT workflow_id, rerun_of FROM workflows ORDER BY submitted_seq")
    assert [tuple(row.values()) for row in found] == [("w", None), ("again", "w")]


def test_an_interrupted_workflow_of_the_older_generation_has_no_error_of_its_own() -> None:
    world = World()
    world.submit("w", dag(spec("a", max_retries=0, interruptible=True)))
    lost_worker(world, "a")
    row = world.row("FROM workflows")
    assert (row["status"], row["error_type"], row["failed_task_id"]) == ("RESUMABLE", None, None)
    assert world.row("FROM tasks")["error_type"] == "WorkerDied"


def test_tasks_that_only_waited_are_not_the_slowest() -> None:
    from wfstore.index import catalog, reports

    world = World()
    timed(world)
    query = catalog.folder("reports")["slowest_tasks"]
    rows = world.index.run(query, reports.bind(query, {})).pl()
    assert set(rows["task_id"]) == {"a"}
