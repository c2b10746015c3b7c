"""Continuations without a running Ray, and the context of a task."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import ray

from wfstore.engine.context import TaskContext, current_task, inside_task
from wfstore.engine.dag.continuation import continuation, is_continuation, unwrap
from wfstore.engine.dag.node import task


@ray.remote
def remote(x: int) -> int:
    return x


@task
def ours(x: int) -> int:
    return x


@pytest.mark.parametrize("function", [remote, ours])
def test_c1_inside_a_task_it_is_the_graph(function: Any) -> None:
    node = function.bind(1)
    with inside_task("w", "t", 1):
        value = continuation(node)
    assert is_continuation(value)
    assert unwrap(value) is node
    assert is_continuation(node), "a bare node counts as well"


@pytest.mark.parametrize("value", [None, 1, remote, ours, [ours.bind(1)]])
def test_other_values_are_none(value: Any) -> None:
    assert not is_continuation(value)


@pytest.mark.parametrize("inside", [True, False])
def test_c2_not_a_dag(inside: bool) -> None:
    if inside:
        with inside_task("w", "t", 1), pytest.raises(TypeError, match=r"Input should be a DAG."):
            continuation(1)
    else:
        with pytest.raises(TypeError, match=r"Input should be a DAG."):
            continuation(1)


def test_context() -> None:
    seen: list[TaskContext | None] = []
    assert current_task() is None
    with inside_task("w", "t", 2) as context:
        assert context == current_task() == TaskContext("w", "t", 2)
        thread = threading.Thread(target=lambda: seen.append(current_task()))
        thread.start()
        thread.join()
    assert seen == [context]
    assert current_task() is None


def test_two_tasks_in_one_process() -> None:
    seen: list[TaskContext | None] = []
    with inside_task("a", "t", 1), inside_task("b", "t", 1) as inner:
        assert current_task() == inner
        thread = threading.Thread(target=lambda: seen.append(current_task()))
        thread.start()
        thread.join()
    assert seen == [None], "a thread of its own belongs to neither for sure"
