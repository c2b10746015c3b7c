"""Limits of a running manager, from every side; they are kept with the store, and the next manager has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ray

import wfstore
from tests.engine.conftest import MakeWorld
from tests.engine.world import World
from wfstore import errors, workflow
from wfstore.model.events import CONFIG_SET

pytestmark = pytest.mark.ray


@ray.remote
def make(size: int) -> bytes:
    return b"x" * size


@ray.remote
def same(value: Any) -> Any:
    return value


@ray.remote
def together(*values: bytes) -> bytes:
    return b"".join(values)


def several(count: int) -> Any:
    """So many tasks, and one more."""
    return together.bind(*(make.bind(1) for _ in range(count)))


@ray.remote
def grow(count: int) -> Any:
    return workflow.continuation(several(count))


@pytest.fixture
def limited(own_world: World) -> World:
    limits = {"max_tasks": 4, "max_metadata_bytes": 100, "max_payload_bytes": 100_000, "max_event_bytes": 50_000}
    workflow.init(limits=limits)
    return own_world


def payload_files(world: World) -> int:
    return sum(path.is_file() for path in Path(world.storage, "payloads").rglob("*"))


def test_each_is_refused_before_anything_is_written(limited: World) -> None:
    assert workflow.run(same.bind(make.bind(1)), workflow_id="fits", metadata={"k": "v"}) == b"x"
    seq, files = limited.seq(), payload_files(limited)
    for dag, metadata, limit in (
        (several(4), None, "max_tasks"),
        (make.bind(1), {"k": "v" * 100}, "max_metadata_bytes"),
        (same.bind(b"y" * 200_000), None, "max_payload_bytes"),
        (make.options(**workflow.options(metadata={"k": "v" * 100})).bind(1), None, "max_metadata_bytes"),
    ):
        with pytest.raises(errors.LimitExceededError) as error:
            workflow.run_async(dag, workflow_id="refused", metadata=metadata)
        assert error.value.limit == limit and limit in str(error.value)
    assert limited.seq() == seq
    assert payload_files(limited) <= files + 1, "but the body of a function that was new"
    with pytest.raises(workflow.exceptions.WorkflowNotFoundError):
        workflow.get_status("refused")


def test_what_a_task_makes_fails_its_attempt(limited: World) -> None:
    for dag, words in (
        (make.bind(200_000), "max_payload_bytes allows 100,000"),
        (grow.bind(5), "max_tasks allows 4"),
    ):
        with pytest.raises(workflow.WorkflowExecutionError) as error:
            workflow.run(dag)
        assert isinstance(error.value.__cause__, errors.LimitExceededError)
        assert words in str(error.value.__cause__)
    assert workflow.run(grow.bind(2)) == b"xx"


def test_they_are_the_next_managers_too(make_world: MakeWorld) -> None:
    world = make_world()
    workflow.init(limits={"max_open_workflows": 1, "max_tasks": 2})
    ray.kill(world.handle, no_restart=False)
    with pytest.raises(errors.LimitExceededError, match="max_tasks"):
        workflow.run(several(2))
    assert world.describe()["limits"]["max_open_workflows"] == 1
    last = world.events(CONFIG_SET)[-1]
    assert last.attribute("limits") == {"max_open_workflows": 1, "max_tasks": 2}
    workflow.init(limits={"max_tasks": None})
    assert workflow.run(several(2)) == b"xx"
    assert wfstore.open(world.storage).verify().ok


def test_open_workflows(make_world: MakeWorld) -> None:
    world = make_world()
    workflow.init(limits={"max_open_workflows": 1})
    ref = workflow.run_async(workflow.sleep(600), workflow_id="open")
    with pytest.raises(errors.LimitExceededError, match="workflows that run or wait: 2 workflows"):
        workflow.run(make.bind(1))
    workflow.cancel("open")
    assert workflow.run(make.bind(1)) == b"x"
    assert ref is not None and world.describe()["limits"]["max_open_workflows"] == 1


def test_a_large_event(limited: World) -> None:
    """Many arguments of a little more than half of what may stand in an event."""
    workflow.init(limits={"max_event_bytes": 5_000})
    with pytest.raises(errors.LimitExceededError, match=r"event task\.defined of workflow 'large'.*max_event_bytes"):
        workflow.run(same.bind(b"z" * 6_000), workflow_id="large")
    with pytest.raises(workflow.WorkflowExecutionError) as error:
        workflow.run(make.bind(6_000))
    assert isinstance(error.value.__cause__, errors.LimitExceededError)


def test_wrong_ones(own_world: World) -> None:
    with pytest.raises(ValueError, match="there is no limit 'tasks'"):
        workflow.init(limits={"tasks": 1})
    with pytest.raises(TypeError):
        workflow.init(limits={"max_tasks": 1.5})  # type: ignore[dict-item]
