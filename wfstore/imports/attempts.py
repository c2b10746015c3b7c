"""Which attempts an old workflow's files tell of, and in which run each of them was.

ray.workflow kept the times of the last run and of the last attempt at each task only; an exception stays behind when a
later attempt succeeds. So there are at most two attempts of a task, and two runs: the last one and, where something
began before it did, one that stands for all earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from wfstore.traces.rayworkflow import OldTask, OldWorkflow

#: Later than everything.
NEVER = 2**62
#: The manager's clock and a worker's may differ by that much before an attempt counts as one of an earlier run.
_CLOCKS_DIFFER_US = 1_000_000

SUCCEEDED, CONTINUED, NOT_KEPT, RAISED, OPEN = "succeeded", "continued", "not_kept", "raised", "open"


class Attempt(NamedTuple):
    """One attempt. Times are microseconds UTC, None: not known. outcome: it has an output, it returned a continuation,
    its output was not kept, it raised, or nobody knows; moment: when it was, as near as known."""

    task: OldTask
    started_us: int | None
    ended_us: int | None
    outcome: str
    moment: int


def attempts(task: OldTask, times_kept: bool) -> list[Attempt]:
    """The attempts at one task, in their order. times_kept: the times of the files themselves can be believed."""
    failed_us = task.exception.modified_us if task.exception is not None and times_kept else None
    last = _last(task, failed_us)
    if last is None or task.exception is None or last.outcome == RAISED:
        return [] if last is None else [last]
    # It came before the attempt that is known, whatever the clocks say.
    moment = last.moment if failed_us is None else min(failed_us, last.moment)
    return [Attempt(task, None, None if failed_us is None else moment, RAISED, moment), last]


def _last(task: OldTask, failed_us: int | None) -> Attempt | None:
    outcome, ended_us = OPEN, task.ended_us
    if task.output is not None:
        outcome = SUCCEEDED
    elif task.continued_to is not None:
        outcome = CONTINUED
    elif task.exception is not None and not _began_after(task, failed_us):
        outcome, ended_us = RAISED, failed_us
    elif task.started_us is None:
        return None
    elif ended_us is not None and ended_us >= task.started_us:
        outcome = NOT_KEPT
    else:
        ended_us = None
    known = [moment for moment in (task.started_us, ended_us) if moment is not None]
    return Attempt(task, task.started_us, ended_us, outcome, known[0] if known else NEVER)


def last_run(old: OldWorkflow, known: Iterable[Attempt]) -> int | None:
    """What was before this moment belongs to an earlier run; None: there was none."""
    if old.status == "PENDING":
        return NEVER if any(True for _ in known) else None  # it was resumed, and waited for its turn
    if old.started_us is None:
        return None
    limit = old.started_us - _CLOCKS_DIFFER_US
    return limit if any(attempt.moment < limit for attempt in known) else None


def _began_after(task: OldTask, moment: int | None) -> bool:
    return moment is not None and task.started_us is not None and task.started_us > moment
