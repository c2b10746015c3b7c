"""Retries (catalogue section 7), errors and catch_exceptions (8)."""

from __future__ import annotations

import os
import pickle
import signal
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.engine.world import World, executions, ids
from wfstore import workflow

pytestmark = pytest.mark.ray


@ray.remote
def staged(path: str, script: str, value: Any = "done") -> Any:
    """Attempt number n does what letter n of the script says: k SIGKILL, x ValueError, else succeed."""
    with open(path, "a") as file:
        file.write("x\n")
    attempt = Path(path).read_text().count("\n") - 1
    action = script[attempt] if attempt < len(script) else "."
    if action == "k":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "x":
        raise ValueError(f"attempt {attempt}")
    return value


@ray.remote
def identity(value: Any) -> Any:
    return value


@ray.remote
def boom(text: str = "boom") -> None:
    raise ValueError(text)


def attempts(path: Path) -> int:
    return executions(path)["x"]


def run_staged(world: World, script: str, **options: Any) -> tuple[Any, int]:
    """(result or the exception's class, number of attempts)."""
    path = world.file(ids("staged"))
    try:
        result = workflow.run(staged.options(**options).bind(str(path), script))
    except workflow.WorkflowExecutionError as error:
        result = type(error.__cause__).__name__
    return result, attempts(path)


def test_t1_max_retries_counts_retries(world: World) -> None:
    assert run_staged(world, "x" * 10, max_retries=10, retry_exceptions=True) == ("done", 11)
    assert run_staged(world, "x" * 11, max_retries=10, retry_exceptions=True) == ("ValueError", 11)


@pytest.mark.fault
def test_t1_default_is_three(world: World) -> None:
    assert run_staged(world, "kkk") == ("done", 4)


@pytest.mark.fault
def test_t2_crashes_are_always_retried_and_share_the_counter(world: World) -> None:
    assert run_staged(world, "kxkx", max_retries=4, retry_exceptions=True) == ("done", 5)
    _, count = run_staged(world, "kxkxk", max_retries=4, retry_exceptions=True)
    assert count == 5


@pytest.mark.fault
def test_t3_without_retry_exceptions_only_crashes_are_retried(world: World) -> None:
    assert run_staged(world, "x", max_retries=3) == ("ValueError", 1)
    assert run_staged(world, "k", max_retries=3) == ("done", 2)
    assert run_staged(world, "kx", max_retries=3) == ("ValueError", 2)


@pytest.mark.fault
@pytest.mark.parametrize("action", ["x", "k"])
def test_t4_zero_is_exactly_one_execution(world: World, action: str) -> None:
    path, name = world.file(ids("t4")), ids("t4")
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(staged.options(max_retries=0, retry_exceptions=True).bind(str(path), action), workflow_id=name)
    for _ in range(3):
        with pytest.raises(ValueError):
            workflow.get_output(name)
    assert attempts(path) == 1


def test_t5_ray_itself_does_not_run_anything_again(world: World) -> None:
    path = world.file("t5")
    assert workflow.run(identity.bind(staged.options(max_retries=5).bind(str(path), "")), workflow_id="t5") == "done"
    assert attempts(path) == 1


@pytest.mark.fault
def test_t6_minus_one_is_never_retried(world: World) -> None:
    _, count = run_staged(world, "k", max_retries=-1)
    assert count == 1
    with pytest.raises(ValueError):
        staged.options(max_retries=-2)


def test_retry_exceptions_by_type(world: World) -> None:
    assert run_staged(world, "x", max_retries=1, retry_exceptions=[ValueError]) == ("done", 2)
    assert run_staged(world, "x", max_retries=1, retry_exceptions=[KeyError]) == ("ValueError", 1)


# -- errors ----------------------------------------------------------------------------------------------------------


def test_e1_a_failed_task_fails_run_with_its_own_error_as_cause(world: World) -> None:
    with pytest.raises(workflow.WorkflowExecutionError, match=r"Workflow\[id=e1\] failed during execution") as caught:
        workflow.run(identity.bind(boom.bind("because")), workflow_id="e1")
    assert isinstance(caught.value.__cause__, ValueError)
    assert str(caught.value.__cause__) == "because"
    with pytest.raises(workflow.WorkflowExecutionError, match="failed during execution"):
        ray.get(workflow.run_async(boom.bind()))
    history = world.events("workflow.failed", "e1")
    assert (history[0].error_type, history[0].error_message) == ("ValueError", "because")


def test_errors_survive_pickling_across_processes(world: World) -> None:
    with pytest.raises(workflow.WorkflowExecutionError) as caught:
        workflow.run(boom.bind(), workflow_id=ids("pickled"))
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (type(caught.value), str(caught.value))


def test_an_exception_that_cannot_be_pickled(world: World) -> None:
    class Odd(Exception):
        def __init__(self, a: int, b: int) -> None:
            super().__init__("odd")

    @ray.remote
    def raises_odd() -> None:
        raise Odd(1, 2)

    with pytest.raises(workflow.WorkflowExecutionError) as caught:
        workflow.run(raises_odd.bind(), workflow_id="odd")
    assert "Odd" in str(caught.value.__cause__)
    assert world.errors("odd")[0][1:] == ("app", "Odd")


def test_e2_catch_gives_pairs(world: World) -> None:
    catching = workflow.options(catch_exceptions=True)
    assert workflow.run(identity.options(**catching).bind(5)) == (5, None)
    value, error = workflow.run(boom.options(**catching).bind("caught"), workflow_id="e2")
    assert value is None
    assert isinstance(error, ValueError)
    assert str(error) == "caught"
    assert workflow.get_status("e2") == "SUCCESSFUL"


def test_e3_retries_come_first(world: World) -> None:
    path = world.file("e3")
    catching = workflow.options(catch_exceptions=True)
    dag = staged.options(max_retries=2, retry_exceptions=True, **catching).bind(str(path), "xxx")
    value, error = workflow.run(dag)
    assert (value, str(error), attempts(path)) == (None, "attempt 2", 3)


def test_e4_catch_covers_the_whole_continuation(world: World) -> None:
    @ray.remote
    def outer(inner: Any) -> Any:
        return workflow.continuation(identity.bind(inner.bind()))

    @ray.remote
    def deeper() -> Any:
        return workflow.continuation(identity.bind(boom.bind("deep")))

    @ray.remote
    def fine() -> int:
        return 10

    catching = outer.options(**workflow.options(catch_exceptions=True, name="catcher"))
    value, error = workflow.run(catching.bind(deeper), workflow_id="e4")
    assert value is None
    assert isinstance(error, ValueError)
    assert workflow.run(catching.bind(fine)) == (10, None)
    statuses = world.task_statuses("e4")
    assert statuses["catcher"] == "CAUGHT"
    assert workflow.get_output("e4", task_id="catcher")[0] is None


def test_e4_five_deep(world: World) -> None:
    @ray.remote
    def nested(depth: int) -> Any:
        return boom.bind("bottom") if depth == 0 else workflow.continuation(nested.bind(depth - 1))

    value, error = workflow.run(nested.options(**workflow.options(catch_exceptions=True)).bind(5))
    assert (value, str(error)) == (None, "bottom")


def test_e5_an_inner_false_is_not_wrapped_but_caught(world: World) -> None:
    @ray.remote
    def outer(fails: bool) -> Any:
        inner = boom if fails else identity
        said = workflow.options(catch_exceptions=False)
        return workflow.continuation(inner.options(**said).bind(3))

    catching = outer.options(**workflow.options(catch_exceptions=True))
    assert workflow.run(catching.bind(False)) == 3
    value, error = workflow.run(catching.bind(True))
    assert value is None
    assert isinstance(error, ValueError)


@pytest.mark.fault
def test_e6_crashes_are_not_caught(world: World) -> None:
    path = world.file("e6")
    dag = staged.options(max_retries=1, **workflow.options(catch_exceptions=True)).bind(str(path), "kk")
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(dag, workflow_id="e6")
    assert attempts(path) == 2
    assert [kind for _, kind, _ in world.errors("e6")] == ["system", "system"]


def test_e7_a_caught_error_is_kept(world: World) -> None:
    path = world.file("e7")
    dag = staged.options(**workflow.options(catch_exceptions=True, name="t")).bind(str(path), "x")
    _, error = workflow.run(dag, workflow_id="e7")
    assert isinstance(error, ValueError)
    for again in (workflow.get_output("e7"), workflow.get_output("e7", task_id="t"), workflow.resume("e7")):
        assert again[0] is None
        assert isinstance(again[1], ValueError)
    assert workflow.run(dag, workflow_id="e7")[0] is None
    assert attempts(path) == 1


def test_e7_a_caught_error_is_an_input_like_any_other(world: World) -> None:
    @ray.remote
    def look(pair: Any, inside: list[Any]) -> Any:
        return pair[0], str(pair[1]), str(ray.get(inside[0])[1])

    caught = boom.options(**workflow.options(catch_exceptions=True)).bind("seen")
    assert workflow.run(look.bind(caught, [caught])) == (None, "seen", "seen")


def test_e8_other_tasks_go_on_after_a_failure_and_are_not_run_again(world: World) -> None:
    log, flag, ready = world.file("e8"), world.file("e8-ok"), world.file("e8-on")

    @ray.remote
    def slow(log: str, ready: str) -> int:
        import time

        open(ready, "w").close()
        time.sleep(0.7)
        with open(log, "a") as file:
            file.write("slow\n")
        return 1

    @ray.remote
    def fragile(flag: str, ready: str) -> int:
        import time

        while not os.path.exists(ready):
            time.sleep(0.02)
        if not os.path.exists(flag):
            raise ValueError("not yet")
        return 2

    @ray.remote
    def add(a: int, b: int) -> int:
        return a + b

    named = slow.options(**workflow.options(name="slow")).bind(str(log), str(ready))
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(add.bind(named, fragile.bind(str(flag), str(ready))), workflow_id="e8")
    flag.touch()
    assert workflow.resume("e8") == 3
    assert executions(log) == {"slow": 1}


@pytest.mark.fault
def test_e9_worker_death_ends_in_failed(world: World) -> None:
    path, name = world.file("e9"), ids("e9")
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(staged.options(max_retries=0).bind(str(path), "k"), workflow_id=name)
    assert workflow.get_status(name) == "FAILED"
    assert workflow.resume(name) == "done"
