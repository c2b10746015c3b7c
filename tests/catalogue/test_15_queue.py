"""Section 15: queueing and init. Q5 is in test_14_recovery."""

from __future__ import annotations

import queue
import re
import time
from typing import Any

import pytest
import ray
from ray.exceptions import GetTimeoutError

from tests.catalogue.items import item
from tests.catalogue.tasks import go_on, hold, identity, started
from tests.engine.conftest import MakeWorld
from tests.engine.world import World
from wfstore import workflow

pytestmark = pytest.mark.ray


@item(
    "Q1",
    "init's limits are keywords, whole numbers, and at least 1 running and 0 pending; other things are TypeError or "
    "ValueError",
    ours="0 pending means none may wait, where the old one let any number; a bool is refused; storage may be "
    "positional",
)
def test_Q1_wrong_limits(world: World) -> None:
    init: Any = workflow.init
    with pytest.raises(TypeError):
        init(1, 2)
    for name in ("max_running_workflows", "max_pending_workflows"):
        for value in (1.7, "3", True):
            with pytest.raises(TypeError, match=re.escape(f"'{name}' must be None or an integer.")):
                init(**{name: value})
        with pytest.raises(ValueError):
            init(**{name: -2})
    with pytest.raises(ValueError):
        init(max_running_workflows=0)


@item("Q2", "init again with the same limits or None is fine, with others a ValueError")
def test_Q2_again(make_world: MakeWorld) -> None:
    world = make_world(max_running_workflows=2, max_pending_workflows=3)
    workflow.init(max_running_workflows=2, max_pending_workflows=3)
    workflow.init()
    workflow.init(max_running_workflows=None, max_pending_workflows=3)
    for running, pending in ((1, 3), (2, 4), (5, None)):
        with pytest.raises(ValueError):
            workflow.init(max_running_workflows=running, max_pending_workflows=pending)
    assert world.describe()["max_running_workflows"] == 2


@item("Q3", 'as many run as may, as many wait as may, the next one is queue.Full("Workflow queue has been full")')
def test_Q3_full(make_world: MakeWorld) -> None:
    world = make_world(max_running_workflows=2, max_pending_workflows=2)
    folder = str(world.folder)
    refs = [workflow.run_async(hold.bind(folder, name, name), workflow_id=name) for name in "abcd"]
    assert [str(workflow.get_status(name)) for name in "abcd"] == ["RUNNING"] * 2 + ["PENDING"] * 2
    for call in (workflow.run, workflow.run_async):
        with pytest.raises(queue.Full, match="Workflow queue has been full"):
            call(identity.bind(5), workflow_id="e")
    with pytest.raises(workflow.WorkflowNotFoundError):
        workflow.get_status("e")
    go_on(world, *"abcd")
    assert ray.get(refs) == list("abcd")
    assert workflow.run(identity.bind(5), workflow_id="e") == 5, "the refused id is free"


@item("Q4", "what waits does not start; its reference times out; first in, first out")
def test_Q4_pending_does_not_start(make_world: MakeWorld) -> None:
    world = make_world(max_running_workflows=1, max_pending_workflows=3)
    folder = str(world.folder)
    refs = {name: workflow.run_async(hold.bind(folder, name, name), workflow_id=name) for name in "abc"}
    started(world, "a")
    with pytest.raises(GetTimeoutError):
        ray.get(refs["b"], timeout=0.5)
    assert not (world.folder / "b-on").exists()
    for name, after in (("a", "b"), ("b", "c")):
        go_on(world, name)
        assert ray.get(refs[name]) == name
        started(world, after)
        assert not (world.folder / "c-on").exists() or after == "c"
    go_on(world, "c")
    assert ray.get(refs["c"]) == "c"


@item("Q4")
def test_Q4_many_in_order(make_world: MakeWorld) -> None:
    make_world(max_running_workflows=1, max_pending_workflows=20)

    @ray.remote
    def now() -> float:
        return time.monotonic()

    refs = [workflow.run_async(now.bind()) for _ in range(15)]
    times = ray.get(refs, timeout=60)
    assert times == sorted(times)
