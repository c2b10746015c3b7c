"""The programs that the old documents print: management (seed 001), metadata of both generations (003 and 004).

Where a document's program cannot run as printed, the comment says what was put right.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
import ray

from tests.engine.conftest import MakeWorld
from tests.engine.world import World, names
from wfstore import workflow

pytestmark = pytest.mark.ray


@ray.remote
def add(left: int, right: int) -> int:
    return left + right


# -- seed 001: workflow management -----------------------------------------------------------------------------------


def test_seed_001_single_workflow_management(own_world: World) -> None:
    @ray.remote
    def task() -> int:
        return 3

    workflow.run(task.bind(), workflow_id="workflow_id")
    try:
        status = workflow.get_status(workflow_id="workflow_id")
        assert status in {"RUNNING", "RESUMABLE", "FAILED", "CANCELED", "SUCCESSFUL"}
    except workflow.exceptions.WorkflowNotFoundError:
        pytest.fail("Workflow doesn't exist.")
    # The document's comment says that resume gives a reference; the newer generation gives the value.
    assert workflow.resume(workflow_id="workflow_id") == 3
    workflow.cancel(workflow_id="workflow_id")
    workflow.delete(workflow_id="workflow_id")
    with pytest.raises(workflow.exceptions.WorkflowNotFoundError):
        workflow.get_status(workflow_id="workflow_id")


def test_seed_001_bulk_management(own_world: World) -> None:
    flag = own_world.file("ok")

    @ray.remote
    def fragile(flag: str) -> int:
        import os

        if not os.path.exists(flag):
            raise ValueError
        return 1

    @ray.remote
    def forever() -> None:
        time.sleep(1000)

    workflow.run_async(forever.bind(), workflow_id="workflow_id_1")
    workflow.run_async(forever.bind(), workflow_id="workflow_id_2")
    workflow.cancel("workflow_id_2")
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(fragile.bind(str(flag)), workflow_id="workflow_id_3")
    assert workflow.list_all("RUNNING") == [("workflow_id_1", "RUNNING")]
    assert workflow.list_all({"RUNNING", "CANCELED"}) == [("workflow_id_1", "RUNNING"), ("workflow_id_2", "CANCELED")]
    assert len(workflow.list_all()) == 3
    assert workflow.resume_all() == []
    flag.touch()
    ((name, ref),) = workflow.resume_all(include_failed=True)
    assert (name, ray.get(ref)) == ("workflow_id_3", 1)


def test_seed_001_the_same_id_resumes(own_world: World) -> None:
    assert workflow.run(add.bind(1, 2), workflow_id="id") == 3
    assert workflow.run(add.bind(10, 20), workflow_id="id") == 3


def test_seed_001_concurrency_control(make_world: MakeWorld) -> None:
    world = make_world(max_running_workflows=10, max_pending_workflows=50)

    @ray.remote
    def forever() -> None:
        time.sleep(1000)

    for n in range(12):
        workflow.run_async(forever.bind(), workflow_id=f"w{n:02}")
    assert names(workflow.list_all("PENDING")) == ["w10", "w11"]
    workflow.init(storage=world.storage, namespace=world.namespace)
    with pytest.raises(ValueError):
        workflow.init(max_running_workflows=11)


# -- seed 004 (and the part of 003 that the newer generation has): metadata ------------------------------------------


def test_seed_004_retrieving_metadata(own_world: World) -> None:
    workflow.run(add.bind(10, 20), workflow_id="add_example")
    workflow_metadata = workflow.get_metadata("add_example")
    assert workflow_metadata["status"] == "SUCCESSFUL"
    assert "start_time" in workflow_metadata["stats"]
    assert "end_time" in workflow_metadata["stats"]

    workflow.run(add.options(**workflow.options(name="add_task")).bind(10, 20), workflow_id="add_example_2")
    task_metadata = workflow.get_metadata("add_example_2", name="add_task")
    assert "task_options" in task_metadata
    assert "step_options" in task_metadata
    assert task_metadata["name"] == "add_task"
    assert "start_time" in task_metadata["stats"]
    assert "end_time" in task_metadata["stats"]


def test_seed_004_user_metadata(own_world: World) -> None:
    workflow.run(
        add.options(**workflow.options(name="add_task", metadata={"task_k": "task_v"})).bind(10, 20),
        workflow_id="add_example_3",
        metadata={"workflow_k": "workflow_v"},
    )
    assert workflow.get_metadata("add_example_3")["user_metadata"] == {"workflow_k": "workflow_v"}
    for found in (
        workflow.get_metadata("add_example_3", name="add_task"),
        workflow.get_metadata("add_example_3", task_id="add_task"),
        workflow.get_metadata("add_example_3", "add_task"),
    ):
        assert found["user_metadata"] == {"task_k": "task_v"}

    @workflow.options(name="above", metadata={"task_k": "decorated"})
    @ray.remote
    def decorated() -> int:
        return 1

    workflow.run(decorated.bind(), workflow_id="decorated")
    assert workflow.get_metadata("decorated", name="above")["user_metadata"] == {"task_k": "decorated"}


def test_seed_003_equal_names_get_a_counter(own_world: World) -> None:
    @ray.remote
    def incr(n: int) -> Any:
        again = incr.options(**workflow.options(name="incr", metadata={"current_n": n}))
        return n if n == 5 else workflow.continuation(again.bind(n + 1))

    outer = incr.options(**workflow.options(name="incr", metadata={"outer_k": "outer_v"}))
    assert workflow.run(outer.bind(1), workflow_id="counter") == 5
    assert workflow.get_metadata("counter", "incr")["user_metadata"] == {"outer_k": "outer_v"}
    for n in range(1, 5):
        assert workflow.get_metadata("counter", f"incr_{n}")["user_metadata"] == {"current_n": n}


def test_seed_004_note_1_metadata_of_the_moment(own_world: World) -> None:
    flag, workflow_id = own_world.file("flag"), "simple"

    @ray.remote
    def simple() -> int:
        flag.touch()
        time.sleep(1000)
        return 0

    workflow.run_async(simple.bind(), workflow_id=workflow_id)
    while not flag.exists():
        time.sleep(0.05)
    workflow_metadata = workflow.get_metadata(workflow_id)
    assert workflow_metadata["status"] == "RUNNING"
    assert "start_time" in workflow_metadata["stats"]
    assert "end_time" not in workflow_metadata["stats"]

    workflow.cancel(workflow_id)
    workflow_metadata = workflow.get_metadata(workflow_id)
    # The document also wants task_options here, which it gives to tasks only: a slip.
    assert workflow_metadata["status"] == "CANCELED"
    assert "start_time" in workflow_metadata["stats"]
    assert "end_time" not in workflow_metadata["stats"]


def test_seed_004_note_2_resumed_workflows(own_world: World) -> None:
    error_flag, workflow_id = own_world.file("error"), "simple"
    error_flag.touch()

    @ray.remote
    def simple() -> int:
        if error_flag.exists():
            raise ValueError()
        return 0

    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(simple.bind(), workflow_id=workflow_id)
    workflow_metadata_failed = workflow.get_metadata(workflow_id)
    assert workflow_metadata_failed["status"] == "FAILED"

    error_flag.unlink()
    ref = workflow.resume_async(workflow_id)
    assert ray.get(ref) == 0
    workflow_metadata_resumed = workflow.get_metadata(workflow_id)
    assert workflow_metadata_resumed["status"] == "SUCCESSFUL"
    failed, resumed = workflow_metadata_failed["stats"], workflow_metadata_resumed["stats"]
    assert resumed["start_time"] > failed["start_time"]
    assert resumed["end_time"] > failed["end_time"]
