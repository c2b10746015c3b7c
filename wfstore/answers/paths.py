"""Longest paths through a workflow's DAG, its tasks weighed with the times they took: heads, tails, slack, the path.

The graph has a node for each task and, for each task that continued, one more for the end of all that it began. Edges
lead to a task from those whose outputs it was given (where such a one continued: from the end of that), from the call
of its virtual actor before it, and from the task whose continuation it belongs to. A wait comes after those of its
choices that had ended when it did, and takes no time of its own then; one that got nothing took the time it waited.

Weights are whole microseconds, so that ties are ties. Sweeps go level by level, one NumPy call for all nodes of a level
(Kelley & Walker 1959, the forward and backward pass of the critical path method).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from wfstore.model.dag import WAITED

Ints: TypeAlias = npt.NDArray[np.int64]
_TASK = {
    **dict.fromkeys(("task_id", "task_key", "name", "type", "status", "creator"), pl.String()),
    **dict.fromkeys(("started_at", "ended_at"), pl.Datetime("us")),
    **dict.fromkeys(("wait_s", "duration_s"), pl.Float64()),
}
_EDGE = {"upstream_task_id": pl.String, "task_id": pl.String, "kind": pl.String}
#: Edges that bring no output; those of a wait do where it had something.
_NOT_GIVEN = ("continuation", "created", WAITED)
_NONE = np.iinfo(np.int64).min


class Graph(NamedTuple):
    """tasks: how many of the nodes are tasks, which come first; cost_us: of each node; above, below: the two ends of
    each edge; number: of each node, tasks from 1 on, the end of what task n began is -n; waits: whether a node is a
    wait that got something."""

    tasks: int
    cost_us: Ints
    above: Ints
    below: Ints
    number: Ints
    waits: npt.NDArray[np.bool_]


class Lengths(NamedTuple):
    """Microseconds, by node; None in a circle and below one, where `known` is False.

    head: the longest path up to the end of the node; tail: the longest from there on; whole: the longest of all."""

    head: Ints
    tail: Ints
    whole: int
    known: npt.NDArray[np.bool_]

    @property
    def slack(self) -> Ints:
        """Latest finish minus earliest finish: by how much a node could end later without anything ending later."""
        return self.whole - self.head - self.tail


def graph(tasks: pl.DataFrame, edges: pl.DataFrame) -> Graph:
    """tasks: task_id, ended_at, duration_s, creator, as in the view `tasks`, in the order of definition; edges:
    upstream_task_id, task_id, kind, as in the view `edges`."""
    count = tasks.height
    # By a dictionary: most workflows have few tasks, and three joins of tiny frames cost more than the whole rest.
    place = {task_id: node for node, task_id in enumerate(tasks["task_id"].to_list())}
    ended = tasks["ended_at"].to_physical().to_list()
    ends_of = zip(edges["upstream_task_id"].to_list(), edges["task_id"].to_list(), edges["kind"].to_list(), strict=True)
    found = [(place[one], place[other], kind) for one, other, kind in ends_of if one in place and other in place]
    got = {(one, other) for one, other, kind in found if kind == WAITED and _in_order(ended[one], ended[other])}
    continued = {one: other for one, other, kind in found if kind == "continuation"}
    given = [(one, other) for one, other, kind in found if kind not in _NOT_GIVEN or (one, other) in got]
    creators = enumerate(tasks["creator"].to_list())
    made = [(place[creator], node) for node, creator in creators if creator in place]
    begun, output = _ints(continued), _ints(continued.values())
    ends = count + np.arange(len(begun), dtype=np.int64)
    last = np.arange(count, dtype=np.int64)
    last[begun] = ends
    waits = np.zeros(count + len(ends), dtype=np.bool_)
    waits[_ints(other for _, other in got)] = True
    # a clock that was set back makes nothing shorter
    took = np.maximum(np.rint(np.nan_to_num(tasks["duration_s"].to_numpy()) * 1e6), 0).astype(np.int64)
    cost = np.concatenate([took, np.zeros(len(ends), dtype=np.int64)])
    cost[waits] = 0
    above = np.concatenate([last[_ints(one for one, _ in given)], _ints(one for one, _ in made), last[output]])
    below = np.concatenate([_ints(other for _, other in given), _ints(other for _, other in made), ends])
    number = np.concatenate([np.arange(1, count + 1, dtype=np.int64), -1 - begun])
    return Graph(count, cost, above, below, number, waits)


def frames(tasks: Sequence[object], edges: Sequence[object]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What `graph` takes, of rows (dicts) that have more or, as live ones, less in them."""
    return pl.DataFrame(tasks, schema=_TASK), pl.DataFrame(edges, schema=_EDGE)


def _in_order(one: int | None, other: int | None) -> bool:
    return one is not None and other is not None and one <= other


def _ints(values: Iterable[int]) -> Ints:
    return np.fromiter(values, dtype=np.int64)


class Sweep:
    """The nodes of a graph in an order in which every edge leads onwards, for any number of sweeps over it."""

    def __init__(self, above: Ints, below: Ints, level: Ints) -> None:
        """level: of each node, larger below than above."""
        order = np.lexsort((below, level[below]))
        self._above, below = above[order], below[order]
        starts = np.flatnonzero(np.diff(below, prepend=-1))
        self._nodes = below[starts]
        self._starts = np.append(starts, len(below))
        levels = level[self._nodes]
        self._bounds = [*np.flatnonzero(np.diff(levels, prepend=-1)).tolist(), len(levels)]

    def longest(self, cost: Ints) -> Ints:
        """The largest sum of costs on a way to each node, its own included. cost: by node, or (node, scenario)."""
        head = cost.copy()
        starts = self._starts
        for one, other in pairwise(self._bounds):
            first = starts[one]
            arriving = head[self._above[first : starts[other]]]
            head[self._nodes[one:other]] += np.maximum.reduceat(arriving, starts[one:other] - first, axis=0)
        return head


def levels(count: int, above: Ints, below: Ints) -> Ints:
    """How many edges the way with the most of them to each node has; -1 in a circle and below one.

    A loop, as each figure needs the one before: with a NumPy call for each level, a chain would take ten times as long.
    """
    order = np.argsort(above, kind="stable")
    targets = below[order].tolist()
    starts = np.searchsorted(above[order], np.arange(count + 1)).tolist()
    missing = np.bincount(below, minlength=count).tolist()
    found, left = [0] * count, missing.copy()
    ready = [node for node in range(count) if not missing[node]]
    for node in ready:
        after = found[node] + 1
        for target in targets[starts[node] : starts[node + 1]]:
            found[target] = max(found[target], after)
            left[target] -= 1
            if not left[target]:
                ready.append(target)
    return np.where(np.array(left, dtype=np.int64) > 0, -1, np.array(found, dtype=np.int64))


class Ways(NamedTuple):
    """A graph made ready for sweeps: without what leads into circles. level: -1 for what is in one, or below."""

    above: Ints
    below: Ints
    level: Ints
    forward: Sweep
    backward: Sweep


def ways(dag: Graph) -> Ways:
    level = levels(len(dag.cost_us), dag.above, dag.below)
    kept = (level[dag.below] >= 0) & (level[dag.above] >= 0)
    above, below = dag.above[kept], dag.below[kept]
    top = int(level.max(initial=0))
    return Ways(above, below, level, Sweep(above, below, level), Sweep(below, above, top - level))


def lengths(dag: Graph, through: Ways, cost_us: Ints | None = None) -> Lengths:
    """cost_us: instead of those of the graph."""
    cost = dag.cost_us if cost_us is None else cost_us
    known = through.level >= 0
    head = through.forward.longest(cost)
    tail = through.backward.longest(cost) - cost
    return Lengths(head, tail, int(head[known].max(initial=0)), known)


def longest_path(dag: Graph, through: Ways, head: Ints, cost_us: Ints | None = None) -> Ints:
    """The tasks of the path that costs most, first to last; what the report `critical_path` says.

    Among equal ones: to each node by the fewest others, of them the last defined; to the end that has the most.
    """
    cost = dag.cost_us if cost_us is None else cost_us
    known = np.flatnonzero(through.level >= 0)
    if not len(known):
        return known
    tight = head[through.above] + cost[through.below] == head[through.below]
    above, below = through.above[tight], through.below[tight]
    fewest = -Sweep(above, below, through.level).longest(np.full(len(cost), -1, dtype=np.int64))
    short = fewest[above] + 1 == fewest[below]
    before = np.full(len(cost), _NONE)
    np.maximum.at(before, below[short], dag.number[above[short]])
    at = int(known[np.lexsort((np.abs(dag.number[known]), fewest[known], head[known]))[-1]])
    node = dict(zip(dag.number.tolist(), range(len(cost)), strict=True))
    chain = [at]
    while before[at] != _NONE:
        at = node[int(before[at])]
        chain.append(at)
    return np.array([one for one in reversed(chain) if one < dag.tasks], dtype=np.int64)
