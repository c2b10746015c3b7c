"""Section 10: statuses. S2 and S6 after a kill of the cluster are in test_14_recovery too."""

from __future__ import annotations

import os
import re
import signal
from typing import Any

import pytest
import ray

from tests.catalogue.items import item
from tests.catalogue.tasks import boom, failed, go_on, hold, identity, one, started
from tests.engine.conftest import MakeWorld
from tests.engine.world import World, eventually, names
from wfstore import workflow
from wfstore.workflow import WorkflowStatus

pytestmark = pytest.mark.ray


@item("S1", "submitted: RUNNING, or PENDING when the slots are full, first in first out; then one of the three ends")
def test_S1_transitions(make_world: MakeWorld) -> None:
    world = make_world(max_running_workflows=1, max_pending_workflows=3)
    folder = str(world.folder)
    refs = [workflow.run_async(hold.bind(folder, name, name), workflow_id=name) for name in ("a", "b", "c")]

    def statuses() -> list[str]:
        return [str(workflow.get_status(name)) for name in ("a", "b", "c")]

    assert statuses() == ["RUNNING", "PENDING", "PENDING"]
    go_on(world, "a")
    ray.get(refs[0])
    assert statuses() == ["SUCCESSFUL", "RUNNING", "PENDING"]
    workflow.cancel("b")
    assert statuses() == ["SUCCESSFUL", "CANCELED", "RUNNING"]
    go_on(world, "c")
    ray.get(refs[2])
    failed(boom.bind(), "d")
    assert workflow.get_status("d") == "FAILED"
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.resume("d")
    events = [event.type for event in world.events(workflow_id="d") if event.type.startswith("workflow.")]
    assert events.count("workflow.started") == 2


@item("S1")
def test_S1_members_and_strings(world: World) -> None:
    every = ("NONE", "RUNNING", "PENDING", "SUCCESSFUL", "FAILED", "RESUMABLE", "CANCELED")
    assert {status.value for status in WorkflowStatus} == set(every)
    for name in every:
        assert getattr(workflow, name) is WorkflowStatus(name)
        assert getattr(workflow, name) == name
    workflow.run(one.bind(), workflow_id="s1")
    assert isinstance(workflow.get_status("s1"), WorkflowStatus)


@item("S3", 'get_status of an unknown id: WorkflowNotFoundError "Workflow[id=X] was referenced but doesn\'t exist."')
def test_S3_unknown(world: World) -> None:
    with pytest.raises(
        workflow.exceptions.WorkflowNotFoundError,
        match=re.escape("Workflow[id=nobody] was referenced but doesn't exist."),
    ):
        workflow.get_status("nobody")


@item("S4", "list_all takes None, a string, a status or a set of either; wrong filters have the old types and texts")
def test_S4_filters(world: World) -> None:
    workflow.run(one.bind(), workflow_id="s4")
    found = workflow.list_all()
    assert ("s4", WorkflowStatus.SUCCESSFUL) in found
    for wanted in ("SUCCESSFUL", workflow.SUCCESSFUL, {"SUCCESSFUL"}, {workflow.SUCCESSFUL, "PENDING"}):
        assert ("s4", "SUCCESSFUL") in workflow.list_all(wanted)
    assert "s4" not in names(workflow.list_all({"FAILED", workflow.RUNNING}))
    bad: Any
    for bad in (5, 1.5):
        with pytest.raises(
            TypeError, match=re.escape("status_filter must be WorkflowStatus or a set of WorkflowStatus.")
        ):
            workflow.list_all(bad)
    bad = {"FAILED", 5}
    with pytest.raises(TypeError, match="contains element which is not a type of `WorkflowStatus or str`"):
        workflow.list_all(bad)
    for text in ("XX", {"XX"}):
        with pytest.raises(ValueError, match=re.escape("'XX' is not a valid WorkflowStatus")):
            workflow.list_all(text)


@item("S5", "the order is the same at every call: a list of one status is that part of a list of several")
def test_S5_stable_order(world: World) -> None:
    for n in range(8):
        if n % 2:
            failed(boom.bind(), f"s5-{n}")
        else:
            workflow.run(one.bind(), workflow_id=f"s5-{n}")
    every = workflow.list_all({"FAILED", "SUCCESSFUL", "RUNNING"})
    assert workflow.list_all("FAILED") == [pair for pair in every if pair[1] == "FAILED"]
    assert [name for name in names(every) if name.startswith("s5-")] == [f"s5-{n}" for n in range(8)]


@item("S7", "an empty store lists nothing; a failed resume or run of an unknown id leaves nothing")
def test_S7_no_side_effects(own_world: World) -> None:
    assert workflow.list_all() == []
    with pytest.raises(workflow.WorkflowNotResumableError):
        workflow.resume("nobody")
    with pytest.raises(workflow.WorkflowNotFoundError):
        workflow.cancel("nobody")
    with pytest.raises(TypeError):
        workflow.run(one, workflow_id="nobody")
    with pytest.raises(ValueError):
        workflow.get_output("nobody")
    assert workflow.list_all() == []


@item(
    "S8",
    "a crash of the manager between two of its writes leaves one truth: list_all, get_status and get_metadata agree",
    internal="the old store kept a status twice; here there is one log, and World.check compares every view of it",
)
@pytest.mark.fault
def test_S8_crash_between_writes(own_world: World) -> None:
    refs = {}
    for moment in range(3):
        for n in range(5):
            name = f"s8-{moment}-{n}"
            refs[name] = workflow.run_async(identity.bind(n), workflow_id=name)
        os.kill(own_world.describe()["pid"], signal.SIGKILL)
    assert ray.get(list(refs.values()), timeout=60) == [0, 1, 2, 3, 4] * 3
    for name, status in workflow.list_all():
        assert status == workflow.get_status(name) == workflow.get_metadata(name)["status"] == "SUCCESSFUL"
    own_world.check()


@item("S1")
def test_S1_a_resume_makes_a_terminal_one_run(world: World) -> None:
    @ray.remote
    def waits_or_fails(folder: str) -> int:
        if not os.path.exists(os.path.join(folder, "s1r-ok")):
            raise ValueError("not yet")
        return 1

    dag = identity.bind([waits_or_fails.bind(str(world.folder)), hold.bind(str(world.folder), "s1r", 1)])
    ref = workflow.run_async(dag, workflow_id="s1r")
    with pytest.raises(workflow.WorkflowExecutionError):
        ray.get(ref)
    (world.folder / "s1r-ok").touch()
    started(world, "s1r")
    again = workflow.resume_async("s1r")
    assert workflow.get_status("s1r") == "RUNNING"
    go_on(world, "s1r")
    ray.get(again, timeout=30)
    eventually(lambda: workflow.get_status("s1r") == "SUCCESSFUL", "it ends")
