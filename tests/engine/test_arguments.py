"""Arguments and references (catalogue section 4), continuations (5), options (6), signatures (21)."""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np
import pytest
import ray

from tests.engine.world import World, ids
from wfstore import workflow

pytestmark = pytest.mark.ray


@ray.remote
def one(value: Any = 1) -> Any:
    return value


@ray.remote
def kinds(*values: Any, **named: Any) -> Any:
    """Type name of each argument, inside lists too, and what the references hold."""

    def kind(value: Any) -> Any:
        if isinstance(value, ray.ObjectRef):
            return ("ref", ray.get(value))
        if isinstance(value, list | tuple):
            return [kind(item) for item in value]
        if isinstance(value, dict):
            return {key: kind(item) for key, item in value.items()}
        return value

    return [kind(value) for value in values], {key: kind(value) for key, value in named.items()}


@ray.remote
def down(n: int) -> Any:
    return "end" if n == 0 else workflow.continuation(down.bind(n - 1))


def both(dag: Any) -> tuple[Any, Any]:
    """As a workflow, and on plain Ray."""
    return workflow.run(dag), workflow.continuation(dag)


def test_d1_d2_nodes_become_values_and_references_as_in_plain_ray(world: World) -> None:
    dag = kinds.bind(one.bind(1), [one.bind(2), {"k": one.bind(3)}], named=one.bind(4), inside=(one.bind(5),))
    durable, plain = both(dag)
    assert durable == plain
    assert durable == ([1, [("ref", 2), {"k": ("ref", 3)}]], {"named": 4, "inside": [("ref", 5)]})


def test_d1_d2_references_become_values_and_references(world: World) -> None:
    ref = ray.put(7)
    durable, plain = both(kinds.bind(ref, [ref], named=ref))
    assert durable == plain == ([7, [("ref", 7)]], {"named": 7})


def test_d1_large_values_too(world: World) -> None:
    array = np.arange(100_000)

    @ray.remote
    def double(values: Any) -> Any:
        return values * 2

    @ray.remote
    def total(value: Any, inside: list[Any]) -> int:
        return int(value.sum() + ray.get(inside[0]).sum())

    doubled = double.bind(array)
    assert workflow.run(total.bind(doubled, [doubled])) == int(array.sum()) * 4


def test_d3_a_returned_reference_is_a_value_of_its_own(world: World) -> None:
    @ray.remote
    def plain() -> int:
        return 42

    @ray.remote
    def gives_reference() -> Any:
        return plain.remote()

    @ray.remote
    def look(value: Any, inside: list[Any]) -> Any:
        inner = ray.get(inside[0])
        return isinstance(value, ray.ObjectRef), ray.get(value), isinstance(inner, ray.ObjectRef), ray.get(inner)

    node = gives_reference.bind()
    assert workflow.run(look.bind(node, [node])) == (True, 42, True, 42)


def test_d3_a_returned_continuation_is_flattened(world: World) -> None:
    @ray.remote
    def continued() -> Any:
        return workflow.continuation(one.bind(9))

    assert workflow.run(kinds.bind(continued.bind(), [continued.bind()])) == ([9, [("ref", 9)]], {})


def test_d4_references_in_a_result(world: World) -> None:
    @ray.remote
    def plain() -> int:
        return 42

    @ray.remote
    def gives_reference() -> Any:
        return plain.remote()

    result = workflow.run(gives_reference.bind(), workflow_id="d4")
    assert ray.get(result) == 42


def test_d5_references_in_arguments_outlive_their_objects(world: World) -> None:
    flag = world.file("d5")

    @ray.remote
    def fragile(path: str, inside: list[Any]) -> int:
        import os

        if not os.path.exists(path):
            raise ValueError("not yet")
        return int(ray.get(inside[0]).sum())

    ref = ray.put(np.ones(50_000))
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(fragile.bind(str(flag), [ref]), workflow_id="d5")
    del ref
    flag.touch()
    assert workflow.resume("d5") == 50_000


# -- continuations ---------------------------------------------------------------------------------------------------


def test_c1_a_bare_node_is_a_continuation(world: World) -> None:
    @ray.remote
    def bare() -> Any:
        return one.bind("bare")

    assert workflow.run(bare.bind()) == "bare"


def test_c2_outside_it_runs_on_plain_ray(world: World) -> None:
    assert workflow.continuation(one.bind(3)) == 3
    with pytest.raises(TypeError, match=re.escape("Input should be a DAG.")):
        workflow.continuation(3)

    @ray.remote
    def plain() -> Any:
        return workflow.continuation(one.bind(4))

    @ray.remote
    def inside() -> Any:
        return ray.get(plain.remote())

    assert workflow.run(inside.bind()) == 4


def test_c3_every_task_of_a_chain_has_the_final_value(world: World) -> None:
    @ray.remote
    def a() -> Any:
        return workflow.continuation(b.options(**workflow.options(name="b")).bind())

    @ray.remote
    def b() -> Any:
        return workflow.continuation(one.options(**workflow.options(name="c")).bind("end"))

    assert workflow.run(a.options(**workflow.options(name="a")).bind(), workflow_id="c3") == "end"
    assert [workflow.get_output("c3", task_id=name) for name in "abc"] == ["end"] * 3


def test_c4_a_hundred_deep(world: World) -> None:
    name = ids("c4")
    assert workflow.run(down.bind(100), workflow_id=name) == "end"
    assert len(world.task_statuses(name)) == 101


def test_c6_a_task_ends_when_its_own_function_returned(world: World) -> None:
    @ray.remote
    def outer() -> Any:
        return workflow.continuation(one.options(**workflow.options(name="inner")).bind(1))

    workflow.run(outer.options(**workflow.options(name="outer")).bind(), workflow_id="c6")
    outer_end = workflow.get_metadata("c6", task_id="outer")["stats"]["end_time"]
    inner_start = workflow.get_metadata("c6", task_id="inner")["stats"]["start_time"]
    assert outer_end <= inner_start


def test_a_continuation_of_many_tasks_inside_a_wider_graph(world: World) -> None:
    @ray.remote
    def add(*values: int) -> int:
        return sum(values)

    @ray.remote
    def spread(n: int) -> Any:
        return workflow.continuation(add.bind(*[one.bind(k) for k in range(n)]))

    assert workflow.run(add.bind(spread.bind(4), one.bind(10), spread.bind(3))) == 6 + 10 + 3


# -- options and signatures ------------------------------------------------------------------------------------------


def test_o1_unknown_options_name_the_valid_ones(world: World) -> None:
    with pytest.raises(ValueError, match=r"Invalid option keywords .*colour.* Valid ones are"):
        workflow.options(colour="red")


def test_o2_three_spellings(world: World) -> None:
    @workflow.options(name="above", metadata={"a": 1})
    @ray.remote
    def above() -> int:
        return 1

    @ray.remote(**workflow.options(name="inside", metadata={"b": 2}))
    def inside() -> int:
        return 2

    @ray.remote
    def plain(*values: int) -> int:
        return sum(values)

    root = plain.options(**workflow.options(name="add_task", metadata={"k": "v"}))
    assert workflow.run(root.bind(above.bind(), inside.bind()), workflow_id="o2") == 3
    found = {name: workflow.get_metadata("o2", task_id=name)["user_metadata"] for name in world.task_statuses("o2")}
    assert found == {"above": {"a": 1}, "inside": {"b": 2}, "add_task": {"k": "v"}}
    with pytest.raises(ValueError, match=re.escape("Only apply 'workflow.options' to Ray remote functions.")):
        workflow.options(name="x")(lambda: 1)


def test_o5_options_that_are_not_json(world: World) -> None:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)

    @ray.remote(scheduling_strategy=here, retry_exceptions=[ValueError], max_retries=2, num_cpus=0.5)
    def fragile(path: str) -> int:
        with open(path, "a") as file:
            file.write("x")
        if os.path.getsize(path) < 3:
            raise ValueError("again")
        return 1

    assert workflow.run(fragile.bind(str(world.file("o5"))), workflow_id="o5") == 1
    (name,) = world.task_statuses("o5")
    options = workflow.get_metadata("o5", task_id=name)["task_options"]
    assert options["max_retries"] == 2
    assert options["retry_exceptions"] is True
    assert options["ray_options"]["num_cpus"] == 0.5


def test_runtime_env_of_a_task_and_of_the_submitter(world: World) -> None:
    @ray.remote
    def read(name: str) -> Any:
        import os

        return os.environ.get(name)

    dag = read.options(runtime_env={"env_vars": {"WFSTORE_TEST_ENV": "yes"}}).bind("WFSTORE_TEST_ENV")
    assert workflow.run(dag) == "yes"
    assert workflow.run(read.bind("WFSTORE_TEST_ENV")) is None


def test_y1_wrong_arguments_are_refused_before_anything_is_stored(world: World) -> None:
    @ray.remote
    def two(a: int, b: int) -> int:
        return a + b

    seq = world.seq()
    with pytest.raises(TypeError):
        two(1, 2)
    for node in (two.bind(1), two.bind(1, 2, 3), two.bind(1, c=2)):
        with pytest.raises(TypeError):
            workflow.run(node, workflow_id="y1")
    with pytest.raises(TypeError, match="missing a required argument: 'b'"):
        workflow.run(two.bind(1), workflow_id="y1")
    assert world.seq() == seq
    with pytest.raises(workflow.WorkflowNotFoundError):
        workflow.get_status("y1")


def test_our_own_task_decorator(world: World) -> None:
    @workflow.task(name="square", max_retries=0)
    def square(n: int) -> int:
        return n * n

    @workflow.task
    def continued(n: int) -> Any:
        return workflow.continuation(square.bind(n))

    assert square(3) == 9
    name = ids("task")
    assert workflow.run(continued.bind(square.bind(3)), workflow_id=name) == 81
    assert workflow.get_metadata(name, "square")["task_options"]["max_retries"] == 0
