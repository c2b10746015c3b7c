"""Section 9: checkpoint=False. K4 after a kill of the cluster is in test_14_recovery."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import ray
from ray.exceptions import GetTimeoutError

from tests.catalogue.items import item
from tests.catalogue.tasks import add, failed, fragile, go_on, hold, named, noted, started
from tests.engine.world import World, executions
from wfstore import workflow

pytestmark = pytest.mark.ray


def kept(world: World, workflow_id: str) -> dict[str, bool]:
    """Which tasks' outputs lie in the store."""
    found = world.events("attempt.succeeded", workflow_id)
    return {event.task_id or "": event.payload is not None or event.uri is not None for event in found}


def task(log: str, name: str, checkpoint: bool | None, value: Any, *after: Any) -> Any:
    return named(noted, name, checkpoint=checkpoint).bind(log, name, value, *after)


@item("K1", "checkpoint=False keeps no output; the default is the creating task's, True at the top")
def test_K1_false_and_default(world: World) -> None:
    log = str(world.file("k1"))
    workflow.run(task(log, "not", False, 1, task(log, "kept", None, 2)), workflow_id="k1")
    assert kept(world, "k1") == {"kept": True, "not": False}
    assert workflow.get_metadata("k1", "not")["task_options"]["checkpoint"] is False
    assert workflow.get_metadata("k1", "kept")["task_options"]["checkpoint"] is True


@ray.remote
def outer(log: str, inside: tuple[bool | None, ...]) -> Any:
    children = [task(log, f"child{n}", checkpoint, n) for n, checkpoint in enumerate(inside)]
    return workflow.continuation(named(add, "sum").bind(*children))


@item(
    "K2",
    "what is created by a task that is not kept is not kept either, whatever it says",
    internal="asserted on files of the old store; here on the events",
)
def test_K2_all_skipped(world: World) -> None:
    log = str(world.file("k2"))
    assert workflow.run(named(outer, "outer", checkpoint=False).bind(log, (None, True, None)), workflow_id="k2") == 3
    assert set(kept(world, "k2").values()) == {False}


@item(
    "K3",
    "under a task that is kept each child chooses for itself, and one that says nothing is kept",
    internal="asserted on files of the old store; here on the events",
)
def test_K3_partly_skipped(world: World) -> None:
    log = str(world.file("k3"))
    assert workflow.run(named(outer, "outer", checkpoint=True).bind(log, (False, None)), workflow_id="k3") == 1
    assert {name: kept(world, "k3")[name] for name in ("child0", "child1", "sum")} == {
        "child0": False,
        "child1": True,
        "sum": True,
    }


@item("K4", "a resume computes again what was not kept and gives the same; also after kill -9 of the cluster")
@pytest.mark.parametrize("mode", [(False, False), (False, True), (True, True)], ids=["skip", "partial", "whole"])
def test_K4_resume_after_failure(world: World, mode: tuple[bool, bool]) -> None:
    name = f"k4-{mode[0]}-{mode[1]}"
    log, flag = world.file(name), world.file(name + "-ok")
    first = task(str(log), "first", mode[0], 1)
    second = task(str(log), "second", mode[1], 2, first)
    late = fragile.bind(str(log), "late", str(flag), second)
    failed(add.bind(first, second, late), name)
    flag.touch()
    assert workflow.resume(name) == 5
    ran = executions(log)
    assert ran["late"] == 2
    assert ran["first"] == (1 if mode[0] else 2)
    assert ran["second"] == (1 if mode[1] else 2)


@item("K4")
def test_K4_resume_after_success(world: World) -> None:
    log = world.file("k4s")
    dag = task(str(log), "root", False, 5, task(str(log), "leaf", True, 1))
    assert workflow.run(dag, workflow_id="k4s") == 5
    assert workflow.resume("k4s") == 5
    assert executions(log) == {"leaf": 1, "root": 2}


@item("K5", "caught errors are kept even with checkpoint=False")
def test_K5_errors_are_kept(world: World) -> None:
    log, never = world.file("k5"), world.file("k5-never")
    options = workflow.options(checkpoint=False, catch_exceptions=True)
    for _ in range(2):
        value, error = workflow.run(fragile.options(**options).bind(str(log), "x", str(never)), workflow_id="k5")
        assert value is None and isinstance(error, ValueError)
    assert executions(log) == {"x": 1}


@item("K6", "an output that was neither kept nor is in memory: ValueError, also while the workflow runs")
def test_K6_nowhere(world: World) -> None:
    log = str(world.file("k6"))
    held = hold.bind(str(world.folder), "k6", 1, task(log, "lost", False, 5))
    ref = workflow.run_async(held, workflow_id="k6")
    started(world, "k6")
    early = workflow.get_output_async("k6", task_id="lost")
    try:
        assert ray.get(early, timeout=5) == 5, "still in memory"
    except GetTimeoutError:
        pytest.fail("get_output of a task that is done waits for the end of the workflow")
    except ValueError:
        pass
    finally:
        threading.Timer(0, go_on, (world, "k6")).run()
    ray.get(ref)
    with pytest.raises(ValueError, match="lost"):
        workflow.get_output("k6", task_id="lost")
