"""Rows of followed workflows come from a model that is fed, and are those that SQL gives."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from tests.index.worlds import dag, fan, lease, spec
from tests.model.histories import Simulation, random_history
from tests.observe.conftest import Stage
from wfstore import Store, WorkflowObservability, errors
from wfstore._observe import folds
from wfstore._observe.rows import Row, StoredRows
from wfstore.log import open_writer, write_lease
from wfstore.log.places import remove_lease
from wfstore.model.commands import Cancel, Delete

IDS = ("w0", "w1", "w2", "w3", "a0", "a1")


def without_seq(found: tuple[Row, list[Row]] | None) -> Any:
    if found is None:
        return None
    return [{**row, "as_of_seq": None} for row in (found[0], *found[1])]


def by_sql(rows: StoredRows, workflow_id: str, wanted: list[str] | None = None) -> tuple[Row, list[Row]] | None:
    try:
        return rows._stored(rows.history(workflow_id), wanted)
    except errors.WorkflowNotFoundError:
        return None


def compare(rows: StoredRows, simulation: Simulation) -> int:
    """How many workflows there were to compare."""
    some = 0
    for workflow_id in IDS:
        said = rows._followed(workflow_id, None, make=True)
        assert without_seq(said) == without_seq(by_sql(rows, workflow_id))
        if said is not None:
            some += 1
            assert {row["as_of_seq"] for row in (said[0], *said[1])} == {len(simulation.log)}
            last = [row["task_id"] for row in said[1]][-1:]
            assert [row["task_id"] for row in rows._one(workflow_id, last)[1]] == last
    return some


@pytest.mark.parametrize("expecting", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_the_rows_are_those_of_sql_in_random_histories(seed: int, expecting: bool, tmp_path: Path) -> None:
    storage = str(tmp_path / "store")
    simulation = random_history(seed, 0)
    written = some = 0
    with closing(open_writer(storage)) as writer:
        writer.append(simulation.log)
        written = len(simulation.log)
        rows = StoredRows(Store(storage, live=False))
        if expecting:
            rows.expect()
        for step in range(1, 91):
            simulation.step()
            if new := simulation.log[written:]:
                writer.append(new)
            written = len(simulation.log)
            if step % 15 == 0:
                write_lease(storage, lease()) if step % 30 else remove_lease(storage)
                some += compare(rows, simulation)
    assert some
    assert not rows._folds._unfit


def forbid(monkeypatch: pytest.MonkeyPatch, stored: WorkflowObservability) -> None:
    """From here on the store must not be asked."""

    def asked(*_: object) -> None:
        raise AssertionError("SQL was asked")

    monkeypatch.setattr(stored._store._index, "scan", asked)
    monkeypatch.setattr(stored._store._index, "events_of", asked)
    monkeypatch.setattr(stored._store._index, "refresh", asked)


def test_what_is_followed_costs_no_sql(
    stage: Stage, stored: WorkflowObservability, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.world.submit("w", dag(spec("a"), spec("b", 0)))
    stage.commit()
    cursor = stored.changes().cursor
    assert stored.workflow("w")["status"] == "RUNNING"
    forbid(monkeypatch, stored)
    stage.world.end("a", "w")
    stage.commit()
    told = stored.changes(cursor, timeout_s=5)
    assert [(row["task_id"], row["status"]) for row in told.tasks] == [("a", "SUCCESSFUL"), ("b", "PENDING")]
    assert told.tasks == list(stored.tasks("w").values())
    assert {row["as_of_seq"] for row in (*told.tasks, *told.workflows)} == {stage.committed}
    stage.world.finish()
    stage.commit()
    assert stored.workflow("w")["status"] == "SUCCESSFUL"


def test_those_that_begin_together_are_asked_for_at_once(
    stage: Stage, stored: WorkflowObservability, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"w{number}" for number in range(5)]
    cursor = stored.changes().cursor
    for workflow_id in ids:
        stage.world.submit(workflow_id, dag(spec("a"), spec("b", 0)))
    stage.commit()
    index = stored._store._index
    events_of = Mock(wraps=index.events_of)
    monkeypatch.setattr(index, "events_of", events_of)
    told = stored.changes(cursor, timeout_s=5)
    assert [sorted(call.args[0]) for call in events_of.call_args_list] == [ids]
    forbid(monkeypatch, stored)
    assert {row["workflow_id"] for row in told.workflows} == set(ids)
    assert told.tasks == [row for one in told.workflows for row in stored.tasks(one["workflow_id"]).values()]


@pytest.mark.parametrize("count", [1, 3])
def test_what_is_expected_costs_no_sql_when_it_comes(
    count: int, stage: Stage, stored: WorkflowObservability, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"w{number}" for number in range(count)]
    for workflow_id in ids:
        stage.world.submit(workflow_id, dag(spec("a"), spec("b", 0)))
    stage.commit()
    cursor = stored.changes().cursor
    stored.expect_changes()
    forbid(monkeypatch, stored)
    for workflow_id in ids:
        stage.world.end("a", workflow_id)
    stage.commit()
    told = stored.changes(cursor, timeout_s=5)
    assert {row["workflow_id"] for row in told.workflows} == set(ids)
    assert [row["status"] for row in told.tasks if row["task_id"] == "a"] == ["SUCCESSFUL"] * count


def test_what_is_submitted_later_costs_no_sql_either(
    stage: Stage, stored: WorkflowObservability, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = stored.changes().cursor
    stored.expect_changes()
    forbid(monkeypatch, stored)
    monkeypatch.setattr(folds, "_FORGOTTEN_AFTER_S", 0.0)  # nothing was missed
    for workflow_id in ("v", "w"):
        stage.world.submit(workflow_id, dag(spec("a"), spec("b", 0)))
        stage.world.end("a", workflow_id)
        stage.commit()
        told = stored.changes(cursor, timeout_s=5)
        assert [row["workflow_id"] for row in told.workflows] == [workflow_id]
        assert [(row["task_id"], row["status"]) for row in told.tasks] == [("a", "SUCCESSFUL"), ("b", "PENDING")]
        cursor = told.cursor


def test_who_comes_back_after_much_has_happened_begins_anew(
    stage: Stage, stored: WorkflowObservability, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.expect_changes()
    stage.world.submit("v", dag(spec("a")))
    stage.commit()
    monkeypatch.setattr(folds, "_FORGOTTEN_AFTER_S", 0.0)
    monkeypatch.setattr(folds, "_FORGOTTEN_AFTER_EVENTS", 1)
    assert stored.workflow("v")["status"] == "RUNNING"
    stage.world.finish()
    stage.commit()
    assert stored.workflow("v")["status"] == "SUCCESSFUL"
    assert [row["status"] for row in stored.tasks("v").values()] == ["SUCCESSFUL"]


def test_one_too_large_to_be_kept_is_left_to_sql(
    stage: Stage, stored: WorkflowObservability, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folds, "MOST_TASKS", 5)
    stored.expect_changes()
    stage.world.submit("small", dag(spec("a")))
    stage.world.submit("large", fan(20))
    stage.world.end("list", "large")
    stage.commit()
    assert len(stored.tasks("large")) > 20
    assert list(stored._rows._folds._kept) == ["small"]


def test_nothing_is_asked_of_a_store_that_nobody_holds(
    stage: Stage, stored: WorkflowObservability, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.world.submit("w", dag(spec("a")))
    stage.commit()
    write_lease(stage.storage, lease(age_us=60_000_000))
    monkeypatch.setattr(stored._store._index, "run", Mock(side_effect=AssertionError))
    stored.expect_changes()


def test_one_that_never_pauses_is_told_of_in_pieces(stage: Stage, stored: WorkflowObservability) -> None:
    stage.world.submit("w", fan(200))
    stage.world.end("list", "w")
    stage.commit()
    cursor = stored.changes().cursor
    over = threading.Event()

    def on_and_on() -> None:
        while not over.wait(0.004) and (open_ones := stage.world.simulation.open_attempts()):
            stage.world.end(open_ones[0][2], "w")
            stage.commit()

    writer = threading.Thread(target=on_and_on)
    writer.start()
    try:
        first = stored.changes(cursor, timeout_s=5)
        second = stored.changes(first.cursor, timeout_s=5)
    finally:
        over.set()
        writer.join()
    assert 0 < len(first.tasks) < 150
    assert second.as_of_seq > first.as_of_seq


def test_deleted_and_used_anew(stage: Stage, stored: WorkflowObservability) -> None:
    stage.world.submit("w", fan(2))
    stage.commit()
    assert len(stored.tasks("w")) == 4
    stage.do(Cancel("w"))
    stage.do(Delete("w"))
    with pytest.raises(errors.WorkflowNotFoundError):
        stored.tasks("w")
    stage.world.submit("w", dag(spec("solo")))
    stage.commit()
    assert list(stored.tasks("w")) == ["solo"]


def test_a_place_in_the_log_that_is_gone(
    stage: Stage, stored: WorkflowObservability, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.world.submit("w", dag(spec("a"), spec("b", 0)))
    stage.commit()
    assert stored.tasks("w")["a"]["status"] == "PENDING"
    stage.world.end("a", "w")
    stage.commit()

    def gone(*_: object, **__: object) -> None:
        raise errors.StorageError(stage.storage, "compacted")

    with monkeypatch.context() as patch:
        patch.setattr(stored._rows._folds._reader, "read", gone)
        assert stored.tasks("w")["a"]["status"] == "SUCCESSFUL"
        assert not stored._rows._folds._kept
    stage.world.finish()
    assert stored.tasks("w")["b"]["status"] == "PENDING"
    assert list(stored._rows._folds._kept) == ["w"]


def test_what_cannot_be_folded_is_left_to_sql(
    stage: Stage, stored: WorkflowObservability, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("odd")

    monkeypatch.setattr(folds, "apply", broken)
    stage.world.submit("w", dag(spec("a")))
    stage.commit()
    assert list(stored.tasks("w")) == ["a"]
    assert stored._rows._folds._unfit == {"w"}


def test_a_bounded_number_is_kept(stage: Stage, stored: WorkflowObservability, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folds, "MOST_TASKS", 5)
    monkeypatch.setattr(folds, "MOST_WORKFLOWS", 2)
    for name, width in (("x", 1), ("y", 1), ("z", 1), ("large", 4)):
        stage.world.submit(name, fan(width) if width > 1 else dag(spec("a"), spec("b", 0)))
    stage.commit()
    for name in ("x", "y", "z", "large", "z"):
        assert stored.tasks(name)
    assert list(stored._rows._folds._kept) == ["y", "z"]
    assert stored._rows._folds._unfit == {"large"}


def test_many_threads_ask_while_it_goes_on(stage: Stage, stored: WorkflowObservability) -> None:
    stage.world.submit("w", fan(40))
    stage.world.end("list", "w")
    stage.commit()
    wrong: list[str] = []
    over = threading.Event()

    def ask() -> None:
        seen = -1
        while not over.is_set():
            found = list(stored.tasks("w").values())
            done = sum(row["status"] == "SUCCESSFUL" for row in found)
            if len(found) != 42 or done < seen or len({row["as_of_seq"] for row in found}) > 1:
                wrong.append(f"{len(found)} tasks, {done} done after {seen}")
            seen = done

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    while opened := stage.world.simulation.open_attempts():
        stage.world.end(opened[0][2], "w")
        stage.commit()
    over.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert without_seq(stored._rows._followed("w", None, make=True)) == without_seq(by_sql(stored._rows, "w"))
