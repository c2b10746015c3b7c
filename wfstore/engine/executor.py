"""Which attempt runs where: as Ray tasks in a detached owner (`engine.leases`), on workers that go on with the next of
their kind. See docs/decisions/0004 and 0012.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from wfstore.engine.assignment import Assignment, AttemptKey, LeaseId
from wfstore.engine.leases import LeaseEnd
from wfstore.engine.worker import failed
from wfstore.model.commands import Outcome

#: Ray tasks of one kind at a time, on a small cluster; four for each CPU on a large one.
LEAST_WINDOW = 16
WINDOW_PER_CPU = 4
#: When none of a kind has ended for so long, more of them go to Ray.
STALLED_S = 1.0


@dataclass(frozen=True, slots=True)
class Order:
    """An attempt to run. `inputs`: Ray objects of large upstream outputs; `options`: Ray options of the task;
    `runtime_env`: of the driver that submitted the workflow, where it differs from the manager's; `nested`: that driver
    is a task itself."""

    assignment: Assignment
    name: str
    inputs: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    runtime_env: Mapping[str, Any] | None = None
    nested: bool = False

    @property
    def key(self) -> AttemptKey:
        return self.assignment.key

    @property
    def kind(self) -> str | None:
        """Attempts of one kind may follow one another on a worker; None: this one follows nobody."""
        plain = not self.options and not self.inputs and not self.runtime_env and not self.nested
        return self.name if plain else None


class Leases(Protocol):
    """Where leases run; `follow(on_ended)` hears of each one's end once, unless it was canceled."""

    def follow(self, on_ended: Callable[[list[LeaseEnd]], None]) -> None: ...

    def adopt(self, lease: LeaseId) -> None: ...

    def begin(
        self, key: AttemptKey, assignment: bytes, options: dict[str, Any], inputs: tuple[Any, ...]
    ) -> LeaseId: ...

    def cancel(self, lease: LeaseId) -> None: ...

    def close(self) -> None: ...


class Executor(Protocol):
    """Runs attempts and reports each one's end once, unless it was canceled."""

    def submit(self, order: Order) -> None: ...

    def cancel(self, key: AttemptKey) -> None: ...

    def runs(self, key: AttemptKey) -> bool: ...

    def hand_over(self, key: AttemptKey, order: Order | None) -> None: ...

    def take(self, key: AttemptKey) -> Order | None: ...


class Ended(NamedTuple):
    """How an attempt ended. `value`: the Ray object of an output too large for the outcome, else None."""

    key: AttemptKey
    outcome: Outcome
    value: Any = None


class TaskExecutor:
    """Attempts as Ray tasks.

    Of each kind at most `window` are Ray tasks at a time; the others are held here, for workers that have just ended
    one of that kind (`take`), which costs a fraction of a Ray task. Ray sees enough of them waiting to keep every
    worker busy, and to know that more nodes are wanted. A window of which nothing ends grows: its attempts may wait for
    held ones, as where each runs a workflow of its own kind, and Ray gives the CPUs of those that wait to others.

    `on_ended(ends)` is called on the loop with whatever ended since the last call: one call for many ends.
    """

    def __init__(self, on_ended: Callable[[list[Ended]], None], leases: Leases) -> None:
        self._on_ended = on_ended
        self._leases = leases
        self._loop = asyncio.get_running_loop()
        self._running: dict[AttemptKey, _Lease] = {}
        self._by_id: dict[LeaseId, _Lease] = {}
        self._in_ray: Counter[str] = Counter()
        self._held: dict[str, deque[Order]] = {}
        self._held_keys: set[AttemptKey] = set()
        self._moved: set[str] = set()
        self._look: asyncio.TimerHandle | None = None
        self.window = LEAST_WINDOW

    def adopt(self, running: Mapping[AttemptKey, LeaseId]) -> None:
        """Attempts that an earlier manager began, and that go on; called before anything is submitted."""
        for key, lease in running.items():
            self._leases.adopt(lease)
            self._running[key] = self._by_id[lease] = _Lease(lease, key)
        self._leases.follow(self._take_in)

    def close(self) -> None:
        """End all that runs."""
        self._leases.close()

    def submit(self, order: Order) -> None:
        kind = order.kind
        if kind is not None and self._in_ray[kind] >= self.window:
            self._held.setdefault(kind, deque()).append(order)
            self._held_keys.add(order.key)
            if self._look is None:
                self._look = self._loop.call_later(STALLED_S, self._widen)
        else:
            self._start(order, kind)

    def take(self, key: AttemptKey) -> Order | None:
        """A held attempt for the worker that has ended `key`, to be handed over to it."""
        lease = self._running.get(key)
        if lease is None or lease.kind is None:
            return None
        order = self._next(lease.kind)
        if order is not None:
            self._moved.add(lease.kind)
        return order

    def _widen(self) -> None:
        moved, self._moved = self._moved, set()
        for kind in [kind for kind in self._held if kind not in moved]:
            self._fill(kind, self._in_ray[kind] + LEAST_WINDOW)
        self._look = self._loop.call_later(STALLED_S, self._widen) if self._held else None

    def _fill(self, kind: str, up_to: int) -> None:
        while self._in_ray[kind] < up_to and (order := self._next(kind)) is not None:
            self._start(order, kind)

    def _next(self, kind: str) -> Order | None:
        held = self._held.get(kind)
        while held:
            order = held.popleft()
            if order.key in self._held_keys:  # else canceled
                self._held_keys.discard(order.key)
                return order
        self._held.pop(kind, None)
        return None

    def _start(self, order: Order, kind: str | None) -> None:
        number = self._leases.begin(order.key, order.assignment.dumps(), _ray_options(order), order.inputs)
        self._running[order.key] = self._by_id[number] = _Lease(number, order.key, kind)
        if kind is not None:
            self._in_ray[kind] += 1

    def cancel(self, key: AttemptKey) -> None:
        self._held_keys.discard(key)
        lease = self._running.pop(key, None)
        if lease is None:
            return
        del self._by_id[lease.number]
        self._leases.cancel(lease.number)
        if lease.kind is not None:
            self._free(lease.kind)

    def runs(self, key: AttemptKey) -> bool:
        """Somebody will report about this attempt."""
        return key in self._running or key in self._held_keys

    def hand_over(self, key: AttemptKey, order: Order | None) -> None:
        """The worker that ran `key` has reported it by a call, and runs `order` from here on; None: nothing more."""
        lease = self._running.pop(key)
        lease.key = None if order is None else order.key
        if order is not None:
            self._running[order.key] = lease

    def _take_in(self, lease_ends: list[LeaseEnd]) -> None:
        ends = []
        for lease_end in lease_ends:
            lease = self._by_id.pop(lease_end.lease, None)
            if lease is None:
                continue
            if lease.kind is not None:
                self._free(lease.kind)
            if lease.key is None:
                continue  # reported before
            del self._running[lease.key]
            outcome = lease_end.outcome
            if outcome is None or lease_end.key not in (None, lease.key):
                # It had reported by a call, and never took what the reply brought.
                outcome = failed(RuntimeError("the worker ended before it took this attempt"), "lost")
            ends.append(Ended(lease.key, outcome, lease_end.value))
        if ends:
            self._on_ended(ends)

    def _free(self, kind: str) -> None:
        """A lease of this kind has ended: others take its place, and places that the window has gained."""
        had = self._in_ray[kind]
        self._in_ray[kind] = had - 1
        if kind in self._held:
            self._moved.add(kind)
        self._fill(kind, max(had, self.window))
        if not self._in_ray[kind]:
            del self._in_ray[kind]


@dataclass(slots=True)
class _Lease:
    """One Ray task: the attempt that it runs now, and its kind."""

    number: LeaseId
    key: AttemptKey | None
    kind: str | None = None


def _ray_options(order: Order) -> dict[str, Any]:
    """Named after the task, as Ray's own tools group by name."""
    options: dict[str, Any] = {"name": order.name, **order.options}
    if order.runtime_env:
        options["runtime_env"] = merged(order.runtime_env, options.get("runtime_env") or {})
    return options


def merged(submitters: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The runtime_env of a task with one of its own: as Ray does it for what a driver submits."""
    both = {**submitters, **own}
    variables = {**submitters.get("env_vars", {}), **own.get("env_vars", {})}
    return both | {"env_vars": variables} if variables else both
