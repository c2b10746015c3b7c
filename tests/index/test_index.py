"""The index: what it lets through, what it reads anew, and that a query sees one moment."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from tests.index.worlds import World, dag, fan, lease, spec
from wfstore.errors import QueryError, StorageError
from wfstore.index import Index
from wfstore.log import Cursor, Lease, MemoryLog

REFUSED = [
    "",
    "-- nothing",
    "SELECT 1; SELECT 2",
    "CREATE TABLE x (a INT)",
    "INSERT INTO wfstore.log (seq) VALUES (1)",
    "WITH gone AS (DELETE FROM wfstore.tail RETURNING 1) SELECT * FROM gone",
    "DELETE FROM wfstore.tail",
    "DROP VIEW tasks",
    "COPY tasks TO 'x.csv'",
    "EXPLAIN ANALYZE SELECT 1",
    "ATTACH ':memory:' AS other",
    "SET threads = 1",
    "PRAGMA version",
    "PIVOT tasks ON status",
    "PREPARE p AS SELECT 1",
    "CALL pragma_version()",
    "BEGIN",
    "UPDATE EXTENSIONS",
    "SELEC 1",
    "SELECT nope FROM tasks",
    "SELECT * FROM nope",
]


@pytest.fixture(scope="module")
def shop() -> World:
    world = World()
    world.submit("w", fan(3), {"name": "shop"})
    world.finish()
    return world


@pytest.mark.parametrize("query", REFUSED)
def test_refused(shop: World, query: str) -> None:
    before = shop.row("SELECT count(*) AS n FROM events")
    with pytest.raises(QueryError):
        shop.index.sql(query)
    assert shop.row("SELECT count(*) AS n FROM events") == before


def test_a_refusal_says_what_is_allowed_and_what_to_do(shop: World) -> None:
    with pytest.raises(QueryError, match=r"DROP is refused; allowed is exactly one SELECT.*Store\.connect"):
        shop.index.sql("DROP VIEW tasks")
    with pytest.raises(QueryError, match="does not exist"):
        shop.index.sql("FROM nope")


@pytest.mark.parametrize(
    "query",
    ["SELECT 1", "WITH a AS (SELECT 1) FROM a", "FROM tasks", "VALUES (1)", "DESCRIBE tasks", "SHOW TABLES",
     "SUMMARIZE tasks", "PIVOT tasks ON status IN ('SUCCESSFUL') USING count(*)", "SELECT 1;"],
)  # fmt: skip
def test_let_through(shop: World, query: str) -> None:
    assert shop.index.sql(query).fetchall()


def test_parameters(shop: World) -> None:
    assert shop.index.sql("SELECT ? + 1", [1]).fetchall() == [(2,)]
    assert shop.index.sql("SELECT $a + 1", {"a": 1}).fetchall() == [(2,)]
    with pytest.raises(QueryError):
        shop.index.sql("SELECT 1", {"a": 1})


def test_python_variables_are_no_tables(shop: World) -> None:
    secret = pa.table({"a": [1]})
    with pytest.raises(QueryError, match="secret"):
        shop.index.sql("FROM secret")
    assert secret.num_rows == 1


def test_an_answer_was_run_once_and_stays_as_it_is() -> None:
    world = World()
    world.submit("w", dag(spec("a")))
    answer = world.index.sql("SELECT random() AS r, count(*) AS n FROM events")
    first = answer.fetchall()
    world.finish()
    assert world.row("SELECT count(*) AS n FROM events")["n"] > first[0][1]
    assert answer.fetchall() == first
    assert answer.pl().row(0) == first[0]
    del world
    assert answer.fetchall() == first


def test_times_are_utc_wherever_the_process_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    world = World()
    world.submit("w", dag(spec("a")))
    assert isinstance(world.row("SELECT ts FROM events LIMIT 1")["ts"], datetime)
    (skew,) = world.index.sql("SELECT epoch(now()) - epoch(now()::TIMESTAMP)").fetchall()[0]
    assert abs(skew) < 1


class Counting(MemoryLog):
    """Remembers how many rows each read gave."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[int] = []

    def read(self, cursor: Cursor | None = None, max_bytes: int | None = None) -> tuple[pa.Table, Cursor]:
        table, cursor = super().read(cursor, max_bytes)
        self.given.append(table.num_rows)
        return table, cursor


def test_a_query_reads_only_what_is_new() -> None:
    world = World()
    log = Counting()
    index = Index(log)
    world.submit("w", fan(2))
    log.append(world.simulation.log)
    assert index.sql("SELECT count(*) FROM events").fetchall() == [(len(world.simulation.log),)]
    index.sql("SELECT 1")
    log.append(world.simulation.log[:2])
    assert index.sql("SELECT count(*) FROM events").fetchall() == [(len(world.simulation.log) + 2,)]
    assert [n for n in log.given if n] == [len(world.simulation.log), 2]


def test_rows_that_come_as_fast_as_they_are_read_hold_nobody_up() -> None:
    world = World()
    world.submit("w", fan(2))
    events = world.simulation.log

    class Busy(Counting):
        def read(self, cursor: Cursor | None = None, max_bytes: int | None = None) -> tuple[pa.Table, Cursor]:
            found = super().read(cursor, max_bytes)
            assert len(self.given) < 20, "it reads for as long as somebody writes"
            self.append(events)
            return found

    log = Busy()
    log.append(events)
    index = Index(log)
    assert index.sql("SELECT count(*) FROM events").fetchall() == [(len(events),)]
    assert index.sql("SELECT count(*) FROM events").fetchall() == [(2 * len(events),)]


def test_rows_that_turn_out_not_to_count_are_read_anew() -> None:
    world = World()
    log = Counting()
    index = Index(log)
    world.submit("w", fan(2))
    log.append(world.simulation.log)
    count = index.sql("SELECT count(*) FROM events").fetchall()
    original, failures = log.read, iter([True, False])

    def read(cursor: Cursor | None = None, max_bytes: int | None = None) -> tuple[pa.Table, Cursor]:
        if cursor is not None and next(failures, False):
            raise StorageError("memory", "what this cursor has read does not count")
        return original(cursor, max_bytes)

    log.read = read  # type: ignore[method-assign]
    assert index.sql("SELECT count(*) FROM events").fetchall() == count


def test_threads_see_whole_commits() -> None:
    world = World()
    stop = threading.Event()
    wrong: list[Any] = []

    def ask() -> None:
        while not stop.is_set():
            ((submitted, defined),) = world.index.sql(
                "SELECT count(*) FILTER (type = 'workflow.submitted'), count(*) FILTER (type = 'task.defined') "
                "FROM events"
            ).fetchall()
            if defined != 4 * submitted:
                wrong.append((submitted, defined))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(30):
        world.submit(f"w{i}", fan(2))
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert world.row("SELECT count(*) AS n FROM workflows")["n"] == 30


def test_an_own_connection_is_a_copy_to_do_anything_with(shop: World) -> None:
    world = World()
    world.submit("w", fan(2))
    own = world.index.detach()
    before = own.sql("FROM workflows").fetchall()
    world.finish()
    assert own.sql("FROM workflows").fetchall() == before
    assert own.sql("SELECT status FROM workflows").fetchall() == [("RUNNING",)]
    own.execute("CREATE TABLE mine AS FROM tasks").complete()
    other = pa.table({"task_id": ["list"]})
    assert own.sql("SELECT count(*) FROM mine JOIN other USING (task_id)").fetchall() == [(other.num_rows,)]
    own.execute("DELETE FROM wfstore.tail").complete()
    assert world.row("FROM workflows")["status"] == "SUCCESSFUL"
    assert isinstance(own, duckdb.DuckDBPyConnection)


def test_live_rows_are_asked_for_only_when_named() -> None:
    world = World()
    world.submit("w", fan(2))
    calls: list[int] = []

    def live() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        calls.append(1)
        flow = {"workflow_id": "w", "status": "RUNNING", "submitted_at": 1_700_000_000_000_000, "as_of_seq": 7,
                "metadata": {"a": 1}, "elapsed_s": 1.5, "unheard_of": 1}  # fmt: skip
        return [flow], [{"workflow_id": "w", "task_id": "list", "upstream": ["x"], "as_of_seq": 7}]

    index = Index(world.log, live)
    index.sql("FROM workflows")
    assert calls == []
    (row,) = index.sql("SELECT * FROM live_workflows JOIN live_tasks USING (workflow_id)").pl().to_dicts()
    assert (row["status"], row["submitted_at"], row["metadata"], row["upstream"], row["as_of_seq"]) == (
        "RUNNING", datetime(2023, 11, 14, 22, 13, 20), '{"a": 1}', ["x"], 7,
    )  # fmt: skip
    index.sql("FROM live_tasks")
    assert len(calls) == 2
    assert index.sql("SELECT count(*) FROM live_tasks").fetchall() == [(1,)]
    assert world.rows("FROM live_workflows") == []


def test_a_lease_of_a_process_that_is_gone_counts_for_nothing() -> None:
    world = World()
    world.submit("w", fan(2))
    own = lease()
    world.log.set_lease(Lease(2**22 + 1, own.host, own.boot_id, own.refreshed_at_us, None, 1))
    assert world.row("FROM workflows")["status"] == "RESUMABLE"
