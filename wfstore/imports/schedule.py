"""When the tasks of a trace ran. WfFormat keeps how long each took and seldom when it began.

Where the start is missing a task begins as soon as the last of its parents has ended: no machine is ever too busy, so a
schedule of that kind is never longer than the real one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from wfstore.traces import Trace, TraceError, TraceTask

#: What Pegasus writes, month first, beside the ISO 8601 of everybody else.
_PEGASUS = "%m-%d-%yT%H:%M:%S%z"
_LATEST_US = 253_402_300_799_000_000


class Ran(NamedTuple):
    """One task. Times are microseconds UTC; started, ended: None where no run time was recorded; ready: when its last
    parent had ended; after: when it had ended for its children"""

    task: TraceTask
    ready: int
    started: int | None
    ended: int | None
    after: int


def micros(text: str) -> int | None:
    """A time as traces write it, as microseconds UTC; one without a zone is UTC. None: it is not a time."""
    for read in (datetime.fromisoformat, lambda given: datetime.strptime(given, _PEGASUS)):
        try:
            found = read(text)
            found = found if found.tzinfo else found.replace(tzinfo=UTC)
            return round((found - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)
        except (ValueError, OverflowError):
            continue
    return None


def began(trace: Trace) -> int:
    """When the execution began; else when the file was made. Raises TraceError when neither is a time."""
    for text in (trace.executed_at, trace.created_at):
        found = None if text is None else micros(text)
        if found is not None:
            return found
    place = "workflow.execution.executedAt"
    if trace.executed_at is None:
        raise TraceError(trace.path, place, "is missing, and there is no createdAt")
    raise TraceError(trace.path, place, f"a time in ISO 8601 is expected, not {trace.executed_at!r:.60}")


def schedule(trace: Trace, start: int) -> list[Ran]:
    """Every task of the trace, parents first. Raises TraceError for times beyond the year 9999."""
    found: list[Ran] = []
    after: dict[str, int] = {}
    for task in trace.tasks:
        ready = max((after[parent] for parent in task.parents), default=start)
        started, ended = None, None
        if task.runtime_s is not None:
            recorded = None if task.executed_at is None else micros(task.executed_at)
            started = ready if recorded is None else recorded
            if task.runtime_s > _LATEST_US / 1e6 or started + round(task.runtime_s * 1e6) > _LATEST_US:
                raise TraceError(trace.path, f"workflow.execution.tasks[id={task.id}]", "ends after the year 9999")
            ended = started + round(task.runtime_s * 1e6)
        after[task.id] = max(ready, ended or ready)
        found.append(Ran(task, ready, started, ended, after[task.id]))
    return found


def in_order(ran: list[Ran]) -> Iterator[tuple[bool, Ran]]:
    """(it ends, task) for every start and every end, by their times and never a child before its parent's end."""
    moments = [(max(one.ready, one.started or one.ready), place, False) for place, one in enumerate(ran)]
    moments += [(max(moment, ran[place].after), place, True) for moment, place, _ in moments]
    for _, place, ends in sorted(moments):
        yield ends, ran[place]
