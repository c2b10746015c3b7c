"""One local Ray and one manager for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray

from tests.engine.world import start_ray
from wfstore import workflow


@pytest.fixture(scope="package")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = str(tmp_path_factory.mktemp("review") / "store")
    start_ray()
    workflow.init(storage=path)
    yield path
    ray.shutdown()
