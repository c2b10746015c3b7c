"""Running attempts outlive the manager: kill -9, and they go on; their results are recorded once, none begins again."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.engine.conftest import MakeWorld
from tests.engine.programs.tasks import after, note
from tests.engine.test_crash import kill_manager, kill_owner
from tests.engine.world import World, eventually, executions, ids
from wfstore import workflow
from wfstore.model import events as ev

pytestmark = [pytest.mark.ray, pytest.mark.fault]


@ray.remote
def joined(*values: Any) -> Any:
    return list(values)


@ray.remote
def until(log: str, name: str, flag: str, *inputs: Any) -> str:
    """Runs until there is a file."""
    note(log, f"{name}-begins")
    while not os.path.exists(flag):
        time.sleep(0.02)
    note(log, f"{name}-ends")
    return name


def began(log: Path, *names: str) -> None:
    eventually(lambda: all(executions(log)[f"{name}-begins"] for name in names), f"{names} run", 30)


def new_manager(world: World, epoch: int = 2) -> None:
    eventually(lambda: len(world.events(ev.MANAGER_STARTED)) >= epoch, "the next manager is there", 30)


def test_a_running_attempt_goes_on(own_world: World) -> None:
    log, flag = own_world.file("log"), own_world.file("go")
    ref = workflow.run_async(joined.bind(until.bind(str(log), "t", str(flag))), workflow_id="w")
    began(log, "t")
    for epoch in (2, 3):
        kill_manager(own_world)
        new_manager(own_world, epoch)
    flag.touch()
    assert ray.get(ref, timeout=60) == ["t"]
    assert executions(log) == {"t-begins": 1, "t-ends": 1}
    assert own_world.errors("w") == []
    assert not own_world.events(ev.WORKFLOW_INTERRUPTED, "w")
    assert [event.run for event in own_world.events(ev.WORKFLOW_STARTED, "w")] == [1]
    assert [event.attempt for event in own_world.events(ev.ATTEMPT_SUCCEEDED, "w")] == [1, 1]


def test_one_that_ends_while_there_is_no_manager(own_world: World) -> None:
    log = own_world.file("log")
    for turn in range(3):
        name = ids("e")
        ref = workflow.run_async(joined.bind(after.bind(str(log), name, 0.6, turn)), workflow_id=name)
        began(log, name)
        time.sleep(0.45)
        kill_manager(own_world)
        assert ray.get(ref, timeout=60) == [turn]
        assert executions(log)[f"{name}-begins"] == 1
        assert own_world.errors(name) == []


def test_one_that_a_worker_went_on_with(own_world: World) -> None:
    """The second attempt of a Ray task: its owner was told of the first only."""
    log, flag = own_world.file("log"), own_world.file("go")
    own_world.file("at once").touch()
    first = until.bind(str(log), "short", str(own_world.file("at once")))
    ref = workflow.run_async(until.bind(str(log), "long", str(flag), first), workflow_id="w")
    began(log, "long")
    eventually(lambda: len(own_world.events(ev.ATTEMPT_STARTED, "w")) == 2, "its start is in the log")
    tasks = {event.ray_task_id for event in own_world.events(ev.ATTEMPT_STARTED, "w")}
    assert len(tasks) == 1, "they share a Ray task"
    kill_manager(own_world)
    new_manager(own_world)
    flag.touch()
    assert ray.get(ref, timeout=60) == "long"
    assert executions(log)["long-begins"] == 1
    assert own_world.errors("w") == []


def test_what_waits_in_ray_is_not_lost_either(own_world: World) -> None:
    log, flag = own_world.file("log"), own_world.file("go")
    many = [until.options(num_cpus=1).bind(str(log), f"t{n}", str(flag)) for n in range(6)]
    ref = workflow.run_async(joined.bind(*many), workflow_id="w")
    eventually(lambda: sum(executions(log).values()) >= 2, "some run", 30)
    time.sleep(0.3)
    kill_manager(own_world)
    new_manager(own_world)
    flag.touch()
    assert ray.get(ref, timeout=60) == [f"t{n}" for n in range(6)]
    assert {count for name, count in executions(log).items() if name.endswith("begins")} == {1}
    assert own_world.errors("w") == []


@pytest.mark.parametrize("seed", range(3))
def test_a_fan_out_at_random_moments(own_world: World, seed: int) -> None:
    """Short attempts, handed over in masses: what was not durable may run again, as another attempt; nothing else."""
    log, chance = own_world.file("log"), random.Random(seed)
    many = [after.bind(str(log), f"t{n}", 0.02 if n % 10 else 0.8, n) for n in range(120)]
    ref = workflow.run_async(joined.bind(*many), workflow_id="w")
    for share in (0.2, 0.6):
        eventually(lambda s=share: len(executions(log)) >= 240 * s, "some have run", 60, 0.01)
        time.sleep(chance.random() * 0.2)
        kill_manager(own_world)
    assert ray.get(ref, timeout=120) == list(range(120))
    nothing_ran_twice(own_world, log)
    long = Counter({name: count for name, count in executions(log).items() if name.endswith("0-begins")})
    assert sum(long.values()) <= 12 + 2 * 2, "those that ran went on"


def nothing_ran_twice(world: World, log: Path) -> None:
    events = world.events(workflow_id="w")
    succeeded = Counter(event.task_id for event in events if event.type == ev.ATTEMPT_SUCCEEDED)
    assert set(succeeded.values()) == {1}
    submitted = sum(event.type == ev.ATTEMPT_SUBMITTED for event in events)
    runs = sum(count for name, count in executions(log).items() if name.endswith("begins"))
    assert runs <= submitted
    assert {event.kind for event in events if event.type == ev.ATTEMPT_FAILED} <= {"lost"}


def test_the_death_of_the_owner_is_no_fault_of_the_attempts(own_world: World) -> None:
    log, flag = own_world.file("log"), own_world.file("go")
    task = until.options(max_retries=0)
    ref = workflow.run_async(task.bind(str(log), "t", str(flag)), workflow_id="w")
    began(log, "t")
    kill_owner(own_world)
    eventually(lambda: executions(log)["t-begins"] == 2, "it runs again", 30)
    kill_owner(own_world)
    eventually(lambda: executions(log)["t-begins"] == 3, "and again", 30)
    flag.touch()
    assert ray.get(ref, timeout=60) == "t"
    assert [kind for _, kind, _ in own_world.errors("w")] == ["lost", "lost"]
    assert executions(log)["t-ends"] == 1, "the lost attempts died with their owner"
    assert len(own_world.events(ev.MANAGER_STARTED)) == 1


def test_timeouts_and_retries_are_kept(own_world: World) -> None:
    """A workflow that goes on has all its times: of an attempt, of the run, of a timer, of the next attempt."""
    log, never = str(own_world.file("log")), str(own_world.file("never"))

    @ray.remote
    def fails() -> None:
        raise ValueError("for now")

    idle = after.options(num_cpus=0)
    workflow.run(joined.bind(*(idle.bind(log, f"warm{n}", 1) for n in range(4))))  # so that all four begin at once
    hold = until.options(num_cpus=0).bind(log, "hold", never)
    slow = until.options(num_cpus=0, max_retries=0, **workflow.options(timeout=6, catch_exceptions=True))
    later = workflow.options(retry_delay=6, retry_jitter=0, catch_exceptions=True)
    retry = fails.options(max_retries=1, retry_exceptions=True, **later)
    refs = {
        "attempt": workflow.run_async(joined.bind(slow.bind(log, "slow", never)), workflow_id="attempt"),
        "retry": workflow.run_async(joined.bind(retry.bind(), idle.bind(log, "beside", 7)), workflow_id="retry"),
        "timer": workflow.run_async(joined.bind(workflow.sleep(6), idle.bind(log, "by", 7)), workflow_id="timer"),
        "run": workflow.run_async(joined.bind(hold), workflow_id="run", workflow_timeout=6),
    }
    began(own_world.file("log"), "slow", "hold", "beside", "by")
    kill_manager(own_world)
    ((_, error),) = ray.get(refs["attempt"], timeout=60)
    assert "6 s" in str(error)
    ((_, error), _) = ray.get(refs["retry"], timeout=60)
    assert "for now" in str(error)
    assert len(own_world.events(ev.ATTEMPT_FAILED, "retry")) == 2
    assert ray.get(refs["timer"], timeout=60) == [None, None]
    with pytest.raises(workflow.WorkflowExecutionError):
        ray.get(refs["run"], timeout=60)
    assert not own_world.events(ev.WORKFLOW_INTERRUPTED)


def test_an_adopted_attempt_can_be_canceled(own_world: World) -> None:
    log, never = own_world.file("log"), own_world.file("never")
    workflow.run_async(until.bind(str(log), "t", str(never)), workflow_id="w")
    began(log, "t")
    eventually(lambda: own_world.events(ev.ATTEMPT_STARTED, "w"), "its start is in the log")
    pid = own_world.events(ev.ATTEMPT_STARTED, "w")[0].worker_pid
    assert pid is not None
    kill_manager(own_world)
    new_manager(own_world)
    workflow.cancel("w")
    eventually(lambda: not os.path.exists(f"/proc/{pid}"), "its worker is stopped", 20)
    assert own_world.owner()["leases"] == 0


def test_what_lay_in_the_managers_memory_is_made_again(own_world: World) -> None:
    """An output that is not kept went with the manager: as before, the workflow is interrupted and resumed."""
    log, flag = own_world.file("log"), own_world.file("go")
    unkept = after.options(**workflow.options(checkpoint=False)).bind(str(log), "unkept", 0, 5)
    held = until.bind(str(log), "held", str(flag))
    ref = workflow.run_async(joined.bind(unkept, held), workflow_id="w")
    began(log, "held")
    eventually(lambda: own_world.events(ev.ATTEMPT_SUCCEEDED, "w"), "the other has ended")
    kill_manager(own_world)
    eventually(lambda: own_world.events(ev.WORKFLOW_INTERRUPTED, "w"), "it is interrupted", 30)
    flag.touch()
    assert ray.get(ref, timeout=60) == [5, "held"]
    assert executions(log)["unkept-ends"] == 2


def test_a_manager_that_leaves_takes_its_owner_along(make_world: MakeWorld, tmp_path: Path) -> None:
    world = World(tmp_path)
    workflow.run(joined.bind(1))
    pid = world.owner()["pid"]
    world.stop()
    eventually(lambda: not os.path.exists(f"/proc/{pid}"), "it is gone", 20)


def test_there_is_one_owner_for_each_manager(own_world: World) -> None:
    workflow.run(joined.bind(1))
    for _ in range(3):
        kill_manager(own_world)
        assert workflow.run(joined.bind(2)) == [2]
    named = ray.util.list_named_actors(all_namespaces=True)
    assert len([actor for actor in named if actor["namespace"] == own_world.namespace]) == 2
