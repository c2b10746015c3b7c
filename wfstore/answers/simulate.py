"""Monte Carlo of what is left of a DAG: list scheduling of all draws at once, one pass over the tasks."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Places = NDArray[np.intp]


def list_schedule(
    upstream: Sequence[Sequence[int]],
    duration_s: Floats,
    earliest_s: Floats,
    slots: int | None = None,
    held: Bools | None = None,
    begun: Bools | None = None,
) -> Floats:
    """When each task ends, seconds from now, (tasks, draws).

    upstream: positions of the tasks that each waits for, always lower than its own; duration_s: (tasks, draws), of one
    that is under way what is left of it; earliest_s: no task begins before that, (tasks, draws), plus what lies between
    the end of the last upstream task and its start; slots: so many run at a time, None: as many as are ready;
    held: which of them take a slot; begun: which have theirs already.

    Who is ready first gets the next slot, as Ray serves its queue (Graham's list scheduling). The order is found once,
    for the mean durations, and kept in all draws; a task takes the slot that fits it best, so that another one may
    still use an earlier gap.
    """
    tasks, draws = duration_s.shape
    ends = np.zeros((tasks, draws))
    takes = np.ones(tasks, np.bool_) if held is None else held
    has = np.zeros(tasks, np.bool_) if begun is None else begun
    limited = slots is not None and int(takes.sum()) > slots
    order = _order(upstream, duration_s.mean(1), earliest_s.mean(1), slots, takes, has) if limited else range(tasks)
    free = np.zeros((draws, max(slots or 1, int((has & takes).sum()))))
    columns = np.arange(draws)
    given = 0
    for task in order:
        above = upstream[task]
        start = earliest_s[task]
        if above:
            start = start + (ends[above[0]] if len(above) == 1 else ends[above].max(0))
        if limited and takes[task] and has[task]:
            ends[task] = free[:, given] = start + duration_s[task]
            given += 1
        elif limited and takes[task]:
            slot = _slot(free, start, columns)
            ends[task] = np.maximum(start, free[columns, slot]) + duration_s[task]
            free[columns, slot] = ends[task]
        else:
            ends[task] = start + duration_s[task]
    return ends


def _slot(free: Floats, start: Floats, draws: Places) -> Places:
    """Per draw: of the slots that are free by then the one that became so last, else the next to become free."""
    idle = np.where(free > start[:, None], -np.inf, free)
    slot: Places = idle.argmax(1)
    none = np.isneginf(idle[draws, slot])
    if none.any():
        slot[none] = free[none].argmin(1)
    return slot


def _order(
    upstream: Sequence[Sequence[int]],
    duration_s: Floats,
    earliest_s: Floats,
    slots: int | None,
    held: Bools,
    begun: Bools,
) -> list[int]:
    """The order in which tasks begin where each takes its mean time: one run of the schedule, event by event."""
    waiting = [len(above) for above in upstream]
    below: list[list[int]] = [[] for _ in upstream]
    for task, above in enumerate(upstream):
        for one in above:
            below[one].append(task)
    room = max(slots or 1, int((begun & held).sum()))
    # (when, ends before starts, tie: under way first, then in the order of definition)
    events = [(0.0 if begun[t] else float(earliest_s[t]), 1, not begun[t], t) for t, n in enumerate(waiting) if not n]
    heapq.heapify(events)
    queue: list[tuple[float, bool, int]] = []
    order: list[int] = []
    while events:
        now, kind, late, task = heapq.heappop(events)
        if kind == 0:
            room += bool(held[task])
            for one in below[task]:
                waiting[one] -= 1
                if not waiting[one]:
                    heapq.heappush(events, (now + float(earliest_s[one]), 1, True, one))
        else:
            heapq.heappush(queue, (now, late, task))
        while queue and (room or not held[queue[0][2]]):
            _, _, chosen = heapq.heappop(queue)
            room -= bool(held[chosen])
            order.append(chosen)
            heapq.heappush(events, (now + float(duration_s[chosen]), 0, False, chosen))
    return order
