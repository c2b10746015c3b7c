"""The executor without Ray: what is held is neither forgotten nor run twice, nor after its cancel."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from wfstore.engine import executor as module
from wfstore.engine.assignment import Assignment, AttemptKey, LeaseId
from wfstore.engine.executor import LEAST_WINDOW, Ended, Order, TaskExecutor
from wfstore.engine.leases import LeaseEnd
from wfstore.model.commands import Outcome, Place

MANAGER = ("M", "space", "node", 1)
CRASHED = Outcome(False, 2, kind="system", error_type="WorkerCrashedError")
GOOD = Outcome(True, 2, Place(1, "node", 1, "task"))


def order(number: int, name: str = "f", **more: Any) -> Order:
    assignment = Assignment(
        "w", 1, f"{name}_{number}", 1, "/s", "id", MANAGER, "hash", None, None, (), (), False, True, False
    )
    return Order(assignment, name, **more)


class Lease:
    """A Ray task that began with the attempt `key`."""

    def __init__(self, number: LeaseId, key: AttemptKey) -> None:
        self.number, self.key = number, key
        self.over = self.canceled = False


class FakeLeases:
    """Takes leases, runs none of them."""

    def __init__(self) -> None:
        self.leases: list[Lease] = []
        self.told: Callable[[list[LeaseEnd]], None] | None = None

    def follow(self, on_ended: Callable[[list[LeaseEnd]], None]) -> None:
        self.told = on_ended

    def adopt(self, lease: LeaseId) -> None:
        self.leases.append(Lease(lease, ("", 0, "", 0)))

    def begin(self, key: AttemptKey, assignment: bytes, options: dict[str, Any], inputs: tuple[Any, ...]) -> LeaseId:
        assert Assignment.loads(assignment).key == key
        self.leases.append(Lease((1, len(self.leases)), key))
        return self.leases[-1].number

    def cancel(self, lease: LeaseId) -> None:
        (found,) = [one for one in self.leases if one.number == lease]
        found.canceled = True

    def end(self, lease: Lease, outcome: Outcome | None, key: AttemptKey | None = None) -> None:
        """It has ended; nothing is heard of a canceled one."""
        lease.over = True
        if not lease.canceled:
            asyncio.get_running_loop().call_soon(self._tell, LeaseEnd(lease.number, key, outcome))

    def _tell(self, end: LeaseEnd) -> None:
        assert self.told is not None
        (lease,) = [one for one in self.leases if one.number == end.lease]
        if not lease.canceled:
            self.told([end])

    @property
    def going(self) -> list[Lease]:
        return [lease for lease in self.leases if not lease.over and not lease.canceled]


@pytest.fixture
def fake() -> FakeLeases:
    return FakeLeases()


class Run:
    """An executor on a loop, and what it reported."""

    def __init__(self, fake: FakeLeases) -> None:
        self.ends: list[Ended] = []
        self.executor = TaskExecutor(self.ends.extend, fake)
        self.executor.adopt({})

    @property
    def ended(self) -> list[AttemptKey]:
        return [end.key for end in self.ends]

    def at_rest(self) -> None:
        assert not self.executor._running
        assert not self.executor._by_id
        assert not self.executor._held_keys
        assert not any(self.executor._in_ray.values())
        assert not self.executor._held


async def settle(seconds: float = 0.0) -> None:
    await asyncio.sleep(seconds)
    for _ in range(3):
        await asyncio.sleep(0)


def test_a_window_of_each_kind_is_in_ray_and_the_rest_follows(fake: FakeLeases) -> None:
    async def scene() -> None:
        run = Run(fake)
        for number in range(50):
            run.executor.submit(order(number))
        run.executor.submit(order(0, "g"))
        run.executor.submit(order(0, "f2", options={"num_cpus": 2}))
        assert Counter(lease.key[2].split("_")[0] for lease in fake.leases) == {"f": LEAST_WINDOW, "g": 1, "f2": 1}
        while fake.going:
            for lease in fake.going:
                fake.end(lease, GOOD)
            await settle()
        assert len(run.ended) == len(set(run.ended)) == 52
        run.at_rest()

    asyncio.run(scene())


def test_200_with_options_beside_200_without(fake: FakeLeases) -> None:
    async def scene() -> None:
        run = Run(fake)
        for number in range(200):
            run.executor.submit(order(number, "big", options={"num_cpus": 2}))
            run.executor.submit(order(number, "small"))
        assert len(fake.leases) == 200 + LEAST_WINDOW
        big = next(lease for lease in fake.leases if lease.key[2].startswith("big"))
        assert run.executor.take(big.key) is None
        while fake.going:
            fake.end(fake.going[0], GOOD)
            await settle()
        assert len(set(run.ended)) == 400
        run.at_rest()

    asyncio.run(scene())


def test_a_window_that_grows_lets_the_held_ones_in(fake: FakeLeases) -> None:
    """The manager learns of the cluster's CPUs after its first submissions, and clusters grow."""

    async def scene() -> None:
        run = Run(fake)
        for number in range(300):
            run.executor.submit(order(number))
        assert len(fake.going) == LEAST_WINDOW
        run.executor.window = 256
        for lease in fake.going[:2]:
            fake.end(lease, GOOD)
        await settle()
        assert len(fake.going) == 256
        run.executor.window = LEAST_WINDOW
        while fake.going:
            fake.end(fake.going[0], GOOD)
            await settle()
        assert len(set(run.ended)) == 300
        run.at_rest()

    asyncio.run(scene())


def test_attempts_that_wait_for_held_ones_of_their_kind(fake: FakeLeases, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task may run a workflow of tasks of its own kind and wait: a full window of such would wait for ever."""
    monkeypatch.setattr(module, "STALLED_S", 0.02)

    async def scene() -> None:
        run = Run(fake)
        for number in range(3 * LEAST_WINDOW):
            run.executor.submit(order(number))
        last = ("w", 1, f"f_{3 * LEAST_WINDOW - 1}", 1)
        async with asyncio.timeout(2):
            while last not in [lease.key for lease in fake.leases]:
                await asyncio.sleep(0.01)
        for lease in fake.going:
            fake.end(lease, GOOD)
        await settle(0.05)
        assert len(set(run.ended)) == 3 * LEAST_WINDOW
        run.at_rest()

    asyncio.run(scene())


def test_while_attempts_end_the_window_stays(fake: FakeLeases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALLED_S", 0.05)

    async def scene() -> None:
        run = Run(fake)
        for number in range(100):
            run.executor.submit(order(number))
        key: AttemptKey = fake.leases[0].key
        for _ in range(20):
            held = run.executor.take(key)
            assert held is not None
            run.executor.hand_over(key, held)
            key = held.key
            await asyncio.sleep(0.01)
        assert len(fake.leases) == LEAST_WINDOW

    asyncio.run(scene())


def test_a_worker_that_dies_with_a_handed_over_attempt_loses_that_one(fake: FakeLeases) -> None:
    async def scene() -> None:
        run = Run(fake)
        for number in range(20):
            run.executor.submit(order(number))
        lease = fake.leases[0]
        held = run.executor.take(lease.key)
        assert held is not None
        run.executor.hand_over(lease.key, held)
        assert not run.executor.runs(lease.key)
        assert run.executor.runs(held.key)
        fake.end(lease, CRASHED)
        await settle()
        assert [(end.key, end.outcome.kind) for end in run.ends] == [(held.key, "system")]
        assert not run.executor.runs(held.key)

    asyncio.run(scene())


def test_a_worker_that_dies_after_it_reported_loses_nothing(fake: FakeLeases) -> None:
    async def scene() -> None:
        run = Run(fake)
        run.executor.submit(order(1))
        run.executor.hand_over(fake.leases[0].key, None)
        fake.end(fake.leases[0], CRASHED)
        await settle()
        assert run.ends == []
        run.at_rest()

    asyncio.run(scene())


def test_canceled_ones_are_not_handed_over(fake: FakeLeases) -> None:
    async def scene() -> None:
        run = Run(fake)
        orders = [order(number) for number in range(40)]
        for one in orders:
            run.executor.submit(one)
        for one in orders[LEAST_WINDOW:]:
            run.executor.cancel(one.key)
            assert not run.executor.runs(one.key)
        assert run.executor.take(fake.leases[0].key) is None
        for one in orders[:LEAST_WINDOW]:
            run.executor.cancel(one.key)
        assert all(lease.canceled for lease in fake.leases)
        assert not fake.going
        await settle()
        assert run.ends == []
        assert len(fake.leases) == LEAST_WINDOW
        run.at_rest()

    asyncio.run(scene())


def test_the_cancel_of_a_handed_over_attempt_ends_its_lease(fake: FakeLeases) -> None:
    async def scene() -> None:
        run = Run(fake)
        for number in range(LEAST_WINDOW + 1):
            run.executor.submit(order(number))
        lease = fake.leases[3]
        held = run.executor.take(lease.key)
        assert held is not None
        run.executor.hand_over(lease.key, held)
        run.executor.cancel(lease.key)  # too late: reported
        assert not lease.canceled
        run.executor.cancel(held.key)
        assert lease.canceled
        assert run.executor.take(held.key) is None

    asyncio.run(scene())


def test_an_adopted_lease_ends_as_any_other(fake: FakeLeases) -> None:
    async def scene() -> None:
        ends: list[Ended] = []
        executor = TaskExecutor(ends.extend, fake)
        keys: list[AttemptKey] = [("w", 1, f"t{number}", 1) for number in range(3)]
        executor.adopt({key: (1, number) for number, key in enumerate(keys)})
        assert all(executor.runs(key) for key in keys)
        executor.cancel(keys[0])
        assert fake.leases[0].canceled
        fake.end(fake.leases[1], GOOD, keys[1])
        fake.end(fake.leases[2], GOOD, ("w", 1, "another", 1))
        await settle()
        told = [(end.key, end.outcome.kind) for end in ends]
        assert told == [(keys[1], None), (keys[2], "lost")], "a lease tells which attempt it ran"

    asyncio.run(scene())


@pytest.mark.parametrize("seed", range(20))
def test_random_lives(fake: FakeLeases, seed: int) -> None:
    """Every attempt is reported once, by a worker or by its lease, or was canceled; none runs after its cancel."""
    chance = random.Random(seed)

    async def scene() -> None:
        run = Run(fake)
        at: dict[int, AttemptKey] = {}  # what the worker of a lease runs now
        reported: Counter[AttemptKey] = Counter()
        canceled: set[AttemptKey] = set()
        began: Counter[AttemptKey] = Counter()
        every: list[AttemptKey] = []
        known = 0

        def look() -> None:
            nonlocal known
            for lease in fake.leases[known:]:
                at[id(lease)] = lease.key
                began[lease.key] += 1
                assert lease.key not in canceled
            known = len(fake.leases)

        for step in range(600):
            dice = chance.random()
            look()
            going = [lease for lease in fake.going if not lease.canceled]
            if dice < 0.45 and step < 450:
                one = order(step, chance.choice("ab"))
                every.append(one.key)
                run.executor.submit(one)
            elif dice < 0.5 and every:
                key = chance.choice(every)
                if run.executor.runs(key):
                    canceled.add(key)
                run.executor.cancel(key)
            elif dice < 0.55:
                run.executor.window = chance.choice([1, 4, 16, 64])
            elif going:
                lease = chance.choice(going)
                key = at[id(lease)]
                if dice < 0.8 and run.executor.runs(key):
                    reported[key] += 1
                    held = run.executor.take(key)
                    run.executor.hand_over(key, held)
                    if held is None:
                        fake.end(lease, None)
                    else:
                        assert held.key not in canceled
                        began[held.key] += 1
                        at[id(lease)] = held.key
                elif dice < 0.9:
                    fake.end(lease, CRASHED)
                else:
                    fake.end(lease, GOOD)
            if chance.random() < 0.7:
                await settle()
        async with asyncio.timeout(5):
            while fake.going:
                look()
                for lease in fake.going:
                    fake.end(lease, GOOD)
                await settle()
        ended = Counter(run.ended) + reported
        assert all(count == 1 for count in ended.values())
        assert all(count == 1 for count in began.values())
        assert set(ended) | canceled == set(every)
        assert not set(run.ended) & canceled
        run.at_rest()

    asyncio.run(scene())
