"""workflow.options on plain remote functions and on tasks."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import pytest
import ray
import ray.cloudpickle

from tests.engine_dag.dag_tools import MemoryStore
from wfstore.engine.dag.node import task
from wfstore.engine.dag.options import CarriedName, WorkflowOptions, options
from wfstore.model.dag import TaskOptions


@ray.remote
def add(left: int, right: int) -> int:
    return left + right


@task
def our_add(left: int, right: int) -> int:
    return left + right


ALL: dict[str, Any] = {
    "name": "add_task", "metadata": {"k": "v"}, "catch_exceptions": True, "checkpoint": False
}  # fmt: skip


def one(store: MemoryStore, node: Any) -> Any:
    (spec,) = store.build(node).tasks
    return spec


def check_all(spec: Any) -> None:
    assert spec.name == "add_task"
    assert spec.metadata == {"k": "v"}
    assert spec.options == TaskOptions(catch_exceptions=True, checkpoint=False)


def test_as_the_documents_show(store: MemoryStore) -> None:
    spec = one(store, add.options(**options(name="add_task", metadata={"task_k": "task_v"})).bind(10, 20))
    assert (spec.name, spec.metadata) == ("add_task", {"task_k": "task_v"})


def test_o2_three_spellings_and_ours(store: MemoryStore) -> None:
    def plain(left: int, right: int) -> int:
        return left + right

    check_all(one(store, add.options(**options(**ALL)).bind(1, 2)))
    check_all(one(store, ray.remote(**options(**ALL))(plain).bind(1, 2)))
    check_all(one(store, options(**ALL)(ray.remote(plain)).bind(1, 2)))
    check_all(one(store, our_add.options(**ALL).bind(1, 2)))
    check_all(one(store, task(**ALL)(plain).bind(1, 2)))
    check_all(one(store, options(**ALL)(task(plain)).bind(1, 2)))


def test_the_decorator_keeps_rays_options_and_leaves_the_original(store: MemoryStore) -> None:
    @ray.remote(num_cpus=2, max_retries=7)
    def plain() -> int:
        return 1

    decorated = options(name="x")(plain)
    spec = one(store, decorated.options(num_gpus=1).bind())
    assert spec.name == "x"
    assert spec.options == TaskOptions(max_retries=7, ray_options={"num_cpus": 2, "num_gpus": 1})
    assert one(store, plain.bind()).name.endswith(".plain")


def test_task_id_is_a_synonym(store: MemoryStore) -> None:
    assert one(store, add.options(**options(task_id="x")).bind(1, 2)).name == "x"
    assert one(store, our_add.options(name="a").options(task_id="x").bind(1, 2)).name == "x"
    with pytest.raises(ValueError, match=r"mean the same"):
        options(name="a", task_id="b")


def test_o3_layers_of_a_task_replace_key_by_key(store: MemoryStore) -> None:
    first = our_add.options(name="old", metadata={"a": 1}, num_cpus=1, max_retries=1)
    spec = one(store, first.options(metadata={"b": 2}, num_cpus=2).bind(1, 2))
    assert (spec.name, spec.metadata) == ("old", {"b": 2})
    assert spec.options == TaskOptions(max_retries=1, ray_options={"num_cpus": 2})
    assert our_add.settings == options()


def test_a_second_carrier_replaces_the_first(store: MemoryStore) -> None:
    named = options(name="a", metadata={"a": 1})(add)
    spec = one(store, named.options(**options(metadata={"b": 2})).bind(1, 2))
    assert (spec.name, spec.metadata) == (f"{__name__}.add", {"b": 2})


def test_o1_unknown_key() -> None:
    with pytest.raises(
        ValueError, match=r"Invalid option keywords \{'retries'\} for workflow tasks. Valid ones are"
    ) as e:
        options(retries=3)
    for key in ("name", "task_id", "metadata", "catch_exceptions", "checkpoint"):
        assert repr(key) in str(e.value)


@pytest.mark.parametrize("wrong", [{"name": ""}, {"name": 3}, {"name": "a\0"}, {"checkpoint": "yes"},
                                   {"catch_exceptions": 1}])  # fmt: skip
def test_wrong_values_are_named(wrong: dict[str, Any]) -> None:
    (key,) = wrong
    with pytest.raises(ValueError, match=key):
        options(**wrong)
    with pytest.raises(ValueError, match=key):
        our_add.options(**wrong)


def test_m6_metadata() -> None:
    with pytest.raises(ValueError, match=r"metadata must be a dict."):
        options(metadata="x")
    with pytest.raises(
        ValueError, match=r"metadata must be JSON serializable, instead, we got 'TypeError: .*lock"
    ) as e:
        options(metadata={"fine": 1, "offending": threading.Lock()})
    assert "'offending'" in str(e.value)
    with pytest.raises(ValueError, match=r"'nan'"):
        options(metadata={"nan": float("nan")})


def test_metadata_is_a_copy(store: MemoryStore) -> None:
    metadata: dict[Any, Any] = {"a": [1], 2: "two"}
    given = options(metadata=metadata)
    metadata["a"].append(2)
    assert given.metadata == {"a": [1], "2": "two"}


@pytest.mark.parametrize("module", [pickle, ray.cloudpickle])
def test_the_carrier_survives_pickling(module: Any) -> None:
    name = options(**ALL)["name"]
    again = module.loads(module.dumps(name))
    assert again == "add_task"
    assert isinstance(again, CarriedName)
    assert again.options == WorkflowOptions(**ALL)


def test_it_is_a_mapping_of_one_key_of_rays() -> None:
    assert dict(options()) == {"name": ""}
    assert "options(name='x')" in repr(options(name="x"))


@pytest.mark.parametrize("thing", [lambda: 1, 3, ray.remote(type("A", (), {}))])
def test_o2_only_on_remote_functions(thing: Any) -> None:
    with pytest.raises(ValueError, match=r"Only apply 'workflow.options' to Ray remote functions."):
        options(name="x")(thing)


def test_plain_names_of_ray_stay_rays(store: MemoryStore) -> None:
    spec = one(store, add.options(name="ray's").bind(1, 2))
    assert spec.name == f"{__name__}.add"
    assert spec.options.ray_options == {"name": "ray's"}
    assert one(store, add.options(**options(name="ray's")).bind(1, 2)).options.ray_options == {}


class TestRaysOptions:
    def test_t1_default_retries(self, store: MemoryStore) -> None:
        assert one(store, add.bind(1, 2)).options == TaskOptions(max_retries=3)
        assert one(store, our_add.bind(1, 2)).options == TaskOptions(max_retries=3)

    @pytest.mark.parametrize("make", [add.options, our_add.options])
    def test_retries_are_ours(self, store: MemoryStore, make: Any) -> None:
        spec = one(store, make(max_retries=10, retry_exceptions=True, num_cpus=0.5).bind(1, 2))
        assert spec.options == TaskOptions(max_retries=10, retry_exceptions=True, ray_options={"num_cpus": 0.5})

    @pytest.mark.parametrize("make", [add.options, our_add.options])
    def test_exception_types_are_a_payload(self, store: MemoryStore, make: Any) -> None:
        class Mine(Exception):
            pass

        retry = one(store, make(retry_exceptions=[ValueError, Mine]).bind(1, 2)).options.retry_exceptions
        assert ray.cloudpickle.loads(store.get(retry)) == (ValueError, Mine)

    def test_one_exception_type_will_do(self, store: MemoryStore) -> None:
        retry = one(store, our_add.options(retry_exceptions=KeyError).bind(1, 2)).options.retry_exceptions
        assert ray.cloudpickle.loads(store.get(retry)) == (KeyError,)

    @pytest.mark.parametrize("make", [add.options, our_add.options])
    def test_o5_options_that_are_not_json_travel_pickled(self, store: MemoryStore, make: Any) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        strategy = NodeAffinitySchedulingStrategy("0" * 56, soft=True)
        given = one(store, make(scheduling_strategy=strategy, resources={"a": 1}).bind(1, 2)).options
        assert given.ray_options == {"resources": {"a": 1}}
        odd = ray.cloudpickle.loads(store.get(given.ray_options_pickled))
        assert list(odd) == ["scheduling_strategy"]
        assert odd["scheduling_strategy"].node_id == strategy.node_id

    def test_max_calls_is_not_for_our_process(self, store: MemoryStore) -> None:
        @ray.remote(num_gpus=1)
        def on_gpu() -> None: ...

        assert one(store, on_gpu.bind()).options.ray_options == {"num_gpus": 1}

    @pytest.mark.parametrize("make", [add.options, our_add.options])
    def test_r6_one_return(self, store: MemoryStore, make: Any) -> None:
        with pytest.raises(ValueError, match=r"Workflow task can only have one return."):
            store.build(make(num_returns=2).bind(1, 2))
        assert one(store, make(num_returns=1).bind(1, 2)).options == TaskOptions()

    @pytest.mark.parametrize(
        "wrong", [{"num_cpu": 1}, {"num_cpus": "x"}, {"max_retries": -2}, {"retry_exceptions": [3]}, {"num_cpus": -1}]
    )
    def test_wrong_ones_are_named(self, wrong: dict[str, Any]) -> None:
        (key,) = wrong
        with pytest.raises(ValueError, match=f"Invalid option '{key}'"):
            our_add.options(**wrong)
        with pytest.raises(ValueError, match=f"Invalid option '{key}'"):
            task(**wrong)(lambda: 1)
