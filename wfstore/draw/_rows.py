"""Rows of `tasks` as the drawing wants them. What a row lacks, or has in an odd shape, is left out. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple

from wfstore.model.dag import FUNCTION
from wfstore.model.statuses import PENDING, RUNNING


class Task(NamedTuple):
    """One task. `spent_s`: how long it took, of a running one how long it has; `progress`: 0 to 1; `slack_s`: by how
    much it could have ended later."""

    id: str
    name: str
    status: str
    upstream: tuple[str, ...] = ()
    creator: str | None = None
    spent_s: float | None = None
    attempts: int = 0
    type: str = ""
    progress: float | None = None
    error_type: str = ""
    slack_s: float | None = None


class Edge(NamedTuple):
    """Positions of two tasks; `created`: the lower one is part of a continuation that the upper one returned."""

    above: int
    below: int
    created: bool = False


def read(rows: Iterable[Mapping[str, Any]]) -> list[Task]:
    """One task for each id, in the order of the rows."""
    found: dict[str, Task] = {}
    for row in rows:
        task_id = row.get("task_id")
        if task_id is not None and str(task_id) not in found:
            found[str(task_id)] = _task(str(task_id), row)
    return list(found.values())


def _task(task_id: str, row: Mapping[str, Any]) -> Task:
    status = str(row.get("status") or PENDING)
    spent = number(row.get("elapsed_s")) if status == RUNNING else None
    progress = number(row.get("progress"))
    kind = str(row.get("type") or FUNCTION)
    creator = row.get("creator")
    return Task(
        id=task_id,
        name=str(row.get("name") or task_id),
        status=status,
        upstream=tuple(map(str, row.get("upstream") or ())),
        creator=None if creator is None else str(creator),
        spent_s=number(row.get("duration_s")) if spent is None else spent,
        attempts=int(number(row.get("attempts")) or 0),
        type="" if kind == FUNCTION else kind.replace("_", " "),
        progress=None if progress is None else min(1.0, max(0.0, progress)),
        error_type=str(row.get("error_type") or ""),
        slack_s=number(row.get("slack_s")),
    )


def number(value: object) -> float | None:
    """A finite number, else None."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def connected(tasks: list[Task]) -> tuple[list[Task], list[Edge]]:
    """The tasks, upstream first, and the edges between them; what would close a circle is no edge."""
    edges = _edges(tasks)
    if all(edge.above < edge.below for edge in edges):
        return tasks, edges
    order = _upstream_first(len(tasks), edges)
    place = {position: rank for rank, position in enumerate(order)}
    moved = [Edge(place[above], place[below], created) for above, below, created in edges]
    return [tasks[position] for position in order], [edge for edge in moved if edge.above < edge.below]


def _edges(tasks: list[Task]) -> list[Edge]:
    place = {task.id: position for position, task in enumerate(tasks)}
    edges: dict[tuple[int, int], Edge] = {}
    for below, task in enumerate(tasks):
        above = [place[task_id] for task_id in task.upstream if task_id in place]
        for position in above:
            edges.setdefault((position, below), Edge(position, below))
        # Only where a continuation begins: what follows inside it hangs on its own upstream.
        begins = all(tasks[position].creator != task.creator for position in above)
        if task.creator in place and begins:
            edges.setdefault((place[task.creator], below), Edge(place[task.creator], below, created=True))
    return [edge for edge in edges.values() if edge.above != edge.below]


def _upstream_first(count: int, edges: list[Edge]) -> list[int]:
    below: list[list[int]] = [[] for _ in range(count)]
    waits = [0] * count
    for edge in edges:
        below[edge.above].append(edge.below)
        waits[edge.below] += 1
    ready = [position for position in range(count) if not waits[position]]
    heapify(ready)
    order: list[int] = []
    left = dict.fromkeys(range(count))
    while left:
        # A circle has no beginning; the first row of it is as good as any.
        position = heappop(ready) if ready else next(iter(left))
        if position not in left:
            continue
        del left[position]
        order.append(position)
        for lower in below[position]:
            waits[lower] -= 1
            if not waits[lower]:
                heappush(ready, lower)
    return order
