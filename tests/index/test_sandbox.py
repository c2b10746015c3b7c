"""The sandbox: answers are those of `Store.sql`, limits hold, and a process that is lost is replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

import wfstore
from tests.index.worlds import fan
from tests.store import aged, conftest
from wfstore.errors import DamageError, QueryError, StorageNotFoundError
from wfstore.index.sandbox import QueryTimeoutError, Sandbox, SandboxBusyError
from wfstore.log import open_writer
from wfstore.model.commands import Delete
from wfstore.schema.views import VIEWS

QUERIES = [f"FROM {view} ORDER BY ALL" for view in VIEWS] + [
    "SELECT status, count(*) AS n FROM workflows GROUP BY status ORDER BY status",
    "DESCRIBE tasks",
    # Ordered, as a sum of doubles depends on which thread adds which rows first, in the store as in the sandbox.
    "SELECT sum(duration_s ORDER BY duration_s) AS s, max(ended_at) AS m FROM attempts",
]


def same(sandbox: Sandbox, store: wfstore.Store, queries: Sequence[str] = QUERIES) -> None:
    for query in queries:
        answer, expected = sandbox.query(query), store.sql(query).to_arrow_table()
        assert answer.table.equals(expected), query
        assert (answer.truncated, answer.total_rows) == (False, expected.num_rows), query


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    path = tmp_path_factory.mktemp("store")
    conftest.fill(path)
    with Sandbox(str(path), timeout_s=0.4, memory_bytes=200_000_000, most_rows=1_000, most_bytes=4_000_000) as made:
        yield made


@pytest.mark.slow
def test_answers_are_those_of_the_store_while_it_grows_and_is_compacted(tmp_path: Path) -> None:
    world = aged.fill(tmp_path)
    store = aged.write(world)
    written = len(world.simulation.log)
    with Sandbox(str(tmp_path), processes=1) as sandbox:
        same(sandbox, store)
        first = pid(sandbox)
        for step in ("events", "compact", "delete", "compact", "events"):
            if step == "compact":
                store.compact(grace="0s")
            else:
                if step == "delete":
                    world.do(Delete("done", "d"))
                else:
                    world.submit(f"more-{written}", fan(2))
                    world.finish()
                writer = open_writer(str(tmp_path))
                writer.append(world.simulation.log[written:])
                writer.close()
                written = len(world.simulation.log)
            same(sandbox, store, QUERIES[:3] if step == "events" else QUERIES)
        # The first history files need a process that may read their folder; later ones only another database.
        assert pid(sandbox) != first


def pid(sandbox: Sandbox) -> int:
    (process,) = sandbox._idle
    return process.pid


def test_an_empty_store(tmp_path: Path) -> None:
    open_writer(str(tmp_path)).close()
    with Sandbox(str(tmp_path)) as sandbox:
        assert sandbox.query("SELECT count(*) AS n FROM workflows").table.to_pylist() == [{"n": 0}]
    with pytest.raises(StorageNotFoundError):
        Sandbox(str(tmp_path / "nowhere"))


@pytest.mark.slow
def test_a_damaged_history_file_is_named(tmp_path: Path) -> None:
    conftest.fill(tmp_path)
    wfstore.open(tmp_path).compact(grace="0s")
    (file,) = (tmp_path / "history").glob("tasks-*.parquet")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with Sandbox(str(tmp_path)) as sandbox:
        with pytest.raises(DamageError, match=file.name):
            sandbox.query("SELECT count(*) FROM tasks")
        assert sandbox.query("SELECT count(*) AS n FROM workflows").table.to_pylist() == [{"n": 9}]


# -- limits -----------------------------------------------------------------------------------------------------------


def test_a_large_answer_is_cut_and_says_so(sandbox: Sandbox) -> None:
    answer = sandbox.query("FROM range(500000)")
    assert (answer.table.num_rows, answer.truncated, answer.total_rows) == (1_000, True, 500_000)
    assert answer.table.column(0).to_pylist() == list(range(1_000))
    few = sandbox.query("FROM range(7)", most_rows=5)
    assert (few.table.num_rows, few.truncated, few.total_rows) == (5, True, 7)
    assert sandbox.query("FROM range(5)", most_rows=5).truncated is False
    assert sandbox.query("FROM range(5)", most_rows=0).total_rows == 5


@pytest.mark.slow
def test_what_cannot_be_counted_soon_has_no_total(tmp_path: Path) -> None:
    conftest.fill(tmp_path)
    with Sandbox(str(tmp_path), most_rows=3) as sandbox:
        answer = sandbox.query("FROM range(100000000000)")
        assert (answer.table.num_rows, answer.truncated, answer.total_rows) == (3, True, None)
        # What was left unread is in nobody's way.
        assert sandbox.query("SELECT count(*) AS n FROM workflows").table.to_pylist() == [{"n": 9}]


def test_bytes_are_limited_too(sandbox: Sandbox) -> None:
    answer = sandbox.query("SELECT repeat('x', 100000) AS x FROM range(100)")
    assert 0 < answer.table.num_rows <= 40 and answer.truncated and answer.total_rows == 100
    assert sandbox.query("SELECT repeat('x', 10000000) AS x").table.num_rows == 0


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM range(1000000000000)",
        "SELECT count(*) FROM range(100000000) a, range(100000000) b WHERE a.range + b.range = 7",
        "WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a FROM r) SELECT count(*) FROM r",
        pytest.param("SELECT max(sin(range)) FROM range(100000000000)", marks=pytest.mark.slow),
        pytest.param(
            "FROM events a, events b, events c, events d, events e ORDER BY random() LIMIT 1", marks=pytest.mark.slow
        ),
    ],
)
def test_an_endless_query_is_stopped(sandbox: Sandbox, query: str) -> None:
    began = time.monotonic()
    with pytest.raises((QueryTimeoutError, QueryError)):
        sandbox.query(query)
    assert time.monotonic() - began < 10
    assert sandbox.query("SELECT 1 AS a").table.to_pylist() == [{"a": 1}]


def test_one_that_does_not_stop_is_killed(sandbox: Sandbox) -> None:
    before = {process.pid for process in sandbox._all}
    with pytest.raises(QueryTimeoutError, match=r"longer than 0\.4 s"):
        sandbox.query("SELECT sleep_ms(600000)")
    assert {process.pid for process in sandbox._all} != before
    assert sandbox.query("SELECT 1 AS a").table.to_pylist() == [{"a": 1}]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT length(repeat('x', 3000000000))",
        "SELECT list(range) FROM range(200000000)",
        *(
            pytest.param(query, marks=pytest.mark.slow)
            for query in (
                "SELECT string_agg(repeat('x', 1000), '') FROM range(1000000)",
                "SELECT repeat([1], 500000000)",
                "SELECT list_transform(range(300000000), LAMBDA x: x::VARCHAR)",
                "SELECT bitstring_agg(range) FROM range(0, 9000000000, 8999999999)",
                "FROM range(100000000) ORDER BY hash(range) LIMIT 50000000",
                "SELECT map_from_entries(list((range, repeat('y', 100)))) FROM range(20000000)",
            )
        ),
    ],
)
def test_memory_bombs(sandbox: Sandbox, query: str) -> None:
    largest = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal largest
        while not done.wait(0.02):
            for process in list(sandbox._all):
                try:
                    largest = max(largest, psutil.Process(process.pid).memory_info().rss)
                except psutil.Error:
                    continue

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        with pytest.raises(QueryError):
            sandbox.query(query)
    finally:
        done.set()
        watching.join()
    assert largest < 1_200_000_000
    assert sandbox.query("SELECT 1 AS a").table.to_pylist() == [{"a": 1}]


@pytest.mark.parametrize("limit", ["memory_bytes", "timeout_s", "most_rows", "most_bytes", "processes"])
def test_a_limit_that_is_none(sandbox: Sandbox, limit: str) -> None:
    with pytest.raises(ValueError, match=limit):
        Sandbox(sandbox.storage, **{limit: 0})  # type: ignore[arg-type]


# -- processes --------------------------------------------------------------------------------------------------------


def test_a_warm_query_takes_milliseconds(sandbox: Sandbox) -> None:
    query = "SELECT count(*) FROM workflows"
    sandbox.query(query)
    taken = []
    for _ in range(20):
        began = time.perf_counter()
        sandbox.query(query)
        taken.append(time.perf_counter() - began)
    assert sorted(taken)[10] < 0.1


def test_one_that_was_killed_between_queries_is_replaced(sandbox: Sandbox) -> None:
    sandbox.query("SELECT 1")
    for process in list(sandbox._all):
        os.kill(process.pid, signal.SIGKILL)
    assert sandbox.query("SELECT 2 AS a").table.to_pylist() == [{"a": 2}]


def test_one_that_is_killed_in_a_query_says_so(tmp_path: Path) -> None:
    conftest.fill(tmp_path)
    with Sandbox(str(tmp_path), processes=1, timeout_s=60) as sandbox:
        sandbox.query("SELECT 1")
        doomed = pid(sandbox)
        threading.Timer(0.3, os.kill, (doomed, signal.SIGKILL)).start()
        with pytest.raises(QueryError, match="killed"):
            sandbox.query("SELECT count(*) FROM range(1000000000000)")
        assert sandbox.query("SELECT 2 AS a").table.to_pylist() == [{"a": 2}]


@pytest.mark.slow
def test_no_more_queries_at_a_time_than_allowed(tmp_path: Path) -> None:
    conftest.fill(tmp_path)
    with Sandbox(str(tmp_path), processes=1, timeout_s=1.0, patience_s=0.05) as sandbox:
        outcomes: list[str] = []

        def ask() -> None:
            try:
                sandbox.query("SELECT count(*) FROM range(1000000000000)")
            except QueryError as error:
                outcomes.append(type(error).__name__)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["QueryTimeoutError", *["SandboxBusyError"] * 3]
        assert issubclass(SandboxBusyError, QueryError)


def test_threads_share_it(sandbox: Sandbox) -> None:
    found: list[int] = []

    def ask(number: int) -> None:
        for _ in range(5):
            found.extend(sandbox.query(f"SELECT {number} AS a").table.column("a").to_pylist())

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0] * 5 + [1] * 5


def test_close_ends_the_processes_and_what_they_are_at(tmp_path: Path) -> None:
    conftest.fill(tmp_path)
    sandbox = Sandbox(str(tmp_path), timeout_s=60)
    pids = [process.pid for process in sandbox._all]
    outcome: list[Exception] = []

    def ask() -> None:
        try:
            sandbox.query("SELECT count(*) FROM range(1000000000000)")
        except Exception as error:
            outcome.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(1.5)
    sandbox.close()
    asking.join(10)
    assert isinstance(outcome[0], QueryError)
    assert not any(psutil.pid_exists(number) for number in pids)
    with pytest.raises(QueryError, match="closed"):
        sandbox.query("SELECT 1")
    sandbox.close()


@pytest.mark.slow
def test_it_ends_with_its_parent_even_in_a_query(tmp_path: Path) -> None:
    conftest.fill(tmp_path)
    program = f"""
import os, threading, time
from wfstore.index.sandbox import Sandbox
sandbox = Sandbox({str(tmp_path)!r}, timeout_s=600)
sandbox.query("SELECT 1")
print(*[process.pid for process in sandbox._all], flush=True)
threading.Thread(target=sandbox.query, args=("SELECT count(*) FROM range(1000000000000)",), daemon=True).start()
time.sleep(0.3)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    pids = [int(word) for word in done.stdout.split()]
    until = time.monotonic() + 15
    while any(map(_runs, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    assert pids and not any(map(_runs, pids))


def _runs(number: int) -> bool:
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_process_knows_nothing_of_its_parents_environment(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "do-not-tell")
    with Sandbox(sandbox.storage) as fresh:
        fresh.query("SELECT 1")
        (process,) = fresh._all
        environment = psutil.Process(process.pid).environ()
    assert not any(name.startswith("AWS") for name in environment)
    assert "do-not-tell" not in str(environment)
