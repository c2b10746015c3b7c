"""What the manager has to do at a time: timers, the next attempt of a failed task, the end of a wait or of a timeout.

One timer of the loop stands for all alarms, and what is due together is handed over together. Due times are the log's,
microseconds UTC; between now and then the monotonic clock counts, so that a wall clock set back delays nothing. One
that was set back before the alarm was, by another manager's time say, cannot be told from one that was not; but
nothing lies further ahead than it was to take as a whole.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

from wfstore.log import now_us
from wfstore.model.dag import TIMER
from wfstore.model.state import WorkflowState

FIRE, TIMEOUT, EXPIRE = "fire", "timeout", "expire"


class Alarm(NamedTuple):
    """kind: `FIRE` (a timer, a wait or a next attempt), `TIMEOUT` (of an attempt), `EXPIRE` (of a run; no task)."""

    kind: str
    workflow_id: str
    run: int
    task_id: str = ""
    attempt: int = 0


class Alarms:
    """Alarms of one manager. They are never taken back: whoever gets a stale one sees that nothing is due any more."""

    def __init__(self, on_due: Callable[[list[Alarm]], None]) -> None:
        self._on_due = on_due
        self._loop = asyncio.get_running_loop()
        self._heap: list[tuple[float, int, Alarm]] = []
        self._order = count()
        self._timer: asyncio.TimerHandle | None = None

    def set(self, due_at: int, alarm: Alarm, workflow: WorkflowState | None = None) -> None:
        """due_at: microseconds UTC; what lies in the past is due at once. workflow: that the alarm is about."""
        ahead_s = max(0, due_at - now_us()) / 1e6
        longest_s = None if workflow is None else _longest_s(workflow, alarm)
        when = self._loop.time() + (ahead_s if longest_s is None else min(ahead_s, longest_s))
        heapq.heappush(self._heap, (when, next(self._order), alarm))
        if self._heap[0][2] is alarm:
            self._wind()

    def _wind(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._heap[0][0], self._ring) if self._heap else None

    def _ring(self) -> None:
        now = self._loop.time()
        due = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        self._wind()
        if due:
            self._on_due(due)


def _longest_s(workflow: WorkflowState, alarm: Alarm) -> float | None:
    """How far ahead it can lie; None: any time, as it was asked for by the wall clock, or is over."""
    if alarm.kind == EXPIRE:
        return workflow.timeout_s
    task = workflow.tasks.get(alarm.task_id)
    if task is None:
        return None
    if alarm.kind == TIMEOUT:
        return task.options.timeout_s
    if task.open_run is None:
        return task.options.retry.max_delay_s * (1 + task.options.retry.jitter)
    length_s: float | None = task.facts.get("delay_s" if task.type == TIMER else "timeout_s")
    return length_s
