"""Who owns a running attempt. One small interface, so that the answer can change: see docs/decisions/0004.

Here the manager owns plain Ray tasks: Ray does the resource accounting, and an attempt dies with its manager.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import ray
from ray.exceptions import OutOfMemoryError, RayTaskError, TaskCancelledError

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
    inputs: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    runtime_env: Mapping[str, Any] | None = None

    @property
    def key(self) -> AttemptKey:
        job = self.assignment
        return (job.workflow_id, job.run, job.task_id, job.attempt)


class Executor(Protocol):
    """Runs attempts. `on_outcome` is awaited once for each submitted one that was not canceled."""

    def submit(self, order: Order) -> None: ...

    def cancel(self, key: AttemptKey) -> None: ...


class TaskExecutor:
    """Attempts as Ray tasks owned by the manager's process.

    `on_outcome(key, outcome, value)`: `value` is the Ray object of an output too large for the outcome, else None.
    """

    def __init__(self, on_outcome: Callable[[AttemptKey, Outcome, Any], Awaitable[None]]) -> None:
        self._on_outcome = on_outcome
        self._running: dict[AttemptKey, Any] = {}
        self._watchers: set[asyncio.Task[None]] = set()

    def submit(self, order: Order) -> None:
        job = order.assignment
        key = order.key
        options: dict[str, Any] = {**order.options, "name": f"{job.workflow_id}::{job.task_id}#{job.attempt}"}
        if order.runtime_env:
            merged = {**order.runtime_env, **options.get("runtime_env", {})}
            options["runtime_env"] = merged
        try:
            outcome_ref, value_ref = _run_attempt.options(**options).remote(job.dumps(), *order.inputs)
        except Exception as error:  # Ray refuses options only now, in words of its own
            self._watch(self._refused(key, error))
            return
        self._running[key] = outcome_ref
        self._watch(self._await(key, outcome_ref, value_ref))

    def cancel(self, key: AttemptKey) -> None:
        ref = self._running.pop(key, None)
        if ref is not None:
            ray.cancel(ref, force=True)

    def _watch(self, coroutine: Any) -> None:
        watcher = asyncio.get_running_loop().create_task(coroutine)
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)

    async def _refused(self, key: AttemptKey, error: Exception) -> None:
        await self._on_outcome(key, _lost(error, "app"), None)

    async def _await(self, key: AttemptKey, outcome_ref: Any, value_ref: Any) -> None:
        try:
            outcome = load_outcome(await outcome_ref)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # whatever Ray raises for a dead worker, node or object
            outcome = _lost(error, "oom" if isinstance(error, OutOfMemoryError) else "system")
            value_ref = None
        if self._running.pop(key, None) is None:
            return  # canceled meanwhile
        large = outcome.output is not None and outcome.output.data is None
        await self._on_outcome(key, outcome, value_ref if large else None)


def _lost(error: Exception, kind: str) -> Outcome:
    if isinstance(error, RayTaskError) and error.cause is not None:
        error = error.cause
    canceled = isinstance(error, TaskCancelledError)
    return Outcome(
        False,
        now_us(),
        kind="system" if canceled else kind,
        error_type=type(error).__name__,
        error_message=str(error)[:2000],
    )
