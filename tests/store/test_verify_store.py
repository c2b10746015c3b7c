"""verify compares log, history files, a replay and SQL; it only reads, and its report can be acted on."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import wfstore
from tests.compaction.damage import copy, largest, make, manifest, path_of, rewritten
from tests.compaction.stores import Pair
from tests.index.worlds import World, dag, spec
from tests.log.events import plain
from tests.store import aged
from tests.store.conftest import fill
from tests.store.trees import tree
from wfstore._verify import verify
from wfstore.errors import FencedError
from wfstore.index import agreement
from wfstore.index.compaction import compact
from wfstore.log import LogReader, VerifyReport, open_writer
from wfstore.log.verify_report import DISAGREEMENT, HISTORY, PAYLOAD, Problem, silent
from wfstore.model.payload import payload_uri
from wfstore.objects import bucket_of
from wfstore.payloads import PayloadStore, hash_of
from wfstore.schema.history import ATTEMPTS, EVENTS, RUNS, TASKS, WORKFLOWS

#: Function bodies, which random histories only name.
_NAMED_ONLY = ("ab", "cd", "ac", "00")


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Its log goes on behind its history files, and holds what is in them, too."""
    return make(tmp_path_factory.mktemp("stock") / "pair")


@pytest.fixture
def pair(stock: Pair, tmp_path: Path) -> Pair:
    return copy(stock, tmp_path)


def found(path: Path) -> VerifyReport:
    """`Store.verify`, without a store that is opened for other questions as well."""
    report = verify(str(path), repair=False, replay=True, progress=silent)
    report.problems[:] = [each for each in report.problems if Path(each.path).name not in _NAMED_ONLY]
    return report


def the_one(path: Path) -> Problem:
    (problem,) = found(path).problems
    return problem


def changed(column: str, value: Callable[[Any], Any]) -> Callable[[pa.Table], pa.Table]:
    """Another value in the first row that has one."""

    def change(table: pa.Table) -> pa.Table:
        cells = table[column].to_pylist()
        place = next(place for place, cell in enumerate(cells) if cell is not None)
        cells[place] = value(cells[place])
        return table.set_column(table.column_names.index(column), column, pa.array(cells, table[column].type))

    return change


# -- what is compared -------------------------------------------------------------------------------------------------


def test_all_of_a_store_with_history_files_and_a_log_that_goes_on(stock: Pair) -> None:
    report = found(stock.path)
    assert report.ok and report.replayed, report.problems
    assert report.workflows == len(stock.expected["workflows"])
    compared = ("workflows", "runs", "tasks", "attempts")
    assert report.rows == sum(len(stock.expected[name]) for name in compared) > 20


def test_all_of_a_store_whose_log_is_there_yet(settled: Path) -> None:
    report = found(settled)
    assert report.ok and report.replayed, report.problems
    assert report.rows_in_both == report.events == report.history_events > 50


def test_range_by_range_it_is_the_same(stock: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = found(stock.path)
    monkeypatch.setattr(agreement, "RANGE_EVENTS", 3)
    ranged = found(stock.path)
    assert (ranged.problems, ranged.workflows, ranged.rows) == (whole.problems, whole.workflows, whole.rows)


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of it is in history files, and in the log yet."""
    path = tmp_path_factory.mktemp("settled") / "store"
    path.mkdir()
    fill(path)
    wfstore.open(path).compact()
    return path


@pytest.fixture
def store(settled: Path, tmp_path: Path) -> Pair:
    """A copy of it."""
    shutil.copytree(settled, tmp_path / "store")
    pair = Pair.__new__(Pair)
    pair.path = tmp_path / "store"
    return pair


def other(said: Any) -> Any:
    """Any other value of the same type."""
    if isinstance(said, datetime):
        return said.replace(year=1999)
    return f"{said}?" if isinstance(said, str) else said + 10


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        (WORKFLOWS, {"decided": "status", "runs": "runs", "ended_at": "ended_at"}),
        (RUNS, {"tasks_run": "tasks_run", "ended_as": "outcome"}),
        (TASKS, {"status": "status", "attempts": "attempts"}),
        (ATTEMPTS, {"kind": "kind", "status": "status"}),
    ],
)
def test_a_fact_that_no_replay_makes(store: Pair, kind: str, columns: dict[str, str]) -> None:
    """The bytes are all right: checksums and ranges fit what a wrong compaction would have written."""
    (file,) = manifest(store).of(kind)
    for column in columns:
        rewritten(store, file, changed(column, other))
    problems = found(store.path).problems
    said = [problem.message for problem in problems]
    assert {problem.kind for problem in problems} == {DISAGREEMENT}
    for name in columns.values():
        assert any(message.startswith(f"{kind} ") and f": {name} is" in message for message in said), (name, said)
    assert problems[0].concerns.startswith("workflow ") and problems[0].since_seq
    assert "report it" in problems[0].advice


def test_a_row_that_no_replay_makes(store: Pair) -> None:
    (file,) = manifest(store).of(ATTEMPTS)
    rewritten(store, file, changed("attempt", other))
    said = [problem.message.partition(": ")[2] for problem in found(store.path).problems]
    assert said == ["a replay has this row, and SQL has no such row", "SQL has this row, and a replay has no such row"]


def test_an_event_that_is_not_the_same_in_the_log(store: Pair) -> None:
    (file,) = manifest(store).of(EVENTS)
    rewritten(store, file, changed("epoch", other))
    problem = the_one(store.path)
    assert "not the same in the log and in history files: epoch" in problem.message
    assert problem.since_seq is not None and f"event {problem.since_seq} " in problem.message


def test_rows_that_sql_reads_otherwise_than_the_log(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that loses a row: as a fault in refreshing would."""
    read = LogReader.read
    lost = LogReader(str(pair.path)).read_range(manifest(pair).next_seq, 10**6)["seq"][-1].as_py()

    def without(self: LogReader, *args: Any, **options: Any) -> Any:
        table, cursor = read(self, *args, **options)
        return table.filter(pa.compute.not_equal(table["seq"], lost)), cursor

    monkeypatch.setattr(LogReader, "read", without)
    assert any(f"event {lost} is in the log and not just so in SQL" in p.message for p in found(pair.path).problems)


def test_a_value_that_is_not_what_its_hash_stands_for(tmp_path: Path) -> None:
    world = World()
    world.submit("w", dag(spec("a")))
    world.finish()
    log = world.simulation.log
    place = next(n for n, event in enumerate(log) if event.type == "attempt.succeeded")
    log[place] = log[place]._replace(payload=b"something else")
    write(tmp_path, world)
    problem = the_one(tmp_path)
    assert problem.since_seq == place + 1
    assert "a value" in problem.message and problem.kind == DISAGREEMENT


def test_events_that_no_manager_can_have_written(tmp_path: Path) -> None:
    world = World()
    world.submit("w", dag(spec("a"), spec("b", 0)))
    log = world.simulation.log
    first = next(n for n, event in enumerate(log) if event.type == "task.defined")
    del log[first]  # the next one names it as its upstream
    write(tmp_path, world)
    messages = [problem.message for problem in found(tmp_path).problems]
    assert any(message.startswith("events w") and "KeyError" in message for message in messages), messages


def write(path: Path, world: World) -> None:
    PayloadStore(str(path)).put_file(b"function")
    writer = open_writer(str(path))
    writer.append(world.simulation.log)
    writer.close()


def test_retention_and_deletions_leave_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = aged.write(aged.fill(tmp_path))
    aged.at_day(monkeypatch, 30)
    for spans in ({"payloads": "1d"}, {"keep": "1d"}):
        store.retain(**spans)
        report = found(tmp_path)
        assert report.ok and report.replayed, report.problems
        assert report.rows_in_both > 0


# -- what it does not do ----------------------------------------------------------------------------------------------


def test_it_changes_no_byte_and_no_time_of_the_store(pair: Pair) -> None:
    before = tree(pair.path)
    assert found(pair.path).ok
    path_of(pair, largest(pair, TASKS)).touch()
    before = tree(pair.path)
    with (pair.path / "log" / sorted(path.name for path in (pair.path / "log").iterdir())[-1]).open("ab") as file:
        file.write(b"\xf5WFE half a frame")
    torn = tree(pair.path)
    assert not found(pair.path).ok
    assert tree(pair.path) == torn != before


@pytest.mark.fault
def test_beside_a_writer_and_compactions(tmp_path: Path) -> None:
    """All that is compared is of one moment, whatever comes meanwhile."""
    world = World()
    PayloadStore(str(tmp_path)).put_file(b"function")
    writer = open_writer(str(tmp_path), segment_bytes=20_000)
    stop = threading.Event()
    failures: list[BaseException] = []

    def go_on() -> None:
        number = written = 0
        try:
            while not stop.is_set():
                number += 1
                world.submit(f"w{number % 40}-{number}", dag(spec("a"), spec("b", 0)))
                if number % 3:
                    world.finish()
                writer.append(world.simulation.log[written:])
                written = len(world.simulation.log)
                if number % 60 == 0:
                    compact(str(tmp_path), grace_s=0, workers=1)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        reports = [found(tmp_path) for _ in range(4)]
    finally:
        stop.set()
        thread.join()
    writer.close()
    assert not failures
    assert [report.problems for report in reports] == [[]] * 4
    assert found(tmp_path).ok


def test_bytes_alone(stock: Pair) -> None:
    report = verify(str(stock.path), repair=False, replay=False, progress=silent)
    assert not report.replayed and report.rows == 0


def test_damage_that_is_in_the_way_is_told_and_nothing_is_compared(pair: Pair) -> None:
    file = largest(pair, TASKS)
    data = bytearray(path_of(pair, file).read_bytes())
    data[len(data) // 2] ^= 1
    path_of(pair, file).write_bytes(data)
    report = found(pair.path)
    assert not report.replayed
    (problem,) = report.problems
    assert (problem.kind, Path(problem.path).name) == (HISTORY, file.name)
    assert problem.concerns.startswith(f"tasks of workflows {file.min_id!r}")
    assert problem.since_seq and problem.since and "backup" in problem.advice


# -- the report -------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_large(tmp_path: Path) -> tuple[Path, Path]:
    """A store, and the file of a large output in it."""
    world = World()
    world.submit("sales", dag(spec("load")))
    stored = PayloadStore(str(tmp_path)).put(b"large" * 20_000)
    world.end("load", output=stored)
    write(tmp_path, world)
    return tmp_path, tmp_path / payload_uri(stored.hash)


@pytest.mark.parametrize("compacted", [False, True])
def test_who_needs_a_payload_that_is_lost(with_large: tuple[Path, Path], compacted: bool) -> None:
    path, payload = with_large
    if compacted:
        wfstore.open(path).compact()
    payload.unlink()
    problem = the_one(path)
    assert (problem.kind, problem.path, problem.concerns) == (PAYLOAD, str(payload), "workflow 'sales', task 'load'")
    assert problem.since_seq and problem.since
    body = path / payload_uri(hash_of(b"function"))
    body.write_bytes(b"other")
    assert {each.concerns for each in found(path).problems} == {problem.concerns}, "a body is the task's, too"


def test_a_hole_in_the_log_says_from_where_on(tmp_path: Path) -> None:
    writer = open_writer(str(tmp_path))
    for number in range(5):
        writer.append([plain(number)])
    writer.close()
    segment = next((tmp_path / "log").iterdir())
    data = bytearray(segment.read_bytes())
    data[-5] ^= 1
    segment.write_bytes(data)
    problem = the_one(tmp_path)
    assert (problem.since_seq, problem.concerns) == (5, "events from 5 on; those before it are whole")
    assert problem.since_us == plain(3).ts
    assert json.loads(json.dumps(problem.as_dict(), default=str))["advice"] == problem.advice


def test_progress_is_told(stock: Pair) -> None:
    said: list[tuple[str, int, int]] = []
    wfstore.open(stock.path).verify(progress=lambda *told: said.append(told))
    whats = list(dict.fromkeys(what for what, _, _ in said))
    assert {"checking history files", "checking the log", "checking payloads", "replaying"} <= set(whats)
    assert all(0 <= done <= total for _, done, total in said)


# -- repair -----------------------------------------------------------------------------------------------------------


def test_whoever_still_writes_is_fenced_before_anything_is_cut(tmp_path: Path) -> None:
    """A writer without a lease, such as an import, that was in the middle of a write."""
    writer = open_writer(str(tmp_path))
    writer.append([plain(1)])
    segment = next((tmp_path / "log").iterdir())
    whole = segment.stat().st_size
    with segment.open("ab") as file:
        file.write(b"\xf5WFE half a frame")
    report = verify(str(tmp_path), repair=True, replay=False, progress=silent)
    assert report.ok and len(report.repaired) == 1
    assert segment.stat().st_size == whole and segment.with_name(f"{segment.name}.broken").exists()
    with pytest.raises(FencedError):
        writer.append([plain(2)])
    writer.close()
    assert [event.task_id for event in LogReader(str(tmp_path)).events()] == ["t1"]
    assert verify(str(tmp_path), repair=False, replay=False, progress=silent).ok


# -- on object storage ------------------------------------------------------------------------------------------------


def test_what_is_stored_counts_and_not_a_copy_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WFSTORE_CACHE", str(tmp_path / "cache"))
    storage = f"memory://{tmp_path.name}/prefix"
    store_of(storage)
    store = wfstore.open(storage)
    store.compact()
    report = store.verify()
    assert report.ok and report.replayed and report.rows > 3, report.problems
    bucket = bucket_of(store.storage)
    entry = next(entry for entry in bucket.entries("history") if "/tasks-" in entry.name)
    data = bytearray(bucket.get(entry.name) or b"")
    data[len(data) // 2] ^= 1
    bucket.put(entry.name, bytes(data))
    (problem,) = store.verify().problems
    assert (problem.path, problem.kind) == (entry.name, HISTORY)
    bucket.remove([entry.name])
    assert "missing" in store.verify().problems[0].message
    assert not list((tmp_path / "cache").rglob(".work*")), "what was fetched for it is gone"


def store_of(storage: str) -> None:
    world = World()
    world.submit("w", dag(spec("a")))
    world.finish()
    storage = wfstore._store.resolve_storage(storage)
    PayloadStore(storage).put_file(b"function")
    writer = open_writer(storage)
    writer.append(world.simulation.log)
    writer.close()


def test_a_problem_is_a_value() -> None:
    problem = Problem("p", 3, "m")
    assert replace(problem, kind=PAYLOAD).advice != problem.advice
    assert (problem.since, str(problem)) == (None, "p at byte 3: m")
    assert shutil.which("wfstore") is None or problem.as_dict()["offset"] == 3
