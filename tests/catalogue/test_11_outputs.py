"""Section 11: get_output. G7 after a kill of the cluster is in test_14_recovery."""

from __future__ import annotations

import re
from typing import Any

import pytest
import ray
from ray.exceptions import GetTimeoutError

from tests.catalogue.items import item
from tests.catalogue.tasks import boom, failed, go_on, hold, identity, named, noted, started
from tests.engine.world import World, executions
from wfstore import workflow

pytestmark = pytest.mark.ray


@item(
    "G1",
    "get_output gives the value and get_output_async a reference: while it runs, after it, and right after run_async",
)
def test_G1_while_and_after(world: World) -> None:
    ref = workflow.run_async(hold.bind(str(world.folder), "g1", 5), workflow_id="g1")
    early = workflow.get_output_async("g1")
    assert isinstance(early, ray.ObjectRef)
    with pytest.raises(GetTimeoutError):
        ray.get(early, timeout=0.3)
    go_on(world, "g1")
    assert ray.get([ref, early, workflow.get_output_async("g1")]) == [5, 5, 5]
    assert workflow.get_output("g1") == 5


@item("G1")
def test_G1_no_race_with_run_async(world: World) -> None:
    for n in range(20):
        workflow.run_async(identity.bind(n), workflow_id=f"g1-{n}")
        assert workflow.get_output(f"g1-{n}") == n


@item("G2", "by task_id (or name) at any time; before a dynamic task exists the reference waits")
def test_G2_by_task(world: World) -> None:
    folder = str(world.folder)

    @ray.remote
    def goes_on(folder: str, value: int) -> Any:
        return workflow.continuation(named(hold, "inner").bind(folder, "g2-inner", value))

    first = named(hold, "first").bind(folder, "g2-first", 7)
    ref = workflow.run_async(named(goes_on, "outer").bind(folder, first), workflow_id="g2")
    unborn = workflow.get_output_async("g2", task_id="inner")
    go_on(world, "g2-first")
    assert workflow.get_output("g2", task_id="first") == workflow.get_output("g2", name="first") == 7
    assert workflow.get_status("g2") == "RUNNING"
    started(world, "g2-inner")
    with pytest.raises(GetTimeoutError):
        ray.get(unborn, timeout=0.2)
    go_on(world, "g2-inner")
    assert ray.get([unborn, ref]) == [7, 7]


@item("G3", "a task that never was: ValueError that names it, once the workflow has ended")
def test_G3_unknown_task(world: World) -> None:
    ref = workflow.run_async(hold.bind(str(world.folder), "g3", 1), workflow_id="g3")
    missing = workflow.get_output_async("g3", task_id="non_exist")
    with pytest.raises(GetTimeoutError):
        ray.get(missing, timeout=0.2)
    go_on(world, "g3")
    ray.get(ref)
    text = re.escape("The workflow haven't yet produced output of task 'non_exist' after workflow execution completes.")
    with pytest.raises(ValueError, match=text):
        ray.get(missing)
    with pytest.raises(ValueError, match=text):
        workflow.get_output("g3", task_id="non_exist")


@item(
    "G4",
    "of a failed workflow: ValueError that says it cannot be loaded, and nothing runs again; tasks that "
    "finished can be "
    "read",
    ours="its cause is the original error, and it is a WorkflowExecutionError as well",
)
def test_G4_failed(world: World) -> None:
    log = world.file("g4")
    failed(named(boom_noted, "bad").bind(str(log), named(noted, "inner").bind(str(log), "inner", 5)), "g4")
    with pytest.raises(ValueError, match="Cannot load output from workflow 'g4'") as caught:
        workflow.get_output("g4")
    assert isinstance(caught.value.__cause__, KeyError)
    assert isinstance(caught.value, workflow.WorkflowExecutionError)
    with pytest.raises(ValueError):
        ray.get(workflow.get_output_async("g4"))
    with pytest.raises(ValueError):
        workflow.get_output("g4", task_id="bad")
    assert workflow.get_output("g4", task_id="inner") == 5
    assert executions(log) == {"inner": 1, "bad": 1}


@ray.remote
def boom_noted(log: str, *after: Any) -> None:
    with open(log, "a") as file:
        file.write("bad\n")
    raise KeyError("why")


@item("G4")
def test_G4_text_of_a_task(world: World) -> None:
    failed(named(boom, "bad").bind(), "g4t")
    with pytest.raises(ValueError, match=re.escape("Cannot load output from task id 'bad' in workflow 'g4t'")):
        workflow.get_output("g4t", task_id="bad")


@item("G5", 'unknown workflow: ValueError "No such workflow \'X\'"; canceled: ValueError "Workflow X is canceled"')
def test_G5_canceled(world: World) -> None:
    workflow.run_async(hold.bind(str(world.folder), "g5"), workflow_id="g5")
    workflow.cancel("g5")
    with pytest.raises(ValueError, match=re.escape("Workflow g5 is canceled")):
        workflow.get_output("g5")


@item("G5")
def test_G5_unknown(world: World) -> None:
    with pytest.raises(ValueError):
        ray.get(workflow.get_output_async("nobody"))
    with pytest.raises(ValueError, match=re.escape("No such workflow 'nobody'")):
        workflow.get_output("nobody")


@item("G6", "references that wait get WorkflowExecutionError or WorkflowCancellationError at the end")
def test_G6_waiting_references(world: World) -> None:
    folder = str(world.folder)
    workflow.run_async(boom.bind(hold.bind(folder, "g6", "late")), workflow_id="g6")
    waiting = workflow.get_output_async("g6")
    go_on(world, "g6")
    with pytest.raises(workflow.WorkflowExecutionError):
        ray.get(waiting)
    workflow.run_async(hold.bind(folder, "g6c"), workflow_id="g6c")
    waiting = [workflow.get_output_async("g6c"), workflow.get_output_async("g6c", task_id="unborn")]
    workflow.cancel("g6c")
    for one in waiting:
        with pytest.raises(workflow.WorkflowCancellationError):
            ray.get(one)
