"""Our own task decorator and nodes."""

from __future__ import annotations

import inspect
import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
import ray
import ray.cloudpickle

from tests.engine_dag.dag_tools import MemoryStore
from wfstore.engine.dag.node import TaskDef, TaskNode, is_node, task


@task
def add(a: int, b: int = 1) -> int:
    """Adds."""
    return a + b


def test_called_directly_it_is_the_function() -> None:
    assert add(1) == 2
    assert (add.__name__, add.__doc__, add.__module__) == ("add", "Adds.", __name__)
    assert list(inspect.signature(add).parameters) == ["a", "b"]
    assert "add" in repr(add)
    assert "add" in repr(add.bind(1))


def test_it_never_changes() -> None:
    with pytest.raises(FrozenInstanceError):
        add.function = print  # type: ignore[misc]
    other = add.options(name="x")
    assert isinstance(other, TaskDef)
    assert (add.settings.name, other.settings.name) == (None, "x")


def test_bind_makes_nodes_by_identity() -> None:
    assert isinstance(add.bind(1), TaskNode)
    assert is_node(add.bind(1))
    assert not is_node(add)
    assert add.bind(1).key != add.bind(1).key


async def _async() -> None: ...


@pytest.mark.parametrize("thing", [3, ray.remote(lambda: 1), int, _async])
def test_only_on_plain_functions(thing: Any) -> None:
    with pytest.raises(TypeError, match=r"function|async def"):
        task(thing)


@pytest.mark.parametrize("module", [pickle, ray.cloudpickle])
def test_definitions_and_nodes_pickle(module: Any, store: MemoryStore) -> None:
    def local(x: int) -> int:
        return x + 1

    if module is pickle:
        node = add.bind(1)
        with pytest.raises((pickle.PicklingError, AttributeError)):  # by reference, the module's `add` is the task
            module.dumps(node)
        return
    definition = module.loads(module.dumps(task(local).options(name="n")))
    assert definition(1) == 2
    assert definition.settings.name == "n"
    inner = definition.bind(1)
    node = module.loads(module.dumps(definition.bind(x=inner)))
    assert node.kwargs["x"].key == inner.key
    assert store.run(node) == 3


def test_a_long_chain_pickles_and_dies_without_recursion() -> None:
    node = add.bind(0)
    for _ in range(20_000):
        node = add.bind(node)
    again = ray.cloudpickle.loads(ray.cloudpickle.dumps(node))
    for _ in range(20_000):
        again = again.args[0]
    assert again.args == (0,)
    del node


def test_a_node_used_twice_is_one_after_pickling(store: MemoryStore) -> None:
    inner = add.bind(1)
    node = ray.cloudpickle.loads(ray.cloudpickle.dumps(add.bind(inner, inner)))
    assert node.args[0] is node.args[1]
    assert len(store.build(node).tasks) == 2
