"""One local Ray with a (logical) GPU, a store and a manager per test, and the two faces that older programs have."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from typing import Any

import pytest
import ray

from tests.documents.faces import FACES
from tests.engine.conftest import ROOT, make_world, own_world
from tests.engine.world import World, start_ray

__all__ = ["cluster", "make_world", "older", "own_world"]


@pytest.fixture(scope="package")
def cluster() -> Iterator[None]:
    """Example 2 asks for a GPU; Ray counts what it is told, so no card is needed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
        start_ray(num_gpus=1)
        yield
        ray.shutdown()


@pytest.fixture(params=FACES)
def older(request: pytest.FixtureRequest, own_world: World) -> Any:
    """What a program of the older generation imports as `workflow`: once from wfstore, once from wfstore.legacy."""
    return importlib.import_module(f"{request.param}.workflow")
