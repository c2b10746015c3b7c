"""Which workflow task this process is running, if any.

The worker says so around user code; `continuation` and `workflow_context` ask.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from wfstore import errors
from wfstore.model.progress import Progress, checked


class Told:
    """What the user code of one attempt has said; `progress` is set in any of its threads, and read in another."""

    __slots__ = ("progress",)

    def __init__(self) -> None:
        self.progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class TaskContext:
    """The attempt whose user code is running; `namespace`: of the manager that it runs for; `body`: hash of
    the pickled function or class; `told`: None where nobody listens."""

    workflow_id: str
    task_id: str
    attempt: int
    namespace: str = ""
    body: str | None = None
    told: Told | None = None


_context: ContextVar[TaskContext | None] = ContextVar("wfstore_task", default=None)
_in_this_process: list[TaskContext] = []


@contextmanager
def inside_task(
    workflow_id: str,
    task_id: str,
    attempt: int,
    namespace: str = "",
    body: str | None = None,
    told: Told | None = None,
) -> Iterator[TaskContext]:
    """Around the user code of one attempt."""
    context = TaskContext(workflow_id, task_id, attempt, namespace, body, told)
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


def progress(fraction: float, message: str | None = None, **metrics: float | str | bool | None) -> None:
    """Say how far the running task is: visible while it runs, and the last word is kept in its history.

    fraction: from 0 to 1; message: a line for people (cut at 1,000 characters); metrics: named JSON scalars, 8 KiB of
    them at most. Each call replaces what the one before said. It may be called from any thread of the task and as often
    as one likes: a few times a second the newest is sent, and a call costs microseconds.

    Raises OutsideTaskError (a RuntimeError) where no task of a workflow runs; TypeError and ValueError for what is not
    as above.
    """
    said = checked(fraction, message, metrics)
    context = current_task()
    if context is None or context.told is None:
        raise errors.OutsideTaskError("workflow.progress()")
    context.told.progress = said
