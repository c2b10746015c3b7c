"""Listeners on hosts of a real Ray, as the manager uses them (catalogue section 17)."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from tests.engine.listeners.keeper import keep
from tests.engine.listeners.orders import assignment, checkpointed, error_of, order, value_of
from tests.engine.world import eventually
from wfstore.engine.assignment import INLINE, REF, Assignment, Source
from wfstore.engine.context import current_task
from wfstore.engine.listeners.api import EventListener, TimerListener
from wfstore.model.commands import Outcome, Place
from wfstore.payloads import Upstream, dumps

pytestmark = pytest.mark.ray

Make = Callable[..., Any]


@pytest.fixture
def make_keeper(cluster: None) -> Iterator[Make]:
    made: list[Any] = []

    def make(**changes: float) -> Any:
        made.append(keep(**changes))
        return made[-1]

    yield make
    for keeper in made:
        ray.kill(keeper)


def here(job: Assignment) -> Assignment:
    """The store is this node's: what stands in the way of tests is that nobody wrote its store.json."""
    return job._replace(manager=("", "", ray.get_runtime_context().get_node_id(), 1))


def submit(keeper: Any, *jobs: Assignment, **changes: Any) -> list[Assignment]:
    local = [here(job) for job in jobs]
    ray.get(keeper.submit.remote([order(job, **changes) for job in local]))
    return local


def outcomes(keeper: Any, jobs: list[Assignment], timeout_s: float = 30.0) -> list[Outcome]:
    def ended() -> dict[Any, Outcome]:
        found: dict[Any, Outcome] = ray.get(keeper.ended.remote())
        return found

    eventually(lambda: all(job.key in ended() for job in jobs), "all have ended", timeout_s)
    return [ended()[job.key] for job in jobs]


def places(keeper: Any, jobs: list[Assignment]) -> list[Place]:
    def started() -> dict[Any, Place]:
        found: dict[Any, Place] = ray.get(keeper.started.remote())
        return found

    eventually(lambda: all(job.key in started() for job in jobs), "all are reported to run")
    return [started()[job.key] for job in jobs]


class Waits(EventListener):
    async def poll_for_event(self, path: Path) -> Any:
        while not path.exists():
            await asyncio.sleep(0.02)
        context = current_task()
        assert context is not None
        return context.workflow_id, os.environ.get("WFSTORE_TEST_WORD")


class Kills(EventListener):
    """Ends its process the given time after the file has appeared."""

    async def poll_for_event(self, path: Path, after_s: float) -> None:
        while not path.exists():
            await asyncio.sleep(0.02)
        await asyncio.sleep(after_s)
        os._exit(7)


def test_polls_and_checkpoints(make_keeper: Make, tmp_path: Path) -> None:
    keeper = make_keeper()
    go = tmp_path / "go"
    waiting = submit(keeper, *(assignment(tmp_path, Waits, go) for _ in range(50)))
    told = submit(keeper, checkpointed(tmp_path, Waits, {"an": "event"}))
    assert value_of(outcomes(keeper, told)[0], tmp_path) == {"an": "event"}
    assert {place.node_id for place in places(keeper, waiting)} == {ray.get_runtime_context().get_node_id()}
    go.touch()
    ends = outcomes(keeper, waiting)
    assert [value_of(end, tmp_path) for end in ends] == [(job.workflow_id, None) for job in waiting]
    assert ray.get(keeper.hosts.remote()) == 1


def test_no_cpu_is_held(make_keeper: Make, tmp_path: Path) -> None:
    keeper = make_keeper()
    waiting = submit(keeper, *(assignment(tmp_path, Waits, tmp_path / "never") for _ in range(20)))
    places(keeper, waiting)
    assert ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"]
    ray.get(keeper.cancel.remote([job.key for job in waiting]))


def test_listeners_may_use_ray(make_keeper: Make, tmp_path: Path) -> None:
    @ray.remote(num_cpus=0)
    class Provider:
        async def event(self, number: int) -> int:
            await asyncio.sleep(0.05)
            return number

    class Awaits(EventListener):
        async def poll_for_event(self, provider: Any, number: int) -> int:
            answer: int = await provider.event.remote(number)
            return answer

    class Gets:
        def poll_for_event(self, provider: Any, number: int) -> int:
            answer: int = ray.get(provider.event.remote(number))
            return answer

    keeper, provider = make_keeper(), Provider.remote()
    kinds: list[type] = [Awaits, Gets]
    jobs = [assignment(tmp_path, kind, provider, number) for kind in kinds for number in range(30)]
    ends = outcomes(keeper, submit(keeper, *jobs))
    assert [value_of(end, tmp_path) for end in ends] == [*range(30), *range(30)]


def test_large_upstream_values_come_as_ray_objects(make_keeper: Make, tmp_path: Path) -> None:
    class Measures(EventListener):
        async def poll_for_event(self, data: bytes, nested: list[Any]) -> int:
            return len(data) + len(await nested[0])

    keeper = make_keeper()
    args = (INLINE, dumps(((Upstream(0), [Upstream(1)]), {})))
    job = assignment(tmp_path, Measures, args=args, sources=(Source(REF, 0), Source(REF, 1, True)))
    ref = ray.put(b"x" * 3_000_000)
    jobs = submit(keeper, job, inputs=(ref, [ref]))
    assert value_of(outcomes(keeper, jobs)[0], tmp_path) == 6_000_000


def test_cancel(make_keeper: Make, tmp_path: Path) -> None:
    seen = tmp_path / "seen"

    class Notices(EventListener):
        async def poll_for_event(self, number: int) -> None:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                with seen.open("a") as file:
                    file.write("x")
                raise

    keeper = make_keeper()
    jobs = submit(keeper, *(assignment(tmp_path, Notices, number) for number in range(10)))
    places(keeper, jobs)
    assert ray.get(keeper.cancel.remote([job.key for job in jobs])) == [False] * 10
    eventually(lambda: seen.exists() and seen.read_text() == "x" * 10, "all have noticed")
    overtaken = order(here(assignment(tmp_path, Notices, 0)))
    assert ray.get(keeper.submit_and_cancel.remote(overtaken)) is False
    eventually(lambda: [host["listeners"] for host in ray.get(keeper.describe.remote())] == [0], "the host is empty")
    assert ray.get(keeper.ended.remote()) == {}


@pytest.mark.fault
def test_a_host_that_user_code_kills(make_keeper: Make, tmp_path: Path) -> None:
    """Those that had waited long end as lost, young ones as a failure of the system; all of them can begin anew."""
    keeper = make_keeper(BLAMELESS_S=2.0)
    go, kill = tmp_path / "go", tmp_path / "kill"
    old = submit(keeper, *(assignment(tmp_path, Waits, go) for _ in range(20)))
    pid = places(keeper, old)[0].worker_pid
    time.sleep(2.0)
    young = submit(keeper, assignment(tmp_path, TimerListener, time.time() + 1000))
    killer = submit(keeper, assignment(tmp_path, Kills, kill, 0.0))
    places(keeper, young + killer)
    kill.touch()
    ends = outcomes(keeper, old + young + killer)
    assert [end.kind for end in ends] == ["lost"] * 20 + ["system"] * 2
    assert "ActorDied" in (ends[0].error_type or "")

    again = submit(keeper, *(job._replace(attempt=2) for job in old))
    assert {place.worker_pid for place in places(keeper, again)} != {pid}
    twice = submit(keeper, killer[0]._replace(attempt=2))
    assert outcomes(keeper, twice)[0].kind == "system"
    go.touch()
    assert all(end.ok for end in outcomes(keeper, again))


@pytest.mark.fault
def test_one_that_kills_its_host_each_time_is_not_lost_for_ever(make_keeper: Make, tmp_path: Path) -> None:
    keeper = make_keeper(BLAMELESS_S=0.3)
    (tmp_path / "kill").touch()
    kinds = []
    for attempt in range(1, 6):
        jobs = submit(keeper, assignment(tmp_path, Kills, tmp_path / "kill", 0.5, attempt=attempt))
        kinds.append(outcomes(keeper, jobs)[0].kind)
    assert kinds == ["lost"] * 3 + ["system"] * 2


@pytest.mark.fault
def test_a_host_that_is_killed(make_keeper: Make, tmp_path: Path) -> None:
    keeper = make_keeper()
    job = assignment(tmp_path, Waits, tmp_path / "go")
    first = submit(keeper, job)
    pid = places(keeper, first)[0].worker_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert outcomes(keeper, first)[0].kind == "system"
    second = submit(keeper, job._replace(attempt=2))
    (tmp_path / "go").touch()
    assert outcomes(keeper, second)[0].ok


def test_hosts_by_runtime_env(make_keeper: Make, tmp_path: Path) -> None:
    keeper = make_keeper()
    (tmp_path / "go").touch()
    words = [None, "one", "two", "one"]
    jobs = []
    for word in words:
        env = None if word is None else {"env_vars": {"WFSTORE_TEST_WORD": word}}
        jobs += submit(keeper, assignment(tmp_path, Waits, tmp_path / "go"), runtime_env=env)
    assert [value_of(end, tmp_path)[1] for end in outcomes(keeper, jobs)] == words
    assert ray.get(keeper.hosts.remote()) == 3


@pytest.mark.parametrize("env", [{"working_dir": "/nonexistent/folder"}, {"env_vars": {"A": 1}}])
def test_a_runtime_env_that_cannot_be(make_keeper: Make, tmp_path: Path, env: dict[str, Any]) -> None:
    keeper = make_keeper()
    jobs = submit(keeper, assignment(tmp_path, Waits, tmp_path), runtime_env=env)
    outcome = outcomes(keeper, jobs, 60)[0]
    assert outcome.kind in ("app", "system")
    assert error_of(outcome)
    jobs = submit(keeper, assignment(tmp_path, Waits, tmp_path))
    assert outcomes(keeper, jobs)[0].ok


def test_a_second_host_for_many_and_none_for_nobody(make_keeper: Make, tmp_path: Path) -> None:
    keeper = make_keeper(IDLE_S=1.0, _FULL=20)
    go = tmp_path / "go"
    jobs = submit(keeper, *(assignment(tmp_path, Waits, go) for _ in range(60)))
    pids = {place.worker_pid for place in places(keeper, jobs)}
    assert len(pids) == 2
    assert sorted(host["listeners"] for host in ray.get(keeper.describe.remote())) == [30, 30]
    go.touch()
    assert all(end.ok for end in outcomes(keeper, jobs))
    eventually(lambda: ray.get(keeper.hosts.remote()) == 0, "both are released")
    eventually(lambda: not any(psutil.pid_exists(pid or 0) for pid in pids), "both are gone")


def test_hosts_go_with_the_manager(make_keeper: Make, tmp_path: Path) -> None:
    keeper = make_keeper()
    pid = places(keeper, submit(keeper, assignment(tmp_path, Waits, tmp_path / "never")))[0].worker_pid
    assert pid is not None
    ray.kill(keeper)
    eventually(lambda: not psutil.pid_exists(pid), "the host is gone")
