"""Owns the Ray tasks in which attempts run, so that these outlive the manager: a task dies with whoever submitted it.

A detached actor beside the manager that runs no user code and keeps no state but which leases run, and how those ended
that the manager has not made durable yet. A new manager takes them over. See docs/decisions/0012.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import ray
from ray.exceptions import OutOfMemoryError, RayTaskError

from wfstore.engine.assignment import AttemptKey, LeaseId, dump_outcome
from wfstore.engine.worker import attempt, failed
from wfstore.model.commands import Outcome

# By reference: Ray pickles a decorated function by value, with all that its module holds.
_run_attempt = ray.remote(num_returns=2, max_retries=0)(attempt)

_MOST_NAMES = 512
_CALM_S = 0.01


class Start(NamedTuple):
    """A lease to begin: the attempt it begins with, its assignment, Ray options and Ray objects of large inputs."""

    lease: LeaseId
    key: AttemptKey
    assignment: bytes
    options: Mapping[str, Any]
    inputs: tuple[Any, ...]


class Finish(NamedTuple):
    """A lease has ended. `key`: the attempt that it ran last (None: as far as the manager knows); `outcome`: pickled,
    None where there is nothing to report; `value`: the Ray object of an output too large for the outcome."""

    lease: LeaseId
    key: AttemptKey | None
    outcome: bytes | None
    value: Any = None


class Held(NamedTuple):
    """A lease that a new manager finds. `certain`: it runs `key`; else it began with that, and may have gone on."""

    lease: LeaseId
    key: AttemptKey
    certain: bool


class AttemptOwner:
    """Created by `engine.leases`, named after its manager. `name`: its own name and namespace."""

    def __init__(self, name: tuple[str, str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._name = (*name, ray.get_runtime_context().get_actor_id() or "")
        self._manager = ("", 0)
        self._leases: dict[LeaseId, _Lease] = {}
        self._canceled: set[LeaseId] = set()
        self._done: deque[tuple[LeaseId, Any]] = deque()
        self._wake_up = threading.Lock()
        self._finished: deque[tuple[int, Finish]] = deque()
        self._count = 0
        self._news = asyncio.Event()
        self._tasks: dict[str, Any] = {}

    async def take_over(self, store_id: str, epoch: int) -> list[Held]:
        """What runs, or has ended without the manager's making it durable. From here on, managers of earlier epochs
        start and hear nothing."""
        mine, newest = self._manager
        if store_id != mine:  # attempts of another store are nobody's here
            self._cancel(list(self._leases))
            self._finished.clear()
        elif epoch < newest:
            return []
        self._manager = (store_id, epoch)
        self._news.set()
        held = [Held(lease, state.key, state.certain) for lease, state in self._leases.items()]
        ended = [finish for _, finish in self._finished if finish.key is not None]
        return held + [Held(finish.lease, finish.key, True) for finish in ended if finish.key is not None]

    async def start(self, store_id: str, epoch: int, starts: Sequence[Start]) -> None:
        if self._manager == ("", 0):
            self._manager = (store_id, epoch)
        if self._manager != (store_id, epoch):
            return
        for start in starts:
            if start.lease in self._canceled:  # calls may overtake each other
                self._canceled.discard(start.lease)
                continue
            self._begin(start)

    def _begin(self, start: Start) -> None:
        state = self._leases[start.lease] = _Lease(start.key)
        try:
            task = self._ray_task(start.options)
            state.outcome, state.value = task.remote(
                start.lease, self._name, time.time(), start.assignment, *start.inputs
            )
        except Exception as error:  # Ray refuses options only now, in words of its own
            self._take_in(start.lease, error)
            return
        # Called in a thread of Ray's, with the result at hand: no coroutine per attempt.
        state.outcome.future().add_done_callback(partial(self._take_in, start.lease))

    def _ray_task(self, options: Mapping[str, Any]) -> Any:
        """The Ray function with these options; those that are nothing but a name are kept."""
        if len(options) > 1:
            return _run_attempt.options(**options)
        name = options["name"]
        known = self._tasks.get(name)
        if known is None:
            if len(self._tasks) >= _MOST_NAMES:
                self._tasks.clear()
            known = self._tasks[name] = _run_attempt.options(name=name)
        return known

    async def cancel(self, leases: Sequence[LeaseId]) -> None:
        self._cancel(leases)

    def _cancel(self, leases: Sequence[LeaseId]) -> None:
        states = {lease: self._leases.pop(lease, None) for lease in leases}
        for lease, state in states.items():
            if state is None:
                self._canceled.add(lease)
            elif state.outcome is not None:
                ray.cancel(state.outcome, force=True)

    async def describe(self) -> dict[str, Any]:
        """Process id, and how many leases run."""
        return {"pid": os.getpid(), "leases": len(self._leases)}

    async def holds(self, lease: LeaseId) -> bool:
        """Whether it was begun here, and not canceled since."""
        return lease in self._leases

    async def runs(self, lease: LeaseId, key: AttemptKey) -> None:
        """A worker says what it runs, once that takes longer than a moment."""
        state = self._leases.get(lease)
        if state is not None:
            state.key, state.certain = key, True

    async def news(self, store_id: str, epoch: int, durable: int, heard: int) -> tuple[int, list[Finish]]:
        """What has ended after number `heard`, and the number of the last of it, as soon as there is something; what
        ended up to number `durable` is forgotten. Empty for a manager that was replaced."""
        while self._manager in ((store_id, epoch), ("", 0)):
            while self._finished and self._finished[0][0] <= durable:
                self._canceled.discard(self._finished.popleft()[1].lease)
            finished = [(number, finish) for number, finish in self._finished if number > heard]
            if finished:
                return finished[-1][0], [finish for _, finish in finished]
            self._news.clear()
            await self._news.wait()
        return heard, []

    def _take_in(self, lease: LeaseId, done: Any) -> None:
        self._done.append((lease, done))
        if self._wake_up.acquire(blocking=False):
            self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._wake_up.release()
        urgent = False
        while self._done:
            lease, done = self._done.popleft()
            state = self._leases.pop(lease, None)
            if state is None:
                continue  # canceled
            self._count += 1
            finish = _finish(lease, state, done)
            self._finished.append((self._count, finish))
            urgent = urgent or finish.outcome is not None
        if urgent:
            self._news.set()
        elif not self._news.is_set():  # the manager knows how these ended: it only wants their places back
            self._loop.call_later(_CALM_S, self._news.set)


@dataclass(slots=True)
class _Lease:
    """One Ray task: the attempt that it runs, as far as is known here, and its two results."""

    key: AttemptKey
    certain: bool = False
    outcome: Any = None
    value: Any = None


def _finish(lease: LeaseId, state: _Lease, done: Any) -> Finish:
    if isinstance(done, Exception):
        return Finish(lease, None, dump_outcome(_lost(done, "app")))
    try:
        data = done.result()
        if not data:  # everything was reported by calls
            return Finish(lease, None, None)
        key, large, outcome = pickle.loads(data)
        return Finish(lease, key, outcome, state.value if large else None)
    except Exception as error:  # whatever Ray raises for a dead worker, node or object
        kind = "oom" if isinstance(error, OutOfMemoryError) else "system"
        return Finish(lease, state.key if state.certain else None, dump_outcome(_lost(error, kind)))


def _lost(error: Exception, kind: str) -> Outcome:
    if isinstance(error, RayTaskError) and isinstance(error.cause, Exception):
        error = error.cause
    return failed(error, kind)
