"""References to outputs, beyond those that the manager itself waits with.

A pending call of an async actor costs Ray 60 KB in that actor's process, whatever it waits for. Up to
`MOST_IN_MANAGER` the manager takes that upon itself; what is more is kept here, in an actor of its own, which asks the
manager for all of them by one call. It holds no state that is not in the drivers' pending calls: Ray starts it again,
and they are made again.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine
from typing import Any

import ray
from ray.exceptions import RayError

from wfstore.engine.answers import Answer, Delivered, as_read
from wfstore.engine.failures import as_rays

MOST_IN_MANAGER = 1000
POLL_S = 5.0
NAME = "WorkflowOutputWaiter"
_MANAGER_AGAIN_S = 0.5

#: workflow id, task id (None: the output of the workflow)
Key = tuple[str, str | None]
#: Name of the outbox that it is from, outputs that have come.
Taken = tuple[str, list[tuple[Key, Answer]]]


class Outbox:
    """The manager's side: outputs that somebody waits for by the thousand. Lives on the manager's loop."""

    def __init__(self, wait: Any) -> None:
        """wait: coroutine function that gives the answer for a key."""
        self._wait = wait
        self._name = uuid.uuid4().hex
        self._watched: dict[Key, asyncio.Task[None]] = {}
        self._ready: list[tuple[Key, Answer]] = []
        self._news = asyncio.Event()
        self._calls = 0

    def watch(self, keys: list[Key]) -> None:
        for key in keys:
            if key not in self._watched:
                self._watched[key] = asyncio.get_running_loop().create_task(self._watch(key))

    async def _watch(self, key: Key) -> None:
        try:
            answer = await self._wait(*key)
        except Exception as error:  # not found, or the storage failed: whoever waits is told
            answer = Answer(error=error)
        self._ready.append((key, answer))
        self._news.set()

    async def take(self, timeout_s: float) -> Taken:
        """What has come since the last call; waits for something, up to `timeout_s`.

        Nothing once there was another call meanwhile: this one's caller may have died, and its successor is calling.
        """
        self._calls += 1
        this = self._calls
        try:
            if timeout_s > 0:
                await asyncio.wait_for(self._news.wait(), timeout_s)
        except TimeoutError:
            return self._name, []
        if this != self._calls:
            return self._name, []
        self._news.clear()
        ready, self._ready = self._ready, []
        for key, _ in ready:
            self._watched.pop(key, None)
        return self._name, ready


class OutputWaiter:
    """The actor. Created by `engine.host`, named and detached, when a first driver waits for so many outputs."""

    def __init__(self, storage: str, manager: tuple[str, str]) -> None:
        self._storage = storage
        self._manager = manager
        self._waiting: dict[Key, list[asyncio.Future[Answer]]] = {}
        self._new: list[Key] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._polling = False

    async def value(self, workflow_id: str, task_id: str | None = None, reading: bool = False) -> Any:
        """As the manager's: the ObjectRef of this call resolves to the output, or raises."""
        key = (workflow_id, task_id)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        if key not in self._waiting:
            if not self._new:
                loop.call_soon(self._begin, self._tell())
            self._new.append(key)
        self._waiting.setdefault(key, []).append(future)
        if not self._polling:
            self._polling = True
            self._begin(self._poll())
        answer = await future
        if answer.error is not None:
            raise as_rays(as_read(answer.error, task_id) if reading else answer.error)
        return Delivered(self._storage, answer)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        """Tell the manager what is new, many at a time, beside the call that polls."""
        keys, self._new = self._new, []
        while await self._exchange(keys, 0.0) is None:
            await asyncio.sleep(_MANAGER_AGAIN_S)

    async def _poll(self) -> None:
        untold: list[Key] = []
        known: str | None = None
        while self._waiting:
            outbox = await self._exchange(untold, POLL_S)
            if outbox is None:
                await asyncio.sleep(_MANAGER_AGAIN_S)
            # A manager may also have been replaced between two calls, unheard by a process that stood still.
            untold = [] if outbox is not None and outbox == known else list(self._waiting)
            known = outbox
        self._polling = False

    async def _exchange(self, keys: list[Key], timeout_s: float) -> str | None:
        """The outbox that answered; another knows of nothing that was waited for. None while the manager restarts."""
        try:
            manager: Any = ray.get_actor(*self._manager)
            taken: Taken = await manager.outputs.remote(keys, timeout_s)
        except (RayError, ValueError):
            return None
        outbox, ready = taken
        for key, answer in ready:
            for future in self._waiting.pop(key, ()):
                if not future.done():
                    future.set_result(answer)
        return outbox
