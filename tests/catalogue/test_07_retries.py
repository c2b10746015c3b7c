"""Section 7: retries. T7 is the older generation's: see test_23_older."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.catalogue.items import item
from tests.catalogue.tasks import add
from tests.engine.world import World, executions, ids
from wfstore import workflow

pytestmark = [pytest.mark.ray, pytest.mark.fault]


@ray.remote
def staged(path: str, script: str) -> str:
    """Attempt n does what letter n of the script says: k SIGKILL, x ValueError, else succeed."""
    with open(path, "a") as file:
        file.write("x\n")
    action = script[Path(path).read_text().count("\n") - 1 :][:1]
    if action == "k":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "x":
        raise ValueError(script)
    return "done"


def run_staged(world: World, script: str, **options: Any) -> tuple[str, int]:
    """(result, or FAILED; number of executions)."""
    path, name = world.file(ids("staged")), ids("t")
    try:
        result = workflow.run(staged.options(**options).bind(str(path), script), workflow_id=name)
    except workflow.WorkflowExecutionError:
        result = str(workflow.get_status(name))
    return result, executions(path)["x"]


@item("T1", "max_retries counts retries, 3 by default: with 10 the 11th attempt may succeed")
def test_T1_retries_are_counted(world: World) -> None:
    assert run_staged(world, "x" * 10, max_retries=10, retry_exceptions=True) == ("done", 11)
    assert run_staged(world, "x" * 11, max_retries=10, retry_exceptions=True) == ("FAILED", 11)
    assert run_staged(world, "xxx", retry_exceptions=True) == ("done", 4)
    assert run_staged(world, "xxxx", retry_exceptions=True) == ("FAILED", 4)


@item("T2", "exceptions are retried with retry_exceptions only, a killed worker always; one counter for both")
def test_T2_one_counter(world: World) -> None:
    assert run_staged(world, "kxkx", max_retries=4, retry_exceptions=True) == ("done", 5)
    assert run_staged(world, "kxkxk", max_retries=4, retry_exceptions=True) == ("FAILED", 5)


@item("T3", "without retry_exceptions an exception fails at once, also after a crash; a crash alone is retried")
def test_T3_crashes_only(world: World) -> None:
    assert run_staged(world, "x") == ("FAILED", 1)
    assert run_staged(world, "k", retry_exceptions=False) == ("done", 2)
    assert run_staged(world, "kx", retry_exceptions=False) == ("FAILED", 2)


@item("T4", "max_retries=0 is exactly one execution, and asking for the output runs nothing")
def test_T4_zero(world: World) -> None:
    path = world.file("t4")
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(staged.options(max_retries=0, retry_exceptions=True).bind(str(path), "x"), workflow_id="t4")
    for _ in range(5):
        with pytest.raises(ValueError):
            workflow.get_output("t4")
        assert workflow.get_status("t4") == "FAILED"
    assert path.read_text() == "x\n"
    assert run_staged(world, "k", max_retries=0) == ("FAILED", 1)


@item("T5", "Ray itself runs nothing again: a lost object is read from the store, not rebuilt by lineage")
def test_T5_no_lineage(world: World) -> None:
    log = world.file("t5")

    @ray.remote
    def big(log: str) -> tuple[int, bytes]:
        with open(log, "a") as file:
            file.write("big\n")
        return os.getpid(), b"x" * 2_000_000

    @ray.remote
    def use(pair: tuple[int, bytes]) -> int:
        return len(pair[1])

    @ray.remote
    def kill(pair: tuple[int, bytes]) -> int:
        os.kill(pair[0], signal.SIGKILL)
        return 0

    node = big.options(max_retries=5).bind(str(log))
    killed = kill.options(max_retries=5).bind(node)
    try:
        workflow.run(add.bind(killed, use.bind(node)), workflow_id="t5")
    except workflow.WorkflowExecutionError:  # where `kill` ran in the worker that it kills, over and over
        pass
    assert executions(log) == {"big": 1}


@item("T6", "max_retries=-1 is never retried; less is Ray's own ValueError")
def test_T6_minus_one(world: World) -> None:
    assert run_staged(world, "k", max_retries=-1) == ("FAILED", 1)
    assert run_staged(world, "x", max_retries=-1, retry_exceptions=True) == ("FAILED", 1)
    with pytest.raises(ValueError):
        staged.options(max_retries=-2)
