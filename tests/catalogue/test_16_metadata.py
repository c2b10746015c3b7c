"""Section 16: metadata. M7 is in test_14_recovery."""

from __future__ import annotations

import queue
import re
import time
from typing import Any

import pytest
import ray

from tests.catalogue.items import item
from tests.catalogue.tasks import boom, failed, go_on, hold, identity, named, one, started
from tests.engine.conftest import MakeWorld
from tests.engine.world import World, eventually
from wfstore import workflow

pytestmark = pytest.mark.ray

OPTIONS = {"task_type", "max_retries", "catch_exceptions", "retry_exceptions", "checkpoint", "ray_options"}


@item(
    "M1",
    "of a workflow: status, user_metadata, stats; of a task: task_id, task_options, user_metadata, "
    "workflow_refs, stats",
)
def test_M1_keys(world: World) -> None:
    dag = identity.options(
        num_cpus=0.5, max_retries=2, retry_exceptions=True, **workflow.options(task_id="end", metadata={"t": 1})
    ).bind(named(one, "start").bind())
    workflow.run(dag, workflow_id="m1", metadata={"w": 1})
    whole = workflow.get_metadata("m1")
    assert set(whole) >= {"status", "user_metadata", "stats"}
    assert (whole["status"], whole["user_metadata"]) == ("SUCCESSFUL", {"w": 1})
    assert set(whole["stats"]) == {"start_time", "end_time"}
    end = workflow.get_metadata("m1", task_id="end")
    assert set(end) >= {"task_id", "name", "task_options", "user_metadata", "workflow_refs", "stats"}
    assert (end["task_id"], end["user_metadata"], end["workflow_refs"]) == ("end", {"t": 1}, ["start"])
    options = end["task_options"]
    assert set(options) >= OPTIONS
    assert end["step_options"] == options
    assert (options["max_retries"], options["retry_exceptions"], options["catch_exceptions"]) == (2, True, False)
    assert options["ray_options"]["num_cpus"] == 0.5
    start = workflow.get_metadata("m1", "start")
    assert (start["user_metadata"], start["workflow_refs"]) == ({}, [])


@item(
    "M2",
    "by moment: RUNNING has a start_time, SUCCESSFUL and FAILED both times, CANCELED no end_time; a task that has not "
    "started has no times, one that failed or was caught a start_time",
    ours="a PENDING one has its status, and one that the queue refused does not exist",
)
def test_M2_running_and_after(world: World) -> None:
    held = named(hold, "held").bind(str(world.folder), "m2", 1)
    ref = workflow.run_async(named(identity, "after").bind(held), workflow_id="m2")
    started(world, "m2")
    now = workflow.get_metadata("m2")
    assert (now["status"], set(now["stats"])) == ("RUNNING", {"start_time"})
    after = workflow.get_metadata("m2", "after")
    assert (after["stats"], after["workflow_refs"]) == ({}, ["held"])
    eventually(lambda: set(workflow.get_metadata("m2", "held")["stats"]) == {"start_time"}, "it shows its start")
    go_on(world, "m2")
    ray.get(ref)
    for found in (workflow.get_metadata("m2"), workflow.get_metadata("m2", "held")):
        assert set(found["stats"]) == {"start_time", "end_time"}


@item("M2")
def test_M2_failed_and_caught(world: World) -> None:
    failed(named(boom, "bad").bind(), "m2f")
    found = workflow.get_metadata("m2f")
    assert (found["status"], set(found["stats"])) == ("FAILED", {"start_time", "end_time"})
    assert set(workflow.get_metadata("m2f", "bad")["stats"]) == {"start_time"}
    workflow.run(named(boom, "bad", catch_exceptions=True).bind(), workflow_id="m2c")
    assert set(workflow.get_metadata("m2c", "bad")["stats"]) == {"start_time"}


@item("M2")
def test_M2_pending_and_refused(make_world: MakeWorld) -> None:
    world = make_world(max_running_workflows=1, max_pending_workflows=1)
    workflow.run_async(hold.bind(str(world.folder), "m2q"), workflow_id="first")
    workflow.run_async(one.bind(), workflow_id="second", metadata={"k": 1})
    assert workflow.get_metadata("second") == {"status": "PENDING", "user_metadata": {"k": 1}, "stats": {}}
    with pytest.raises(queue.Full):
        workflow.run_async(one.bind(), workflow_id="third")
    with pytest.raises(ValueError):
        workflow.get_metadata("third")


@item("M3", "start_time is when execution starts, not when it was submitted")
def test_M3_start_time(make_world: MakeWorld) -> None:
    world = make_world(max_running_workflows=1, max_pending_workflows=1)
    first = workflow.run_async(hold.bind(str(world.folder), "m3"), workflow_id="first")
    second = workflow.run_async(one.bind(), workflow_id="second")
    time.sleep(0.3)
    before = time.time()
    go_on(world, "m3")
    ray.get([first, second])
    assert workflow.get_metadata("second")["stats"]["start_time"] >= before - 0.01


@item("M4", "end_time >= start_time + what it took, of workflows and tasks")
def test_M4_durations(world: World) -> None:
    @ray.remote
    def sleeps(*after: Any) -> None:
        time.sleep(0.3)

    workflow.run(named(sleeps, "b").bind(named(sleeps, "a").bind()), workflow_id="m4")
    a, b, whole = (workflow.get_metadata("m4", name)["stats"] for name in ("a", "b", None))
    for stats in (a, b):
        assert 0.3 <= stats["end_time"] - stats["start_time"] < 3
    assert b["start_time"] >= a["end_time"]
    assert whole["start_time"] <= a["start_time"] and whole["end_time"] >= b["end_time"]


@item("M5", "unknown workflow, also with a task id, and unknown task: ValueError with the old texts")
def test_M5_unknown(world: World) -> None:
    workflow.run(one.bind(), workflow_id="simple")
    for arguments in (("simple1",), ("simple1", "simple_task")):
        with pytest.raises(ValueError, match=re.escape("No such workflow_id 'simple1'")):
            workflow.get_metadata(*arguments)
    with pytest.raises(ValueError, match=re.escape("No such task_id 'simple_task1' in workflow 'simple'")):
        workflow.get_metadata("simple", "simple_task1")


@item(
    "M6", "metadata must be a dict that JSON can hold: ValueError from options, run and run_async, before anything runs"
)
@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ("x", "metadata must be a dict."),
        ({"x": object()}, "metadata must be JSON serializable, instead, we got 'TypeError"),
    ],
)
def test_M6_validation(world: World, metadata: Any, text: str) -> None:
    for call in (
        lambda: workflow.options(metadata=metadata),
        lambda: workflow.run(one.bind(), workflow_id="m6", metadata=metadata),
        lambda: workflow.run_async(one.bind(), workflow_id="m6", metadata=metadata),
    ):
        with pytest.raises(ValueError, match=re.escape(text)):
            call()
    assert "m6" not in dict(workflow.list_all())


@item("M6")
def test_M6_what_json_takes(world: World) -> None:
    metadata: Any = {"a": [1, 2.5, None, {"b": "ü"}], "flag": True}
    workflow.run(one.bind(), workflow_id="m6ok", metadata=metadata)
    assert workflow.get_metadata("m6ok")["user_metadata"] == metadata
    workflow.run(one.bind(), workflow_id="m6keys", metadata={1: "x"})  # type: ignore[dict-item]
    assert workflow.get_metadata("m6keys")["user_metadata"] in ({1: "x"}, {"1": "x"})
