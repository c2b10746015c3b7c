"""Workflows that tasks of other workflows run and wait for."""

from __future__ import annotations

import pytest

from tests.engine.world import World, ids
from wfstore import workflow

pytestmark = pytest.mark.ray


@workflow.task
def nest(levels: int) -> int:
    return 0 if levels == 0 else workflow.run(nest.bind(levels - 1)) + 1


@workflow.task
def total(*values: int) -> int:
    return sum(values)


def test_a_task_that_waits_for_a_workflow_lends_it_its_cpu(world: World) -> None:
    assert workflow.run(nest.bind(4), workflow_id=ids()) == 4  # on two CPUs


def test_what_a_task_submits_does_not_wait_behind_its_like(world: World) -> None:
    """More of them at a time than attempts of one kind may be Ray tasks."""
    assert workflow.run(total.bind(*[nest.bind(1) for _ in range(24)]), workflow_id=ids()) == 24
