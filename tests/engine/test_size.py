"""Large graphs: ten thousand tasks in a row, and ten thousand into one."""

from __future__ import annotations

import time
from typing import Any

import pytest
import ray

import wfstore
from tests.engine.conftest import MakeWorld
from wfstore import workflow

pytestmark = [pytest.mark.ray, pytest.mark.slow]

N = 10_000


@ray.remote
def add_one(value: int) -> int:
    return value + 1


@ray.remote
def count(*values: int) -> int:
    return len(values)


def chain() -> Any:
    node: Any = 0
    for _ in range(N):
        node = add_one.bind(node)
    return node


def test_ten_thousand_in_a_row_and_into_one(make_world: MakeWorld) -> None:
    world = make_world()
    began = time.perf_counter()
    deep = workflow.run_async(chain(), workflow_id="deep")
    wide = workflow.run_async(count.bind(*[add_one.bind(i) for i in range(N)]), workflow_id="wide")
    submitted_s = time.perf_counter() - began
    assert ray.get([deep, wide], timeout=280) == [N, N]
    store = wfstore.open(world.storage)
    assert store.workflows(order_by="workflow_id")["tasks_done"].to_list() == [N, N + 1]
    assert submitted_s < 60
