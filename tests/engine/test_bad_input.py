"""Bad input: user code and user values that misbehave, and storage that cannot be used."""

from __future__ import annotations

import json
import os
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from tests.engine.world import World, ids
from wfstore import errors, workflow
from wfstore.engine import client
from wfstore.log import verify

pytestmark = pytest.mark.ray


@ray.remote
def identity(value: Any = None) -> Any:
    return value


def unharmed(world: World, pid: int) -> None:
    """The same manager process goes on working."""
    assert workflow.run(identity.bind(5)) == 5
    assert world.describe()["pid"] == pid


@workflow.task
def our_identity(value: Any = None) -> Any:
    return value


@pytest.mark.parametrize("kind", ["lock", "generator", "deep"])
def test_arguments_that_cannot_be_pickled_are_refused(world: World, kind: str) -> None:
    thing: Any = {"lock": threading.Lock(), "generator": (n for n in range(3)), "deep": []}[kind]
    if kind == "deep":
        for _ in range(100_000):
            thing = [thing]
    seq = world.seq()
    for args, kwargs in (((thing,), {}), (([thing],), {}), ((), {"value": thing})):
        # Ray's own nodes look into their arguments as they are made.
        with pytest.raises((TypeError, pickle.PicklingError)):
            workflow.run(identity.bind(*args, **kwargs), workflow_id="bad-argument")
        with pytest.raises(TypeError, match="our_identity"):
            workflow.run(our_identity.bind(*args, **kwargs), workflow_id="bad-argument")
    with pytest.raises(workflow.WorkflowNotFoundError):
        workflow.get_status("bad-argument")
    assert world.seq() == seq


@pytest.mark.parametrize("kind", ["lock", "generator", "raises"])
def test_results_that_cannot_be_pickled_fail_the_attempt(world: World, kind: str) -> None:
    @ray.remote
    def bad(kind: str) -> Any:
        class Raises:
            def __reduce__(self) -> Any:
                raise RuntimeError("no pickle")

        made: dict[str, Any] = {"lock": threading.Lock(), "generator": (n for n in range(3)), "raises": Raises()}
        return made[kind]

    pid, name = world.describe()["pid"], ids("result")
    with pytest.raises(workflow.WorkflowExecutionError) as caught:
        workflow.run(bad.bind(kind), workflow_id=name)
    assert caught.value.__cause__ is not None
    ((_, failed_kind, error_type),) = world.errors(name)
    assert failed_kind == "serialization"
    assert error_type
    unharmed(world, pid)


def test_a_result_that_cannot_be_unpickled_harms_only_who_reads_it(world: World) -> None:
    @ray.remote
    def poison() -> Any:
        class Poison:
            def __reduce__(self) -> Any:
                return eval, ("1/0",)

        return Poison()

    pid, name = world.describe()["pid"], ids("poison")
    with pytest.raises(ZeroDivisionError):
        workflow.run(poison.bind(), workflow_id=name)
    assert workflow.get_status(name) == "SUCCESSFUL"
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(identity.bind(poison.bind()), workflow_id=name + "-2")
    assert world.errors(name + "-2")[0][1] == "serialization"
    unharmed(world, pid)


@pytest.mark.parametrize("end", ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "BaseException"])
def test_exits_in_user_code_fail_the_attempt(world: World, end: str) -> None:
    @ray.remote
    def leaves(end: str) -> None:
        import builtins

        raise getattr(builtins, end)(3)

    pid, name = world.describe()["pid"], ids("exit")
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(leaves.bind(end), workflow_id=name)
    assert [found[1:] for found in world.errors(name)] == [("app", end)]
    unharmed(world, pid)


@pytest.mark.fault
def test_os_exit_in_user_code(world: World) -> None:
    @ray.remote(max_retries=1)
    def leaves() -> None:
        os._exit(0)

    pid, name = world.describe()["pid"], ids("os-exit")
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(leaves.bind(), workflow_id=name)
    assert [kind for _, kind, _ in world.errors(name)] == ["system", "system"]
    assert world.events("workflow.failed", name)[0].error_message
    unharmed(world, pid)


def test_odd_texts_in_errors(world: World) -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text either")

    @ray.remote
    def raises(kind: str) -> None:
        if kind == "str":
            raise Odd
        raise ValueError({"surrogate": "\udc80 lone", "nul": "a\0b", "long": "x" * 100_000}[kind])

    pid = world.describe()["pid"]
    for kind in ("str", "surrogate", "nul", "long"):
        name = ids("odd")
        with pytest.raises(workflow.WorkflowExecutionError):
            workflow.run(raises.bind(kind), workflow_id=name)
        assert len(world.events("workflow.failed", name)[0].error_message or "") <= 2_000
    unharmed(world, pid)


def test_an_exception_that_cannot_be_loaded_again(world: World) -> None:
    @ray.remote
    def raises() -> None:
        class Odd(Exception):
            def __reduce__(self) -> Any:
                return eval, ("1/0",)

        raise Odd("gone")

    pid, name = world.describe()["pid"], ids("unloadable")
    with pytest.raises(workflow.WorkflowExecutionError) as caught:
        workflow.run(raises.bind(), workflow_id=name)
    assert "gone" in str(caught.value.__cause__)
    unharmed(world, pid)


def test_a_result_of_many_megabytes_does_not_pass_through_the_manager(own_world: World) -> None:
    @ray.remote
    def big(size: int) -> Any:
        return np.ones(size, dtype=np.uint8)

    @ray.remote
    def length(value: Any) -> int:
        return int(value.sum())

    size = 500_000_000
    assert workflow.run(identity.bind(1)) == 1
    before = own_world.describe()
    assert workflow.run(length.bind(big.options(**workflow.options(name="big")).bind(size)), workflow_id="big") == size
    after = own_world.describe()
    assert after["rss_bytes"] - before["rss_bytes"] < 50_000_000
    assert after["pid"] == before["pid"]
    (event,) = [found for found in own_world.events("attempt.succeeded", "big") if found.task_id == "big"]
    assert size <= (event.bytes or 0) < size + 10_000


# -- storage ---------------------------------------------------------------------------------------------------------


def refused(world: World, storage: str | Path, error: type[errors.StorageError]) -> str:
    """What workflow.init says about it; the manager of `world` goes on as if nothing had been."""
    pid = world.describe()["pid"]
    with pytest.raises(error) as caught:
        workflow.init(storage=storage, namespace=ids("refused"))
    text = str(caught.value)
    assert str(storage) in text
    assert "\n" not in text.strip()
    world.use()
    unharmed(world, pid)
    return text


def test_a_file_where_the_storage_should_be(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    refused(world, tmp_path / "file", errors.StorageError)
    assert (tmp_path / "file").read_text() == "not a folder"
    refused(world, tmp_path / "file" / "below", errors.StorageError)


def test_a_place_where_nothing_can_be_written(world: World) -> None:
    refused(world, "/proc/wfstore", errors.StorageError)
    refused(world, "/sys/wfstore", errors.StorageError)


def test_a_store_of_a_newer_format(world: World, tmp_path: Path) -> None:
    storage = tmp_path / "newer"
    workflow.init(storage=storage, namespace=ids("first"))
    link = client.current()
    assert link is not None
    link.call("stop")
    ray.kill(ray.get_actor("WorkflowManagementActor", link.namespace))
    witness = json.loads((storage / "store.json").read_text())
    assert verify(str(storage)).ok
    witness["format"] += 1
    del witness["crc"]
    (storage / "store.json").write_text(json.dumps(witness))
    before = sorted(path.name for path in (storage / "log").iterdir())
    refused(world, storage, errors.StorageVersionError)
    assert sorted(path.name for path in (storage / "log").iterdir()) == before


def test_another_kind_of_storage(world: World) -> None:
    refused(world, "gs://bucket/path", errors.StorageError)


def test_an_empty_or_impossible_path(world: World) -> None:
    for storage in ("", "a\0b"):
        with pytest.raises(errors.StorageError):
            workflow.init(storage=storage, namespace=ids("refused"))
    world.use()


def test_a_missing_folder_is_made(make_world: Any, tmp_path: Path) -> None:
    world = make_world()
    assert Path(world.storage).is_dir()
    assert workflow.run(identity.bind(1)) == 1
