"""Who owns a running attempt. One small interface, so that the answer can change: see docs/decisions/0004.

Here the manager owns plain Ray tasks: Ray does the resource accounting, and an attempt dies with its manager.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import ray
from ray.exceptions import OutOfMemoryError, RayTaskError

from wfstore.engine.assignment import Assignment, load_outcome
from wfstore.engine.worker import attempt
from wfstore.log import now_us
from wfstore.model.commands import Outcome

# By reference: Ray pickles a decorated function by value, with all that its module holds.
_run_attempt = ray.remote(num_returns=2, max_retries=0)(attempt)

AttemptKey = tuple[str, int, str, int]


@dataclass(frozen=True, slots=True)
class Order:
    """An attempt to run. `inputs`: Ray objects of large upstream outputs; `options`: Ray options of the task;
    `runtime_env`: of the driver that submitted the workflow, where it differs from the manager's."""

    assignment: Assignment
    name: str
    inputs: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    runtime_env: Mapping[str, Any] | None = None

    @property
    def key(self) -> AttemptKey:
        job = self.assignment
        return (job.workflow_id, job.run, job.task_id, job.attempt)


class Executor(Protocol):
    """Runs attempts and reports each one's end once, unless it was canceled."""

    def submit(self, order: Order) -> None: ...

    def cancel(self, key: AttemptKey) -> None: ...


class Ended(NamedTuple):
    """How an attempt ended. `value`: the Ray object of an output too large for the outcome, else None."""

    key: AttemptKey
    outcome: Outcome
    value: Any = None


class TaskExecutor:
    """Attempts as Ray tasks owned by the manager's process.

    `on_ended(ends)` is called on the loop with whatever ended since the last call: one call for many ends.
    """

    def __init__(self, on_ended: Callable[[list[Ended]], None]) -> None:
        self._on_ended = on_ended
        self._loop = asyncio.get_running_loop()
        self._running: dict[AttemptKey, Any] = {}
        self._ended: deque[tuple[AttemptKey, Any, Any]] = deque()
        self._wake_up = threading.Lock()
        self._tasks: dict[tuple[str, str], Any] = {}

    def submit(self, order: Order) -> None:
        key = order.key
        try:
            task = self._ray_task(order)
            outcome_ref, value_ref = task.remote(order.assignment.dumps(), *order.inputs)
        except Exception as error:  # Ray refuses options only now, in words of its own
            self._running[key] = None
            self._take_in(key, None, error)
            return
        self._running[key] = outcome_ref
        # Called in a thread of Ray's, with the result at hand: no coroutine per attempt.
        outcome_ref.future().add_done_callback(lambda done: self._take_in(key, value_ref, done))

    def cancel(self, key: AttemptKey) -> None:
        ref = self._running.pop(key, None)
        if ref is not None:
            ray.cancel(ref, force=True)

    def _ray_task(self, order: Order) -> Any:
        """The Ray function with the order's options. Named after the task, as Ray's own tools group by name."""
        name = order.name
        if not order.options and not order.runtime_env:
            known = self._tasks.get((name, ""))
            if known is None:
                known = self._tasks[(name, "")] = _run_attempt.options(name=name)
            return known
        options: dict[str, Any] = {"name": name, **order.options}
        if order.runtime_env:
            options["runtime_env"] = {**order.runtime_env, **options.get("runtime_env", {})}
        return _run_attempt.options(**options)

    def _take_in(self, key: AttemptKey, value_ref: Any, done: Any) -> None:
        self._ended.append((key, value_ref, done))
        if self._wake_up.acquire(blocking=False):
            try:
                self._loop.call_soon_threadsafe(self._drain)
            except RuntimeError:
                return  # the loop is closed: the manager is leaving

    def _drain(self) -> None:
        self._wake_up.release()
        ends = []
        while self._ended:
            key, value_ref, done = self._ended.popleft()
            if key not in self._running:
                continue  # canceled meanwhile
            del self._running[key]
            outcome = _outcome(done)
            large = outcome.output is not None and outcome.output.data is None
            ends.append(Ended(key, outcome, value_ref if large else None))
        if ends:
            self._on_ended(ends)


def _outcome(done: Any) -> Outcome:
    if isinstance(done, Exception):
        return _lost(done, "app")
    try:
        return load_outcome(done.result())
    except Exception as error:  # whatever Ray raises for a dead worker, node or object
        return _lost(error, "oom" if isinstance(error, OutOfMemoryError) else "system")


def _lost(error: Exception, kind: str) -> Outcome:
    if isinstance(error, RayTaskError) and isinstance(error.cause, Exception):
        error = error.cause
    return Outcome(False, now_us(), kind=kind, error_type=type(error).__name__, error_message=str(error)[:2000])
