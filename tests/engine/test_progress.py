"""`workflow.progress` on a cluster: seen while the task runs, kept when it has ended, cheap for both sides."""

from __future__ import annotations

import threading
import time

import pytest
import ray

import wfstore
from tests.engine.world import World, eventually, ids
from wfstore import errors, workflow
from wfstore.model import events as ev

pytestmark = pytest.mark.ray


@workflow.task
def until(flag: str, fraction: float) -> int:
    import os

    while not os.path.exists(flag):
        workflow.progress(fraction, "waiting", loss=0.5)
        time.sleep(0.02)
    thread = threading.Thread(target=workflow.progress, args=(0.9, "from a thread"))
    thread.start()
    thread.join()
    return 1


@workflow.task
def chatty(times: int) -> float:
    began = time.perf_counter()
    for n in range(times):
        workflow.progress(n / times, "so far", n=n)
    return (time.perf_counter() - began) / times


@workflow.task
def fails() -> None:
    workflow.progress(0.3, "before the end")
    raise ValueError("no")


def observed(world: World) -> wfstore.WorkflowObservability:
    return wfstore.WorkflowObservability(world.storage)


def test_it_is_seen_within_a_second_and_kept(world: World) -> None:
    flag = world.file("seen")
    name = ids()
    ref = workflow.run_async(until.bind(str(flag), 0.5), workflow_id=name)
    looks = observed(world)
    (task,) = looks.tasks(name)
    eventually(lambda: looks.tasks(name)[task]["started_at"] is not None, "it runs")
    eventually(lambda: looks.tasks(name)[task]["progress"] == 0.5, "its progress is seen", timeout_s=1.5)
    row = looks.tasks(name)[task]
    assert (row["origin"], row["progress_message"], row["progress_metrics"]) == ("live", "waiting", {"loss": 0.5})
    assert row["worker_pid"] > 0
    assert row["node_id"]
    assert (row["run"], row["attempt"]) == (1, 1)
    assert looks.workflow(name)["progress"] == 0.5
    stored = wfstore.open(world.storage, live=False)
    eventually(lambda: stored.history(name).workflow["progress"] == 0.5, "the log hears of it", timeout_s=5)
    flag.touch()
    assert ray.get(ref) == 1
    row = looks.tasks(name)[task]
    assert (row["status"], row["progress"], row["progress_message"]) == ("SUCCESSFUL", 0.9, "from a thread")
    assert looks.workflow(name)["progress"] == 1.0


def test_the_last_word_of_what_fails_or_is_canceled_is_kept(world: World) -> None:
    name = ids()
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(fails.options(max_retries=0).bind(), workflow_id=name)
    (attempt,) = observed(world).attempts(name)
    assert (attempt["status"], attempt["progress"], attempt["progress_message"]) == ("FAILED", 0.3, "before the end")
    name = ids()
    workflow.run_async(until.bind("/nowhere", 0.7), workflow_id=name)
    looks = observed(world)
    eventually(lambda: looks.workflow(name)["progress"] == 0.7, "it says so")
    workflow.cancel(name)
    (attempt,) = looks.attempts(name)
    assert (attempt["status"], attempt["progress"]) == ("CANCELED", 0.7)


def test_a_manager_that_is_killed_has_told_the_log(own_world: World) -> None:
    from tests.engine.test_crash import kill_manager, kill_owner

    name = ids()
    flag = own_world.file("killed")
    workflow.run_async(until.bind(str(flag), 0.4), workflow_id=name)
    eventually(lambda: own_world.events(ev.ATTEMPT_PROGRESSED, name), "the log hears of it")
    kill_owner(own_world)
    kill_manager(own_world)
    eventually(lambda: own_world.events(ev.WORKFLOW_INTERRUPTED, name), "the next manager says so", timeout_s=60)
    first = observed(own_world).attempts(name)[0]
    assert (first["kind"], first["progress"]) == ("lost", 0.4)
    flag.touch()
    assert workflow.get_output(name) == 1


def test_saying_much_costs_little(world: World) -> None:
    name = ids()
    per_call_s = workflow.run(chatty.bind(50_000), workflow_id=name)
    assert per_call_s < 200e-6
    assert len(world.events(ev.ATTEMPT_PROGRESSED, name)) < 20
    assert observed(world).attempts(name)[0]["progress"] == pytest.approx(1, abs=1e-4)


def test_outside_of_a_task() -> None:
    with pytest.raises(errors.OutsideTaskError, match=r"workflow.progress\(\) is for the code of a task"):
        workflow.progress(0.5)
