"""`virtual_actors` and `actor_calls`: what was called, how each call stands, and what the state is."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.index.waiting import Counter
from tests.index.worlds import World, dag, lease, spec
from tests.model.histories import random_history
from wfstore.index import Index, shared
from wfstore.log import MemoryLog
from wfstore.model.commands import Cancel, Delete, Resume


def statuses(world: World) -> dict[str, str]:
    return {row["task_id"]: row["status"] for row in world.rows("FROM actor_calls WHERE kind = 'writer'")}


def test_an_actor_that_is_called() -> None:
    world = World()
    counter = Counter(world)
    world.submit("other", dag(spec("a")))
    counter.end(counter.call(), 1, 1)
    counter.end(counter.call(), 2, 22)
    counter.read()
    row = world.row("FROM virtual_actors")
    assert (row["actor_id"], row["class"], row["status"]) == ("c", "shop.Counter", "SUCCESSFUL")
    assert (row["calls"], row["readonly_calls"], row["calls_failed"], row["calls_open"]) == (3, 1, 0, 0)
    last = world.row(
        "SELECT max(seq) AS seq, arg_max(bytes, seq) AS n FROM events WHERE type = 'actor.state_committed'"
    )
    assert (row["state_seq"], row["state_bytes"]) == (last["seq"], last["n"])
    assert row["created_at"] < row["last_call_at"]
    assert world.row("FROM workflows WHERE workflow_id = 'c'")["name"] == "shop.Counter"


def test_the_calls_in_their_order() -> None:
    world = World()
    counter = Counter(world)
    counter.end(counter.call(), 1, 1)
    counter.read("value")
    counter.read("broken", "ValueError")
    rows = world.rows("FROM actor_calls ORDER BY call_seq")
    assert [(row["task_id"], row["method"], row["kind"], row["status"]) for row in rows] == [
        ("__init__", "__init__", "writer", "SUCCESSFUL"),
        ("incr", "incr", "writer", "SUCCESSFUL"),
        (None, "value", "readonly", "SUCCESSFUL"),
        (None, "broken", "readonly", "FAILED"),
    ]
    assert (rows[2]["duration_s"], rows[2]["caller"], rows[2]["submitted_at"]) == (0.25, "job-1", None)
    assert (rows[2]["ended_at"] - rows[2]["started_at"]).total_seconds() == 0.25
    assert (rows[3]["error_type"], rows[3]["metadata"]) == ("ValueError", "{}")
    assert (rows[1]["attempts"], rows[1]["duration_s"]) == (1, 0.01)
    assert rows[1]["submitted_at"] <= rows[1]["started_at"]


def test_calls_queue_and_a_failed_one_is_replayed_first() -> None:
    world = World()
    counter = Counter(world)
    first, second = counter.call(), counter.call()
    assert statuses(world) == {"__init__": "SUCCESSFUL", first: "PENDING", second: "PENDING"}
    world.fail(first)
    row = world.row("FROM virtual_actors")
    assert (row["status"], row["calls_failed"], row["calls_open"], row["error_type"]) == ("FAILED", 1, 1, "ValueError")
    assert world.row("FROM actor_calls WHERE task_id = $id", id=first)["error_type"] == "ValueError"
    world.do(Resume("c"))
    counter.end(first, 1, 1)
    counter.end(second, 2, 2)
    assert set(statuses(world).values()) == {"SUCCESSFUL"}
    assert world.row("FROM actor_calls WHERE task_id = $id", id=first)["attempts"] == 2
    assert [row["kind"] for row in world.rows("FROM edges WHERE workflow_id = 'c'")] == ["order", "order"]


def test_a_call_runs_until_the_workflow_that_it_returned_has_ended() -> None:
    world = World()
    counter = Counter(world)
    call = counter.call()
    counter.returns(call, dag(spec("x")), 1)
    assert world.row("FROM tasks WHERE task_id = $id", id=call)["status"] == "SUCCESSFUL"
    assert statuses(world)[call] == "RUNNING"
    world.fail("x")
    failed = world.row("FROM actor_calls WHERE task_id = $id", id=call)
    assert (failed["status"], failed["error_type"]) == ("FAILED", "ValueError")
    world.do(Resume("c"))
    assert statuses(world)[call] == "RUNNING"
    world.end("x")
    assert statuses(world)[call] == "SUCCESSFUL"


def test_a_run_that_a_call_begins_says_so() -> None:
    world = World()
    counter = Counter(world)
    counter.end(counter.call(), 1, 1)
    assert [row["reason"] for row in world.rows("FROM runs ORDER BY run")] == ["new", "call"]


def test_canceled_and_deleted() -> None:
    world = World()
    counter = Counter(world)
    call = counter.call()
    world.do(Cancel("c"))
    assert statuses(world)[call] == "CANCELED"
    world.do(Delete("c"))
    assert world.rows("FROM virtual_actors") == world.rows("FROM actor_calls") == []


def test_a_history_has_the_row_of_the_view() -> None:
    world = World()
    counter = Counter(world)
    counter.end(counter.call(), 1, 1)
    counter.read()
    world.submit("w", dag(spec("a")))
    assert shared().actor(world.index.scan("c")) == world.row("FROM virtual_actors")
    assert shared().actor(world.index.scan("w")) is None


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_sql_says_of_actors_what_the_manager_remembers(seed: int) -> None:
    simulation = random_history(seed, 120)
    log = MemoryLog()
    log.set_lease(lease())
    log.append(simulation.log)
    index = Index(log)
    found = index.sql(
        "SELECT actor_id, status, class, calls - readonly_calls, state_bytes FROM virtual_actors ORDER BY actor_id"
    )
    actors = [simulation.state.workflows[name] for name in sorted(simulation.state.workflows)]
    calls = {
        w.workflow_id: [
            task for task in w.tasks.values() if task.type == "actor" and task.facts.get("method") != "__init__"
        ]
        for w in actors
    }
    assert found.fetchall() == [
        (
            w.workflow_id,
            w.status,
            w.actor["class"],
            len(calls[w.workflow_id]),
            None if w.actor_state is None else w.actor_state.bytes,
        )
        for w in actors
        if w.actor is not None
    ]
    for (actor_id,) in index.sql("SELECT actor_id FROM virtual_actors").fetchall():
        query = "FROM virtual_actors WHERE actor_id = $id"
        (row,) = index.sql(query, {"id": actor_id}).pl().to_dicts()
        assert shared().actor(index.scan(actor_id)) == row
