"""Graphs of ray.dag nodes, of our own, and of both, into specs: catalogue R, N, D, Y."""

from __future__ import annotations

import gc
import re
import threading
import time
from functools import partial
from typing import Any

import pytest
import ray
from ray.dag import InputNode, MultiOutputNode

from tests.engine_dag.dag_tools import MemoryStore
from wfstore.engine.dag.build import build
from wfstore.engine.dag.node import TaskNode, task
from wfstore.engine.dag.options import options
from wfstore.payloads import SerializationError


def both(function: Any) -> list[Any]:
    return [ray.remote(function), task(function)]


def _ident(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


def _add(a: int, b: int) -> int:
    return a + b


ident, our_ident = both(_ident)
add, our_add = both(_add)
each = pytest.mark.parametrize("ident", [ident, our_ident], ids=["ray", "ours"])
each_add = pytest.mark.parametrize("add", [add, our_add], ids=["ray", "ours"])


@each_add
def test_n2_innermost_first(store: MemoryStore, add: Any) -> None:
    inner = add.bind(1, 2)
    spec = store.build(add.bind(add.bind(inner, 3), inner))
    assert [task.upstream for task in spec.tasks] == [(), (0,), (1, 0)]
    assert [task.kinds for task in spec.tasks] == [(), ("argument",), ("argument", "argument")]
    assert spec.output == 2
    assert store.run(add.bind(add.bind(inner, 3), inner)) == 9


@each_add
def test_r3_a_node_used_often_is_one_task(store: MemoryStore, add: Any) -> None:
    node = add.bind(1, 2)
    for _ in range(50):
        node = add.bind(node, node)  # 2**50 paths
    spec = store.build(node)
    assert len(spec.tasks) == 51
    assert spec.tasks[-1].upstream == (49, 49)


def test_ray_and_our_nodes_mix(store: MemoryStore) -> None:
    assert store.run(add.bind(our_add.bind(add.bind(1, 2), 3), our_add.bind(4, 5))) == 15
    inner = our_add.bind(1, 2)
    spec = store.build(ident.bind(inner, [inner], x={"y": our_ident.bind(add.bind(inner, 1))}))
    assert len(spec.tasks) == 4, "a node of ours pickled by Ray's bind must stay one node"


def test_a_long_mixed_chain(store: MemoryStore) -> None:
    node = add.bind(0, 0)
    for _ in range(300):
        node = our_add.bind(add.bind(node, 1), 1)
    assert store.run(node) == 600


@each
class TestNames:
    def test_n1_default_name(self, store: MemoryStore, ident: Any) -> None:
        (spec,) = store.build(ident.bind()).tasks
        assert spec.name == spec.function == f"{__name__}._ident"

    def test_n1_local_functions(self, store: MemoryStore, ident: Any) -> None:
        def local() -> None: ...

        (spec,) = store.build((type(ident) is type(our_ident) and task(local).bind()) or ray.remote(local).bind()).tasks
        assert spec.name == f"{__name__}.TestNames.test_n1_local_functions.locals.local"
        assert spec.function == f"{__name__}.TestNames.test_n1_local_functions.<locals>.local"

    def test_repeated_names_are_left_to_the_manager(self, store: MemoryStore, ident: Any) -> None:
        assert {spec.name for spec in store.build(ident.bind(ident.bind())).tasks} == {f"{__name__}._ident"}


@each
class TestArguments:
    def test_none_at_all(self, store: MemoryStore, ident: Any) -> None:
        (spec,) = store.build(ident.bind()).tasks
        assert spec.args is None
        assert store.arguments(spec, []) == ((), {})

    @pytest.mark.parametrize("value", [None, 1, 1.5, "a", b"b", [1, {"k": (2, {3})}], "x" * 100_000, object])
    def test_values_arrive(self, store: MemoryStore, ident: Any, value: Any) -> None:
        assert store.run(ident.bind(value, k=value)) == ((value,), {"k": value})

    def test_d1_as_value_and_as_reference(self, store: MemoryStore, ident: Any) -> None:
        one = ident.bind(1)
        out = ((1,), {})
        assert store.run(ident.bind(one, [one], x=one, y={"z": (one,)})) == (
            (out, [("ref", out)]),
            {"x": out, "y": {"z": (("ref", out),)}},
        )
        spec = store.build(ident.bind(one, [one, one], x=one, y={"z": (one,)})).tasks[-1]
        assert sorted(zip(spec.upstream, spec.kinds, strict=True)) == [(0, "argument")] * 2 + [(0, "nested")]

    def test_nested_in_an_object(self, store: MemoryStore, ident: Any) -> None:
        holder = partial(print, ident.bind(1))
        (args, _) = store.run(ident.bind(holder))
        assert args[0].args == (("ref", ((1,), {})),)

    def test_r12_snapshot_when_built(self, store: MemoryStore, ident: Any) -> None:
        value = [1]
        node = ident.bind(value)
        value.append(2)
        assert store.run(node) == (([1, 2],), {})

    def test_a_large_argument_is_kept_once(self, store: MemoryStore, ident: Any) -> None:
        big = list(range(20_000))
        huge = b"x" * 50_000
        spec = store.build(ident.bind(*[ident.bind(big, i, huge, k=big) for i in range(20)]))
        assert {len(task.shared) for task in spec.tasks[:20]} == {2}
        assert len({ref.hash for task in spec.tasks for ref in task.shared}) == 2
        assert len([name for name in store.calls if name in {r.hash for r in spec.tasks[0].shared}]) == 2
        assert all(task.args is not None and task.args.bytes < 200 for task in spec.tasks[:20])
        assert store.arguments(spec.tasks[3], []) == ((big, 3, huge), {"k": big})

    def test_large_and_with_a_node_inside(self, store: MemoryStore, ident: Any) -> None:
        big = [ident.bind(1), "x" * 100_000]
        spec = store.build(ident.bind(big, big)).tasks[-1]
        assert spec.shared == ()
        assert spec.args is not None
        assert spec.args.data is None
        assert store.run(ident.bind(big))[0][0] == [("ref", ((1,), {})), big[1]]

    def test_many_middling_ones(self, store: MemoryStore, ident: Any) -> None:
        values = [[i] * 2000 for i in range(100)]
        assert store.run(ident.bind(*values)) == (tuple(values), {})

    def test_what_cannot_be_pickled_is_named(self, store: MemoryStore, ident: Any) -> None:
        if ident is our_ident:  # Ray's own bind looks into arguments and refuses first
            with pytest.raises(SerializationError, match=r"Argument 'k' of .*_ident \(of type list\).*lock"):
                store.build(ident.bind(1, k=[threading.Lock()]))
            with pytest.raises(SerializationError, match=r"Argument 1 of"):
                store.build(ident.bind("a", threading.Lock()))
        assert store.calls == []

    def test_a_cycle_is_refused(self, store: MemoryStore, ident: Any) -> None:
        box: list[Any] = []
        node = ident.bind(box)
        box.append(ident.bind(node))
        with pytest.raises(ValueError, match=r"cycle"):
            store.build(node)


@each
class TestInputs:
    def test_r4_every_way(self, store: MemoryStore, ident: Any) -> None:
        with InputNode() as inp:
            node = ident.bind(2, inp[1], a=inp.a, b=inp["b"], nested=[inp[0], {"b": inp.b}])
        assert store.run(node, 2, 3.14, a=10, b="ok") == (
            (2, 3.14),
            {"a": 10, "b": "ok", "nested": [2, {"b": "ok"}]},
        )

    def test_whole(self, store: MemoryStore, ident: Any) -> None:
        with InputNode() as inp:
            node = ident.bind(inp, [inp])
        assert store.run(node, 5) == ((5, [5]), {})
        (args, _) = store.run(node, 5, x=6)
        assert (args[0][0], args[0]["x"]) == (5, 6)

    def test_first_of_one(self, store: MemoryStore, ident: Any) -> None:
        with InputNode() as inp:
            node = ident.bind(inp[0])
        assert store.run(node, [1, 2]) == (([1, 2],), {})

    def test_parts_of_the_one_value(self, store: MemoryStore, ident: Any) -> None:
        with InputNode() as inp:
            node = ident.bind(inp[0], inp[1])
        assert store.run(node, [1, 2]) == ((1, 2), {})
        with InputNode() as inp:
            node = ident.bind(inp["m"], inp.real)
        with pytest.raises(TypeError, match=r"asks for input 'm'"):
            store.build(node, 3)
        with InputNode() as inp:
            node = ident.bind(inp.real)
        assert store.run(node, 3) == ((3,), {})

    @pytest.mark.parametrize("given", [((), {}), ((1, 2), {}), ((), {"y": 1})])
    def test_missing(self, store: MemoryStore, ident: Any, given: Any) -> None:
        with InputNode() as inp:
            node = ident.bind([inp.x])
        with pytest.raises(TypeError, match=r"input"):
            store.build(node, *given[0], **given[1])
        assert store.calls == []

    def test_large_input_is_shared(self, store: MemoryStore, ident: Any) -> None:
        with InputNode() as inp:
            node = ident.bind(ident.bind(inp.x), inp.x)
        spec = store.build(node, x=["y"] * 20_000)
        assert spec.tasks[0].shared == spec.tasks[1].shared != ()


@pytest.mark.parametrize("thing", [1, None, add, our_add, lambda: 1, "dag"])
def test_r5_not_a_dag(store: MemoryStore, thing: Any) -> None:
    with pytest.raises(TypeError, match=r"Input should be a DAG."):
        store.build(thing)


@ray.remote
class Actor:
    def method(self) -> None: ...


def test_r6_classes(store: MemoryStore) -> None:
    actor = Actor.bind()
    for root in (actor, actor.method.bind()):
        with pytest.raises(TypeError, match=r"Currently workflow does not support classes as DAG inputs."):
            store.build(root)
    for node in (actor, actor.method.bind(), MultiOutputNode([add.bind(1, 2)])):
        for dag in (ident.bind(node), our_ident.bind([node])):
            with pytest.raises(TypeError, match=f"Unsupported DAG node: {type(node).__name__}"):
                store.build(dag)
    assert store.calls == []


@each_add
@pytest.mark.parametrize(("args", "kwargs", "text"), [
    ((1,), {}, "missing a required argument: 'b'"),
    ((1, 2, 3), {}, "too many positional arguments"),
    ((1,), {"c": 2}, "missing a required argument|unexpected keyword"),
])  # fmt: skip
def test_y1_before_anything_is_stored(store: MemoryStore, add: Any, args: Any, kwargs: Any, text: str) -> None:
    wrong = add.bind(*args, **kwargs)
    for dag in (wrong, add.bind(add.bind("x" * 100_000, 2), wrong), ident.bind("x" * 100_000, [wrong])):
        with pytest.raises(TypeError, match=text):
            store.build(dag)
    assert store.calls == []


@each
class TestFunctions:
    def test_pickled_once_however_many_tasks(self, store: MemoryStore, ident: Any) -> None:
        puts: list[int] = []

        def put_function(data: bytes) -> str:
            puts.append(len(data))
            return store.put_function(data)

        spec = build(ident.bind(*[ident.bind(i) for i in range(100)]), (), {}, store.put, put_function)
        assert len(puts) == 1
        assert len({task.function_hash for task in spec.tasks}) == 1

    def test_the_cache_does_not_keep_functions_alive(self, store: MemoryStore, ident: Any) -> None:
        import weakref

        def local() -> int:
            return 5

        alive = weakref.ref(local)
        store.run(task(local).bind())
        del local
        gc.collect()
        assert alive() is None

    def test_what_cannot_be_pickled_is_named(self, store: MemoryStore, ident: Any) -> None:
        lock = threading.Lock()

        def local(_: str) -> Any:
            return lock

        with pytest.raises(SerializationError, match=r"Task function .*test_dag_build.*local cannot be pickled.*lock"):
            store.build(task(local).bind("x" * 100_000))
        assert store.calls == []


def test_a_task_that_refers_to_itself(store: MemoryStore) -> None:
    @task
    def count(n: int) -> Any:
        return count.bind(n - 1) if n else "end"

    node = store.run(count.bind(2))
    assert isinstance(node, TaskNode)
    assert store.run(store.run(node)) == "end"


def test_cloned_callables_without_a_name(store: MemoryStore) -> None:
    from wfstore.engine.dag.functions import default_name

    assert default_name(partial(_add, 1)) == "functools.__anonymous_func__"
    assert re.fullmatch(r"[\w.\-]+", default_name(lambda: 1))


@each
def test_long_chains_and_wide_fans(store: MemoryStore, ident: Any) -> None:
    def chain(length: int) -> Any:
        node = ident.bind(0)
        for i in range(length - 1):
            node = ident.bind(node, i)
        return node

    for dag in (chain(10_000), ident.bind(*[ident.bind(i) for i in range(9_999)]),
                ident.bind([ident.bind(i) for i in range(9_999)])):  # fmt: skip
        began = time.perf_counter()
        spec = store.build(dag)
        assert len(spec.tasks) == 10_000
        assert time.perf_counter() - began < 10


def test_named_options_of_each_node(store: MemoryStore) -> None:
    nodes = [add.options(**options(name=f"n{i}", metadata={"i": i})).bind(i, i) for i in range(5)]
    specs = store.build(ident.bind(nodes)).tasks
    assert [spec.name for spec in specs[:5]] == [f"n{i}" for i in range(5)]
    assert [spec.metadata for spec in specs[:5]] == [{"i": i} for i in range(5)]
