"""Who runs beside whom: blocking listeners (A6), well-behaved ones by the thousand, cancel; on a host without Ray."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.listeners.orders import Driven, assignment, error_of, value_of
from wfstore.engine.listeners import host
from wfstore.engine.listeners.api import EventListener, TimerListener
from wfstore.engine.listeners.kinds import BLOCKING, COOPERATIVE
from wfstore.model.commands import Outcome


@pytest.fixture
def released(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Files that bodies wait for; all of them appear when the test ends, so that no thread stays."""
    files: list[Path] = []

    def make(name: str) -> Path:
        files.append(tmp_path / name)
        return files[-1]

    yield make
    for file in files:
        file.touch()


class Blocks(EventListener):
    async def poll_for_event(self, path: Path) -> str:
        while not path.exists():
            time.sleep(0.02)
        return path.name


class BlocksPlainly:
    def poll_for_event(self, path: Path) -> str:
        while not path.exists():
            time.sleep(0.02)
        return path.name


class BlocksInTheEnd(EventListener):
    async def poll_for_event(self, path: Path, turn: Path) -> str:
        while not turn.exists():
            await asyncio.sleep(0.02)
        while not path.exists():
            time.sleep(0.02)
        return path.name


class Hangs(EventListener):
    """Blocks for a moment again and again, and gives control back in between."""

    async def poll_for_event(self, path: Path) -> str:
        while not path.exists():
            time.sleep(0.08)
            await asyncio.sleep(0.01)
        return path.name


class Waits(EventListener):
    async def poll_for_event(self, path: Path) -> str:
        while not path.exists():
            await asyncio.sleep(0.02)
        return path.name


class SleepsUntil(EventListener):
    async def poll_for_event(self, due: float) -> float:
        await asyncio.sleep(due - time.time())
        return time.time() - due


async def finish(driven: Driven, jobs: list[Any], tmp_path: Path) -> list[Any]:
    return [value_of(await driven.outcome(job), tmp_path) for job in jobs]


@pytest.mark.parametrize("blocking", [Blocks, BlocksPlainly])
def test_a6_blocking_bodies_hold_nobody_up(tmp_path: Path, released: Callable[[str], Path], blocking: type) -> None:
    go, quick = released("go"), released("quick")

    async def drive() -> None:
        driven = Driven()
        blocked = [assignment(tmp_path, blocking, go) for _ in range(20)]
        waiting = [assignment(tmp_path, Waits, quick) for _ in range(20)]
        await driven.take(*(job for pair in zip(blocked, waiting, strict=True) for job in pair))
        await driven.becomes(blocking.__name__, BLOCKING)
        await driven.becomes("Waits", COOPERATIVE)
        quick.touch()
        assert await finish(driven, waiting, tmp_path) == ["quick"] * 20
        facts = await driven.host.describe()
        assert (facts["own_threads"], facts["shared_loops"], facts["waiting"]) == (20, 1, 0)
        assert not any(job.key in driven.ended for job in blocked)
        go.touch()
        assert await finish(driven, blocked, tmp_path) == ["go"] * 20

    asyncio.run(drive())


def test_starts_are_told_of_those_that_take_longer(tmp_path: Path, released: Callable[[str], Path]) -> None:
    go = released("go")

    async def drive() -> None:
        driven = Driven()
        jobs = [assignment(tmp_path, Waits, go) for _ in range(10)]
        await driven.take(*jobs)
        await driven.until(lambda: len(driven.started) == 10, "all are reported")
        assert {place.worker_pid for place in driven.started.values()} == {os.getpid()}
        go.touch()
        for job in jobs:
            outcome = await driven.outcome(job)
            assert outcome.place == driven.started[job.key]

    asyncio.run(drive())


def test_two_thousand_at_once(tmp_path: Path) -> None:
    async def drive() -> None:
        of_other_tests = threading.active_count()
        driven = Driven()
        due = time.time() + 2.0
        jobs = [assignment(tmp_path, SleepsUntil, due + number / 2000) for number in range(2000)]
        for start in range(0, 2000, 200):
            await driven.take(*jobs[start : start + 200])
        await driven.until(lambda: len(driven.started) == 2000, "all run")
        threads = threading.active_count() - of_other_tests
        assert threads < 60
        still_starting = max(0.0, time.time() - due)  # on a busy machine; nobody can be on time before all run
        late = sorted(await finish(driven, jobs, tmp_path))
        assert late[int(0.99 * len(late))] < still_starting + 2.0, "far more than it takes: the machine may be busy"
        assert not (await driven.host.describe())["listeners"]

    asyncio.run(drive())


def test_a_class_that_blocks_later_on_leaves_the_others_alone(tmp_path: Path, released: Callable[[str], Path]) -> None:
    go, quick, turn = released("go"), released("quick"), released("turn")

    async def drive() -> None:
        driven = Driven()
        # Proved good, they share a loop with others; then the first of them holds it.
        early = [assignment(tmp_path, BlocksInTheEnd, go, turn) for _ in range(8)]
        await driven.take(*early)
        await driven.becomes("BlocksInTheEnd", COOPERATIVE)
        turn.touch()
        await driven.becomes("BlocksInTheEnd", BLOCKING)
        late = [assignment(tmp_path, BlocksInTheEnd, go, turn) for _ in range(3)]
        waiting = [assignment(tmp_path, Waits, quick) for _ in range(20)]
        await driven.take(*late, *waiting)
        await driven.becomes("Waits", COOPERATIVE)
        quick.touch()
        assert await finish(driven, waiting, tmp_path) == ["quick"] * 20
        go.touch()
        assert await finish(driven, early + late, tmp_path) == ["go"] * 11

    asyncio.run(drive())


def test_those_who_share_a_loop_that_somebody_holds_begin_anew(
    tmp_path: Path, released: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "_STUCK_TICKS", 15)
    go, quick, turn = released("go"), released("quick"), released("turn")

    async def drive() -> None:
        driven = Driven()
        waiting = [assignment(tmp_path, Waits, quick) for _ in range(20)]
        holding = [assignment(tmp_path, BlocksInTheEnd, go, turn) for _ in range(8)]
        await driven.take(*waiting, *holding)
        await driven.becomes("Waits", COOPERATIVE)
        await driven.becomes("BlocksInTheEnd", COOPERATIVE)
        await driven.until(lambda: len(driven.started) == 28, "all run")
        turn.touch()
        await driven.until(lambda: driven.ended, "the first are given up")
        lost = {key: outcome for key, outcome in driven.ended.items() if outcome.kind == "lost"}
        assert len(lost) >= 16
        again = [job._replace(attempt=2) for job in waiting if job.key in lost]
        await driven.take(*again)
        quick.touch()
        assert await finish(driven, again, tmp_path) == ["quick"] * len(again)
        go.touch()

    asyncio.run(drive())


def test_many_short_blocks_count_as_blocking(tmp_path: Path, released: Callable[[str], Path]) -> None:
    go = released("go")

    async def drive() -> None:
        driven = Driven()
        jobs = [assignment(tmp_path, Hangs, go) for _ in range(6)]
        await driven.take(*jobs)
        await driven.becomes("Hangs", BLOCKING)
        go.touch()
        assert await finish(driven, jobs, tmp_path) == ["go"] * 6

    asyncio.run(drive())


def test_more_blocking_ones_than_threads_wait_in_line(
    tmp_path: Path, released: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "MAX_OWN_THREADS", 10)
    go, quick = released("go"), released("quick")

    async def drive() -> None:
        driven = Driven()
        blocked = [assignment(tmp_path, Blocks, go) for _ in range(30)]
        await driven.take(*blocked)
        await driven.becomes("Blocks", BLOCKING)
        facts = await driven.host.describe()
        assert (facts["own_threads"], facts["waiting"]) == (10, 20)
        waiting = assignment(tmp_path, Waits, quick)
        await driven.take(waiting)
        quick.touch()
        assert await finish(driven, [waiting], tmp_path) == ["quick"]
        # A canceled one makes room, though its thread stays until the body returns; one that stands in line just goes.
        await driven.host.cancel([blocked[0].key, blocked[29].key])
        facts = await driven.host.describe()
        assert (facts["own_threads"], facts["waiting"], facts["listeners"]) == (11, 18, 28)
        go.touch()
        assert await finish(driven, blocked[1:29], tmp_path) == ["go"] * 28
        assert {blocked[0].key, blocked[29].key}.isdisjoint(driven.ended)

    asyncio.run(drive())


def test_cancel_reaches_the_coroutine(tmp_path: Path) -> None:
    seen = tmp_path / "seen"

    class Notices(EventListener):
        async def poll_for_event(self, number: int) -> None:
            child = asyncio.create_task(asyncio.sleep(1000))
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                await asyncio.sleep(0.02)
                with seen.open("a") as file:
                    file.write(f"{number} {child.done()}\n")
                raise

    async def drive() -> None:
        driven = Driven()
        jobs = [assignment(tmp_path, Notices, number) for number in range(12)]
        await driven.take(*jobs[:6])
        await driven.becomes("Notices", COOPERATIVE)
        await driven.take(*jobs[6:])
        await driven.until(lambda: len(driven.started) == 12, "all run")
        await driven.host.cancel([job.key for job in jobs] + [("unknown", 1, "t", 1)])
        await driven.until(lambda: seen.exists() and seen.read_text().count("\n") == 12, "all have noticed")
        assert sorted(seen.read_text().splitlines()) == sorted(f"{number} True" for number in range(12))
        assert not driven.ended
        assert not (await driven.host.describe())["listeners"]
        assert (await driven.run(assignment(tmp_path, Waits, tmp_path))).ok

    asyncio.run(drive())


def test_cancel_before_it_runs(tmp_path: Path) -> None:
    async def drive() -> None:
        driven = Driven()
        job = assignment(tmp_path, Waits, tmp_path / "never")
        taking = asyncio.create_task(driven.take(job))
        await asyncio.sleep(0)
        await driven.host.cancel([job.key])
        await taking
        await asyncio.sleep(0.3)
        assert not driven.started
        assert not driven.ended

    asyncio.run(drive())


def test_tasks_that_a_listener_started_end_with_it(tmp_path: Path) -> None:
    marks = tmp_path / "marks"

    class Leaves(EventListener):
        async def poll_for_event(self, number: int) -> int:
            async def mark() -> None:
                await asyncio.sleep(0.3)
                marks.touch()

            self.task = asyncio.create_task(mark())
            await asyncio.sleep(0.01)
            return number

    class Exits(EventListener):
        async def poll_for_event(self, number: int) -> int:
            async def leave() -> None:
                raise SystemExit(2)

            self.task = asyncio.create_task(leave())
            await asyncio.sleep(0.05)
            return number

    async def drive() -> None:
        driven = Driven()
        for listener in (Leaves, Exits):
            jobs = [assignment(tmp_path, listener, number) for number in range(20)]
            await driven.take(*jobs)
            assert await finish(driven, jobs, tmp_path) == list(range(20))
        await asyncio.sleep(0.4)
        assert not marks.exists()
        facts = await driven.host.describe()
        assert (facts["listeners"], facts["own_threads"]) == (0, 0)

    asyncio.run(drive())


def test_classes_that_close_over_other_values_are_judged_as_one(
    tmp_path: Path, released: Callable[[str], Path]
) -> None:
    go = released("go")

    def listener(number: int) -> type:
        class Closure(EventListener):
            async def poll_for_event(self) -> int:
                while not go.exists():
                    await asyncio.sleep(0.02)
                return number

        return Closure

    async def drive() -> None:
        driven = Driven()
        jobs = [assignment(tmp_path, listener(number)) for number in range(100)]
        await driven.take(*jobs)
        await driven.until(lambda: len(driven.started) == 100, "all run")
        facts = await driven.host.describe()
        assert facts["own_threads"] <= 4
        assert list(facts["verdicts"].values()) == [COOPERATIVE]
        go.touch()
        assert await finish(driven, jobs, tmp_path) == list(range(100))

    asyncio.run(drive())


def test_one_that_never_stops_failing_costs_only_itself(tmp_path: Path) -> None:
    class Fails(EventListener):
        async def poll_for_event(self, *args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0.01)
            raise SystemExit(1)

    async def drive() -> list[Outcome]:
        driven = Driven()
        due = time.time() + 1.0
        good = [assignment(tmp_path, TimerListener, due) for _ in range(50)]
        bad = [assignment(tmp_path, Fails) for _ in range(200)]
        await driven.take(*good, *bad)
        assert await finish(driven, good, tmp_path) == [None] * 50
        return [await driven.outcome(job) for job in bad]

    outcomes = asyncio.run(drive())
    assert {type(error_of(outcome)) for outcome in outcomes} == {SystemExit}
