"""Section 2: workflow ids."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
import ray

from tests.catalogue.items import item
from tests.catalogue.tasks import failed, fragile, go_on, hold, named, noted, one, started
from tests.engine.world import World, executions
from wfstore import workflow

pytestmark = pytest.mark.ray


@item("I1", "the default id is a uuid4, a dot, and the time with nine decimals")
def test_I1_default_id(world: World) -> None:
    before = dict(workflow.list_all())
    now = time.time()
    workflow.run(one.bind())
    (name,) = set(dict(workflow.list_all())) - set(before)
    found = re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.(\d+\.\d{9})", name)
    assert found, name
    assert abs(float(found[1]) - now) < 30


@item("I2", "an id that runs or waits: RuntimeError from run, run_async and resume_async themselves")
def test_I2_running_id(world: World) -> None:
    ref = workflow.run_async(hold.bind(str(world.folder), "i2", 1), workflow_id="i2")
    started(world, "i2")
    calls: list[Any] = [
        lambda: workflow.run(one.bind(), workflow_id="i2"),
        lambda: workflow.run_async(one.bind(), workflow_id="i2"),
        lambda: workflow.resume_async("i2"),
        lambda: workflow.resume("i2"),
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match=re.escape("Workflow 'i2' is already running or pending.")):
            call()
    go_on(world, "i2")
    assert ray.get(ref) == 1


@item("I3", "an id that ended: a SUCCESSFUL one answers from the store, a FAILED one resumes its own DAG, not the new")
def test_I3_successful(world: World) -> None:
    log = world.file("i3")
    for name in ("first", "second"):
        assert workflow.run(noted.bind(str(log), name, name), workflow_id="i3") == "first"
    assert ray.get(workflow.run_async(noted.bind(str(log), "third"), workflow_id="i3")) == "first"
    assert executions(log) == {"first": 1}


@item("I3")
def test_I3_failed(world: World) -> None:
    log, flag = world.file("i3f"), world.file("i3f-ok")
    failed(fragile.bind(str(log), "own", str(flag), "own"), "i3f")
    flag.touch()
    assert workflow.run(noted.bind(str(log), "new", "new"), workflow_id="i3f") == "own"
    assert executions(log) == {"own": 2}


@item(
    "I4",
    "running an existing id again with metadata replaces its user metadata",
    ours="without metadata it keeps what it has, where the old library emptied it; nor does the ignored DAG use "
    "up names",
)
def test_I4_metadata_is_replaced(world: World) -> None:
    workflow.run(one.bind(), workflow_id="i4", metadata={"a": 1})
    workflow.run(one.bind(), workflow_id="i4", metadata={"b": 2})
    assert workflow.get_metadata("i4")["user_metadata"] == {"b": 2}
    workflow.run(one.bind(), workflow_id="i4")
    assert workflow.get_metadata("i4")["user_metadata"] == {"b": 2}
    assert len(world.task_statuses("i4")) == 1


@item("I5", "ids with / list like any other", ours="before, they vanished from list_all")
@pytest.mark.parametrize("name", ["a/b", "/a", "a//b/", "../x", "ä ö"])
def test_I5_slashes(world: World, name: str) -> None:
    workflow.run(named(one, "t").bind(), workflow_id=name)
    assert (name, "SUCCESSFUL") in workflow.list_all()
    assert workflow.get_status(name) == "SUCCESSFUL"
    assert workflow.get_output(name, task_id="t") == 1
    workflow.delete(name)
    assert name not in dict(workflow.list_all())


@item("I6", 'an id that is no string: TypeError "workflow_id has to be a string type."')
def test_I6_no_string(world: World) -> None:
    calls: list[Any] = [
        lambda: workflow.get_status(5),  # type: ignore[arg-type]
        lambda: workflow.cancel(5),  # type: ignore[arg-type]
        lambda: workflow.run(one.bind(), workflow_id=5),  # type: ignore[arg-type]
        lambda: workflow.delete(5),  # type: ignore[arg-type]
        lambda: workflow.resume(5),  # type: ignore[arg-type]
        lambda: workflow.get_output(5, task_id="x"),  # type: ignore[arg-type]
    ]
    for call in calls:
        with pytest.raises(TypeError, match=re.escape("workflow_id has to be a string type.")):
            call()
