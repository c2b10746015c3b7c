"""Retention through a running manager, and what a manager says about values that retention has removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ray

import wfstore
from tests.engine.conftest import MakeWorld
from tests.engine.world import World, eventually
from wfstore import errors, workflow

pytestmark = pytest.mark.ray
LARGE = 100_000


@workflow.task
def large(value: Any) -> str:
    return str(value) * LARGE


@workflow.task
def small(value: Any, more: str = "") -> str:
    return f"{len(str(value))}{more}"


@workflow.task
def wait_for(path: str, value: Any) -> str:
    Path(f"{path}-waits").touch()
    eventually(Path(path).exists, path, 60)
    return str(value)[:1]


@workflow.task
def fails_without(path: str, value: Any, more: str) -> str:
    if not Path(path).exists():
        raise ValueError("not yet")
    return f"{str(value)[0]}{more}"


def leave(world: World) -> None:
    """The manager stops; `use` begins the next one."""
    handle = world.handle
    ray.get(handle.stop.remote())
    ray.kill(handle)
    world.namespace += "-next"


def test_what_runs_stays_and_what_ended_goes_at_once(own_world: World) -> None:
    world = own_world
    go = world.file("go")
    for number in range(20):
        workflow.run_async(small.bind(number), workflow_id=f"old-{number}")
    assert workflow.run(small.bind(large.bind("a")), workflow_id="kept-a-while") == str(LARGE)
    eventually(lambda: len(workflow.list_all({"SUCCESSFUL"})) == 21, "all have ended")
    running = workflow.run_async(wait_for.bind(str(go), large.bind("b")), workflow_id="runs")
    eventually(Path(f"{go}-waits").exists, "it runs")
    with pytest.raises(errors.WorkflowExecutionError):
        workflow.run(fails_without.bind(str(go) + "never", large.bind("c"), "d"), workflow_id="bad")
    store = wfstore.open(world.storage)
    dry = store.retain(keep="0s", dry_run=True)
    told: list[tuple[str, int, int]] = []
    said = store.retain(keep="0s", progress=lambda *step: told.append(step))
    assert said.workflows == dry.workflows == {"SUCCESSFUL": 21, "FAILED": 1}
    assert ("deleting", 22, 22) in told
    assert workflow.list_all() == [("runs", "RUNNING")]
    with pytest.raises(errors.WorkflowNotFoundError):
        workflow.get_status("old-0")
    assert workflow.run(small.bind("anew"), workflow_id="old-0") == "4"
    deleted = world.events("workflow.deleted")
    assert {event.by for event in deleted} == {"retain"} and len(deleted) == 22
    assert [event.run for event in world.events("workflow.started", "old-0")] == [1, 2]
    go.touch()
    assert ray.get(running, timeout=60) == "b"


def test_one_that_went_on_since_it_was_chosen_stays(own_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from wfstore._retention import Retention

    world, go = own_world, own_world.file("go")
    with pytest.raises(errors.WorkflowExecutionError):
        workflow.run(fails_without.bind(str(go), "c", "d"), workflow_id="w")
    assert workflow.run(small.bind(1), workflow_id="v") == "1"
    choose = Retention._over

    def and_resume(self: Retention) -> Any:
        chosen = choose(self)
        go.touch()
        assert workflow.resume("w") == "cd"
        return chosen

    monkeypatch.setattr(Retention, "_over", and_resume)
    assert wfstore.open(world.storage).retain(keep="0s").workflows == {"SUCCESSFUL": 1}
    assert workflow.list_all() == [("w", "SUCCESSFUL")]


def test_what_needs_values_that_are_gone_says_so(make_world: MakeWorld) -> None:
    world = make_world()
    go = world.file("go")
    assert workflow.run(small.bind(large.bind("a"), "b"), workflow_id="done") == f"{LARGE}b"
    with pytest.raises(errors.WorkflowExecutionError):
        workflow.run(fails_without.bind(str(go), large.bind("c"), "d"), workflow_id="bad")
    leave(world)
    store = wfstore.open(world.storage)
    assert store.retain(payloads="0s").payload_workflows == 2
    go.touch()
    world.use()
    assert dict(workflow.list_all()) == {"done": "SUCCESSFUL", "bad": "FAILED"}
    for task in (None, store.tasks("done")["task_id"][0]):
        with pytest.raises(errors.PayloadMissingError, match="retention"):
            store.output("done", task)
    for ask in (
        lambda: workflow.get_output("done"),
        lambda: workflow.resume("done"),
        lambda: workflow.run(small.bind(0), workflow_id="done"),
    ):
        with pytest.raises(errors.NotCheckpointedError, match="no longer kept: retention"):
            ask()
    assert workflow.get_status("done") == "SUCCESSFUL", "it does not run again"
    with pytest.raises(errors.PayloadMissingError, match="retention"):
        workflow.rerun("done")
    with pytest.raises(errors.WorkflowExecutionError) as failed:
        workflow.resume("bad")
    assert isinstance(failed.value.__cause__, errors.PayloadMissingError)
    assert "retention" in str(failed.value.__cause__)
    assert len(workflow.list_all()) == 2
    assert [kind for _, kind, _ in world.errors("bad")] == ["app", "serialization"], "tried once"
