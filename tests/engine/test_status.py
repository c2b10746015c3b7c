"""Statuses and lists (catalogue section 10), outputs (11), metadata (16)."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.exceptions import GetTimeoutError

from tests.engine.conftest import MakeWorld
from tests.engine.world import World, eventually, executions, ids, names
from wfstore import workflow
from wfstore.workflow import WorkflowStatus

pytestmark = pytest.mark.ray


@ray.remote
def one() -> int:
    return 1


@ray.remote
def add(*values: int) -> int:
    return sum(values)


@ray.remote
def boom(text: str = "boom") -> None:
    raise ValueError(text)


@ray.remote
def hold(folder: str, name: str, value: Any = None, *after: Any) -> Any:
    """Say that it runs, wait for the file to go on, return the value (or raise it)."""
    open(os.path.join(folder, name + "-on"), "w").close()
    while not os.path.exists(os.path.join(folder, name + "-go")):
        time.sleep(0.03)
    if isinstance(value, Exception):
        raise value
    return value


def started(world: World, name: str) -> None:
    eventually((world.folder / f"{name}-on").exists, f"{name} runs")


def go_on(world: World, name: str) -> None:
    (world.folder / f"{name}-go").touch()


def task(name: str, function: Any = add) -> Any:
    return function.options(**workflow.options(name=name))


# -- statuses --------------------------------------------------------------------------------------------------------


def test_s1_statuses_are_strings_and_members(world: World) -> None:
    folder = str(world.folder)
    ref = workflow.run_async(hold.bind(folder, "s1"), workflow_id="s1")
    assert workflow.get_status("s1") == workflow.RUNNING == "RUNNING"
    assert isinstance(workflow.get_status("s1"), WorkflowStatus)
    go_on(world, "s1")
    ray.get(ref)
    assert workflow.get_status("s1") == workflow.SUCCESSFUL


def test_s3_unknown_id(world: World) -> None:
    text = re.escape("Workflow[id=nobody] was referenced but doesn't exist.")
    with pytest.raises(workflow.WorkflowNotFoundError, match=text):
        workflow.get_status("nobody")
    with pytest.raises(ValueError, match=text):
        workflow.get_status("nobody")


def test_s4_filters(world: World) -> None:
    assert WorkflowStatus.SUCCESSFUL in dict(workflow.list_all()).values() or workflow.run(one.bind()) == 1
    by_each = [
        workflow.list_all("SUCCESSFUL"),
        workflow.list_all(workflow.SUCCESSFUL),
        workflow.list_all({"SUCCESSFUL"}),
        workflow.list_all({workflow.SUCCESSFUL}),
        workflow.list_all({"SUCCESSFUL", workflow.NONE}),
    ]
    assert all(found == by_each[0] for found in by_each)
    with pytest.raises(TypeError, match=re.escape("status_filter must be WorkflowStatus or a set of WorkflowStatus.")):
        workflow.list_all(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="contains element which is not a type of `WorkflowStatus or str`"):
        workflow.list_all({"FAILED", 5})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=re.escape("'XX' is not a valid WorkflowStatus")):
        workflow.list_all("XX")


def test_s5_order_is_stable(world: World) -> None:
    for n in range(6):
        name = f"s5-{n}"
        if n % 2:
            with pytest.raises(workflow.WorkflowExecutionError):
                workflow.run(boom.bind(), workflow_id=name)
        else:
            workflow.run(one.bind(), workflow_id=name)
    failed = workflow.list_all("FAILED")
    among_all = [pair for pair in workflow.list_all({"FAILED", "SUCCESSFUL", "RUNNING"}) if pair[1] == "FAILED"]
    assert failed == among_all
    assert [name for name in names(workflow.list_all()) if name.startswith("s5-")] == [f"s5-{n}" for n in range(6)]


def test_s7_an_empty_store_stays_empty(own_world: World) -> None:
    assert workflow.list_all() == []
    with pytest.raises(workflow.WorkflowNotResumableError, match=re.escape("Workflow[id=nobody] is not resumable.")):
        workflow.resume("nobody")
    with pytest.raises(workflow.WorkflowNotFoundError):
        workflow.cancel("nobody")
    with pytest.raises(workflow.WorkflowNotFoundError):
        workflow.delete("nobody")
    with pytest.raises(TypeError):
        workflow.run(1, workflow_id="nobody")
    assert workflow.list_all() == []
    assert workflow.resume_all() == []


# -- outputs ---------------------------------------------------------------------------------------------------------


def test_g1_before_while_and_after(world: World) -> None:
    folder = str(world.folder)
    ref = workflow.run_async(hold.bind(folder, "g1", 5), workflow_id="g1")
    early = workflow.get_output_async("g1")
    with pytest.raises(GetTimeoutError):
        ray.get(early, timeout=0.3)
    go_on(world, "g1")
    assert ray.get([ref, early]) == [5, 5]
    assert workflow.get_output("g1") == 5
    assert ray.get(workflow.get_output_async("g1")) == 5
    assert workflow.get_output(workflow_id="g1") == 5


def test_g1_right_after_run_async_it_does_not_race(world: World) -> None:
    for n in range(20):
        name = f"g1r-{n}"
        workflow.run_async(add.bind(n), workflow_id=name)
        assert workflow.get_output(name) == n


def test_g2_by_task_at_any_time(world: World) -> None:
    folder = str(world.folder)

    @ray.remote
    def continued(folder: str, value: int) -> Any:
        return workflow.continuation(task("inner", hold).bind(folder, "g2b", value))

    first = task("first", hold).bind(folder, "g2a", 7)
    ref = workflow.run_async(task("outer", continued).bind(folder, first), workflow_id="g2")
    unborn = workflow.get_output_async("g2", task_id="inner")
    go_on(world, "g2a")
    assert workflow.get_output("g2", task_id="first") == 7
    assert workflow.get_output("g2", name="first") == 7
    with pytest.raises(GetTimeoutError):
        ray.get(unborn, timeout=0.2)
    go_on(world, "g2b")
    assert ray.get([unborn, ref]) == [7, 7]
    assert workflow.get_output("g2", task_id="outer") == 7


def test_g3_a_task_that_never_was(world: World) -> None:
    folder = str(world.folder)
    ref = workflow.run_async(hold.bind(folder, "g3", 1), workflow_id="g3")
    missing = workflow.get_output_async("g3", task_id="non_exist")
    go_on(world, "g3")
    ray.get(ref)
    text = "haven't yet produced output of task 'non_exist' after workflow execution completes"
    with pytest.raises(ValueError, match=text):
        ray.get(missing)
    with pytest.raises(ValueError, match=text):
        workflow.get_output("g3", task_id="non_exist")


def test_g4_of_a_failed_one(world: World) -> None:
    log = world.file("g4")

    @ray.remote
    def counted(log: str) -> int:
        with open(log, "a") as file:
            file.write("x\n")
        return 5

    @ray.remote
    def fails(log: str, value: int) -> None:
        with open(log, "a") as file:
            file.write("y\n")
        raise KeyError("why")

    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(fails.bind(str(log), task("inner", counted).bind(str(log))), workflow_id="g4")
    with pytest.raises(ValueError, match="Cannot load output from workflow 'g4'") as caught:
        workflow.get_output("g4")
    assert isinstance(caught.value.__cause__, KeyError)
    assert isinstance(caught.value, workflow.WorkflowExecutionError)
    with pytest.raises(ValueError):
        ray.get(workflow.get_output_async("g4"))
    assert workflow.get_output("g4", task_id="inner") == 5
    assert executions(log) == {"x": 1, "y": 1}


def test_g5_unknown_and_canceled(world: World) -> None:
    with pytest.raises(ValueError, match="nobody"):
        workflow.get_output("nobody")
    with pytest.raises(ValueError, match="nobody"):
        ray.get(workflow.get_output_async("nobody"))
    workflow.run_async(hold.bind(str(world.folder), "g5"), workflow_id="g5")
    workflow.cancel("g5")
    with pytest.raises(ValueError, match="Workflow g5 is canceled"):
        workflow.get_output("g5")


def test_g6_waiting_references_hear_of_failure_and_cancellation(world: World) -> None:
    folder = str(world.folder)
    workflow.run_async(hold.bind(folder, "g6", ValueError("late")), workflow_id="g6")
    waiting = workflow.get_output_async("g6")
    go_on(world, "g6")
    with pytest.raises(workflow.WorkflowExecutionError):
        ray.get(waiting)
    workflow.run_async(hold.bind(folder, "g6c"), workflow_id="g6c")
    waiting = workflow.get_output_async("g6c")
    workflow.cancel("g6c")
    with pytest.raises(workflow.WorkflowCancellationError):
        ray.get(waiting)


# -- metadata --------------------------------------------------------------------------------------------------------


def test_m1_shape(world: World) -> None:
    workflow.run(task("sum").bind(task("a", one).bind()), workflow_id="m1")
    whole = workflow.get_metadata("m1")
    assert set(whole) >= {"status", "user_metadata", "stats"}
    assert whole["user_metadata"] == {}
    found = workflow.get_metadata("m1", task_id="sum")
    assert set(found) >= {"task_id", "task_options", "user_metadata", "workflow_refs", "stats"}
    assert found["workflow_refs"] == ["a"]
    assert found["user_metadata"] == {}
    options = found["task_options"]
    keys = {"task_type", "max_retries", "catch_exceptions", "retry_exceptions", "checkpoint", "ray_options"}
    assert set(options) >= keys
    assert (options["max_retries"], options["catch_exceptions"]) == (3, False)


def test_m2_by_moment(world: World) -> None:
    folder = str(world.folder)
    after = task("after").bind(task("held", hold).bind(folder, "m2", 1))
    ref = workflow.run_async(after, workflow_id="m2")
    started(world, "m2")
    running = workflow.get_metadata("m2")
    assert running["status"] == "RUNNING"
    assert set(running["stats"]) == {"start_time"}
    assert workflow.get_metadata("m2", "after")["stats"] == {}
    eventually(lambda: "start_time" in workflow.get_metadata("m2", "held")["stats"], "the start of a long task shows")
    assert "end_time" not in workflow.get_metadata("m2", "held")["stats"]
    go_on(world, "m2")
    ray.get(ref)
    for found in (workflow.get_metadata("m2"), workflow.get_metadata("m2", "held")):
        assert set(found["stats"]) == {"start_time", "end_time"}
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(task("bad", boom).bind(), workflow_id="m2f")
    failed = workflow.get_metadata("m2f")
    assert (failed["status"], set(failed["stats"])) == ("FAILED", {"start_time", "end_time"})
    assert set(workflow.get_metadata("m2f", "bad")["stats"]) == {"start_time"}


def test_m2_of_one_that_waits_in_the_queue(make_world: MakeWorld) -> None:
    world = make_world(max_running_workflows=1)
    workflow.run_async(hold.bind(str(world.folder), "m2q"), workflow_id="first")
    workflow.run_async(one.bind(), workflow_id="second", metadata={"k": 1})
    assert workflow.get_metadata("second") == {"status": "PENDING", "user_metadata": {"k": 1}, "stats": {}}


def test_m3_m4_times(world: World) -> None:
    @ray.remote
    def inner() -> None:
        time.sleep(0.4)

    @ray.remote
    def outer() -> Any:
        time.sleep(0.3)
        return workflow.continuation(task("inner", inner).bind())

    before = time.time()
    workflow.run(task("outer", outer).bind(), workflow_id="m4")
    whole = workflow.get_metadata("m4")["stats"]
    parts = {name: workflow.get_metadata("m4", name)["stats"] for name in ("outer", "inner")}
    assert before <= whole["start_time"] <= parts["outer"]["start_time"]
    assert whole["end_time"] >= whole["start_time"] + 0.7
    assert parts["outer"]["end_time"] >= parts["outer"]["start_time"] + 0.3
    assert parts["inner"]["end_time"] >= parts["inner"]["start_time"] + 0.4
    assert parts["inner"]["start_time"] >= parts["outer"]["end_time"]


def test_m5_errors(world: World) -> None:
    workflow.run(one.bind(), workflow_id="m5")
    for call in (lambda: workflow.get_metadata("simple1"), lambda: workflow.get_metadata("simple1", "task")):
        with pytest.raises(ValueError, match="No such workflow_id 'simple1'"):
            call()
    with pytest.raises(ValueError, match="No such task_id 'simple_task1' in workflow 'm5'"):
        workflow.get_metadata("m5", "simple_task1")


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ("x", "metadata must be a dict."),
        ([1], "metadata must be a dict."),
        ({"fine": 1, "odd": object()}, "metadata must be JSON serializable.*'odd'"),
        ({"nan": float("nan")}, "metadata must be JSON serializable.*'nan'"),
        ({"deep": {"set": {1}}}, "metadata must be JSON serializable.*'deep'"),
    ],
)
def test_m6_bad_metadata_is_refused_before_anything_is_written(world: World, metadata: Any, text: str) -> None:
    seq = world.seq()
    with pytest.raises(ValueError, match=text):
        workflow.options(metadata=metadata)
    for call in (workflow.run, workflow.run_async):
        with pytest.raises(ValueError, match=text):
            call(one.bind(), workflow_id="m6", metadata=metadata)
    assert world.seq() == seq
    with pytest.raises(workflow.WorkflowNotFoundError):
        workflow.get_status("m6")


def test_m6_what_json_takes_is_taken(world: World) -> None:
    metadata = {"a": [1, 2.5, None, {"b": "ü🙂"}], "flag": True, "name": "named"}
    workflow.run(one.bind(), workflow_id="m6ok", metadata=metadata)
    assert workflow.get_metadata("m6ok")["user_metadata"] == metadata
    name = ids("m6-keys")
    workflow.run(one.bind(), workflow_id=name, metadata={1: "x"})  # type: ignore[dict-item]
    assert workflow.get_metadata(name)["user_metadata"] in ({1: "x"}, {"1": "x"})


def test_get_metadata_and_get_status_agree_at_every_moment(world: World) -> None:
    folder = str(world.folder)
    ref = workflow.run_async(hold.bind(folder, "agree"), workflow_id="agree")
    for _ in range(2):
        assert workflow.get_metadata("agree")["status"] == workflow.get_status("agree")
        go_on(world, "agree")
        ray.get(ref)


def test_the_log_is_not_the_users_folder(world: World) -> None:
    assert Path(world.storage, "store.json").exists()
