"""Section 5: continuations. C7's WorkflowRef is in this section too."""

from __future__ import annotations

import os
import re
import time
from typing import Any

import pytest
import ray

from tests.catalogue.items import item
from tests.catalogue.tasks import add, factorial, failed, identity, named, one
from tests.engine.world import World
from wfstore import workflow

pytestmark = pytest.mark.ray


@ray.remote
def count_down(n: int) -> Any:
    return "end" if n == 0 else workflow.continuation(count_down.bind(n - 1))


@item("C1", "workflow.continuation(dag) in a task is a tail call; a bare node returned is the same thing")
def test_C1_tail_call(world: World) -> None:
    @ray.remote
    def returns_node(n: int) -> Any:
        return add.bind(n, identity.bind(n))

    assert workflow.run(factorial.bind(5)) == 120
    assert workflow.run(returns_node.bind(3)) == 6
    assert workflow.run(add.bind(returns_node.bind(3), returns_node.bind(4))) == 14


@item("C2", "outside a workflow continuation runs the DAG on plain Ray and gives the value; no DAG is a TypeError")
def test_C2_outside(world: World) -> None:
    before = workflow.list_all()
    assert workflow.continuation(add.bind(1, identity.bind(2))) == 3
    assert workflow.list_all() == before
    with pytest.raises(TypeError, match=re.escape("Input should be a DAG.")):
        workflow.continuation("no DAG")


@item("C2")
def test_C2_a_plain_task_of_a_workflow_task_is_outside(world: World) -> None:
    @ray.remote
    def plain() -> Any:
        return workflow.continuation(one.bind())

    @ray.remote
    def starts_plain() -> Any:
        return ray.get(plain.options(num_cpus=0).remote())

    assert workflow.run(starts_plain.bind(), workflow_id="c2") == 1
    assert len(world.task_statuses("c2")) == 1


@item("C3", "get_output of every task of a chain of continuations gives the final value")
def test_C3_outputs_of_the_chain(world: World) -> None:
    assert workflow.run(factorial.bind(5), workflow_id="c3") == 120
    assert {workflow.get_output("c3", task_id=name) for name in world.task_statuses("c3")} == {120}


@item(
    "C4",
    "a tail recursion 100 deep (and 1,000: see the benchmarks) works, and the root's output is the last task's",
    internal="the link from the root to the last task was a file of the old store; here one fold follows the chain",
)
def test_C4_depth(world: World) -> None:
    assert workflow.run(named(count_down, "top").bind(100), workflow_id="c4") == "end"
    assert workflow.get_output("c4", task_id="top") == "end"
    assert len(world.task_statuses("c4")) == 101


@item(
    "C5",
    "a failure in the middle of a chain: the newest continuation is the one that failed, and a resume goes on there",
    internal="asserted on the old store's output link; here failed_task_id names it",
)
def test_C5_failure_mid_chain(world: World) -> None:
    flag = world.file("c5")

    @ray.remote
    def level(n: int, flag: str) -> Any:
        if n == 2 and not os.path.exists(flag):
            raise ValueError("level 2")
        return n if n == 0 else workflow.continuation(named(level, f"level{n - 1}").bind(n - 1, flag))

    failed(named(level, "level4").bind(4, str(flag)), "c5")
    assert world.state().workflows["c5"].failed_task_id == "level2"
    assert world.task_statuses("c5")["level4"] == world.task_statuses("c5")["level3"]
    flag.touch()
    assert workflow.resume("c5") == 0
    assert len(world.events("attempt.submitted", "c5")) == 6


@item("C6", "a task's end_time is when its function returned: outer.end_time <= inner.start_time")
def test_C6_times_of_outer_and_inner(world: World) -> None:
    @ray.remote
    def inner() -> int:
        time.sleep(0.3)
        return 1

    @ray.remote
    def outer() -> Any:
        time.sleep(0.2)
        return workflow.continuation(named(inner, "inner").bind())

    workflow.run(named(outer, "outer").bind(), workflow_id="c6")
    first, second = (workflow.get_metadata("c6", name)["stats"] for name in ("outer", "inner"))
    assert first["end_time"] >= first["start_time"] + 0.2
    assert second["start_time"] >= first["end_time"]
    assert second["end_time"] >= second["start_time"] + 0.3


@item("C7", "WorkflowRef(task_id) is an argument that stands for the output of that task of the same workflow")
def test_C7_workflow_ref(world: World) -> None:
    from wfstore.workflow.common import WorkflowRef

    @ray.remote
    def goes_on(before: int) -> Any:
        return workflow.continuation(add.bind(WorkflowRef("first"), before))

    assert workflow.run(goes_on.bind(named(add, "first").bind(3, 4)), workflow_id="c7") == 14
    assert workflow.run(add.bind(WorkflowRef("first"), 1), workflow_id="c7") == 14, "the stored result"
