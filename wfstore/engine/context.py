"""Which workflow task this process is running, if any.

The worker says so around user code; `continuation` and `workflow_context` ask.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TaskContext:
    """The attempt whose user code is running; `namespace`: of the manager that it runs for; `body`: hash of
    the pickled function or class."""

    workflow_id: str
    task_id: str
    attempt: int
    namespace: str = ""
    body: str | None = None


_context: ContextVar[TaskContext | None] = ContextVar("wfstore_task", default=None)
_in_this_process: list[TaskContext] = []


@contextmanager
def inside_task(
    workflow_id: str, task_id: str, attempt: int, namespace: str = "", body: str | None = None
) -> Iterator[TaskContext]:
    """Around the user code of one attempt."""
    context = TaskContext(workflow_id, task_id, attempt, namespace, body)
    token = _context.set(context)
    _in_this_process.append(context)
    try:
        yield context
    finally:
        _in_this_process.remove(context)
        _context.reset(token)


def current_task() -> TaskContext | None:
    """The running attempt; None outside of one, as in a plain Ray task that a workflow task started."""
    context = _context.get()
    if context is not None:
        return context
    # A thread that user code started has no context of its own; with one attempt in the process it belongs to that.
    return _in_this_process[0] if len(_in_this_process) == 1 else None
