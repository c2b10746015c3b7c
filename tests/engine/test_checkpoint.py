"""checkpoint=False (catalogue section 9): what is kept, and what a resume computes again."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import ray

from tests.engine.world import World, executions
from wfstore import workflow

pytestmark = pytest.mark.ray

SKIP = workflow.options(checkpoint=False)


@ray.remote
def noted(log: str, name: str, value: Any = None, fails_without: str | None = None) -> Any:
    with open(log, "a") as file:
        file.write(name + "\n")
    if fails_without is not None and not os.path.exists(fails_without):
        raise ValueError("not yet")
    return value


@ray.remote
def join(log: str, name: str, *values: Any, fails_without: str | None = None) -> Any:
    with open(log, "a") as file:
        file.write(name + "\n")
    if fails_without is not None and not os.path.exists(fails_without):
        raise ValueError("not yet")
    return sum(np.sum(value) for value in values)


def named(function: Any, name: str, checkpoint: bool | None = None) -> Any:
    return function.options(**workflow.options(name=name, checkpoint=checkpoint))


def stored(world: World, workflow_id: str) -> dict[str, bool]:
    """Which tasks' outputs lie in the store."""
    found = world.events("attempt.succeeded", workflow_id)
    return {event.task_id or "": event.payload is not None or event.uri is not None for event in found}


def test_k1_false_keeps_no_output_and_the_default_does(world: World) -> None:
    log = str(world.file("k1"))
    dag = named(join, "sum", False).bind(log, "sum", named(noted, "kept").bind(log, "kept", 5))
    assert workflow.run(dag, workflow_id="k1") == 5
    assert stored(world, "k1") == {"kept": True, "sum": False}
    assert workflow.get_output("k1") == 5, "while the manager lives it has the value"
    assert workflow.get_metadata("k1", "sum")["task_options"]["checkpoint"] is False


def test_k1_large_ones_are_not_written_either(world: World) -> None:
    log, size = str(world.file("k1l")), 1_000_000
    files = world.folder / "store" / "payloads"

    def weight() -> int:
        return sum(path.stat().st_size for path in files.rglob("*") if path.is_file())

    before = weight()
    dag = named(join, "sum").bind(log, "sum", named(noted, "big", False).bind(log, "big", None), 1)

    @ray.remote
    def big() -> Any:
        return np.ones(size)

    dag = named(join, "sum").bind(log, "sum", big.options(**workflow.options(name="big", checkpoint=False)).bind())
    assert workflow.run(dag, workflow_id="k1l") == size
    assert stored(world, "k1l") == {"big": False, "sum": True}
    assert weight() - before < 100_000


def test_k2_children_of_one_that_is_not_kept_are_not_kept(world: World) -> None:
    log = str(world.file("k2"))

    @ray.remote
    def outer(log: str) -> Any:
        children = [named(noted, f"child{n}", n == 1 or None).bind(log, f"child{n}", n) for n in range(3)]
        return workflow.continuation(named(join, "sum").bind(log, "sum", *children))

    assert workflow.run(named(outer, "outer", False).bind(log), workflow_id="k2") == 3
    assert set(stored(world, "k2").values()) == {False}


def test_k3_children_choose_for_themselves_under_one_that_is_kept(world: World) -> None:
    log = str(world.file("k3"))

    @ray.remote
    def outer(log: str) -> Any:
        a = named(noted, "a", False).bind(log, "a", 1)
        b = named(noted, "b").bind(log, "b", 2)
        return workflow.continuation(named(join, "sum").bind(log, "sum", a, b))

    assert workflow.run(named(outer, "outer", True).bind(log), workflow_id="k3") == 3
    kept = stored(world, "k3")
    assert (kept["a"], kept["b"], kept["sum"]) == (False, True, True)


@pytest.mark.parametrize("mode", ["skip", "partial", "whole"])
def test_k4_a_failed_one_resumes_in_every_mode(world: World, mode: str) -> None:
    log, flag = world.file(f"k4-{mode}"), world.file(f"k4-{mode}-ok")
    kept = {"skip": (False, False), "partial": (False, True), "whole": (True, True)}[mode]
    first = named(noted, "first", kept[0]).bind(str(log), "first", np.ones(10))
    second = named(join, "second", kept[1]).bind(str(log), "second", first)
    last = named(join, "last").bind(str(log), "last", second, first, fails_without=str(flag))
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(last, workflow_id=f"k4-{mode}")
    flag.touch()
    assert workflow.resume(f"k4-{mode}") == 20
    ran = executions(log)
    assert ran["last"] == 2
    assert ran["first"] == (1 if kept[0] else 2)
    assert ran["second"] == (1 if kept[1] else 2)


def test_k4_a_resume_after_success_computes_what_was_not_kept(world: World) -> None:
    log = world.file("k4s")
    dag = named(join, "sum", False).bind(str(log), "sum", named(noted, "kept").bind(str(log), "kept", 5))
    assert workflow.run(dag, workflow_id="k4s") == 5
    assert workflow.resume("k4s") == 5
    assert executions(log) == {"kept": 1, "sum": 2}


def test_k5_caught_errors_are_kept_anyway(world: World) -> None:
    log, never = world.file("k5"), world.file("k5-never")
    options = workflow.options(name="t", checkpoint=False, catch_exceptions=True)
    dag = noted.options(**options).bind(str(log), "t", 1, str(never))
    assert isinstance(workflow.run(dag, workflow_id="k5")[1], ValueError)
    assert isinstance(workflow.resume("k5")[1], ValueError)
    assert executions(log) == {"t": 1}


def test_k6_an_output_that_is_nowhere(world: World) -> None:
    log = str(world.file("k6"))
    dag = named(join, "sum").bind(log, "sum", named(noted, "lost", False).bind(log, "lost", 5))
    assert workflow.run(dag, workflow_id="k6") == 5
    with pytest.raises(ValueError, match="not kept"):
        workflow.get_output("k6", task_id="lost")
