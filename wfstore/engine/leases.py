"""The manager's side of the attempts' owner: has leases begun and ended there, hears how they end, and takes over those
that an earlier manager began. An owner that dies takes its leases with it, and is replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine
from itertools import count
from typing import Any, NamedTuple

import ray
from ray.exceptions import GetTimeoutError, RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from wfstore import errors
from wfstore.engine.assignment import AttemptKey, LeaseId, load_outcome
from wfstore.engine.owner import AttemptOwner, Finish, Held, Start
from wfstore.engine.worker import failed
from wfstore.model.commands import Outcome

_SUFFIX = "-attempts"
_MOST_CALLS = 1000
#: How long leases may take to say which attempt they run, where the log leaves that open.
_PATIENCE_S = 1.0
_LOOK_EVERY_S = 0.05
#: An owner that dies sooner is not replaced at once.
_LEAST_LIFE_S = 10.0
_PAUSE_S = 1.0


class LeaseEnd(NamedTuple):
    """How a lease ended. `key`: the attempt that it ran last, None: the one it is known to run; `outcome`: None where
    there is nothing to report; `value`: the Ray object of an output too large for the outcome."""

    lease: LeaseId
    key: AttemptKey | None
    outcome: Outcome | None
    value: Any = None


class OwnedLeases:
    """Leases of one manager, `manager` (name and namespace) of `epoch`, on the store `store_id`.

    durable(): returns once everything that was reported is in the log: from then on the owner may forget it
    """

    def __init__(
        self, manager: tuple[str, str], store_id: str, epoch: int, durable: Callable[[], Awaitable[None]]
    ) -> None:
        self._name = owner_name(manager)
        self._me = (store_id, epoch)
        self._durable = durable
        self._on_ended: Callable[[list[LeaseEnd]], None] = lambda ends: None
        self._numbers = count(1)
        self._running: set[LeaseId] = set()
        self._outbox: list[Start] = []
        self._unwanted: list[LeaseId] = []
        self._heard = 0
        self._confirmed = 0
        self._owner: Any = None
        self._since = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def follow(self, on_ended: Callable[[list[LeaseEnd]], None]) -> None:
        """Hear of ends from here on: `on_ended` is called on the loop, once for many."""
        self._on_ended = on_ended
        self._make()

    def adopt(self, lease: LeaseId) -> None:
        """One that an earlier manager began is this one's."""
        self._running.add(lease)

    def begin(self, key: AttemptKey, assignment: bytes, options: dict[str, Any], inputs: tuple[Any, ...]) -> LeaseId:
        lease = (self._me[1], next(self._numbers))
        self._running.add(lease)
        self._outbox.append(Start(lease, key, assignment, options, inputs))
        if len(self._outbox) == 1:
            self._loop.call_soon(self._flush)
        return lease

    def cancel(self, lease: LeaseId) -> None:
        """Nothing more is heard of it."""
        self._running.discard(lease)
        unsent = [start for start in self._outbox if start.lease != lease]
        if len(unsent) < len(self._outbox):
            self._outbox = unsent
        elif self._owner is not None:
            self._unwanted.append(lease)
            if len(self._unwanted) == 1:
                self._loop.call_soon(self._cancel)

    def _cancel(self) -> None:
        """All of one turn by one call: between calls Ray would give the worker of one to the next. Newest first, since
        these wait for the workers of the older ones."""
        unwanted, self._unwanted = sorted(self._unwanted, reverse=True), []
        if self._owner is not None:
            self._owner.cancel.remote(unwanted)

    def _flush(self) -> None:
        if self._owner is None:
            return  # once there is one again
        starts, self._outbox = self._outbox, []
        try:
            if starts:
                self._owner.start.remote(*self._me, starts)
        except Exception:  # options or inputs that do not pickle: whose are they?
            for start in starts:
                self._send_alone(start)

    def _send_alone(self, start: Start) -> None:
        try:
            self._owner.start.remote(*self._me, [start])
        except Exception as error:
            self._end([LeaseEnd(start.lease, None, failed(error, "app"))])

    def _make(self) -> None:
        self._since = time.monotonic()
        self._owner = _start(self._name)
        self._heard = self._confirmed = 0
        self._begin(self._hear(self._owner))
        self._flush()

    async def _hear(self, owner: Any) -> None:
        while True:
            try:
                number, finished = await owner.news.remote(*self._me, self._confirmed, self._heard)
            except Exception as error:  # dead, or out of reach
                await self._replace(owner, error)
                return
            if number == self._heard:
                return  # another manager has taken over
            self._heard = number
            self._end([_read(finish) for finish in finished])
            self._begin(self._confirm(number))

    def _end(self, ends: list[LeaseEnd]) -> None:
        known = [end for end in ends if end.lease in self._running]
        self._running.difference_update(end.lease for end in known)
        if known:
            self._on_ended(known)

    async def _confirm(self, number: int) -> None:
        with contextlib.suppress(errors.StorageError):  # else the next manager hears of them once more
            await self._durable()
            self._confirmed = max(self._confirmed, number)

    async def _replace(self, owner: Any, error: Exception) -> None:
        """What ran there is lost. One that is only out of reach must not go on."""
        self._owner = None
        lost = self._running - {start.lease for start in self._outbox}
        self._begin(asyncio.to_thread(ray.kill, owner))
        if time.monotonic() - self._since < _LEAST_LIFE_S:
            await asyncio.sleep(_PAUSE_S)
        self._make()
        self._end([LeaseEnd(lease, None, failed(error, "lost")) for lease in lost])

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """End the owner, and with it all that runs."""
        for task in self._tasks:
            task.cancel()
        if self._owner is not None:
            ray.kill(self._owner)


def survivors(
    manager: tuple[str, str], store_id: str, epoch: int, is_open: Callable[[AttemptKey], bool]
) -> dict[AttemptKey, LeaseId]:
    """Attempts that go on, or have ended unheard, although the manager that began them is gone. Blocking.

    From here on the owner takes nothing from earlier managers. What runs there and is not open any more is stopped.
    """
    try:
        owner = ray.get_actor(*owner_name(manager))
    except ValueError:  # there is none
        return {}
    try:
        held = _settled(owner, store_id, epoch, is_open)
    except (RayActorError, GetTimeoutError):  # what it may be running must not go on beside what is begun anew
        ray.kill(owner)
        return {}
    found = {one.key: one.lease for one in held if is_open(one.key)}
    over = [one.lease for one in held if found.get(one.key) != one.lease]
    if over:
        owner.cancel.remote(over)
    return found


def _settled(owner: Any, store_id: str, epoch: int, is_open: Callable[[AttemptKey], bool]) -> list[Held]:
    """Once each lease runs an attempt that is open, has said which, or has had its time: workers report a short attempt
    to the dead manager, notice, and end their lease."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        held: list[Held] = ray.get(owner.take_over.remote(store_id, epoch), timeout=_PATIENCE_S * 5)
        unclear = [one for one in held if not one.certain and not is_open(one.key)]
        if not unclear or time.monotonic() > until:
            return held
        time.sleep(_LOOK_EVERY_S)


def owner_name(manager: tuple[str, str]) -> tuple[str, str]:
    """Name and namespace of the actor that owns the attempts of `manager`."""
    return manager[0] + _SUFFIX, manager[1]


def _start(name: tuple[str, str]) -> Any:
    actor = ray.remote(AttemptOwner).options(
        name=name[0],
        namespace=name[1],
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        max_restarts=0,
        max_task_retries=0,
        max_concurrency=_MOST_CALLS,
        # Beside the manager: it is of no use without it.
        scheduling_strategy=NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False),
    )
    return actor.remote(name)


def _read(finish: Finish) -> LeaseEnd:
    outcome = None if finish.outcome is None else load_outcome(finish.outcome)
    return LeaseEnd(finish.lease, finish.key, outcome, finish.value)
