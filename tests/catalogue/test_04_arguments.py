"""Section 4: arguments, nesting, dereferencing. D6 and D7 are the older generation's: see test_23_older."""

from __future__ import annotations

import os
import warnings
from typing import Any

import pytest
import ray

from tests.catalogue.items import item
from tests.catalogue.tasks import identity, named, one
from tests.engine.world import World
from wfstore import workflow

pytestmark = pytest.mark.ray


@ray.remote
def kinds(*values: Any, **named: Any) -> list[str]:
    """What arrived: "ref", or the value's type; of containers, what they hold."""

    def kind(value: Any) -> str:
        if isinstance(value, ray.ObjectRef):
            return "ref"
        if isinstance(value, list | tuple):
            return f"{type(value).__name__} of {kind(value[0])}"
        if isinstance(value, dict):
            return f"dict of {kind(next(iter(value.values())))}"
        return f"{type(value).__name__} {value}"

    return [kind(value) for value in (*values, *named.values())]


@ray.remote
def fetched(container: Any) -> Any:
    return [ray.get(value) for value in (container.values() if isinstance(container, dict) else container)]


def both_ways(dag: Any) -> Any:
    """The value from a workflow, which must be the one from plain Ray."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = ray.get(dag.execute())
    assert workflow.run(dag) == plain
    return plain


@item("D1", "a node or ObjectRef given as an argument arrives as its value, one inside a container as an ObjectRef")
def test_D1_top_level_and_nested(world: World) -> None:
    ref = ray.put(5)
    node = identity.bind(5)
    assert both_ways(kinds.bind(ref, node, a=ref, b=node)) == ["int 5"] * 4
    assert both_ways(kinds.bind([ref], (node,), {"k": ref}, [[node]])) == [
        "list of ref",
        "tuple of ref",
        "dict of ref",
        "list of list of ref",
    ]


@item("D2", "the same rules as plain Ray: the same DAG gives the same from workflow.run and from dag.execute()")
def test_D2_as_plain_ray(world: World) -> None:
    node = identity.bind([1, 2])
    assert both_ways(fetched.bind([node, ray.put(3), node])) == [[1, 2], 3, [1, 2]]
    assert both_ways(fetched.bind({"a": node, "b": ray.put(3)})) == [[1, 2], 3]
    assert both_ways(identity.bind(identity.bind({"k": [1]}))) == {"k": [1]}


@item("D3", "an ObjectRef that a task returns is not flattened, a continuation is")
def test_D3_returned_references(world: World) -> None:
    @ray.remote
    def makes(n: int) -> Any:
        return one.remote()

    @ray.remote
    def goes_on() -> Any:
        return workflow.continuation(identity.bind(4))

    @ray.remote
    def deep(container: list[Any]) -> bool:
        return isinstance(ray.get(container[0]), ray.ObjectRef) and ray.get(ray.get(container[0])) == 1

    assert both_ways(kinds.bind(makes.bind(1))) == ["ref"]
    assert workflow.run(deep.bind([makes.bind(1)])) is True
    assert workflow.run(kinds.bind(goes_on.bind())) == ["int 4"]


@item(
    "D4",
    "run of a task that returns a reference gives that reference; what is stored is its content, so that "
    "get_output and "
    "resume give the value, in any process",
)
def test_D4_references_as_output(world: World) -> None:
    @ray.remote
    def makes() -> Any:
        return ray.put(42)

    @ray.remote
    def makes_list() -> Any:
        return [ray.put(n) for n in range(3)]

    ref = workflow.run(makes.bind(), workflow_id="d4")
    assert isinstance(ref, ray.ObjectRef)
    assert ray.get(ref) == 42
    refs = workflow.run(makes_list.bind(), workflow_id="d4-list")
    assert ray.get(refs) == [0, 1, 2]
    stored = workflow.get_output("d4")
    assert (ray.get(stored) if isinstance(stored, ray.ObjectRef) else stored) == 42


@item("D4")
def test_D4_the_content_outlives_the_manager(own_world: World) -> None:
    import signal

    @ray.remote
    def makes() -> Any:
        return [ray.put(42)]

    workflow.run(makes.bind(), workflow_id="d4")
    os.kill(own_world.describe()["pid"], signal.SIGKILL)
    (stored,) = workflow.resume("d4")
    assert (ray.get(stored, timeout=20) if isinstance(stored, ray.ObjectRef) else stored) == 42


@item("D5", "ObjectRefs in arguments are kept with their content; a reference to a bare reference is refused")
def test_D5_references_in_arguments_survive_their_owner(world: World) -> None:
    flag = world.file("d5")

    @ray.remote
    def total(refs: list[Any], extra: Any, flag: str) -> int:
        if not os.path.exists(flag):
            raise ValueError("not yet")
        return sum(ray.get(refs)) + extra

    @ray.remote(num_cpus=0)
    class Owner:
        def make(self) -> list[Any]:
            return [ray.put(n) for n in range(4)]

    owner = Owner.remote()
    refs = ray.get(owner.make.remote())
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(named(total, "total").bind(refs, ray.put(100), str(flag)), workflow_id="d5")
    ray.kill(owner)
    flag.touch()
    assert workflow.resume("d5") == 106


@item("D5")
def test_D5_a_reference_to_a_reference(world: World) -> None:
    @ray.remote
    def makes() -> Any:
        return ray.put(1)

    bare = makes.remote()
    with pytest.raises(NotImplementedError, match="does not support checkpointing nested object references yet"):
        workflow.run(identity.bind([bare]), workflow_id="d5-nested")
    assert "d5-nested" not in dict(workflow.list_all())
