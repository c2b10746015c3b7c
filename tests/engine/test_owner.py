"""The owner of running attempts, without Ray: what it tells a new manager, and what it takes from an old one."""

from __future__ import annotations

import asyncio
import pickle
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.exceptions import WorkerCrashedError

from wfstore.engine import owner as module
from wfstore.engine.assignment import AttemptKey, LeaseId, dump_outcome, load_outcome
from wfstore.engine.owner import AttemptOwner, Finish, Start
from wfstore.model.commands import Outcome, Place

GOOD = dump_outcome(Outcome(True, 2, Place(1, "node", 1, "task")))


def key(task: str) -> AttemptKey:
    return ("w", 1, task, 1)


class FakeRay:
    """Takes tasks, runs none of them."""

    def __init__(self) -> None:
        self.tasks: dict[LeaseId, Future[bytes]] = {}
        self.canceled: list[Any] = []
        self.options_made = 0

    def options(self, **options: Any) -> Any:
        self.options_made += 1

        def remote(
            lease: LeaseId, owner: tuple[str, str, str], asked_at: float, assignment: bytes, *inputs: Any
        ) -> tuple[Any, str]:
            if "refused" in options:
                raise ValueError("Ray does not want this")
            future = self.tasks[lease] = Future()
            return SimpleNamespace(future=lambda: future, lease=lease), "value"

        return SimpleNamespace(remote=remote)

    def cancel(self, task: Any, force: bool) -> None:
        assert force
        self.canceled.append(task.lease)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    made = FakeRay()
    monkeypatch.setattr(module, "_run_attempt", made)
    monkeypatch.setattr(ray, "cancel", made.cancel)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_actor_id=lambda: "me"))
    return made


def start(number: int, task: str = "t", **options: Any) -> Start:
    return Start((1, number), key(f"{task}{number}"), b"", {"name": "f", **options}, ())


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def heard(owner: AttemptOwner, epoch: int = 1, durable: int = 0, after: int = 0) -> tuple[int, list[Finish]]:
    return await asyncio.wait_for(owner.news("s", epoch, durable, after), 2)


def test_an_end_is_told_until_it_is_durable(fake: FakeRay) -> None:
    async def scene() -> None:
        owner = AttemptOwner(("o", "space"))
        await owner.start("s", 1, [start(1), start(2)])
        fake.tasks[(1, 1)].set_result(pickle.dumps((key("t1"), True, GOOD)))
        await settle()
        number, (finish,) = await heard(owner)
        assert (finish.lease, finish.key, finish.outcome, finish.value) == ((1, 1), key("t1"), GOOD, "value")
        assert [(one.key, one.certain) for one in await owner.take_over("s", 2)] == [
            (key("t2"), False),
            (key("t1"), True),
        ]
        assert await heard(owner, 2) == (number, [finish]), "the next manager hears of it as well"
        fake.tasks[(1, 2)].set_result(b"")
        await settle()
        last, (other,) = await heard(owner, 2, number, number)
        assert other == Finish((1, 2), None, None)
        assert await owner.take_over("s", 3) == []
        assert last == 2

    asyncio.run(scene())


def test_a_manager_that_was_replaced_starts_and_hears_nothing(fake: FakeRay) -> None:
    async def scene() -> None:
        owner = AttemptOwner(("o", "space"))
        await owner.start("s", 1, [start(1)])
        waiting = asyncio.ensure_future(owner.news("s", 1, 0, 0))
        await settle()
        await owner.take_over("s", 2)
        assert await asyncio.wait_for(waiting, 2) == (0, [])
        await owner.start("s", 1, [start(2)])
        assert list(fake.tasks) == [(1, 1)]
        assert await owner.take_over("s", 1) == []
        await owner.start("s", 2, [start(3)])
        assert list(fake.tasks) == [(1, 1), (1, 3)]

    asyncio.run(scene())


def test_the_manager_of_another_store_stops_what_runs(fake: FakeRay) -> None:
    async def scene() -> None:
        owner = AttemptOwner(("o", "space"))
        await owner.start("s", 5, [start(1), start(2)])
        fake.tasks[(1, 1)].set_result(pickle.dumps((key("t1"), False, GOOD)))
        await settle()
        assert await owner.take_over("another", 1) == []
        assert fake.canceled == [(1, 2)]

    asyncio.run(scene())


def test_a_worker_says_what_it_has_gone_on_with(fake: FakeRay) -> None:
    async def scene() -> None:
        owner = AttemptOwner(("o", "space"))
        await owner.start("s", 1, [start(1)])
        await owner.runs((1, 1), key("later"))
        await owner.runs((9, 9), key("nobody"))
        assert [tuple(one) for one in await owner.take_over("s", 2)] == [((1, 1), key("later"), True)]
        fake.tasks[(1, 1)].set_exception(WorkerCrashedError())
        await settle()
        _, (finish,) = await heard(owner, 2)
        assert finish.key == key("later")
        assert finish.outcome is not None
        assert load_outcome(finish.outcome).kind == "system"

    asyncio.run(scene())


def test_a_cancel_may_come_before_its_start(fake: FakeRay) -> None:
    async def scene() -> None:
        owner = AttemptOwner(("o", "space"))
        await owner.cancel([(1, 1)])
        await owner.start("s", 1, [start(1), start(2)])
        assert list(fake.tasks) == [(1, 2)]
        await owner.cancel([(1, 2)])
        assert fake.canceled == [(1, 2)]
        fake.tasks[(1, 2)].set_exception(WorkerCrashedError())
        await settle()
        assert not owner._finished
        assert (await owner.describe())["leases"] == 0

    asyncio.run(scene())


def test_what_ray_refuses_ends(fake: FakeRay) -> None:
    async def scene() -> None:
        owner = AttemptOwner(("o", "space"))
        await owner.start("s", 1, [start(1, refused=True)])
        await settle()
        _, (finish,) = await heard(owner)
        assert finish.outcome is not None
        outcome = load_outcome(finish.outcome)
        assert (outcome.kind, outcome.error_type) == ("app", "ValueError")

    asyncio.run(scene())


def test_nothing_is_kept_for_names_that_are_gone(fake: FakeRay) -> None:
    """Every task may have a name of its own."""

    async def scene() -> None:
        owner = AttemptOwner(("o", "space"))
        for number in range(5000):
            one = start(number)
            await owner.start("s", 1, [one._replace(options={"name": f"name{number}"})])
            fake.tasks[one.lease].set_result(b"")
        await settle()
        number, _ = await heard(owner)
        assert number == 5000
        assert len(owner._tasks) <= 1000
        made = fake.options_made
        again = [start(6000 + number)._replace(options={"name": "again"}) for number in range(10)]
        await owner.start("s", 1, again)
        assert fake.options_made == made + 1
        waiting = asyncio.ensure_future(owner.news("s", 1, number, number))
        await settle()
        assert not owner._finished
        waiting.cancel()

    asyncio.run(scene())
