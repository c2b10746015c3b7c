"""Limits and the queue (catalogue section 15), and joining a manager that runs."""

from __future__ import annotations

import os
import queue
import re
import time
from pathlib import Path

import pytest
import ray
from ray.exceptions import GetTimeoutError

from tests.engine.conftest import MakeWorld
from tests.engine.world import World, eventually, executions, names
from wfstore import workflow

pytestmark = pytest.mark.ray


@ray.remote
def hold(folder: str, name: str) -> str:
    with open(os.path.join(folder, "log"), "a") as file:
        file.write(name + "\n")
    while not os.path.exists(os.path.join(folder, name)):
        time.sleep(0.03)
    return name


@pytest.mark.parametrize("name", ["max_running_workflows", "max_pending_workflows"])
def test_q1_wrong_limits(world: World, name: str) -> None:
    with pytest.raises(TypeError, match=re.escape(f"'{name}' must be None or an integer.")):
        workflow.init(**{name: 1.7})  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        workflow.init(**{name: -2})  # type: ignore[arg-type]


def test_q1_keyword_only_and_at_least_one(world: World) -> None:
    with pytest.raises(TypeError):
        workflow.init(1, 2)  # type: ignore[misc, arg-type]
    with pytest.raises(ValueError):
        workflow.init(max_running_workflows=0)


def test_q2_other_limits_are_refused_and_none_keeps(make_world: MakeWorld) -> None:
    world = make_world(max_running_workflows=2, max_pending_workflows=3)
    workflow.init(storage=world.storage, namespace=world.namespace)
    workflow.init(max_running_workflows=2, max_pending_workflows=3)
    workflow.init(max_running_workflows=2)
    for limits in ({"max_running_workflows": 5}, {"max_pending_workflows": 4}):
        with pytest.raises(ValueError):
            workflow.init(**limits)  # type: ignore[arg-type]
    facts = world.describe()
    assert (facts["max_running_workflows"], facts["max_pending_workflows"]) == (2, 3)


def test_another_storage_in_the_same_namespace(world: World, tmp_path: Path) -> None:
    other = str(tmp_path / "other")
    with pytest.raises(RuntimeError) as caught:
        workflow.init(storage=other, namespace=world.namespace)
    assert other in str(caught.value)
    assert world.storage in str(caught.value)
    assert not os.path.exists(other)


def test_q3_q4_the_queue(make_world: MakeWorld) -> None:
    world = make_world(max_running_workflows=2, max_pending_workflows=2)
    folder = str(world.folder)
    refs = {name: workflow.run_async(hold.bind(folder, name), workflow_id=name) for name in "abcd"}
    assert [str(workflow.get_status(name)) for name in "abcd"] == ["RUNNING", "RUNNING", "PENDING", "PENDING"]
    for call in (workflow.run, workflow.run_async):
        with pytest.raises(queue.Full, match="Workflow queue has been full"):
            call(hold.bind(folder, "e"), workflow_id="e")
    with pytest.raises(workflow.WorkflowNotFoundError):
        workflow.get_status("e")
    with pytest.raises(GetTimeoutError):
        ray.get(refs["c"], timeout=0.5)
    eventually(lambda: set(executions(world.file("log"))) == {"a", "b"}, "the first two run")
    (world.folder / "b").touch()
    assert ray.get(refs["b"]) == "b"
    assert workflow.get_status("c") == "RUNNING", "first in, first out"
    assert workflow.get_status("d") == "PENDING"
    refs["e"] = workflow.run_async(hold.bind(folder, "e"), workflow_id="e")
    assert workflow.get_status("e") == "PENDING"
    for name in "acde":
        (world.folder / name).touch()
    assert ray.get([refs[name] for name in "acde"]) == list("acde")
    assert executions(world.file("log")) == dict.fromkeys("abcde", 1)


def test_a_resume_waits_in_the_queue_too(make_world: MakeWorld) -> None:
    world = make_world(max_running_workflows=1, max_pending_workflows=1)
    folder = str(world.folder)

    @ray.remote
    def fragile(flag: str) -> str:
        if not os.path.exists(flag):
            raise ValueError("not yet")
        return "done"

    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(fragile.bind(str(world.file("ok"))), workflow_id="f")
    workflow.run_async(hold.bind(folder, "a"), workflow_id="a")
    (world.folder / "ok").touch()
    ref = workflow.resume_async("f")
    assert workflow.get_status("f") == "PENDING"
    with pytest.raises(queue.Full):
        workflow.run_async(hold.bind(folder, "b"), workflow_id="b")
    (world.folder / "a").touch()
    assert ray.get(ref) == "done"
    assert names(workflow.list_all("SUCCESSFUL")) == ["f", "a"]
