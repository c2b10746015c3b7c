"""Section 3: task names and the suffix of those that repeat."""

from __future__ import annotations

import os
from typing import Any

import pytest
import ray

from tests.catalogue.items import item
from tests.catalogue.tasks import add, factorial, failed, fragile, identity, named, one
from tests.engine.world import World
from wfstore import workflow

pytestmark = pytest.mark.ray


@item("N1", "the default task id is module.qualname, with <locals> as locals")
def test_N1_default_name(world: World) -> None:
    @ray.remote
    def local(n: int) -> int:
        return n

    workflow.run(local.bind(2), workflow_id="n1")
    assert workflow.get_output("n1", task_id=f"{__name__}.test_N1_default_name.locals.local") == 2
    workflow.run(one.bind(), workflow_id="n1-module")
    assert workflow.get_output("n1-module", task_id="tests.catalogue.tasks.one") == 1


@item("N1")
def test_N1_lambda(world: World) -> None:
    workflow.run(ray.remote(lambda: 3).bind(), workflow_id="n1-lambda")
    (name,) = world.task_statuses("n1-lambda")
    assert name.startswith(f"{__name__}.test_N1_lambda.locals.")
    assert "<" not in name
    assert workflow.get_output("n1-lambda", task_id=name) == 3


@item("N2", "names that repeat get _1, _2, ... in post-order: the innermost has the bare name")
def test_N2_innermost_first(world: World) -> None:
    f = named(add, "f")
    assert workflow.run(f.bind(f.bind(5, 5), 10), workflow_id="n2") == 20
    assert [workflow.get_output("n2", task_id=name) for name in ("f", "f_1")] == [10, 20]
    chain: Any = 0
    for _ in range(20):
        chain = named(add, "simple").bind(chain, 1)
    assert workflow.run(chain, workflow_id="n2-20") == 20
    names = ["simple", *(f"simple_{n}" for n in range(1, 20))]
    assert [workflow.get_output("n2-20", task_id=name) for name in names] == list(range(1, 21))


@item("N3", "continuations count on in the same workflow-wide counter")
def test_N3_continuations(world: World) -> None:
    assert workflow.run(factorial.bind(5), workflow_id="n3") == 120
    base = "tests.catalogue.tasks.factorial"
    assert set(world.task_statuses("n3")) == {base, *(f"{base}_{n}" for n in range(1, 5))}
    assert workflow.run(factorial.bind(3), workflow_id="n3-other") == 6
    assert base in world.task_statuses("n3-other"), "each workflow counts for itself"


@item("N4", "the counter is durable, and a resume does not reset it")
def test_N4_resume_counts_on(world: World) -> None:
    flag, log = world.file("n4"), world.file("n4-log")

    @ray.remote
    def later(flag: str) -> Any:
        if not os.path.exists(flag):
            raise ValueError("not yet")
        return workflow.continuation(named(one, "leaf").bind())

    failed(add.bind(named(one, "leaf").bind(), later.bind(str(flag))), "n4")
    flag.touch()
    assert workflow.resume("n4") == 2
    assert {"leaf", "leaf_1"} <= set(world.task_statuses("n4"))
    failed(fragile.bind(str(log), "x", str(log) + "-never"), "n4-none")


@item(
    "N5",
    "explicit names that collide get a suffix, never each other's value",
    ours="before, one task overwrote the other",
)
def test_N5_collisions(world: World) -> None:
    @ray.remote
    def three(*values: str) -> tuple[str, ...]:
        return values

    dag = three.bind(
        named(identity, "f").bind("f0"), named(identity, "f").bind("f1"), named(identity, "f_1").bind("explicit")
    )
    assert workflow.run(dag, workflow_id="n5") == ("f0", "f1", "explicit")
    names = [name for name in world.task_statuses("n5") if name.startswith("f")]
    assert len(names) == 3
    assert sorted(workflow.get_output("n5", task_id=name) for name in names) == ["explicit", "f0", "f1"]
