"""Seed 003, workflow metadata of the older generation: steps and virtual actors, each through both faces."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.documents.faces import appears, fails, value
from tests.engine.world import World

pytestmark = pytest.mark.ray


def plus(left: int, right: int) -> int:
    return left + right


def test_example_01_metadata_of_a_workflow(older: Any, own_world: World) -> None:
    workflow = older
    assert workflow.step(plus).step(10, 20).run("sum") == 30
    found = workflow.get_metadata("sum")
    assert found["status"] == "SUCCESSFUL"
    assert {"start_time", "end_time"} <= found["stats"].keys()


def test_example_02_metadata_of_a_step(older: Any, own_world: World) -> None:
    workflow = older
    workflow.step(plus).options(name="first_sum").step(10, 20).run("sum")
    found = workflow.get_metadata("sum", name="first_sum")
    assert "step_options" in found
    # Slip: the document fetches the step's metadata and then looks at the workflow's of the example before.
    for stats in (found["stats"], workflow.get_metadata("sum")["stats"]):
        assert {"start_time", "end_time"} <= stats.keys()
    assert found["name"] == "first_sum"


def test_example_03_user_metadata(older: Any, own_world: World) -> None:
    workflow = older
    add = workflow.step(plus)
    named = add.options(name="first_sum", metadata={"of": "step"})
    named.step(10, 20).run("sum", metadata={"of": "workflow"})
    assert workflow.get_metadata("sum")["user_metadata"] == {"of": "workflow"}
    assert workflow.get_metadata("sum", name="first_sum")["user_metadata"] == {"of": "step"}


def test_example_03_user_metadata_in_the_decorator(older: Any, own_world: World) -> None:
    workflow = older

    # Slip: the document's decorator lacks its closing parenthesis.
    @workflow.step(name="decorated", metadata={"of": "decorator"})
    def one() -> int:
        return 1

    one.step().run("decorated")
    assert workflow.get_metadata("decorated", "decorated")["user_metadata"] == {"of": "decorator"}


def test_example_03_user_metadata_must_be_a_dict_that_json_can_hold(older: Any, own_world: World) -> None:
    workflow = older
    add = workflow.step(plus)
    for wrong in (["a", "list"], {"not": {1, 2}}):
        with pytest.raises(ValueError):
            add.options(metadata=wrong).step(1, 2).run("refused")
        with pytest.raises(ValueError):
            add.step(1, 2).run("refused", metadata=wrong)
    assert workflow.list_all() == []


def test_example_04_calls_of_a_virtual_actor(older: Any, own_world: World) -> None:
    workflow, calls = older, 3

    @workflow.virtual_actor
    class Actor:
        def __init__(self, v: int) -> None:
            self.v = v

        def add_v(self, v: int) -> int:
            time.sleep(1)
            self.v += v
            return self.v

    actor = Actor.get_or_create("vid", 0)
    for n in range(calls):
        assert actor.add_v.options(name="add", metadata={"call": n}).run(10) == 10 * (n + 1)
    for n, name in enumerate(("add", "add_1", "add_2")):
        found = workflow.get_metadata("vid", name)
        assert found["user_metadata"] == {"call": n}
        assert found["stats"]["end_time"] >= found["stats"]["start_time"] + 1


def test_example_05_nested_calls_of_a_virtual_actor(older: Any, own_world: World) -> None:
    workflow = older

    @workflow.virtual_actor
    class Counter:
        def __init__(self) -> None:
            self.n = 0

        def incr(self, n: int) -> Any:
            self.n += 1
            if n == 1:
                return self.n
            return self.incr.options(name="incr", metadata={"current_n": self.n}).step(n - 1)

    counter = Counter.get_or_create("counter")
    assert counter.incr.options(name="incr", metadata={"outer_k": "outer_v"}).run(5) == 5
    assert workflow.get_metadata("counter", "incr")["user_metadata"] == {"outer_k": "outer_v"}
    for n in range(1, 5):
        assert workflow.get_metadata("counter", f"incr_{n}")["user_metadata"] == {"current_n": n}


def test_example_06_metadata_is_of_the_moment(older: Any, own_world: World) -> None:
    workflow, runs = older, own_world.file("runs")

    @workflow.step
    def long() -> int:
        runs.touch()
        time.sleep(1000)
        return 0

    long.step().run_async("long")
    appears(runs)
    found = workflow.get_metadata("long")
    assert found["status"] == "RUNNING"
    assert "start_time" in found["stats"]
    assert "end_time" not in found["stats"]

    workflow.cancel("long")
    found = workflow.get_metadata("long")
    assert found["status"] == "CANCELED"
    assert "start_time" in found["stats"]
    assert "end_time" not in found["stats"]


def test_example_07_a_resume_brings_new_stats(older: Any, own_world: World) -> None:
    workflow, broken = older, own_world.file("broken")
    broken.touch()

    @workflow.step
    def fragile() -> int:
        if broken.exists():
            raise ValueError("still broken")
        return 0

    # Slip: the document has a `try:` without an `except`.
    with fails():
        fragile.step().run("fragile")
    failed = workflow.get_metadata("fragile")
    assert failed["status"] == "FAILED"

    broken.unlink()
    # A reference in the document, and in wfstore.legacy; the value where the newer generation answers.
    assert value(workflow, workflow.resume("fragile")) == 0
    resumed = workflow.get_metadata("fragile")
    assert resumed["status"] == "SUCCESSFUL"
    for key in ("start_time", "end_time"):
        assert resumed["stats"][key] > failed["stats"][key]
