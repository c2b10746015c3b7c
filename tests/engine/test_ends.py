"""Cancel (catalogue section 12), delete (13), resume and resume_all (14)."""

from __future__ import annotations

import fcntl
import os
import time
from typing import Any

import pytest
import ray

from tests.engine.conftest import MakeWorld
from tests.engine.world import World, eventually, executions, ids, names
from wfstore import workflow

pytestmark = pytest.mark.ray


@ray.remote
def one() -> int:
    return 1


@ray.remote
def add(*values: int) -> int:
    return sum(values)


@ray.remote
def forever(started: str) -> None:
    open(started, "w").close()
    time.sleep(1000)


@ray.remote
def fragile(flag: str, log: str = os.devnull, value: Any = "done") -> Any:
    with open(log, "a") as file:
        file.write("fragile\n")
    if not os.path.exists(flag):
        raise ValueError("not yet")
    return value


@ray.remote
def noted(log: str, name: str, *after: Any) -> str:
    with open(log, "a") as file:
        file.write(name + "\n")
    return name


def begun(world: World, name: str, dag: Any | None = None) -> Any:
    """A workflow whose task runs and would run for ever."""
    started = world.file(f"{name}-on")
    ref = workflow.run_async(forever.bind(str(started)), workflow_id=name)
    eventually(started.exists, f"{name} runs")
    return ref


# -- cancel ----------------------------------------------------------------------------------------------------------


def test_x1_cancel_ends_the_task_and_tells_who_waits(world: World) -> None:
    lock = world.file("x1.lock")

    @ray.remote
    def locked(path: str) -> None:
        with open(path, "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write("locked")
            file.flush()
            time.sleep(1000)

    ref = workflow.run_async(locked.bind(str(lock)), workflow_id="x1")
    eventually(lambda: lock.exists() and lock.read_text() == "locked", "the lock is held")
    began = time.monotonic()
    workflow.cancel("x1")
    assert workflow.get_status("x1") == "CANCELED"
    with pytest.raises(workflow.WorkflowCancellationError, match="is cancelled during execution"):
        ray.get(ref)
    with lock.open("a") as file:
        eventually(lambda: taken(file), "the task is gone", timeout_s=5)
    assert time.monotonic() - began < 5


def taken(file: Any) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def test_x1_a_caller_blocked_in_run_hears_of_it(world: World) -> None:
    import threading

    started, heard = world.file("x1r-on"), []

    def block() -> None:
        try:
            workflow.run(forever.bind(str(started)), workflow_id="x1r")
        except workflow.WorkflowCancellationError as error:
            heard.append(error)

    thread = threading.Thread(target=block)
    thread.start()
    eventually(started.exists, "it runs")
    workflow.cancel("x1r")
    thread.join(10)
    assert [error.workflow_id for error in heard] == ["x1r"]


def test_x2_metadata_after_cancel(world: World) -> None:
    begun(world, "x2")
    workflow.cancel("x2")
    found = workflow.get_metadata("x2")
    assert found["status"] == "CANCELED"
    assert set(found["stats"]) == {"start_time"}
    assert set(world.task_statuses("x2").values()) == {"CANCELED"}


def test_x3_canceled_stays_canceled(world: World) -> None:
    begun(world, "x3")
    workflow.cancel("x3")
    assert "x3" not in dict(workflow.resume_all(include_failed=True))
    for call in (workflow.resume, workflow.resume_async):
        with pytest.raises(workflow.WorkflowNotResumableError):
            call("x3")
    with pytest.raises(workflow.WorkflowNotResumableError):
        workflow.run(one.bind(), workflow_id="x3")
    assert workflow.get_status("x3") == "CANCELED"


def test_x4_a_finished_one_stays_finished(world: World) -> None:
    workflow.run(one.bind(), workflow_id="x4")
    workflow.cancel("x4")
    assert workflow.get_status("x4") == "SUCCESSFUL"
    assert workflow.get_output("x4") == 1
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(fragile.bind(str(world.file("never"))), workflow_id="x4f")
    workflow.cancel("x4f")
    assert workflow.get_status("x4f") == "FAILED"


def test_x4_an_unknown_one_creates_nothing(world: World) -> None:
    with pytest.raises(workflow.WorkflowNotFoundError):
        workflow.cancel("x4-nobody")
    assert "x4-nobody" not in dict(workflow.list_all())


def test_x4_a_pending_one_is_canceled_at_once_and_never_runs(make_world: MakeWorld) -> None:
    world = make_world(max_running_workflows=1)
    log = world.file("log")
    begun(world, "first")
    ref = workflow.run_async(noted.bind(str(log), "second"), workflow_id="second")
    third = workflow.run_async(noted.bind(str(log), "third"), workflow_id="third")
    workflow.cancel("second")
    assert workflow.get_status("second") == "CANCELED"
    with pytest.raises(workflow.WorkflowCancellationError):
        ray.get(ref)
    workflow.cancel("first")
    assert ray.get(third) == "third"
    assert executions(log) == {"third": 1}


def test_cancel_frees_the_cpus(world: World) -> None:
    refs = [begun(world, f"cpus-{n}") for n in range(2)]
    for n in range(2):
        workflow.cancel(f"cpus-{n}")
    assert workflow.run(one.bind()) == 1
    for ref in refs:
        with pytest.raises(workflow.WorkflowCancellationError):
            ray.get(ref)


# -- delete ----------------------------------------------------------------------------------------------------------


def test_l1_unknown_and_twice(world: World) -> None:
    with pytest.raises(workflow.WorkflowNotFoundError):
        workflow.delete("l1")
    workflow.run(one.bind(), workflow_id="l1")
    workflow.delete("l1")
    with pytest.raises(workflow.WorkflowNotFoundError):
        workflow.delete("l1")


def test_l2_a_deleted_id_is_free_again(world: World) -> None:
    workflow.run(add.bind(1), workflow_id="l2", metadata={"old": 1})
    workflow.delete("l2")
    assert "l2" not in dict(workflow.list_all())
    for call in (workflow.get_status, workflow.get_output, workflow.get_metadata):
        with pytest.raises(ValueError):
            call("l2")
    with pytest.raises(workflow.WorkflowNotResumableError):
        workflow.resume("l2")
    assert workflow.run(add.bind(100, 23), workflow_id="l2") == 123
    assert workflow.get_metadata("l2")["user_metadata"] == {}
    assert world.state().workflows["l2"].run == 2, "runs number on after what was deleted"


def test_l3_a_live_one_is_refused(world: World) -> None:
    begun(world, "l3")
    with pytest.raises(workflow.WorkflowStillActiveError, match="DELETE couldn't be completed because") as caught:
        workflow.delete("l3")
    assert (caught.value.operation, caught.value.workflow_id) == ("DELETE", "l3")
    workflow.cancel("l3")
    workflow.delete("l3")


# -- resume ----------------------------------------------------------------------------------------------------------


def test_v1_unknown(world: World) -> None:
    for call in (workflow.resume, workflow.resume_async):
        with pytest.raises(workflow.WorkflowNotResumableError, match=r"Workflow\[id=v1\] is not resumable"):
            call("v1")


def test_v2_only_what_is_unfinished_runs_again(world: World) -> None:
    log, flag = world.file("v2"), world.file("v2-ok")

    def named(name: str, *after: Any) -> Any:
        return noted.options(**workflow.options(name=name)).bind(str(log), name, *after)

    a, b = named("a"), named("b")
    dag = named("end", fragile.bind(str(flag), str(log), named("c", a, b)), named("d", a))
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(dag, workflow_id="v2")
    flag.touch()
    assert ray.get(workflow.resume_async("v2")) == "end"
    ran = executions(log)
    assert {name: ran[name] for name in "abcd"} == dict.fromkeys("abcd", 1)
    assert (ran["fragile"], ran["end"]) == (2, 1)
    assert workflow.resume("v2") == "end"
    assert executions(log) == ran


def test_v2_in_the_middle_of_a_chain_of_continuations(world: World) -> None:
    log, flag = world.file("v2c"), world.file("v2c-ok")

    @ray.remote
    def down(n: int, log: str, flag: str) -> Any:
        with open(log, "a") as file:
            file.write(f"{n}\n")
        if n == 3 and not os.path.exists(flag):
            raise ValueError("not yet")
        return "end" if n == 0 else workflow.continuation(down.bind(n - 1, log, flag))

    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(down.bind(6, str(log), str(flag)), workflow_id="v2c")
    flag.touch()
    assert workflow.resume("v2c") == "end"
    assert executions(log) == {"6": 1, "5": 1, "4": 1, "3": 2, "2": 1, "1": 1, "0": 1}
    assert workflow.resume("v2c") == "end"


def test_v4_resume_all(make_world: MakeWorld) -> None:
    world = make_world()
    flag = world.file("ok")
    for n in range(5):
        with pytest.raises(workflow.WorkflowExecutionError):
            workflow.run(fragile.bind(str(flag), os.devnull, n), workflow_id=f"v4-{n}")
    workflow.run(one.bind(), workflow_id="fine")
    flag.touch()
    assert workflow.resume_all() == []
    resumed = workflow.resume_all(include_failed=True)
    assert sorted(names(resumed)) == [f"v4-{n}" for n in range(5)]
    assert {name: ray.get(ref) for name, ref in resumed} == {f"v4-{n}": n for n in range(5)}
    assert workflow.list_all("FAILED") == []


def test_v5_a_resume_updates_the_stats(world: World) -> None:
    flag = world.file("v5")
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(fragile.bind(str(flag)), workflow_id="v5")
    failed = workflow.get_metadata("v5")["stats"]
    flag.touch()
    workflow.resume("v5")
    resumed = workflow.get_metadata("v5")["stats"]
    assert resumed["start_time"] > failed["start_time"]
    assert resumed["end_time"] > failed["end_time"]


def test_every_attempt_and_its_error_is_kept(world: World) -> None:
    flag, name = world.file("kept"), ids("kept")
    for _ in range(3):
        with pytest.raises(workflow.WorkflowExecutionError):
            workflow.run(fragile.bind(str(flag)), workflow_id=name)
    flag.touch()
    assert workflow.resume(name) == "done"
    assert [found[1:] for found in world.errors(name)] == [("app", "ValueError")] * 3
    assert world.state().workflows[name].runs == 4
