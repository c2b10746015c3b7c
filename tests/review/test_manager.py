"""What a review of the manager found, on a real Ray."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
import ray

from wfstore import workflow

pytestmark = pytest.mark.ray
_LARGE = 300_000


@workflow.task
def large(tag: int, seconds: float, mark: str | None = None) -> list[int]:
    time.sleep(seconds)
    if mark is not None:
        Path(mark).touch()
    return [tag] * _LARGE


@workflow.task
def fails() -> None:
    raise ValueError("on purpose")


@workflow.task
def same(value: Any, *after: Any) -> Any:
    return value


@workflow.task
def first(values: list[int], *after: Any) -> int:
    return values[0]


@workflow.task
def later(seconds: float) -> None:
    time.sleep(seconds)


@workflow.task(max_retries=0)
def dies() -> None:
    os._exit(1)


def test_a_deleted_workflow_lends_no_value_to_its_successor(storage: str, tmp_path: Path) -> None:
    late = tmp_path / "late"
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(same.bind(large.bind(1, 2.5, str(late)), fails.bind()), workflow_id="successor")
    workflow.delete("successor")

    assert workflow.run(first.bind(large.bind(2, 0), later.bind(3.5)), workflow_id="successor") == 2
    assert not late.exists()


def test_options_that_ray_refuses_are_an_error_that_can_be_caught(storage: str) -> None:
    refused = same.options(catch_exceptions=True, scheduling_strategy="NONE_SUCH").bind(1)
    value, error = workflow.run(same.bind(refused), workflow_id="refused")
    assert value is None
    assert isinstance(error, ValueError)


def test_the_death_of_a_worker_is_the_cause_that_the_caller_gets(storage: str) -> None:
    with pytest.raises(workflow.WorkflowExecutionError) as caught:
        workflow.run(dies.bind(), workflow_id="dies")
    assert isinstance(caught.value.__cause__, ray.exceptions.WorkerCrashedError)


def test_a_reference_tells_which_task_failed_and_why(storage: str) -> None:
    ref = workflow.run_async(fails.bind(), workflow_id="told")
    with pytest.raises(workflow.WorkflowExecutionError, match="fails: ValueError: on purpose"):
        ray.get(ref)
