"""One local Ray for all tests of this folder, and worlds (storage and manager) for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.world import World, local_ray

ROOT = Path(__file__).parents[2]
MakeWorld = Callable[..., World]


@pytest.fixture(scope="package")
def cluster() -> Iterator[None]:
    with local_ray():
        yield


@pytest.fixture(scope="module")
def shared_world(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("world"))
    yield world
    world.stop()


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    """A running manager that the tests of one module share: ids must be their own. Checked after each of them."""
    shared_world.use()
    yield shared_world
    shared_world.calm()
    shared_world.check()


@pytest.fixture
def make_world(cluster: None, tmp_path: Path) -> Iterator[MakeWorld]:
    """Makes worlds that belong to one test: empty at first, with limits of their own, or to be killed."""
    made: list[World] = []

    def make(**limits: Any) -> World:
        folder = tmp_path / f"world{len(made)}"
        folder.mkdir()
        made.append(World(folder, **limits))
        return made[-1]

    yield make
    for world in made:
        world.stop()


@pytest.fixture
def own_world(make_world: MakeWorld) -> World:
    """A world that belongs to one test."""
    return make_world()
