"""Outputs awaited by the thousand, without Ray: whatever dies in between, every reference gets its answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.exceptions import ActorUnavailableError, RayActorError

from wfstore import errors
from wfstore.engine import waiter as module
from wfstore.engine.answers import Answer
from wfstore.engine.assignment import INLINE
from wfstore.engine.waiter import Key, Outbox, OutputWaiter, Taken


class Manager:
    """The manager's side of it: workflows that end when told to. It may restart, and be away meanwhile."""

    def __init__(self) -> None:
        self.done: dict[str, Answer] = {}
        self.changed = asyncio.Condition()
        self.down = False
        self.calls: set[asyncio.Task[Any]] = set()
        self.refused = 0
        self.replaced_unheard = False
        self.start()

    def start(self) -> None:
        self.outbox = Outbox(self.wait)
        self.down = False

    async def wait(self, workflow_id: str, task_id: str | None) -> Answer:
        async with self.changed:
            await self.changed.wait_for(lambda: workflow_id in self.done)
        if workflow_id.startswith("none"):
            raise errors.WorkflowNotFoundError(workflow_id)
        return self.done[workflow_id]

    async def end(self, *names: str) -> None:
        async with self.changed:
            self.done.update({name: Answer(INLINE, name) for name in names})
            self.changed.notify_all()

    def kill(self) -> None:
        self.down = True
        for task in [*self.calls, *self.outbox._watched.values()]:
            task.cancel()

    async def _outputs(self, keys: list[Key], timeout_s: float) -> Taken:
        self.outbox.watch(keys)
        return await self.outbox.take(timeout_s)

    async def _called(self, work: Coroutine[Any, Any, Taken]) -> Taken:
        if self.down:
            work.close()
            self.refused += 1
            for _ in range(3):
                await asyncio.sleep(0)
            raise ActorUnavailableError("away", None)
        task = asyncio.get_running_loop().create_task(work)
        self.calls.add(task)
        task.add_done_callback(self.calls.discard)
        try:
            answer = await asyncio.shield(task)
            if self.replaced_unheard:
                self.replaced_unheard = False
                self.kill()
                self.start()
            return answer
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if task.cancelled() and not (caller and caller.cancelling()):
                raise RayActorError from None
            raise  # the caller has died; the call goes on, if its manager does

    @property
    def handle(self) -> Any:
        return SimpleNamespace(
            outputs=SimpleNamespace(remote=lambda keys, timeout_s: self._called(self._outputs(keys, timeout_s)))
        )


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MANAGER_AGAIN_S", 0.01)
    monkeypatch.setattr(module, "POLL_S", 0.2)
    monkeypatch.setattr(module, "Delivered", lambda storage, answer: answer.value)


def serve(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "get_actor", lambda *name: manager.handle)


def refs(waiter: OutputWaiter, names: list[str]) -> list[asyncio.Task[Any]]:
    return [asyncio.get_running_loop().create_task(waiter.value(name)) for name in names]


async def answers(tasks: list[asyncio.Task[Any]], timeout_s: float = 5.0) -> list[Any]:
    async with asyncio.timeout(timeout_s):
        return await asyncio.gather(*tasks)


NAMES = [f"w{number}" for number in range(300)]


def test_every_reference_gets_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        manager = Manager()
        serve(manager, monkeypatch)
        waiter = OutputWaiter("/s", ("M", "space"))
        await manager.end(*NAMES[:10])
        waiting = refs(waiter, NAMES) + refs(waiter, NAMES[:100])
        await asyncio.sleep(0.05)
        for name in NAMES[10:]:
            await manager.end(name)
        assert await answers(waiting) == NAMES + NAMES[:100]
        assert await answers(refs(waiter, NAMES[:5])) == NAMES[:5]
        assert not waiter._waiting
        assert not manager.outbox._watched
        await asyncio.sleep(0.25)
        assert not waiter._tasks, "it asks although nobody waits"

    asyncio.run(scene())


def test_what_does_not_exist_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        manager = Manager()
        serve(manager, monkeypatch)
        await manager.end("none")
        with pytest.raises(errors.WorkflowNotFoundError):
            await answers(refs(OutputWaiter("/s", ("M", "space")), ["none"]))

    asyncio.run(scene())


@pytest.mark.parametrize("away_s", [0.0, 0.005, 0.012, 0.05])
def test_a_manager_that_restarts_is_told_again(monkeypatch: pytest.MonkeyPatch, away_s: float) -> None:
    async def scene() -> None:
        manager = Manager()
        serve(manager, monkeypatch)
        waiter = OutputWaiter("/s", ("M", "space"))
        waiting = refs(waiter, NAMES)
        for _ in range(3):
            await asyncio.sleep(0.03)
            manager.kill()
            await asyncio.sleep(away_s)
            manager.start()
        await asyncio.sleep(0.05)
        await manager.end(*NAMES)
        assert await answers(waiting) == NAMES

    asyncio.run(scene())


@pytest.mark.parametrize("refusals", range(1, 8))
def test_a_manager_that_comes_back_between_two_calls(monkeypatch: pytest.MonkeyPatch, refusals: int) -> None:
    """Told while it was away and heard when it was there again: it has to be told once more."""

    async def scene() -> None:
        manager = Manager()
        serve(manager, monkeypatch)
        waiter = OutputWaiter("/s", ("M", "space"))
        waiting = refs(waiter, NAMES)
        await asyncio.sleep(0.03)
        manager.kill()
        while manager.refused < refusals:
            await asyncio.sleep(0)
        manager.start()
        await manager.end(*NAMES)
        assert await answers(waiting, 2) == NAMES

    asyncio.run(scene())


def test_a_manager_that_is_replaced_between_two_calls_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call failed, as the waiter stood still meanwhile."""

    async def scene() -> None:
        manager = Manager()
        serve(manager, monkeypatch)
        waiting = refs(OutputWaiter("/s", ("M", "space")), NAMES)
        await asyncio.sleep(0.03)
        manager.replaced_unheard = True
        await manager.end(*NAMES[:7])
        assert await answers(waiting[:7], 2) == NAMES[:7]
        await manager.end(*NAMES)
        assert await answers(waiting, 2) == NAMES

    asyncio.run(scene())


def test_a_waiter_that_restarts_is_not_robbed_by_its_predecessor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dead one's last call goes on in the manager: what it would take would reach nobody."""

    async def scene() -> None:
        manager = Manager()
        serve(manager, monkeypatch)
        dead = OutputWaiter("/s", ("M", "space"))
        lost = refs(dead, NAMES)
        await asyncio.sleep(0.03)
        for task in [*lost, *dead._tasks]:
            task.cancel()
        await asyncio.sleep(0)
        assert manager.calls, "the last call of the dead one"
        waiting = refs(OutputWaiter("/s", ("M", "space")), NAMES)
        await asyncio.sleep(0.01)
        await manager.end(*NAMES)
        assert await answers(waiting, 2) == NAMES

    asyncio.run(scene())


@pytest.mark.parametrize("seed", range(5))
def test_random_deaths_on_both_sides(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    chance = random.Random(seed)

    async def scene() -> None:
        manager = Manager()
        serve(manager, monkeypatch)
        waiter = OutputWaiter("/s", ("M", "space"))
        waiting = dict(zip(NAMES, refs(waiter, NAMES), strict=True))
        open_ones = list(NAMES)
        while open_ones:
            dice = chance.random()
            if dice < 0.1:
                manager.kill()
            elif dice < 0.3 and manager.down:
                manager.start()
            elif dice < 0.35:
                for task in [*waiter._tasks, *(task for task in waiting.values() if not task.done())]:
                    task.cancel()
                await asyncio.sleep(0)
                waiter = OutputWaiter("/s", ("M", "space"))
                for name in [name for name, task in waiting.items() if not task.done() or task.cancelled()]:
                    waiting[name] = refs(waiter, [name])[0]
            else:
                chance.shuffle(open_ones)
                ended = [open_ones.pop() for _ in range(min(len(open_ones), chance.randrange(20)))]
                await manager.end(*ended)
            await asyncio.sleep(chance.choice([0, 0, 0.002, 0.02]))
        if manager.down:
            manager.start()
        assert await answers(list(waiting.values())) == list(waiting)

    asyncio.run(scene())
