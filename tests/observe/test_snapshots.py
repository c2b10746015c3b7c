"""One asking serves all who ask at the same moment, but nobody who may know of something newer."""

from __future__ import annotations

import threading
import time

import pytest

from tests.index.worlds import dag, spec
from tests.observe.conftest import Stage
from wfstore import WorkflowObservability
from wfstore._observe import snapshots
from wfstore._observe.snapshots import Found, Snapshots


class Manager:
    """Its answers are numbered; with `still` they take until it is set."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.still: threading.Event | None = None

    def __call__(self, workflow_id: str, tasks: bool) -> Found:
        self.asked.append(workflow_id)
        number = len(self.asked)
        if self.still is not None:
            assert self.still.wait(10)
        return {"workflows": [{"number": number}]}


def number(found: Found) -> int:
    return int(found["workflows"][0]["number"])


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "SHARED_S", 60.0)


def test_one_asking_serves_all(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = Manager()
    shared = Snapshots(manager)
    assert [number(shared.of("w", True)) for _ in range(3)] == [1, 1, 1]
    assert number(shared.of("other", True)) == 2
    monkeypatch.setattr(snapshots, "SHARED_S", 0.0)
    assert number(shared.of("w", True)) == 3
    assert manager.asked == ["w", "other", "w"]


def test_a_row_without_tasks_is_its_own_but_for_what_is_there_already() -> None:
    shared = Snapshots(Manager())
    assert [number(shared.of("w", tasks)) for tasks in (False, False, True, False, True)] == [1, 1, 2, 2, 2]
    shared.outdate(["w"])
    assert [number(shared.of("w", tasks)) for tasks in (False, True)] == [3, 4]


def test_who_was_told_of_a_change_gets_nothing_older() -> None:
    shared = Snapshots(Manager())
    shared.of("w", True), shared.of("other", True)
    shared.outdate(["w"])
    assert number(shared.of("w", True)) == 3
    assert number(shared.of("w", True)) == 3, "which serves others again"
    assert number(shared.of("other", True)) == 2, "of which nothing was told"
    shared.outdate_all()
    assert [number(shared.of(name, True)) for name in ("w", "other", "w", "other")] == [4, 5, 4, 5]


def test_an_answer_under_way_is_too_old_as_well() -> None:
    manager = Manager()
    shared = Snapshots(manager)
    still = manager.still = threading.Event()
    thread = threading.Thread(target=shared.of, args=("w", True))
    thread.start()
    while not manager.asked:
        time.sleep(0.001)
    shared.outdate(["w"])
    still.set()
    thread.join()
    assert number(shared.of("w", True)) == 2


def test_what_was_told_is_forgotten_when_nothing_older_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "SHARED_S", 0.0)
    shared = Snapshots(Manager())
    for start in range(0, 10_000, 500):
        shared.outdate(f"w{start + offset}" for offset in range(500))
        time.sleep(0.001)
    assert len(shared._told) <= 1_500


def test_the_end_of_a_workflow_that_was_looked_at_a_moment_ago(stage: Stage, live: WorkflowObservability) -> None:
    stage.world.submit("w", dag(spec("a")))
    stage.commit()
    cursor = live.changes().cursor
    assert live.workflow("w")["status"] == "RUNNING"
    stage.world.finish()
    stage.commit()
    assert [row["status"] for row in live.changes(cursor, timeout_s=5).workflows] == ["SUCCESSFUL"]
    assert live.workflow("w")["status"] == "SUCCESSFUL"
    assert live.tasks("w")["a"]["status"] == "SUCCESSFUL"
