"""Deaths, cancels, timeouts and interrupts while attempts are held, handed over and lingered for, on a real Ray."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.engine.conftest import ROOT, MakeWorld, make_world, own_world  # noqa: F401
from tests.engine.programs.tasks import note
from tests.engine.test_crash import Caller
from tests.engine.world import World, eventually, executions, start_ray
from tests.review.paths import (
    at_rest,
    counters,
    everybody,
    fan_out,
    gather,
    kill_manager,
    own_processes,
    part,
    pid_of_first,
)
from wfstore import workflow
from wfstore.model import events as ev

pytestmark = [pytest.mark.ray, pytest.mark.fault]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    start_ray()
    yield
    ray.shutdown()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@workflow.virtual_actor
class Account:
    """A sum that notes each call."""

    def __init__(self, log: str) -> None:
        self.log = log
        self.sum = 0

    def add(self, name: str) -> int:
        note(self.log, name)
        self.sum += 1
        return self.sum

    def where(self) -> int:
        self.sum += 1
        return os.getpid()

    def stays(self) -> None:
        time.sleep(1000)


# -- workers ----------------------------------------------------------------------------------------------------------


def test_kill_9_of_a_worker_with_a_handed_over_attempt(own_world: World) -> None:  # noqa: F811
    log = own_world.file("log")
    caller = Caller(fan_out(log, 60, first="p40"), "w")
    os.kill(pid_of_first(log), signal.SIGKILL)
    assert caller.answer() == everybody(60)
    failed = own_world.errors("w")
    assert [kind for _, kind, _ in failed] == ["system"]
    ran = executions(log)
    assert {name for name, count in ran.items() if count > 1} == {"p40"}
    nothing_ran_twice_by_task(own_world, "w")
    at_rest(own_world)


def nothing_ran_twice_by_task(world: World, workflow_id: str) -> None:
    ended: set[str] = set()
    for event in world.events(workflow_id=workflow_id):
        if event.type == ev.ATTEMPT_SUCCEEDED:
            assert event.task_id not in ended
            ended.add(event.task_id or "")
        elif event.type == ev.ATTEMPT_SUBMITTED:
            assert event.task_id not in ended


def test_kill_9_of_workers_that_linger(own_world: World) -> None:  # noqa: F811
    account = Account.get_or_create("account", str(own_world.file("log")))
    for n in range(12):
        pid = account.where.run()
        time.sleep((0, 0.005, 0.015, 0.03)[n % 4])
        os.kill(pid, signal.SIGKILL)
        assert account.add.options(max_retries=5).run(f"call{n}") == 2 * (n + 1)
    assert executions(own_world.file("log")) == {f"call{n}": 1 for n in range(12)}
    at_rest(own_world)


def test_a_stopped_worker_delays_only_what_it_holds(own_world: World) -> None:  # noqa: F811
    log = own_world.file("log")
    caller = Caller(fan_out(log, 60, first="p40", timeout=3), "w")
    pid = pid_of_first(log)
    time.sleep(0.5)
    os.kill(pid, signal.SIGSTOP)
    try:
        assert caller.answer(60) == everybody(60)
        assert workflow.run(fan_out(own_world.file("log2"), 60)) == everybody(60)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert [(task, kind) for task, kind, _ in own_world.errors("w")] == [("tests.review.paths.part_40", "timeout")]
    at_rest(own_world)


def test_a_timeout_of_a_handed_over_attempt(own_world: World) -> None:  # noqa: F811
    log = own_world.file("log")
    assert workflow.run(fan_out(log, 60, first="p40", timeout=1), workflow_id="w") == everybody(60)
    assert [(task, kind) for task, kind, _ in own_world.errors("w")] == [("tests.review.paths.part_40", "timeout")]
    assert {name for name, count in executions(log).items() if count > 1} == {"p40"}
    at_rest(own_world)


# -- the manager ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [5, 60, 250])
def test_kill_9_of_the_manager_during_a_fan_out(own_world: World, after: int) -> None:  # noqa: F811
    log = own_world.file("log")
    caller = Caller(fan_out(log, 300, 0.005), "w")
    eventually(lambda: len(executions(log)) >= after, f"{after} ran", 60, 0.002)
    kill_manager(own_world)
    assert caller.answer() == everybody(300)
    nothing_ran_twice_by_task(own_world, "w")
    assert sum(executions(log).values()) <= len(own_world.events(ev.ATTEMPT_SUBMITTED, "w"))
    at_rest(own_world)


def test_kill_9_of_the_manager_during_calls_of_a_virtual_actor(own_world: World) -> None:  # noqa: F811
    log = own_world.file("log")
    account = Account.get_or_create("account", str(log))
    answers: list[int] = []

    def call(n: int) -> None:
        answers.append(account.add.run(f"call{n}"))

    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(call, n) for n in range(50)]
        for moment in (5, 25):
            eventually(lambda at=moment: len(answers) >= at, f"{moment} calls", 60, 0.002)
            kill_manager(own_world)
        for done in calls:
            done.result(120)
    assert sorted(answers) == list(range(1, 51)), "each call counted once"
    assert len(executions(log)) == 50
    nothing_ran_twice_by_task(own_world, "account")
    assert account.add.run("last") == 51
    at_rest(own_world)


def test_1500_references_across_deaths_of_the_manager_and_of_the_waiter(own_world: World) -> None:  # noqa: F811
    log = own_world.file("log")
    refs = [workflow.run_async(part.bind(str(log), f"p{n}"), workflow_id=f"w{n}") for n in range(700)]
    kill_manager(own_world)
    refs += [workflow.run_async(part.bind(str(log), f"p{n}"), workflow_id=f"w{n}") for n in range(700, 1000)]
    hold = own_world.file("hold")
    held = [workflow.run_async(gather.bind(waits.bind(str(hold)), n), workflow_id=f"h{n}") for n in range(4)]
    crowd = [workflow.get_output_async(f"h{n % 4}") for n in range(1200)]
    eventually(lambda: counters(own_world)["awaited"] >= 1200, "they all wait", 30)
    late = [workflow.run_async(part.bind(str(log), f"l{n}"), workflow_id=f"l{n}") for n in range(100)]
    late += [workflow.run_async(gather.bind(waits.bind(str(hold)), n), workflow_id=f"k{n}") for n in range(100)]
    eventually(lambda: own_processes("ray::OutputWaiter"), "an actor waits in the manager's place", 30)
    time.sleep(1)
    own_processes("ray::OutputWaiter")[0].kill()
    time.sleep(1)
    kill_manager(own_world)
    hold.touch()
    assert ray.get(refs, timeout=120) == everybody(1000)
    assert ray.get(late, timeout=60) == [f"l{n}" for n in range(100)] + [[True, n] for n in range(100)]
    assert ray.get(held, timeout=60) == [[True, n] for n in range(4)]
    assert ray.get(crowd, timeout=60) == [[True, n % 4] for n in range(1200)]
    assert set(executions(log).values()) <= {1, 2}
    at_rest(own_world)


@workflow.task
def waits(path: str) -> bool:
    while not os.path.exists(path):
        time.sleep(0.02)
    return True


# -- cancel and delete ------------------------------------------------------------------------------------------------


def test_cancel_and_delete_with_held_attempts(own_world: World) -> None:  # noqa: F811
    log = own_world.file("log")
    for turn in range(3):
        name = f"w{turn}"
        caller = Caller(fan_out(log, 300, 0.02), name)
        before = sum(executions(log).values())
        eventually(lambda at=before: sum(executions(log).values()) > at + 10, "some ran", 30)
        workflow.cancel(name)
        with pytest.raises(workflow.WorkflowCancellationError):
            caller.answer()
        # What Ray was giving to a worker in that moment begins, and is stopped.
        eventually(
            lambda: all(not p.is_running() for p in own_processes("ray::tests.review.paths.part")),
            "workers were stopped",
            20,
        )
        time.sleep(0.5)
        ran = sum(executions(log).values())
        time.sleep(0.5)
        assert sum(executions(log).values()) == ran < before + 250, "canceled ones run"
        workflow.delete(name)
        at_rest(own_world)
    assert workflow.run(fan_out(log, 60), workflow_id="w0") == everybody(60)


def test_cancel_of_calls_of_a_virtual_actor(own_world: World) -> None:  # noqa: F811
    account = Account.get_or_create("account", str(own_world.file("log")))
    assert account.add.run("one") == 1
    refs = [account.stays.run_async(), *[account.add.run_async(f"call{n}") for n in range(5)]]
    time.sleep(0.3)
    workflow.cancel("account")
    for ref in refs:
        with pytest.raises(workflow.WorkflowCancellationError):
            ray.get(ref, timeout=30)
    assert set(executions(own_world.file("log"))) == {"one"}
    at_rest(own_world)


# -- drivers ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def alarm() -> Iterator[Callable[[Callable[[], None], float], None]]:
    before = signal.getsignal(signal.SIGALRM)

    def set_alarm(act: Callable[[], None], after_s: float) -> None:
        signal.signal(signal.SIGALRM, lambda *_: act())
        signal.setitimer(signal.ITIMER_REAL, after_s)

    yield set_alarm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_driver_that_is_interrupted_while_it_waits(own_world: World, alarm: Callable[..., None]) -> None:  # noqa: F811
    def interrupt() -> None:
        raise KeyboardInterrupt

    log = own_world.file("log")
    for turn in range(5):
        alarm(interrupt, 0.1 + turn * 0.05)
        with pytest.raises(KeyboardInterrupt):
            workflow.run(part.bind(str(log), f"slow{turn}", 1.0), workflow_id=f"slow{turn}")
        assert workflow.run(part.bind(str(log), f"quick{turn}")) == f"quick{turn}"
        assert workflow.get_output(f"slow{turn}") == f"slow{turn}"
    assert set(executions(log).values()) == {1}
    at_rest(own_world)


def test_a_handler_that_cancels_what_the_program_waits_for(own_world: World, alarm: Callable[..., None]) -> None:  # noqa: F811
    log = own_world.file("log")
    heard: list[Any] = []

    def cancel() -> None:
        heard.append(workflow.run(part.bind(str(log), "cleaned"), workflow_id="cleaned"))
        workflow.cancel("slow")

    alarm(cancel, 0.5)
    with pytest.raises(workflow.WorkflowCancellationError):
        workflow.run(part.bind(str(log), "slow", 1000), workflow_id="slow")
    assert heard == ["cleaned"]
    at_rest(own_world)


_OTHER_DRIVER = """
import sys, ray
from concurrent.futures import ThreadPoolExecutor
from tests.review.paths import part
from wfstore import workflow
address, storage, namespace, log = sys.argv[1:]
ray.init(address=address, log_to_driver=False, configure_logging=False)
workflow.init(storage=storage, namespace=namespace)
with ThreadPoolExecutor(4) as pool:
    found = list(pool.map(lambda n: workflow.run(part.bind(log, f"other{n}")), range(100)))
assert found == [f"other{n}" for n in range(100)], found
ray.shutdown()
"""


def test_two_drivers_and_eight_threads(own_world: World) -> None:  # noqa: F811
    log = own_world.file("log")
    address = ray.get_runtime_context().gcs_address
    other = subprocess.Popen(
        [sys.executable, "-c", _OTHER_DRIVER, address, own_world.storage, own_world.namespace, str(log)], cwd=ROOT
    )
    counter = Account.get_or_create("account", str(log))

    def one(n: int) -> Any:
        if n % 4 == 3:
            return counter.add.run(f"mine{n}") > 0
        if n % 4 == 2:
            return workflow.run(fan_out(Path(f"{log}.fan"), 3)) == everybody(3)
        return workflow.run(part.bind(str(log), f"mine{n}")) == f"mine{n}"

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(200)))
    assert other.wait(120) == 0
    assert set(executions(log).values()) == {1}
    at_rest(own_world)


def test_two_namespaces_at_once(make_world: MakeWorld) -> None:  # noqa: F811
    worlds = [make_world(), make_world()]
    for turn in range(4):
        for number, world in enumerate(worlds):
            world.use()
            assert workflow.run(part.bind(str(world.file("log")), f"{number}"), workflow_id=f"w{turn}") == f"{number}"
    for number, world in enumerate(worlds):
        assert executions(world.file("log")) == {f"{number}": 4}
        assert len(world.events(ev.WORKFLOW_SUCCEEDED)) == 4


# -- the window -------------------------------------------------------------------------------------------------------


def test_200_tasks_that_ask_for_two_cpus_beside_default_ones(own_world: World) -> None:  # noqa: F811
    log = own_world.file("log")
    big = Caller(fan_out(log, 200, num_cpus=2), "big")
    small = Caller(fan_out(own_world.file("log2"), 200), "small")
    assert small.answer() == everybody(200)
    assert big.answer() == everybody(200)
    assert set(executions(log).values()) == {1}
    at_rest(own_world)


def test_slow_ones_among_short_ones_of_their_kind(own_world: World) -> None:  # noqa: F811
    log = own_world.file("log")
    assert workflow.run(fan_out(log, 100), workflow_id="warm") == everybody(100)
    began = time.monotonic()
    slow = [part.bind(str(log), f"s{n}", 1.5) for n in range(2)]
    short = [part.bind(str(log), f"p{n}") for n in range(300)]
    ref = workflow.run_async(gather.bind(*short[:20], *slow, *short[20:]), workflow_id="mixed")
    assert len(ray.get(ref, timeout=60)) == 302
    assert time.monotonic() - began < 1.5 + 4
    at_rest(own_world)


def test_another_kind_gets_its_turn_beside_a_fan_out(own_world: World) -> None:  # noqa: F811
    """At most a hundred short attempts follow one another on a worker."""
    log = own_world.file("log")
    caller = Caller(fan_out(log, 400, 0.02), "many")
    eventually(lambda: len(executions(log)) > 30, "it is under way", 30)
    assert workflow.run(gather.bind(1), workflow_id="other") == [1]
    assert len(executions(log)) < 400, "the others did not have to end before"
    assert caller.answer() == everybody(400)


@ray.remote(num_cpus=0)
class Barrier:
    """Lets everybody through when all are there."""

    def __init__(self, size: int) -> None:
        self.missing = size
        self.full = asyncio.Event()

    async def arrive(self) -> None:
        self.missing -= 1
        if self.missing <= 0:
            self.full.set()
        await self.full.wait()


@workflow.task
def meets(barrier: str, number: int) -> int:
    ray.get(ray.get_actor(barrier, "meeting").arrive.remote())
    return number


def test_attempts_that_wait_for_each_other_beyond_the_window(own_world: World) -> None:  # noqa: F811
    """Ray runs them all, as each lends its CPU while it waits: the window must not stand in the way."""

    def narrow(manager: Any) -> None:
        from wfstore.engine import manager as module

        module.LEAST_WINDOW = module.WINDOW_PER_CPU = 1
        manager._executor.window = 2

    ray.get(own_world.handle.__ray_call__.remote(narrow))
    barrier = Barrier.options(name="b", namespace="meeting").remote(4)  # type: ignore[attr-defined]
    ref = workflow.run_async(gather.bind(*[meets.bind("b", n) for n in range(4)]))
    assert ray.get(ref, timeout=60) == list(range(4))
    ray.kill(barrier)
    at_rest(own_world)


@pytest.mark.slow
def test_a_recursion_of_runs_deeper_than_the_window(own_world: World) -> None:  # noqa: F811
    """Each level waits for one of its own kind: the seventeenth would be held for ever."""
    assert workflow.run(deep.bind(18), workflow_id="deep") == 18
    at_rest(own_world)


@workflow.task
def deep(level: int) -> int:
    return 0 if level == 0 else 1 + workflow.run(deep.bind(level - 1))


def test_a_thread_that_waits_does_not_hold_up_another(own_world: World) -> None:  # noqa: F811
    log = own_world.file("log")
    caller = threading.Thread(target=lambda: workflow.run(part.bind(str(log), "slow", 6.0), workflow_id="slow"))
    caller.start()
    began = time.monotonic()
    for n in range(10):
        assert workflow.run(part.bind(str(log), f"p{n}")) == f"p{n}"
    assert time.monotonic() - began < 6.0
    caller.join()
