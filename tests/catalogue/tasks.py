"""Tasks that many items share, and short ways to build them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import ray

from tests.engine.programs.tasks import note
from tests.engine.world import World, eventually
from wfstore import workflow


@ray.remote
def one() -> int:
    return 1


@ray.remote
def identity(value: Any) -> Any:
    return value


@ray.remote
def add(*values: Any) -> Any:
    return sum(values)


@ray.remote
def boom(text: str = "boom") -> None:
    raise ValueError(text)


@ray.remote
def noted(log: str, name: str, value: Any = None, *after: Any) -> Any:
    """Say that it ran; give back the value."""
    note(log, name)
    return value


@ray.remote
def fragile(log: str, name: str, flag: str, value: Any = None) -> Any:
    """Fails while the flag file is missing."""
    note(log, name)
    if not os.path.exists(flag):
        raise ValueError(f"{name}: not yet")
    return value


@ray.remote
def hold(folder: str, name: str, value: Any = None, *after: Any) -> Any:
    """Say that it runs (file NAME-on), wait for NAME-go, then return the value."""
    Path(folder, f"{name}-on").touch()
    while not Path(folder, f"{name}-go").exists():
        time.sleep(0.02)
    return value


@ray.remote
def factorial(n: int, product: int = 1) -> Any:
    return product if n <= 1 else workflow.continuation(factorial.bind(n - 1, product * n))


def started(world: World, name: str, timeout_s: float = 30) -> None:
    eventually((world.folder / f"{name}-on").exists, f"{name} runs", timeout_s)


def go_on(world: World, *names: str) -> None:
    for name in names:
        (world.folder / f"{name}-go").touch()


def named(function: Any, name: str, **options: Any) -> Any:
    return function.options(**workflow.options(task_id=name, **options))


def failed(dag: Any, workflow_id: str | None = None) -> workflow.WorkflowExecutionError:
    """Run what is to fail; its error."""
    try:
        workflow.run(dag, workflow_id=workflow_id)
    except workflow.WorkflowExecutionError as error:
        return error
    raise AssertionError(f"{workflow_id} did not fail")
