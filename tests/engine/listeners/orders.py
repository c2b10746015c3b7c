"""Orders for listeners, as the manager would make them, and a host that is driven without Ray."""

from __future__ import annotations

import asyncio
import itertools
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wfstore.engine.assignment import INLINE, Assignment, Source, load_outcome
from wfstore.engine.executor import Order
from wfstore.engine.listeners.host import Ask, AttemptKey, ListenerHost, News, Report
from wfstore.model.commands import Outcome, Place
from wfstore.model.dag import EVENT, EVENT_CHECKPOINTED
from wfstore.payloads import PayloadStore, Upstream, dumps, hash_of, loads

_numbers = itertools.count()


def assignment(storage: Path, listener: type, *args: Any, **changes: Any) -> Assignment:
    """A poll of `listener`, in a workflow of its own."""
    body = dumps(listener)
    job = Assignment(
        workflow_id=f"w{next(_numbers)}",
        run=1,
        task_id="wait",
        attempt=1,
        storage=str(storage),
        store_id="",
        manager=("", "", "", 1),
        function_hash=hash_of(body),
        function=body,
        args=(INLINE, dumps((args, {}))),
        sources=(),
        shared=(),
        catch=False,
        checkpoint=True,
        retry_exceptions=False,
        type=EVENT,
    )
    return job._replace(**changes)


def checkpointed(storage: Path, listener: type, event: Any) -> Assignment:
    """What follows the poll: its event is an upstream value."""
    args = (INLINE, dumps(((Upstream(0),), {})))
    sources = (Source(INLINE, dumps(event)),)
    return assignment(storage, listener, type=EVENT_CHECKPOINTED, args=args, sources=sources)


def order(job: Assignment, **changes: Any) -> Order:
    return Order(job, "wait", **changes)


class Driven:
    """A host on the running loop, and what it has told so far."""

    def __init__(self) -> None:
        self.host = ListenerHost()
        self.started: dict[AttemptKey, Place] = {}
        self.ended: dict[AttemptKey, Outcome] = {}
        self.ended_at: dict[AttemptKey, float] = {}
        self.asks: list[Ask] = []
        self.reports: list[Report] = []
        self._follow = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while True:
            starts, ends, asks, reports = News(*pickle.loads(await self.host.news()))
            self.asks += asks
            self.reports += reports
            self.started.update(starts)
            for key, data in ends:
                assert key not in self.ended, "told twice"
                self.ended[key] = load_outcome(data)
                self.ended_at[key] = time.time()

    async def take(self, *jobs: Assignment, inputs: tuple[Any, ...] = ()) -> None:
        await self.host.take([job.dumps() for job in jobs], *inputs)

    async def outcome(self, job: Assignment, timeout_s: float = 30.0) -> Outcome:
        await self.until(lambda: job.key in self.ended, f"{job.key} ends", timeout_s)
        return self.ended[job.key]

    async def run(self, job: Assignment, inputs: tuple[Any, ...] = ()) -> Outcome:
        await self.take(job, inputs=inputs)
        return await self.outcome(job)

    async def verdict(self, name: str) -> str | None:
        verdicts = (await self.host.describe())["verdicts"]
        return next((verdict for known, verdict in verdicts.items() if name in known), None)

    async def becomes(self, name: str, verdict: str, timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while await self.verdict(name) != verdict:
            assert time.monotonic() < deadline, f"{name} is {await self.verdict(name)}, not {verdict}"
            await asyncio.sleep(0.02)

    async def until(self, condition: Callable[[], Any], what: str, timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
            await asyncio.sleep(0.01)


def value_of(outcome: Outcome, storage: Path) -> Any:
    assert outcome.ok, outcome.traceback
    assert outcome.output is not None
    return loads(PayloadStore(str(storage)).get(outcome.output))


def error_of(outcome: Outcome) -> BaseException:
    assert not outcome.ok
    assert outcome.error is not None
    assert outcome.error.data is not None
    nothing, error = loads(outcome.error.data)
    assert nothing is None
    assert isinstance(error, BaseException)
    return error
