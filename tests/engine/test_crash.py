"""kill -9 of the manager, of workers and of clusters: nothing acknowledged is lost, nothing succeeded runs again."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import ray

import wfstore
from tests.engine.conftest import MakeWorld
from tests.engine.drivers import end_everything, launch, said
from tests.engine.programs.tasks import after, chain, down, link
from tests.engine.world import World, eventually, executions, ids, names
from wfstore import workflow
from wfstore.log import read_lease, verify
from wfstore.model import events as ev

pytestmark = [pytest.mark.ray, pytest.mark.fault]


def kill_manager(world: World) -> int:
    """kill -9; returns the pid that was."""
    pid: int = world.describe()["pid"]
    os.kill(pid, signal.SIGKILL)
    return pid


def kill_owner(world: World) -> int:
    """kill -9 of what owns the running attempts, and so of these; returns the pid that was."""
    pid: int = world.owner()["pid"]
    os.kill(pid, signal.SIGKILL)
    return pid


def nothing_ran_twice(world: World, workflow_id: str, log: Path) -> None:
    """What has succeeded was never submitted again, and nothing ran but what the log says was submitted."""
    succeeded: set[str] = set()
    submitted: Counter[str] = Counter()
    for event in world.events(workflow_id=workflow_id):
        task = event.task_id or ""
        if event.type == ev.ATTEMPT_SUBMITTED:
            assert task not in succeeded, f"{task} had succeeded and was submitted again"
            submitted[task] += 1
        elif event.type == ev.ATTEMPT_SUCCEEDED:
            assert task not in succeeded, f"{task} succeeded twice"
            succeeded.add(task)
    for task, count in executions(log).items():
        assert count <= submitted[task], f"{task} ran {count} times and was submitted {submitted[task]} times"


class Caller(threading.Thread):
    """Somebody blocked in run()."""

    def __init__(self, dag: Any, workflow_id: str) -> None:
        super().__init__(daemon=True)
        self._call = lambda: workflow.run(dag, workflow_id=workflow_id)
        self.result: Any = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._call()
        except BaseException as error:
            self.error = error

    def answer(self, timeout_s: float = 120) -> Any:
        self.join(timeout_s)
        assert not self.is_alive(), "run() still waits"
        if self.error is not None:
            raise self.error
        return self.result


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_kill_9_of_the_manager_at_random_moments_of_a_chain(own_world: World, kills: int) -> None:
    world, log, length = own_world, own_world.file("log"), 200
    chance = random.Random(kills)
    moments = sorted(chance.sample(range(1, length - 1), kills))
    link.bind(str(log), "warm", 0)
    caller = Caller(chain(str(log), length), "chain")
    eventually(lambda: "chain" in dict(workflow.list_all()), "it is submitted")
    waiting = [workflow.get_output_async("chain") for _ in range(3)]
    killed = []
    for moment in moments:
        eventually(
            lambda at=moment: len(executions(log)) >= at or not caller.is_alive(),
            f"task {moment} runs",
            60,
            0.002,
        )
        time.sleep(chance.random() * 0.01)
        killed.append(kill_manager(world))
    assert caller.answer() == length
    assert ray.get(waiting, timeout=60) == [length] * 3
    assert workflow.get_output("chain") == length
    assert len(set(killed)) == kills
    nothing_ran_twice(world, "chain", log)
    assert len(executions(log)) == length
    report = verify(world.storage)
    assert report.ok, [str(problem) for problem in report.problems]
    assert len(world.events(ev.MANAGER_STARTED)) == kills + 1
    assert {kind for _, kind, _ in world.errors("chain")} <= {"lost"}


def test_a_workflow_is_there_or_not_when_the_manager_dies_under_run_async(own_world: World) -> None:
    """A submission interrupted by the death is asked again with the same request id: one workflow, one run."""
    log = own_world.file("log")
    workflow.run(link.bind(str(log), "warm", 0))
    stop = threading.Event()

    def killer() -> None:
        while not stop.wait(0.7):
            kill_manager(own_world)

    thread = threading.Thread(target=killer)
    thread.start()
    refs = {}
    try:
        began = time.monotonic()
        while time.monotonic() - began < 6:
            name = ids("s")
            refs[name] = workflow.run_async(link.bind(str(log), name, 0), workflow_id=name)
    finally:
        stop.set()
        thread.join()
    assert ray.get(list(refs.values()), timeout=120) == [1] * len(refs)
    assert set(dict(workflow.list_all())) >= set(refs)
    for name in refs:
        assert len(own_world.events(ev.WORKFLOW_SUBMITTED, name)) == 1
        assert len(own_world.events(ev.ATTEMPT_SUCCEEDED, name)) == 1


def test_many_waiters_of_many_workflows_survive(own_world: World) -> None:
    log = own_world.file("log")
    refs = [workflow.run_async(after.bind(str(log), f"a{n}", 0.3, n), workflow_id=f"a{n}") for n in range(10)]
    refs += [workflow.get_output_async(f"a{n}") for n in range(10)]
    kill_manager(own_world)
    assert ray.get(refs, timeout=60) == [*range(10), *range(10)]
    assert set(dict(workflow.list_all()).values()) == {"SUCCESSFUL"}


def test_queue_and_limits_survive_the_manager(make_world: MakeWorld) -> None:
    world = make_world(max_running_workflows=1, max_pending_workflows=5)
    log = world.file("log")
    refs = [workflow.run_async(after.bind(str(log), f"q{n}", 0.5, n), workflow_id=f"q{n}") for n in range(4)]
    kill_manager(world)
    eventually(lambda: len(workflow.list_all("PENDING")) >= 1, "the manager is back", 30)
    assert len(workflow.list_all("RUNNING")) <= 1
    assert ray.get(refs, timeout=60) == [0, 1, 2, 3]
    ends = [line for line in log.read_text().split() if line.endswith("-ends")]
    assert list(dict.fromkeys(ends)) == [f"q{n}-ends" for n in range(4)]
    assert world.describe()["max_running_workflows"] == 1


def test_canceled_deleted_and_failed_stay_so(own_world: World) -> None:
    @ray.remote
    def boom() -> None:
        raise ValueError("boom")

    log = str(own_world.file("log"))
    workflow.run(link.bind(log, "kept", 0), workflow_id="kept", metadata={"k": 1})
    workflow.run(link.bind(log, "gone", 0), workflow_id="gone")
    workflow.delete("gone")
    workflow.run_async(after.bind(log, "canceled", 1000), workflow_id="canceled")
    workflow.cancel("canceled")
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(boom.bind(), workflow_id="failed")
    before = workflow.list_all()
    metadata = [workflow.get_metadata(name) for name, _ in before]
    kill_manager(own_world)
    assert workflow.list_all() == before
    assert [workflow.get_metadata(name) for name, _ in before] == metadata
    assert workflow.get_output("kept") == 1
    with pytest.raises(ValueError) as caught:
        workflow.get_output("failed")
    assert str(caught.value.__cause__) == "boom"
    assert executions(own_world.file("log"))["kept"] == 1


def test_an_attempt_lost_with_the_manager_does_not_count(own_world: World) -> None:
    log = own_world.file("log")
    ref = workflow.run_async(after.options(max_retries=0).bind(str(log), "t", 1.0, 5), workflow_id="w")
    for n in range(2):
        eventually(lambda n=n: executions(log)["t-begins"] > n, "it runs", 30)
        kill_owner(own_world)
        kill_manager(own_world)
    assert ray.get(ref, timeout=60) == 5
    assert [kind for _, kind, _ in own_world.errors("w")] == ["lost", "lost"]
    assert executions(log)["t-ends"] == 1, "the lost attempts died with their owner"


def test_kill_9_of_a_worker(own_world: World) -> None:
    log = own_world.file("log")
    ref = workflow.run_async(after.bind(str(log), "t", 1.5, 5), workflow_id="w")
    eventually(lambda: own_world.events(ev.ATTEMPT_STARTED, "w"), "its start is in the log")
    pid = own_world.events(ev.ATTEMPT_STARTED, "w")[0].worker_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert ray.get(ref, timeout=60) == 5
    assert [kind for _, kind, _ in own_world.errors("w")] == ["system"]
    assert executions(log) == {"t-begins": 2, "t-ends": 1}


def test_a_large_output_survives_the_process_that_made_it(own_world: World) -> None:
    import numpy as np

    @ray.remote
    def big() -> Any:
        return np.ones(300_000), os.getpid()

    @ray.remote
    def total(pair: Any, flag: str) -> float:
        while not os.path.exists(flag):
            time.sleep(0.05)
        return float(pair[0].sum())

    flag = own_world.file("go")
    made = big.options(**workflow.options(name="big")).bind()
    ref = workflow.run_async(total.bind(made, str(flag)), workflow_id="w")
    _, pid = workflow.get_output("w", task_id="big")
    os.kill(pid, signal.SIGKILL)
    kill_manager(own_world)
    flag.touch()
    assert ray.get(ref, timeout=60) == 300_000
    assert len(own_world.events(ev.ATTEMPT_SUCCEEDED, "w")) == 2


# -- the whole cluster -----------------------------------------------------------------------------------------------


@pytest.fixture
def dead(tmp_path: Path) -> tuple[Path, str]:
    """(log, storage) of a cluster that was killed whole while two workflows ran and two waited."""
    log, storage = tmp_path / "log", str(tmp_path / "dead")
    driver = launch("doomed", storage, str(log))
    try:
        said(driver, "submitted")
        ran = lambda: len([name for name in executions(log) if name.startswith("t")]) >= 8  # noqa: E731
        eventually(ran, "eight tasks of the chain ran", 60)
    finally:
        end_everything(driver)
    return log, storage


def test_after_the_death_of_the_cluster(dead: tuple[Path, str], cluster: None) -> None:
    log, storage = dead
    open_ids = ["chain", "recursion", "waiting0", "waiting1"]

    # Readers without a cluster see what can be resumed: the lease names a process that is gone.
    lease = read_lease(storage)
    assert lease is not None
    rows = wfstore.open(storage, live=False).sql("select workflow_id, status from workflows").fetchall()
    assert dict(rows) == {"done": "SUCCESSFUL", **dict.fromkeys(open_ids, "RESUMABLE")}
    assert wfstore.history("chain", storage=storage).status == "RESUMABLE"
    assert wfstore.history("waiting0", storage=storage).status == "RESUMABLE"

    # A new cluster sees the same, does nothing by itself, and answers without blocking.
    namespace = ids("after")
    workflow.init(storage=storage, namespace=namespace)
    handle = ray.get_actor("WorkflowManagementActor", namespace)
    assert workflow.list_all() == [("done", "SUCCESSFUL"), *((name, "RESUMABLE") for name in open_ids)]
    assert workflow.get_status("chain") == workflow.get_metadata("chain")["status"] == "RESUMABLE"
    assert workflow.get_output("done") == 1
    for name in ("chain", "waiting0"):
        with pytest.raises(ValueError, match=name):
            workflow.get_output(name)
    before = executions(log)
    time.sleep(0.5)
    assert executions(log) == before
    workflow.delete("waiting1")

    # A resume runs only what had not succeeded.
    assert workflow.resume("chain") == 40
    resumed = workflow.resume_all()
    assert names(resumed) == ["recursion", "waiting0"], "those that ran before those that waited"
    assert [ray.get(ref, timeout=60) for _, ref in resumed] == [sum(range(21)), 1]
    ran = executions(log)
    again = [name for name, count in ran.items() if count > 1]
    assert len(again) <= 2, f"only what was under way ran twice: {again}"
    assert set(ran) == {"done", "waiting0", *(f"t{n}" for n in range(40)), *(f"down{n}" for n in range(21))}
    assert workflow.get_output("recursion") == sum(range(21))
    report = verify(storage)
    assert report.ok, [str(problem) for problem in report.problems]
    ray.get(handle.stop.remote())
    ray.kill(handle)


def test_resume_in_another_order_of_deaths(make_world: MakeWorld) -> None:
    """The manager of the second cluster dies too, in the middle of a resume."""
    world = make_world()
    log = world.file("log")
    ref = workflow.run_async(down.bind(str(log), 15, 0, 0.05), workflow_id="deep")
    for n in (4, 9):
        eventually(lambda n=n: len(executions(log)) >= n, f"{n} levels", 30)
        kill_manager(world)
    assert ray.get(ref, timeout=60) == sum(range(16))
    assert sum(executions(log).values()) <= 16 + 2
