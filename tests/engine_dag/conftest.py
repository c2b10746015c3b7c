from __future__ import annotations

import pytest

from tests.engine_dag.dag_tools import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()
