"""Who owns a running attempt. One small interface, so that the answer can change: see docs/decisions/0004.

Here the manager owns plain Ray tasks: Ray does the resource accounting, and an attempt dies with its manager.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

import ray
from ray.exceptions import OutOfMemoryError, RayTaskError

from wfstore.engine.assignment import Assignment, load_outcome
from wfstore.engine.worker import attempt, failed
from wfstore.model.commands import Outcome

# By reference: Ray pickles a decorated function by value, with all that its module holds.
_run_attempt = ray.remote(num_returns=2, max_retries=0)(attempt)

#: Ray tasks of one kind at a time, on a small cluster; four for each CPU on a large one.
LEAST_WINDOW = 16
WINDOW_PER_CPU = 4
#: When none of a kind has ended for so long, more of them go to Ray.
STALLED_S = 1.0
_MOST_NAMES = 512

AttemptKey = tuple[str, int, str, int]


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
    """Attempts as Ray tasks owned by the manager's process.

    Of each kind at most `window` are Ray tasks at a time; the others are held here, for workers that have just ended
    one of that kind (`take`), which costs a fraction of a Ray task. Ray sees enough of them waiting to keep every
    worker busy, and to know that more nodes are wanted. A window of which nothing ends grows: its attempts may wait for
    held ones, as where each runs a workflow of its own kind, and Ray gives the CPUs of those that wait to others.

    `on_ended(ends)` is called on the loop with whatever ended since the last call: one call for many ends.
    """

    def __init__(self, on_ended: Callable[[list[Ended]], None]) -> None:
        self._on_ended = on_ended
        self._loop = asyncio.get_running_loop()
        self._running: dict[AttemptKey, _Lease] = {}
        self._ended: deque[tuple[_Lease, Any]] = deque()
        self._wake_up = threading.Lock()
        self._tasks: dict[str, Any] = {}
        self._in_ray: Counter[str] = Counter()
        self._held: dict[str, deque[Order]] = {}
        self._held_keys: set[AttemptKey] = set()
        self._moved: set[str] = set()
        self._look: asyncio.TimerHandle | None = None
        self.window = LEAST_WINDOW

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
        lease = self._running[order.key] = _Lease(order.key, kind)
        if kind is not None:
            self._in_ray[kind] += 1
        try:
            task = self._ray_task(order)
            lease.outcome, lease.value = task.remote(order.assignment.dumps(), *order.inputs)
        except Exception as error:  # Ray refuses options only now, in words of its own
            self._take_in(lease, error)
            return
        # Called in a thread of Ray's, with the result at hand: no coroutine per attempt.
        lease.outcome.future().add_done_callback(partial(self._take_in, lease))

    def cancel(self, key: AttemptKey) -> None:
        self._held_keys.discard(key)
        lease = self._running.pop(key, None)
        if lease is not None and lease.outcome is not None:
            ray.cancel(lease.outcome, force=True)

    def runs(self, key: AttemptKey) -> bool:
        """Somebody will report about this attempt."""
        return key in self._running or key in self._held_keys

    def hand_over(self, key: AttemptKey, order: Order | None) -> None:
        """The worker that ran `key` has reported it by a call, and runs `order` from here on; None: nothing more."""
        lease = self._running.pop(key)
        lease.key = None if order is None else order.key
        if order is not None:
            self._running[order.key] = lease

    def _ray_task(self, order: Order) -> Any:
        """The Ray function with the order's options. Named after the task, as Ray's own tools group by name."""
        name = order.name
        if not order.options and not order.runtime_env:
            known = self._tasks.get(name)
            if known is None:
                if len(self._tasks) >= _MOST_NAMES:
                    self._tasks.clear()
                known = self._tasks[name] = _run_attempt.options(name=name)
            return known
        options: dict[str, Any] = {"name": name, **order.options}
        if order.runtime_env:
            options["runtime_env"] = merged(order.runtime_env, options.get("runtime_env") or {})
        return _run_attempt.options(**options)

    def _take_in(self, lease: _Lease, done: Any) -> None:
        self._ended.append((lease, done))
        if self._wake_up.acquire(blocking=False):
            try:
                self._loop.call_soon_threadsafe(self._drain)
            except RuntimeError:
                return  # the loop is closed: the manager is leaving

    def _drain(self) -> None:
        self._wake_up.release()
        ends = []
        while self._ended:
            lease, done = self._ended.popleft()
            if lease.kind is not None:
                self._free(lease.kind)
            if lease.key is None or self._running.pop(lease.key, None) is None:
                continue  # reported before, or canceled
            outcome = _outcome(done)
            large = outcome.output is not None and outcome.output.data is None
            ends.append(Ended(lease.key, outcome, lease.value if large else None))
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
    """One Ray task: the attempt that it runs now, its kind, and its two results."""

    key: AttemptKey | None
    kind: str | None = None
    outcome: Any = None
    value: Any = None


def _outcome(done: Any) -> Outcome:
    if isinstance(done, Exception):
        return _lost(done, "app")
    try:
        data = done.result()
        if not data:  # it had reported by a call, and never took what the reply brought
            return failed(RuntimeError("the worker ended before it took this attempt"), "lost")
        return load_outcome(data)
    except Exception as error:  # whatever Ray raises for a dead worker, node or object
        return _lost(error, "oom" if isinstance(error, OutOfMemoryError) else "system")


def _lost(error: Exception, kind: str) -> Outcome:
    if isinstance(error, RayTaskError) and isinstance(error.cause, Exception):
        error = error.cause
    return failed(error, kind)


def merged(submitters: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The runtime_env of a task with one of its own: as Ray does it for what a driver submits."""
    both = {**submitters, **own}
    variables = {**submitters.get("env_vars", {}), **own.get("env_vars", {})}
    return both | {"env_vars": variables} if variables else both
