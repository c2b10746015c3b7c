"""Section 8: errors and catch_exceptions."""

from __future__ import annotations

import os
import pickle
import re
import signal
from typing import Any

import pytest
import ray

from tests.catalogue.items import item
from tests.catalogue.tasks import add, boom, factorial, failed, go_on, hold, identity, named, started
from tests.engine.world import World, eventually, executions
from wfstore import workflow

pytestmark = pytest.mark.ray

CATCH = workflow.options(catch_exceptions=True)


@item("E1", "a failed task fails run and ray.get with WorkflowExecutionError, whose cause is the task's own error")
def test_E1_run(world: World) -> None:
    text = re.escape("Workflow[id=e1] failed during execution.")
    with pytest.raises(workflow.WorkflowExecutionError, match=text) as caught:
        workflow.run(identity.bind(boom.bind("because")), workflow_id="e1")
    assert isinstance(caught.value.__cause__, ValueError)
    assert "because" in str(caught.value.__cause__)
    assert workflow.get_status("e1") == "FAILED"
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, workflow.WorkflowExecutionError) and str(again) == str(caught.value)


@item("E1")
def test_E1_ray_get(world: World) -> None:
    ref = workflow.run_async(boom.bind("because"), workflow_id="e1-async")
    with pytest.raises(workflow.WorkflowExecutionError, match=r"Workflow\[id=e1-async\] failed during execution"):
        ray.get(ref)


@item("E1")
def test_E1_also_a_RaySystemError_as_the_documents_print_it(world: World) -> None:
    with pytest.raises(ray.exceptions.RaySystemError):
        workflow.run(boom.bind(), workflow_id="e1-system")


@item("E2", "catch_exceptions=True: (result, None) or (None, the error), which is an instance of its class")
def test_E2_catch(world: World) -> None:
    assert workflow.run(identity.options(**CATCH).bind(5)) == (5, None)
    value, error = workflow.run(boom.options(**CATCH).bind("caught"))
    assert value is None
    assert isinstance(error, ValueError)
    assert "caught" in str(error)
    assert workflow.run(identity.bind(boom.options(**CATCH).bind()))[0] is None, "it flows on as a value"


@item("E3", "retries are used up first, then the error is caught")
def test_E3_retries_first(world: World) -> None:
    log = world.file("e3")

    @ray.remote
    def flaky(log: str, until: int) -> str:
        with open(log, "a") as file:
            file.write("x\n")
        if executions(type(world.folder)(log))["x"] < until:
            raise ValueError("flaky")
        return "done"

    caught = flaky.options(max_retries=2, retry_exceptions=True, **CATCH)
    assert workflow.run(caught.bind(str(log), 3)) == ("done", None)
    other = world.file("e3-other")
    assert isinstance(workflow.run(caught.bind(str(other), 9))[1], ValueError)
    assert executions(other)["x"] == 3


@item("E4", "catch covers the whole tree of continuations under the catcher, and wraps a success exactly once")
def test_E4_continuations(world: World) -> None:
    @ray.remote
    def deep(n: int, fails: bool) -> Any:
        if n:
            return workflow.continuation(deep.bind(n - 1, fails))
        if fails:
            raise ValueError("deep down")
        return 10

    @ray.remote
    def side(fails: bool) -> Any:
        return workflow.continuation(add.bind(boom.bind("at the side"), deep.bind(2, fails)))

    assert workflow.run(deep.options(**CATCH).bind(5, False)) == (10, None)
    for dag in (deep.options(**CATCH).bind(5, True), side.options(**CATCH).bind(False)):
        value, error = workflow.run(dag)
        assert value is None and isinstance(error, ValueError)


@item(
    "E5",
    "an inner catcher that says False does not wrap a success, but the outer one still catches its failure; an "
    "inner one "
    "that says True catches first",
)
def test_E5_inner_and_outer(world: World) -> None:
    @ray.remote
    def outer(inner: bool | None, fails: bool) -> Any:
        task = boom if fails else factorial
        args = () if fails else (3,)
        return workflow.continuation(task.options(**workflow.options(catch_exceptions=inner)).bind(*args))

    run = outer.options(**CATCH)
    assert workflow.run(run.bind(None, False)) == (6, None)
    assert workflow.run(run.bind(False, False)) == 6
    value, error = workflow.run(run.bind(False, True))
    assert value is None and isinstance(error, ValueError)
    value, error = workflow.run(run.bind(None, True))
    assert value is None and isinstance(error, ValueError)


@item("E6", "a crash is not caught: with its retries used up the workflow fails")
@pytest.mark.fault
def test_E6_crashes_are_not_caught(world: World) -> None:
    @ray.remote
    def crash() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    failed(crash.options(max_retries=0, **CATCH).bind(), "e6")
    assert workflow.get_status("e6") == "FAILED"


@item(
    "E7",
    "a caught error is kept: get_output and resume give (None, error) and run nothing",
    ours="before, it was lost: get_output raised, and resume ran the task again",
)
def test_E7_a_caught_error_is_kept(world: World) -> None:
    log = world.file("e7")

    @ray.remote
    def boom_noted(log: str) -> None:
        with open(log, "a") as file:
            file.write("x\n")
        raise ValueError("kept")

    workflow.run(boom_noted.options(**CATCH).bind(str(log)), workflow_id="e7")
    assert workflow.get_status("e7") == "SUCCESSFUL"
    for again in (workflow.get_output("e7"), workflow.resume("e7"), workflow.run(identity.bind(1), workflow_id="e7")):
        assert again[0] is None and isinstance(again[1], ValueError) and "kept" in str(again[1])
    assert executions(log) == {"x": 1}


@item("E8", "after a failure tasks that run are left alone, and their outputs are kept")
def test_E8_others_are_left_alone(world: World) -> None:
    folder = str(world.folder)
    held = named(hold, "held").bind(folder, "e8", "kept")
    ref = workflow.run_async(identity.bind([held, named(boom_after, "boom").bind(folder)]), workflow_id="e8")
    started(world, "e8")
    (world.folder / "e8-boom").touch()
    with pytest.raises(workflow.WorkflowExecutionError):
        ray.get(ref, timeout=30)
    assert workflow.get_status("e8") == "FAILED"
    go_on(world, "e8")
    eventually(lambda: world.task_statuses("e8")["held"] == "SUCCESSFUL", "it ends and is kept")
    assert workflow.get_output("e8", task_id="held") == "kept"


@ray.remote
def boom_after(folder: str) -> None:
    import time

    while not os.path.exists(os.path.join(folder, "e8-boom")):
        time.sleep(0.02)
    raise ValueError("boom")


@item("E9", "the death of a worker, with its retries used up, leads to FAILED, and a resume goes on from there")
@pytest.mark.fault
def test_E9_worker_death(world: World) -> None:
    flag = world.file("e9")

    @ray.remote
    def dies(flag: str) -> str:
        if not os.path.exists(flag):
            os.kill(os.getpid(), signal.SIGKILL)
        return "alive"

    failed(dies.options(max_retries=1).bind(str(flag)), "e9")
    assert workflow.get_status("e9") == "FAILED"
    flag.touch()
    assert workflow.resume("e9") == "alive"
