"""Arguments with placeholders at any depth come back whole."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine_dag.dag_tools import MemoryStore
from wfstore.engine.dag.adapter import InputValues
from wfstore.engine.dag.arguments import ArgumentDumper, load
from wfstore.engine.dag.node import TaskNode, task
from wfstore.payloads import Upstream, loads


@task
def source(number: int) -> int:
    return number


NODES = [source.bind(number) for number in range(4)]
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
big = st.sampled_from(["x" * 40_000, b"y" * 40_000, list(range(15_000)), {"deep": ["z" * 70_000]}])
leaves = plain | st.sampled_from(NODES) | big
nested = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4) | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


def expected(value: Any, top: bool) -> Any:
    if isinstance(value, TaskNode):
        return value.args[0] if top else ("ref", value.args[0])
    if isinstance(value, list):
        return [expected(item, False) for item in value]
    if isinstance(value, tuple):
        return tuple(expected(item, False) for item in value)
    if isinstance(value, dict):
        return {key: expected(item, False) for key, item in value.items()}
    return value


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(nested, max_size=4), st.dictionaries(st.text(min_size=1, max_size=3), nested, max_size=3))
def test_round_trip(args: list[Any], kwargs: dict[str, Any]) -> None:
    store = MemoryStore()
    dumped = ArgumentDumper(store.put, InputValues()).dump(tuple(args), kwargs)
    upstream = [
        node.args[0] if kind == "argument" else ("ref", node.args[0])
        for node, kind in zip(dumped.upstream, dumped.kinds, strict=True)
    ]
    data = None if dumped.args is None else store.get(dumped.args)
    shared = [store.get(ref) for ref in dumped.shared]
    assert load(data, upstream, shared, lambda value: ("ref", value)) == (
        tuple(expected(value, True) for value in args),
        {key: expected(value, True) for key, value in kwargs.items()},
    )


def test_readers_see_placeholders(store: MemoryStore) -> None:
    dumped = ArgumentDumper(store.put, InputValues()).dump((1, NODES[0], [NODES[1]]), {"k": NODES[0]})
    assert dumped.args is not None
    assert loads(store.get(dumped.args)) == ((1, Upstream(0), [Upstream(2)]), {"k": Upstream(1)})
    assert dumped.kinds == ["argument", "argument", "nested"]


def test_each_use_as_an_argument_is_its_own_object(store: MemoryStore) -> None:
    dumped = ArgumentDumper(store.put, InputValues()).dump((NODES[0], NODES[0]), {})
    assert dumped.upstream == [NODES[0], NODES[0]]


def test_what_says_its_size_is_pickled_once(store: MemoryStore) -> None:
    class Array:
        nbytes = 40_000
        pickled = 0

        def __reduce__(self) -> Any:
            type(self).pickled += 1
            return bytes, (b"x" * 40_000,)

    array = Array()
    dumper = ArgumentDumper(store.put, InputValues())
    for _ in range(3):
        assert len(dumper.dump((array,), {}).shared) == 1
    assert Array.pickled == 1
