"""Section 23, and what other sections say about the older generation alone: steps, wait, allow_inplace.

Where the generations differ in return types, `wfstore.legacy.workflow` has the older ones (section 24).
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.catalogue.items import item
from tests.catalogue.tasks import go_on, identity, started
from tests.engine.world import World, eventually, executions
from wfstore import workflow
from wfstore.legacy import workflow as legacy

pytestmark = pytest.mark.ray


def _note(path: str, name: str) -> None:
    with open(path, "a") as file:
        file.write(name + "\n")


@workflow.step
def same(value: Any) -> Any:
    return value


@workflow.step
def total(values: Any) -> Any:
    return sum(values)


@workflow.step
def noted(log: str, name: str, value: Any = None) -> Any:
    _note(log, name)
    return value


@workflow.step
def held(folder: str, name: str, value: Any = None) -> Any:
    Path(folder, f"{name}-on").touch()
    while not Path(folder, f"{name}-go").exists():
        time.sleep(0.02)
    return value


@workflow.step
def collect(*values: Any) -> Any:
    return list(values)


@item("D6", "older: a workflow inside a container arrives as its value, and one given twice is one object")
def test_D6_values_inside_containers(world: World) -> None:
    assert total.step([same.step(n) for n in (1, 2, 3)]).run() == 6
    assert same.step({"a": [same.step(1)], "b": (same.step(2),)}).run() == {"a": [1], "b": (2,)}

    @workflow.step
    def shared(x: list[int], y: list[int], inside: list[list[int]]) -> list[Any]:
        x.append(4)
        return [y, x is y, inside[0] is x]

    value = same.step([1])
    assert shared.step(value, value, [value]).run() == [[1, 4], True, True]


@item("D7", 'older: a workflow that has not run refuses to be pickled: ValueError "... objects are not serializable"')
def test_D7_not_serializable(world: World) -> None:
    step = same.step(1)
    with pytest.raises(ValueError, match="objects are not serializable"):
        ray.put(step)
    with pytest.raises(ValueError, match="objects are not serializable"):
        ray.get(ray.remote(lambda value: value).remote(step))


@item("T7", "older: max_retries is for application errors, 3 by default and always retried")
def test_T7_application_errors_are_retried(world: World) -> None:
    log = world.file("t7")

    @workflow.step
    def fails(log: str, name: str, until: int = 99) -> str:
        _note(log, name)
        if executions(Path(log))[name] < until:
            raise ValueError("not yet")
        return "done"

    value, error = fails.options(max_retries=3, catch_exceptions=True).step(str(log), "caught").run()
    assert value is None and isinstance(error, ValueError)
    assert executions(log)["caught"] == 4
    assert fails.step(str(log), "default", 4).run() == "done"
    with pytest.raises(workflow.WorkflowExecutionError):
        fails.options(max_retries=0).step(str(log), "none").run()
    assert executions(log)["none"] == 1


@item(
    "S23a",
    "workflow.wait: (values of those ready, the others) in the order given; durable, also across a crash; the "
    "others can "
    "be waited for again and resolve as values",
)
def test_S23a_wait(world: World) -> None:
    folder = str(world.folder)
    log = str(world.file("s23a"))

    @workflow.step
    def first_then_rest(pair: tuple[list[Any], list[Any]], folder: str, log: str) -> Any:
        ready, rest = pair
        _note(log, f"ready-{ready}".replace(" ", ""))
        Path(folder, "s23a-slow-go").touch()
        return collect.step(ready, rest)

    workflows = [held.step(folder, "s23a-slow", "slow"), noted.step(log, "fast", "fast")]
    dag = first_then_rest.step(workflow.wait(workflows, num_returns=1), folder, log)
    assert dag.run("s23a") == [["fast"], ["slow"]]
    assert executions(Path(log))["ready-['fast']"] == 1
    assert workflow.get_status("s23a") == "SUCCESSFUL"


@item("S23a")
def test_S23a_as_the_whole_workflow_and_with_a_timeout(world: World) -> None:
    folder = str(world.folder)
    ready, rest = workflow.run(workflow.wait([same.step(n) for n in range(3)], num_returns=3))
    assert (ready, rest) == ([0, 1, 2], [])

    @workflow.step
    def how_many(pair: tuple[list[Any], list[Any]]) -> tuple[int, int]:
        return len(pair[0]), len(pair[1])

    waiting = workflow.wait([held.step(folder, "s23a-never"), same.step(1)], num_returns=2, timeout=1.0)
    assert how_many.step(waiting).run() == (1, 1)
    go_on(world, "s23a-never")
    for wrong in ([1], same.step(1), "x"):
        with pytest.raises(TypeError, match=re.escape("The input of workflow.wait should be a list of workflows.")):
            workflow.wait(wrong)  # type: ignore[arg-type]


@item("S23a")
@pytest.mark.fault
def test_S23a_the_choice_survives_a_crash(own_world: World) -> None:
    folder, log = str(own_world.folder), str(own_world.file("log"))

    @workflow.step
    def tells(pair: tuple[list[Any], list[Any]], folder: str, log: str) -> Any:
        _note(log, str(pair[0][0]))
        Path(folder, "told-on").touch()
        while not Path(folder, "told-go").exists():
            time.sleep(0.02)
        return pair[0]

    waiting = workflow.wait([held.options(num_cpus=0).step(folder, "b", "b"), same.step("a")])
    ref = tells.options(num_cpus=0).step(waiting, folder, log).run_async("w")
    started(own_world, "told")
    go_on(own_world, "b")  # now the other is ready too
    eventually(lambda: own_world.task_statuses("w")[_of(own_world, "held")] == "SUCCESSFUL", "b is ready")
    os.kill(own_world.describe()["pid"], signal.SIGKILL)
    go_on(own_world, "told")
    assert ray.get(ref, timeout=60) == ["a"]
    assert set(executions(Path(log))) == {"a"}


def _of(world: World, part: str) -> str:
    return next(name for name in world.task_statuses("w") if part in name)


@item("S23b", "options(allow_inplace=True): tail recursion in the caller's worker, without a growing stack")
def test_S23b_inplace(world: World) -> None:
    @workflow.step
    def down(n: int, pids: list[int], depth: int) -> Any:
        frame, now = sys._getframe(), 0
        while frame.f_back is not None:
            frame, now = frame.f_back, now + 1
        assert depth == 0 or now <= depth + 8, "the stack grows"
        if n == 0:
            return [*pids, os.getpid()]
        return down.options(allow_inplace=True).step(n - 1, [*pids, os.getpid()], depth or now)

    pids = down.step(30, [], 0).run("s23b")
    assert len(pids) == 31
    assert len(set(pids)) == 1


@item(
    "S23c",
    "steps are lazy: building one does nothing; calling one directly is a TypeError with the way out; wrong "
    "arguments are "
    "a TypeError of .step()",
)
def test_S23c_steps(world: World) -> None:
    log = world.file("s23c")
    step = noted.step(str(log), "ran", 5)
    assert executions(log) == {}
    assert step.run("s23c") == 5
    assert executions(log) == {"ran": 1}
    text = "Workflow steps cannot be called directly. Instead of running 'noted()', try 'noted.step()'."
    with pytest.raises(TypeError, match=re.escape(text)):
        noted(1)
    with pytest.raises(TypeError):
        noted.step()
    with pytest.raises(TypeError):
        noted.step(1, 2, 3, 4)


@item("S23c")
def test_S23c_options_and_returned_steps(world: World) -> None:
    @workflow.step(name="given", metadata={"a": 1, "b": 1})
    def named(n: int) -> Any:
        return same.step(n)

    ref = named.options(metadata={"b": 2}).step(4).run_async("s23c-o", metadata={"w": 1})
    assert isinstance(ref, ray.ObjectRef)
    assert ray.get(ref) == 4
    assert workflow.get_output("s23c-o", name="given") == 4
    found = workflow.get_metadata("s23c-o", "given")
    assert found["user_metadata"] == {"a": 1, "b": 2}, "layers of metadata are merged"
    assert "step_options" in found
    assert workflow.get_metadata("s23c-o")["user_metadata"] == {"w": 1}


@item(
    "S23d",
    "`workflow.create(dag, ...).run(id)` of two months in 2022",
    obsolete="no release that users stayed on had it; run(dag, workflow_id=id) does the same",
)
def test_S23d_run_instead(world: World) -> None:
    assert not hasattr(workflow, "create")
    assert workflow.run(identity.bind(1), workflow_id="s23d") == 1


def test_legacy_return_types(world: World) -> None:
    """Section 24: in wfstore.legacy.workflow get_output and resume give references, unknown ids are ValueErrors."""
    flag = world.file("legacy-ok")

    @legacy.step(max_retries=0)
    def needs(flag: str) -> int:
        if not Path(flag).exists():
            raise ValueError("not yet")
        return 3

    with pytest.raises(ray.exceptions.RaySystemError):
        needs.step(str(flag)).run("legacy")
    flag.touch()
    ref = legacy.resume("legacy")
    assert isinstance(ref, ray.ObjectRef)
    assert ray.get(ref) == 3
    assert ray.get(legacy.get_output("legacy")) == 3
    for call in (legacy.resume, legacy.get_status, legacy.get_metadata):
        with pytest.raises(ValueError):
            call("nobody")
    with pytest.raises(ValueError):
        ray.get(legacy.get_output("nobody"))


@pytest.mark.fault
def test_legacy_worker_death_is_resumable(world: World) -> None:
    """Section 24: of the older generation, a dead worker leaves the workflow RESUMABLE."""
    flag = world.file("legacy-death")

    @legacy.step(max_retries=0)
    def dies(flag: str) -> int:
        if not Path(flag).exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return 3

    with pytest.raises(ray.exceptions.RaySystemError):
        dies.step(str(flag)).run("legacy-death")
    assert legacy.get_status("legacy-death") == "RESUMABLE"
    flag.touch()
    assert dict(legacy.resume_all()).keys() >= {"legacy-death"}
    assert ray.get(legacy.get_output("legacy-death"), timeout=30) == 3


def test_steps_off_the_main_thread(world: World) -> None:
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(total.step([1, same.step(2)]).run()))
    thread.start()
    thread.join(30)
    assert answers == [3]
