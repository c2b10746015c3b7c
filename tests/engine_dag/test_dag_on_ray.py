"""What needs a running Ray: references among the arguments, plain Ray execution, one identity of classes."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import ray

from tests.engine.world import start_ray
from tests.engine_dag.dag_tools import MemoryStore
from wfstore.engine.dag.adapter import InputValues
from wfstore.engine.dag.arguments import ArgumentDumper, load
from wfstore.engine.dag.continuation import continuation
from wfstore.engine.dag.node import task
from wfstore.engine.dag.options import options
from wfstore.payloads import dumps, loads

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    start_ray()
    yield
    ray.shutdown()


@ray.remote
def ident(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


@ray.remote
def add(a: int, b: int) -> int:
    return a + b


@task
def our_add(a: int, b: int) -> int:
    return a + b


def through(store: MemoryStore, *args: Any) -> tuple[Any, Any]:
    """(the arguments after a round trip, with real references; what was dumped)."""
    dumped = ArgumentDumper(store.put, InputValues()).dump(args, {})
    assert dumped.args is not None
    given, _ = load(store.get(dumped.args), [], [store.get(ref) for ref in dumped.shared])
    return given, dumped


def test_d1_references_become_values_and_references(store: MemoryStore) -> None:
    ref = ray.put([1, 2])
    (value, (nested, again)), dumped = through(store, ref, (ref, ref))
    assert value == [1, 2]
    assert ray.get(nested) == [1, 2]
    assert nested is again
    assert nested != ref, "a new object: the old one may die with its owner"
    assert len(dumped.shared) == 1


def test_b2_one_reference_is_read_and_kept_once(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Any] = []
    get = ray.get
    ref = ray.put("x" * 100_000)
    dag = ident.bind(*[ident.bind(ref, [ref]) for _ in range(10)])
    monkeypatch.setattr(ray, "get", lambda wanted: (reads.append(wanted), get(wanted))[1])
    spec = store.build(dag)
    assert len(reads) == 1
    assert len({kept.hash for each in spec.tasks for kept in each.shared}) == 1
    assert len([name for name in store.calls if name == spec.tasks[0].shared[0].hash]) == 1


def test_d5_references_inside_references(store: MemoryStore) -> None:
    inner = ray.put("inner")
    outer = ray.put({"list": [inner, ray.put([inner])]})
    (value, (nested,)), _ = through(store, outer, [outer])
    assert ray.get(value["list"][0]) == "inner"
    assert ray.get(ray.get(value["list"][1])[0]) == "inner"
    assert ray.get(ray.get(nested)["list"][0]) == "inner"


def test_d5_a_reference_to_nothing_but_a_reference(store: MemoryStore) -> None:
    @ray.remote
    def make() -> Any:
        return ray.put(5)

    ref = make.remote()
    (value,), _ = through(store, ref)
    assert ray.get(value) == 5
    for argument in ([ref], ray.put([ref])):
        with pytest.raises(NotImplementedError, match=r"nested object references"):
            store.build(ident.bind(argument))


def test_b4_references_inside_objects(store: MemoryStore) -> None:
    @dataclass
    class Box:
        ref: Any

    (box,), _ = through(store, Box(ray.put(7)))
    assert type(box) is Box
    assert ray.get(box.ref) == 7


def test_a_failed_reference_raises_its_own_error(store: MemoryStore) -> None:
    with pytest.raises(TypeError, match=r"unsupported operand"):
        store.build(ident.bind([add.remote(1, "a")]))


def test_actor_handles_and_references_that_a_function_refers_to(store: MemoryStore) -> None:
    @ray.remote
    class Counter:
        def __init__(self) -> None:
            self.n = 0

        def up(self) -> int:
            self.n += 1
            return self.n

    counter, ref = Counter.remote(), ray.put(40)

    @task
    def use(handle: Any) -> Any:
        return ray.get(counter.up.remote()) + ray.get(handle.up.remote()) + ray.get(ref)

    assert store.run(use.bind(counter)) == 43


class TestOutsideOfAWorkflow:
    @pytest.mark.parametrize("add", [add, our_add], ids=["ray", "ours"])
    def test_c2_the_value_by_plain_ray(self, add: Any) -> None:
        assert continuation(add.bind(add.bind(1, 2), add.bind(3, 4))) == 10

    def test_nested_ones_are_references_as_in_ray(self) -> None:
        one, ref = add.bind(1, 2), ray.put(5)
        (args, kwargs) = continuation(ident.bind(one, [one, 0], ref, [ref], k={"x": our_add.bind(1, 1)}))
        assert (args[0], ray.get(args[1][0]), args[2], args[3][0]) == (3, 3, 5, ref)
        assert ray.get(kwargs["k"]["x"]) == 2

    def test_a_long_chain(self) -> None:
        node = add.options(num_cpus=0.01).bind(0, 0)
        for _ in range(600):
            node = add.options(num_cpus=0.01).bind(node, 1)
        assert continuation(node) == 600

    def test_options_reach_ray(self) -> None:
        @ray.remote
        def resources() -> Any:
            context = ray.get_runtime_context()
            return context.get_assigned_resources(), context.get_task_name()

        node = resources.options(num_cpus=2, **options(name="mine", metadata={"a": 1})).bind()
        assert continuation(node) == ({"CPU": 2.0}, "mine")

    def test_workflow_options_do_not_disturb_plain_ray(self) -> None:
        assert ray.get(add.options(**options(metadata={"k": "v"})).remote(1, 2)) == 3
        assert ray.get(options(name="n")(add).remote(1, 2)) == 3


class Color(enum.Enum):
    RED = 1


def test_a_class_is_one_class_in_bodies_values_and_stored_values() -> None:
    @dataclass
    class Point:
        x: int

    class Mine(Exception):
        pass

    kinds = enum.Enum("kinds", ["A", "B"])

    def make() -> Any:
        return Point(1), kinds.A, Mine

    def check(value: Any) -> bool:
        point, kind, error = value
        return isinstance(point, Point) and kind is kinds.A and error is Mine

    @ray.remote
    def run(body: bytes, stored: bytes | None, *values: Any) -> Any:
        function = loads(body)
        value = function(*([loads(stored)] if stored else values))
        return value, dumps(value)

    make_body, check_body = dumps(make), dumps(check)
    by_ray, stored = ray.get(run.remote(make_body, None))
    assert check(by_ray), "the driver gets its own classes back"
    assert check(loads(stored))
    assert ray.get(run.options(num_cpus=2).remote(check_body, None, by_ray))[0]
    assert ray.get(run.remote(check_body, stored))[0]
