"""The views: what is declared is what is there, and what each promises about the cases that are easy to get wrong."""

from __future__ import annotations

import pytest

from tests.index.worlds import World, dag, fan, lease, spec
from wfstore.errors import QueryError
from wfstore.index import catalog, database
from wfstore.model.commands import Cancel, Delete, Interrupt, Resume
from wfstore.model.events import Event
from wfstore.schema.columns import EVENT_SCHEMA
from wfstore.schema.views import VIEWS, event_sentences


def whole() -> database.Connection:
    return database.whole(replacements=False)


def test_what_is_made_late_is_there_for_whoever_asks() -> None:
    """By its name, by a name that a statement puts together, or in the catalog."""
    for query in (
        "SELECT count(*) FROM Task_Stats",
        "FROM query_table('time_' || 'spent')",
        "SELECT comment FROM duckdb_columns() WHERE table_name = 'task_stats'",
        "SELECT count(*) FROM information_schema.tables WHERE table_name = 'time_spent' HAVING count(*) = 1",
    ):
        world = World()
        world.submit("w", fan(2))
        world.finish()
        first = sorted(world.index.sql(query).fetchall())
        assert first[0][0]
        assert sorted(world.index.sql(query).fetchall()) == first


@pytest.mark.parametrize(("said", "meant"), [("workflow", "workflows"), ("time_spend", "time_spent")])
def test_a_name_there_is_not_is_told_from_all_there_are(said: str, meant: str) -> None:
    with pytest.raises(QueryError, match=f'Did you mean "{meant}"'):
        World().index.sql(f"FROM {said}")


def test_every_view_has_the_declared_columns_types_and_comments() -> None:
    connection = whole()
    for view, columns in VIEWS.items():
        found = connection.sql(
            "SELECT column_name, data_type, comment FROM duckdb_columns() "
            "WHERE schema_name = 'main' AND table_name = $view ORDER BY column_index",
            params={"view": view},
        ).fetchall()
        assert found == [tuple(column) for column in columns]
    found = connection.sql("SELECT view_name, comment FROM duckdb_views() WHERE schema_name = 'main' AND NOT internal")
    comments = dict(found.fetchall())
    assert {view: comments[view] for view in VIEWS} == {v: catalog.folder("views")[v].summary for v in VIEWS}


def test_the_main_schema_holds_the_views_and_nothing_else() -> None:
    tables = whole().sql("SHOW TABLES").fetchall()
    assert {name for (name,) in tables} == set(VIEWS) == set(catalog.folder("views"))


def test_the_log_table_has_every_column_of_an_event_but_the_payload() -> None:
    found = whole().sql("DESCRIBE wfstore.log").fetchall()
    assert [row[0] for row in found] == [name for name in EVENT_SCHEMA.names if name != "payload"]


def test_every_field_of_an_event_has_a_sentence() -> None:
    assert set(event_sentences()) == set(Event._fields)
    assert event_sentences()["uri"] == "Its file, relative to the store, when it is not inline."


def test_a_plain_workflow() -> None:
    world = World()
    world.submit("w", fan(2), {"name": "shop", "team": "data"})
    world.finish()
    row = world.row("FROM workflows")
    assert (row["name"], row["status"], row["tasks"], row["tasks_done"], row["attempts"]) == (
        "shop", "SUCCESSFUL", 4, 4, 4,
    )  # fmt: skip
    assert row["metadata"] == '{"name":"shop","team":"data"}'
    assert row["output_bytes"] == len("total")
    assert row["total_output_bytes"] == len("total") + len("list") + len("map") + len("map_1")
    assert row["duration_s"] == (row["ended_at"] - row["started_at"]).total_seconds()
    task = world.row("FROM tasks WHERE task_id = 'map_1'")
    assert (task["name"], task["function"], task["upstream"], task["output_repr"]) == (
        "map", "shop.map", ["list"], "'map_1'",
    )  # fmt: skip
    assert (task["duration_s"], task["checkpointed"]) == (0.01, True)
    attempt = world.row("FROM attempts WHERE task_id = 'total'")
    assert (attempt["num_cpus"], attempt["worker_pid"], attempt["node_id"], attempt["kind"]) == (1.0, 7, "node", None)


def test_a_retry_adds_an_attempt_and_a_resume_a_run() -> None:
    world = World()
    world.submit("w", dag(spec("a", retry_exceptions=True, max_retries=1)))
    world.fail("a", retryable=True)
    assert world.row("FROM tasks")["status"] == "PENDING"
    world.fail("a", retryable=True)
    failed = world.row("FROM workflows")
    assert (failed["status"], failed["error_type"], failed["failed_task_id"]) == ("FAILED", "ValueError", "a")
    world.do(Resume("w"))
    world.finish()
    found = world.rows("SELECT run, attempt, status, kind FROM attempts ORDER BY run, attempt")
    assert [tuple(row.values()) for row in found] == [
        (1, 1, "FAILED", "app"),
        (1, 2, "FAILED", "app"),
        (2, 1, "SUCCESSFUL", None),
    ]
    assert [row["outcome"] for row in world.rows("FROM runs ORDER BY run")] == ["FAILED", "SUCCESSFUL"]
    row = world.row("FROM workflows")
    assert (row["runs"], row["attempts"], row["retries"], row["error_type"]) == (2, 3, 1, None)
    runs = world.rows("FROM runs")
    assert row["duration_s"] == pytest.approx(sum(run["duration_s"] for run in runs))
    assert world.row("FROM attempts WHERE attempt = 2")["traceback"] == "Traceback: here"


def test_a_resume_says_what_it_reused() -> None:
    world = World()
    world.submit("w", dag(spec("a"), spec("b", 0)))
    world.end("a")
    world.fail("b")
    world.do(Resume("w"))
    world.finish()
    second = world.row("FROM runs WHERE run = 2")
    assert (second["reason"], second["tasks_run"], second["tasks_reused"]) == ("resume", 1, 1)


def test_deleted_is_hidden_everywhere_but_in_events_and_runs_number_on() -> None:
    world = World()
    world.submit("w", fan(2))
    world.finish()
    events = world.row("SELECT count(*) AS n FROM events")["n"]
    world.do(Delete("w"))
    for view in ("workflows", "tasks", "attempts", "runs", "edges"):
        assert world.rows(f"FROM {view}") == [], view
    assert world.row("SELECT count(*) AS n FROM events")["n"] == events + 1
    world.submit("w", dag(spec("a")))
    assert world.row("FROM tasks")["task_id"] == "a"
    assert world.row("FROM runs")["run"] == 2
    assert world.row("FROM workflows")["runs"] == 1


@pytest.mark.parametrize("managed", [True, False])
def test_an_open_workflow_is_resumable_when_no_manager_holds_the_store(managed: bool) -> None:
    world = World(managed=managed)
    world.submit("w", dag(spec("a")))
    expected = "RUNNING" if managed else "RESUMABLE"
    assert world.row("FROM workflows")["status"] == expected
    assert world.row("FROM runs")["outcome"] == expected
    assert world.row("FROM workflows")["ended_at"] is None


def test_a_lease_that_dies_or_comes_back_shows_at_the_next_query() -> None:
    world = World(managed=False)
    world.submit("w", dag(spec("a")))
    world.log.set_lease(lease())
    assert world.row("FROM workflows")["status"] == "RUNNING"
    world.log.set_lease(lease(age_us=61_000_000))
    assert world.row("FROM workflows")["status"] == "RESUMABLE"


def test_a_closed_workflow_stays_closed_without_a_manager() -> None:
    world = World(managed=False)
    world.submit("w", dag(spec("a")))
    world.finish()
    assert world.row("FROM workflows")["status"] == "SUCCESSFUL"


def test_an_interrupted_run_ended_when_it_was_interrupted_and_a_canceled_workflow_when_it_was_canceled() -> None:
    world = World()
    world.submit("w", dag(spec("a")))
    world.do(Interrupt("w"))
    interrupted = world.row("FROM workflows")
    assert (interrupted["status"], interrupted["ended_at"]) == ("RESUMABLE", world.row("FROM runs")["ended_at"])
    assert world.row("FROM attempts")["kind"] == "lost"
    world.do(Cancel("w"))
    canceled = world.row("FROM workflows")
    assert canceled["status"] == "CANCELED"
    assert canceled["ended_at"] > interrupted["ended_at"]
    assert canceled["duration_s"] == interrupted["duration_s"]
    assert world.row("FROM runs")["outcome"] == "RESUMABLE"


def test_edges_of_arguments_nested_values_and_continuations() -> None:
    world = World()
    world.submit("w", dag(spec("a"), spec("b"), spec("c", 0, 1, kinds=("argument", "nested"))))
    world.end("a")
    world.end("b")
    world.end("c", output=None, continuation=dag(spec("x"), spec("y"), spec("z", 0)))
    world.finish()
    found = world.rows("SELECT upstream_task_id, task_id, kind FROM edges ORDER BY ALL")
    assert [tuple(row.values()) for row in found] == [
        ("a", "c", "argument"),
        ("b", "c", "nested"),
        ("c", "x", "created"),
        ("c", "y", "created"),
        ("c", "z", "continuation"),
        ("x", "z", "argument"),
    ]
    assert world.row("FROM tasks WHERE task_id = 'z'")["creator"] == "c"
    row = world.row("FROM workflows")
    assert (row["status"], row["output_bytes"], row["tasks"]) == ("SUCCESSFUL", 1, 6)
    assert world.row("FROM tasks WHERE task_id = 'c'")["output_bytes"] is None


def test_a_caught_error() -> None:
    world = World()
    world.submit("w", dag(spec("a", catch_exceptions=True)))
    world.fail("a")
    task = world.row("FROM tasks")
    assert (task["status"], task["error_type"]) == ("CAUGHT", "ValueError")
    row = world.row("FROM workflows")
    assert (row["status"], row["tasks_done"], row["tasks_failed"], row["error_type"]) == ("SUCCESSFUL", 1, 0, None)
    assert world.row("FROM attempts")["status"] == "FAILED"


def test_a_tasks_duration_is_its_successful_attempts_and_its_times_are_first_to_last() -> None:
    world = World()
    world.submit("w", dag(spec("a", retry_exceptions=True)))
    world.fail("a", retryable=True)
    world.end("a")
    first, last = world.rows("FROM attempts ORDER BY attempt")
    task = world.row("FROM tasks")
    assert task["duration_s"] == last["duration_s"]
    assert (task["started_at"], task["ended_at"]) == (first["started_at"], last["ended_at"])
    assert task["wait_s"] == first["queue_s"]


def test_statistics_are_by_name() -> None:
    world = World()
    for i in range(4):
        world.submit(f"w{i}", fan(3), {"name": "shop"})
        world.finish()
    row = world.row("FROM task_stats WHERE task_name = 'map'")
    assert (row["workflow_name"], row["n"], row["fail_rate"], row["retry_rate"]) == ("shop", 12, 0.0, 0.0)
    assert row["duration_s_p50"] == pytest.approx(0.01)
    assert row["output_bytes_sum"] == 4 * (3 + 5 + 5)
