"""A minute of everything at once, with deaths of workers and of the manager: all of it ends, and the laws hold."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import ray

from tests.engine.conftest import MakeWorld, make_world, own_world  # noqa: F401
from tests.engine.programs.tasks import chain, down, note
from tests.engine.world import World, executions, ids
from tests.review.paths import at_rest, everybody, fan_out, kill_manager, own_processes, part
from tests.review.test_engine_paths import cluster  # noqa: F401
from wfstore import workflow
from wfstore.log import verify
from wfstore.model import events as ev

pytestmark = [pytest.mark.ray, pytest.mark.fault, pytest.mark.slow]
_SECONDS = float(os.environ.get("WFSTORE_STRESS_S", "60"))


@workflow.virtual_actor
class Tally:
    """Counts calls."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, log: str, name: str) -> int:
        note(log, name)
        self.count += 1
        return self.count


def one_chain(chance: random.Random, log: Path) -> bool:
    length = chance.randrange(1, 30)
    return bool(workflow.run(chain(str(log), length), workflow_id=ids("chain")) == length)


def one_fan_out(chance: random.Random, log: Path) -> bool:
    size = chance.randrange(1, 80)
    dag = fan_out(log, size, chance.choice([0, 0, 0.02]), max_retries=20)
    return bool(workflow.run(dag, workflow_id=ids("fan")) == everybody(size))


def one_recursion(chance: random.Random, log: Path) -> bool:
    return bool(workflow.run(down.bind(str(log), 10, 0, 0), workflow_id=ids("down")) == sum(range(11)))


def one_actor(chance: random.Random, log: Path) -> bool:
    tally = Tally.get_or_create(ids("tally"))
    calls = chance.randrange(2, 15)
    many = [tally.add.options(max_retries=20).run_async(str(log), f"c{n}") for n in range(calls)]
    ray.get(many, timeout=120)
    return all(tally.add.options(max_retries=20).run(str(log), f"d{n}") == calls + n + 1 for n in range(calls))


def one_crowd(chance: random.Random, log: Path) -> bool:
    names = [ids("crowd") for _ in range(60)]
    refs = [workflow.run_async(part.options(max_retries=20).bind(str(log), n), workflow_id=n) for n in names]
    return bool(ray.get(refs, timeout=120) == names)


def one_cancel(chance: random.Random, log: Path) -> bool:
    name = ids("cancel")
    ref = workflow.run_async(fan_out(log, 100, 0.02, max_retries=20), workflow_id=name)
    time.sleep(chance.random())
    workflow.cancel(name)
    try:
        ray.get(ref, timeout=120)
    except workflow.WorkflowCancellationError:
        workflow.delete(name)
    return True


_WORK: tuple[Callable[[random.Random, Path], bool], ...] = (
    one_chain,
    one_fan_out,
    one_recursion,
    one_actor,
    one_crowd,
    one_cancel,
)


class Killer(threading.Thread):
    """Ends workers that run attempts, now and then; the manager seldom."""

    def __init__(self, world: World, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self._world = world
        self._chance = chance
        self._ended = threading.Event()
        self.workers = self.managers = 0

    def run(self) -> None:
        while not self._ended.wait(self._chance.uniform(0.3, 1.5)):
            if self._chance.random() < 0.08:
                kill_manager(self._world)
                self.managers += 1
                continue
            busy = [p for p in own_processes("ray::") if not _kept(p)]
            if busy:
                try:
                    self._chance.choice(busy).kill()
                    self.workers += 1
                except psutil.NoSuchProcess:
                    continue

    def end(self) -> None:
        self._ended.set()
        self.join()


def _kept(process: psutil.Process) -> bool:
    try:
        title = process.cmdline()[0]
    except (psutil.Error, IndexError):
        return True
    return any(word in title for word in ("Agent", "Manage", "Waiter", "ray::IDLE"))


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


@pytest.mark.timeout(300 + _SECONDS)
@pytest.mark.parametrize("seed", [int(os.environ.get("WFSTORE_STRESS_SEED", "1"))])
def test_a_minute_of_everything(own_world: World, pool: ThreadPoolExecutor, seed: int) -> None:  # noqa: F811
    chance = random.Random(seed)
    until = time.monotonic() + _SECONDS
    turns: list[str] = []

    def keep_going(number: int) -> None:
        own = random.Random(seed * 100 + number)
        while time.monotonic() < until:
            work = own.choice(_WORK)
            name = f"{number}-{len(turns)}"
            try:
                assert work(own, own_world.file(f"log-{name}")), work.__name__
            except workflow.WorkflowExecutionError as error:
                # As many deaths as retries: these are few for some of the tasks.
                if not isinstance(error.__cause__, ray.exceptions.WorkerCrashedError):
                    raise
            turns.append(work.__name__)

    killer = Killer(own_world, chance)
    killer.start()
    going: list[Future[None]] = [pool.submit(keep_going, number) for number in range(4)]
    try:
        for one in going:
            one.result(_SECONDS + 200)
    finally:
        killer.end()
    print(f"{len(turns)} workloads, {killer.workers} workers and {killer.managers} managers killed")
    assert len(turns) >= 20
    assert not workflow.list_all({"RUNNING", "PENDING", "RESUMABLE"})
    ended: set[tuple[str | None, str | None]] = set()
    for event in own_world.events():
        task = (event.workflow_id, event.task_id)
        if event.type in (ev.ATTEMPT_SUBMITTED, ev.ATTEMPT_SUCCEEDED):
            assert task not in ended, f"{task} had succeeded: {event}"
        if event.type == ev.ATTEMPT_SUCCEEDED:
            ended.add(task)
    at_rest(own_world)
    own_world.check()
    report = verify(own_world.storage)
    assert report.ok, [str(problem) for problem in report.problems]
    assert sum(sum(executions(log).values()) for log in own_world.folder.glob("log-*")) <= len(
        own_world.events(ev.ATTEMPT_SUBMITTED)
    )
