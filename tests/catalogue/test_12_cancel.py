"""Sections 12 and 13: cancel and delete. L2 of an interrupted workflow is in test_14_recovery."""

from __future__ import annotations

import fcntl
import pickle
import re
import time
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.catalogue.items import item
from tests.catalogue.tasks import boom, failed, go_on, hold, identity, noted, one, started
from tests.engine.conftest import MakeWorld
from tests.engine.world import World, eventually, executions, names
from wfstore import workflow

pytestmark = pytest.mark.ray


@ray.remote
def locked(path: str) -> None:
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("locked")
        file.flush()
        time.sleep(1000)


def free(path: Path) -> bool:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@item("X1", "cancel returns once it is CANCELED; who waits gets WorkflowCancellationError; the task's process is ended")
def test_X1_cancel(world: World) -> None:
    lock = world.file("x1")
    ref = workflow.run_async(locked.bind(str(lock)), workflow_id="x1")
    eventually(lambda: lock.exists() and lock.read_text() == "locked", "the lock is held")
    workflow.cancel("x1")
    assert workflow.get_status("x1") == "CANCELED"
    with pytest.raises(
        workflow.WorkflowCancellationError, match=re.escape("Workflow[id=x1] is cancelled during execution.")
    ):
        ray.get(ref)
    eventually(lambda: free(lock), "the task is gone", timeout_s=5)


@item("X2", "metadata after cancel: status CANCELED, start_time, no end_time; history has an end time")
def test_X2_metadata(world: World) -> None:
    import wfstore

    workflow.run_async(hold.bind(str(world.folder), "x2"), workflow_id="x2")
    started(world, "x2")
    workflow.cancel("x2")
    found = workflow.get_metadata("x2")
    assert found["status"] == "CANCELED"
    assert set(found["stats"]) == {"start_time"}
    (row,) = (
        wfstore.open(world.storage, live=False)
        .sql("select status, ended_at from tasks where workflow_id = 'x2'")
        .fetchall()
    )
    assert row[0] == "CANCELED"
    assert row[1] is not None


@item(
    "X3",
    "resume_all(include_failed=True) leaves canceled ones alone, and resume refuses them",
    ours="as the documents say; the old library resumed one that was named",
)
def test_X3_canceled_stays_canceled(own_world: World) -> None:
    flag = own_world.file("ok")

    @ray.remote
    def fails(flag: str) -> int:
        if not Path(flag).exists():
            raise ValueError("not yet")
        return 1

    for n in range(6):
        failed(fails.bind(str(flag)), f"f{n}")
    for n in range(2):
        workflow.run_async(hold.bind(str(own_world.folder), f"c{n}"), workflow_id=f"c{n}")
        workflow.cancel(f"c{n}")
    flag.touch()
    resumed = workflow.resume_all(include_failed=True)
    assert sorted(names(resumed)) == [f"f{n}" for n in range(6)]
    assert ray.get([ref for _, ref in resumed], timeout=30) == [1] * 6
    for call in (workflow.resume, workflow.resume_async):
        with pytest.raises(workflow.WorkflowNotResumableError):
            call("c0")
    assert workflow.get_status("c0") == "CANCELED"


@item(
    "X4",
    "cancel of a finished workflow leaves it finished, of an unknown one raises WorkflowNotFoundError, of a "
    "PENDING one "
    "takes effect at once",
    ours="before, it turned into CANCELED, a CANCELED entry appeared, and the pending one ran to its end",
)
def test_X4_finished_and_unknown(world: World) -> None:
    workflow.run(one.bind(), workflow_id="x4")
    failed(boom.bind(), "x4f")
    for name, status in (("x4", "SUCCESSFUL"), ("x4f", "FAILED")):
        workflow.cancel(name)
        assert workflow.get_status(name) == status
    assert workflow.get_output("x4") == 1
    with pytest.raises(workflow.WorkflowNotFoundError):
        workflow.cancel("nobody")
    assert "nobody" not in dict(workflow.list_all())


@item("X4")
def test_X4_pending(make_world: MakeWorld) -> None:
    world = make_world(max_running_workflows=1, max_pending_workflows=1)
    log = world.file("log")
    first = workflow.run_async(hold.bind(str(world.folder), "first", 1), workflow_id="first")
    second = workflow.run_async(noted.bind(str(log), "second"), workflow_id="second")
    assert workflow.get_status("second") == "PENDING"
    began = time.monotonic()
    workflow.cancel("second")
    assert time.monotonic() - began < 2
    assert workflow.get_status("second") == "CANCELED"
    with pytest.raises(workflow.WorkflowCancellationError):
        ray.get(second)
    third = workflow.run_async(identity.bind(3), workflow_id="third")  # its place in the queue is free
    go_on(world, "first")
    assert ray.get([first, third]) == [1, 3]
    assert executions(log) == {}


@item("L1", "delete of an unknown id, or twice: WorkflowNotFoundError")
def test_L1_unknown_and_twice(world: World) -> None:
    with pytest.raises(workflow.WorkflowNotFoundError):
        workflow.delete("nobody")
    workflow.run(one.bind(), workflow_id="l1")
    workflow.delete("l1")
    with pytest.raises(workflow.WorkflowNotFoundError):
        workflow.delete("l1")


@item("L2", "a finished or interrupted one can be deleted; then it is unknown, and its id can run as new")
def test_L2_deleted(own_world: World) -> None:
    for value in ("old", "123"):
        assert workflow.run(identity.bind(value), workflow_id="l2") == value
        workflow.delete("l2")
        with pytest.raises(ValueError):
            workflow.get_output("l2")
        with pytest.raises(workflow.WorkflowNotFoundError):
            workflow.get_status("l2")
        assert workflow.list_all() == []
    failed(boom.bind(), "l2")
    workflow.delete("l2")
    assert workflow.list_all() == []


@item("L3", "delete of one that runs or waits: WorkflowStillActiveError with the old text, and it survives pickling")
def test_L3_still_active(make_world: MakeWorld) -> None:
    world = make_world(max_running_workflows=1, max_pending_workflows=1)
    folder = str(world.folder)
    refs = [workflow.run_async(hold.bind(folder, "go", name), workflow_id=name) for name in ("a", "b")]
    for name in ("a", "b"):
        text = f"DELETE couldn't be completed because Workflow[id={name}] is still running or pending."
        with pytest.raises(workflow.WorkflowStillActiveError, match=re.escape(text)) as caught:
            workflow.delete(name)
        again: Any = pickle.loads(pickle.dumps(caught.value))
        assert (type(again), str(again)) == (workflow.WorkflowStillActiveError, text)
    go_on(world, "go")
    assert ray.get(refs) == ["a", "b"]
