"""Seed 004, workflow metadata of the newer generation."""

from __future__ import annotations

import time

import pytest
import ray

from tests.documents.faces import appears, fails
from tests.engine.world import World
from wfstore import workflow

pytestmark = pytest.mark.ray


@ray.remote
def plus(left: int, right: int) -> int:
    return left + right


def test_example_01_metadata_of_a_workflow(own_world: World) -> None:
    assert workflow.run(plus.bind(10, 20), workflow_id="sum") == 30
    found = workflow.get_metadata("sum")
    assert found["status"] == "SUCCESSFUL"
    assert {"start_time", "end_time"} <= found["stats"].keys()
    assert found["stats"]["start_time"] <= found["stats"]["end_time"]
    assert found["user_metadata"] == {}


def test_example_02_metadata_of_a_task(own_world: World) -> None:
    named = plus.options(**workflow.options(name="first_sum"))
    assert workflow.run(named.bind(10, 20), workflow_id="sum") == 30
    found = workflow.get_metadata("sum", name="first_sum")
    # Slip: the document fetches the task's metadata and then looks at the workflow's of the example before. Both have
    # the two times.
    for stats in (found["stats"], workflow.get_metadata("sum")["stats"]):
        assert {"start_time", "end_time"} <= stats.keys()
    assert found["name"] == found["task_id"] == "first_sum"
    assert found["task_options"] == found["step_options"]
    assert found == workflow.get_metadata("sum", "first_sum") == workflow.get_metadata("sum", task_id="first_sum")


def test_example_03_user_metadata(own_world: World) -> None:
    named = plus.options(**workflow.options(name="first_sum", metadata={"of": "task"}))
    workflow.run(named.bind(10, 20), workflow_id="sum", metadata={"of": "workflow"})
    assert workflow.get_metadata("sum")["user_metadata"] == {"of": "workflow"}
    assert workflow.get_metadata("sum", name="first_sum")["user_metadata"] == {"of": "task"}


def test_example_03_user_metadata_in_the_decorator(own_world: World) -> None:
    @workflow.options(name="decorated", metadata={"of": "decorator"})
    @ray.remote
    def one() -> int:
        return 1

    workflow.run(one.bind(), workflow_id="decorated")
    assert workflow.get_metadata("decorated", name="decorated")["user_metadata"] == {"of": "decorator"}


@pytest.mark.parametrize("wrong", [["a", "list"], {"not": {1, 2}}])
def test_example_03_user_metadata_must_be_a_dict_that_json_can_hold(own_world: World, wrong: object) -> None:
    with pytest.raises(ValueError, match="metadata must be"):
        workflow.run(plus.bind(1, 2), workflow_id="refused", metadata=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="metadata must be"):
        workflow.options(metadata=wrong)  # type: ignore[arg-type]
    assert workflow.list_all() == []


def test_example_04_metadata_is_of_the_moment(own_world: World) -> None:
    runs = own_world.file("runs")

    @ray.remote
    def long() -> int:
        runs.touch()
        time.sleep(1000)
        return 0

    workflow.run_async(long.bind(), workflow_id="long")
    appears(runs)
    found = workflow.get_metadata("long")
    assert found["status"] == "RUNNING"
    assert "start_time" in found["stats"]
    assert "end_time" not in found["stats"]

    workflow.cancel("long")
    found = workflow.get_metadata("long")
    assert found["status"] == "CANCELED"
    # Slip: the document asks for "task_options" in the metadata of the workflow. Only a task has them.
    assert "task_options" not in found
    assert "start_time" in found["stats"]
    assert "end_time" not in found["stats"]


def test_example_05_a_resume_brings_new_stats(own_world: World) -> None:
    broken = own_world.file("broken")
    broken.touch()

    @ray.remote
    def fragile() -> int:
        if broken.exists():
            raise ValueError("still broken")
        return 0

    # The document expects RaySystemError, the library raised WorkflowExecutionError: the error here is both.
    with fails():
        workflow.run(fragile.bind(), workflow_id="fragile")
    failed = workflow.get_metadata("fragile")
    assert failed["status"] == "FAILED"

    broken.unlink()
    assert ray.get(workflow.resume_async("fragile")) == 0
    resumed = workflow.get_metadata("fragile")
    assert resumed["status"] == "SUCCESSFUL"
    for key in ("start_time", "end_time"):
        assert resumed["stats"][key] > failed["stats"][key]
