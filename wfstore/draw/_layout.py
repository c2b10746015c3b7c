"""Where the nodes of a DAG stand. Every edge goes down, no two boxes overlap, equal input gives equal output.

A whole layout is igraph's Sugiyama; rows that would be far wider than the drawing is high are folded into several.
With positions of an earlier drawing, what was there stays, and what is new takes the nearest free place in the rows
below what leads to it.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from wfstore.draw._grouping import longest

if TYPE_CHECKING:
    import igraph

#: The size of every box and the room between two of them; between rows that are one folded row there is less.
WIDTH, HEIGHT = 196, 58
GAP_X, GAP_Y, FOLD_Y = 28, 50, 20
_UNIT = WIDTH + GAP_X
#: Sugiyama gives an edge one more vertex in each row that it passes; above so many, the longest edges are left to find
#: their way by themselves.
_MOST_PASSING = 20_000
_SWEEPS = 40
#: No drawing reaches so far, in pixels; nor is what is no number nearer.
_FAR = 1e7
_STRAIGHTENINGS = 3

Point = tuple[float, float]
Pair = tuple[int, int]


def layout(count: int, pairs: Sequence[Pair], placed: Mapping[int, Point] | None = None) -> list[Point]:
    """(left, top) of each of `count` boxes. pairs: (above, below), above < below. placed: of earlier drawings."""
    if not count:
        return []
    kept, rows = _kept(placed or {})
    return _grown(count, pairs, kept, rows) if kept else _whole(count, pairs)


def columns(count: int) -> int:
    """How many boxes stand beside each other in a folded row of a drawing of so many."""
    return max(12, round(0.8 * math.sqrt(count)))


def _whole(count: int, pairs: Sequence[Pair]) -> list[Point]:
    ranks = _ranks(count, pairs)
    most = columns(count)
    lines: list[list[int]] = []
    tops: list[float] = []
    xs = [0.0] * count
    free: list[list[int]] = []
    top = 0.0
    for row in _ordered(ranks, pairs):
        folded = _folded(row, most) if len(row) > 4 * most / 3 else [row]
        if len(folded) == 1:
            free.append(row)
        for line in folded:
            lines.append(line)
            tops.append(top)
            top += HEIGHT + FOLD_Y
            for place, node in enumerate(line):
                xs[node] = place - (len(folded[0]) - 1) / 2
        top += GAP_Y - FOLD_Y
    _straighten(xs, free, pairs)
    left = min(xs)
    spots: list[Point] = [(0.0, 0.0)] * count
    for line, top in zip(lines, tops, strict=True):
        for node in line:
            spots[node] = (round((xs[node] - left) * _UNIT), top)
    return spots


def _straighten(xs: list[float], lines: Sequence[Sequence[int]], pairs: Sequence[Pair]) -> None:
    """Move the boxes of these lines near the middle of what they are connected with, in their order, 1 apart."""
    above: list[list[int]] = [[] for _ in xs]
    below: list[list[int]] = [[] for _ in xs]
    for upper, lower in pairs:
        above[lower].append(upper)
        below[upper].append(lower)
    both = [upper + lower for upper, lower in zip(above, below, strict=True)]
    for beside, order in ((above, lines), (below, lines[::-1]), (both, lines)) * _STRAIGHTENINGS:
        for line in order:
            wanted = [
                sum([xs[other] for other in near]) / len(near) if (near := beside[node]) else xs[node] for node in line
            ]
            for node, x in zip(line, _apart(wanted), strict=True):
                xs[node] = x


def _ranks(count: int, pairs: Sequence[Pair]) -> list[int]:
    """Rows from above; what nothing leads to stands right above the first that it leads to."""
    ranks = longest(count, pairs)
    fed = {below for _, below in pairs}
    lowest: dict[int, int] = {}
    for above, below in pairs:
        if above not in fed:
            lowest[above] = min(lowest.get(above, ranks[below]), ranks[below])
    for node, rank in lowest.items():
        ranks[node] = rank - 1
    return ranks


def _ordered(ranks: Sequence[int], pairs: Sequence[Pair]) -> list[list[int]]:
    """The nodes of each rank from left to right, with few crossings of edges."""
    import igraph

    passing = 0
    edges: list[Pair] = []
    for pair in sorted(pairs, key=lambda pair: (ranks[pair[1]] - ranks[pair[0]], pair)):
        passing += ranks[pair[1]] - ranks[pair[0]] - 1
        if passing > _MOST_PASSING:
            break
        edges.append(pair)
    graph = igraph.Graph(len(ranks), edges, directed=True)
    rows: list[list[int]] = [[] for _ in range(max(ranks) + 1)]
    # One part after the other: given several at once, igraph 1.0 reads past its memory, and the process may end.
    for nodes in graph.connected_components(mode="weak"):
        for node in _beside(graph, nodes, [ranks[node] for node in nodes]):
            rows[ranks[node]].append(node)
    return rows


def _beside(graph: igraph.Graph, nodes: list[int], ranks: list[int]) -> list[int]:
    """The connected `nodes` from left to right."""
    if len(nodes) == 1:
        return nodes
    layers = [rank - min(ranks) for rank in ranks]
    found = graph.induced_subgraph(nodes).layout_sugiyama(layers=layers, hgap=1, vgap=1, maxiter=_SWEEPS)
    return [node for _, node in sorted((x, node) for node, (x, _) in zip(nodes, found, strict=True))]


def _folded(row: list[int], most: int) -> list[list[int]]:
    lines = -(-len(row) // most)
    size = -(-len(row) // lines)
    return [row[start : start + size] for start in range(0, len(row), size)]


def _apart(wanted: Sequence[float]) -> list[float]:
    """The positions nearest to the wanted ones (which ascend) that are 1 apart: isotonic regression."""
    blocks: list[list[float]] = []
    for place, x in enumerate(wanted):
        blocks.append([x - place, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, size = blocks.pop()
            before = blocks[-1]
            before[0] = (before[0] * before[1] + mean * size) / (before[1] + size)
            before[1] += size
    means = [mean for mean, size in blocks for _ in range(int(size))]
    return [mean + place for place, mean in enumerate(means)]


def _kept(placed: Mapping[int, Point]) -> tuple[dict[int, Point], _Rows]:
    """The earlier positions as far as they make sense: numbers, and no two boxes on one another."""
    rows = _Rows()
    kept: dict[int, Point] = {}
    for node, (x, y) in sorted(placed.items()):
        if abs(x) < _FAR and abs(y) < _FAR and rows.free(x, y):
            rows.take(x, y)
            kept[node] = (x, y)
    return kept, rows


def _grown(count: int, pairs: Sequence[Pair], kept: Mapping[int, Point], rows: _Rows) -> list[Point]:
    above: list[list[int]] = [[] for _ in range(count)]
    for upper, lower in pairs:
        above[lower].append(upper)
    aside = _aside(above, kept, columns(count))
    left, top = min(x for x, _ in kept.values()), min(y for _, y in kept.values())
    spots: list[Point] = []
    for node in range(count):
        over = [spots[upper] for upper in above[node]]
        lowest = max((y for _, y in over), default=-math.inf)
        if node in kept:
            if kept[node][1] > lowest + HEIGHT:
                spots.append(kept[node])
                continue
            rows.leave(*kept[node])
        x = round(sum(x for x, _ in over) / len(over) + aside.get(node, 0.0)) if over else left
        spots.append(rows.place(x, max(top, lowest + HEIGHT + GAP_Y), columns(count) / 2 * _UNIT))
    return spots


def _aside(above: Sequence[Sequence[int]], kept: Mapping[int, Point], most: int) -> dict[int, float]:
    """How far to the right of the middle of what leads to it each new box wants to be: siblings beside each other."""
    families: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for node, over in enumerate(above):
        if over and node not in kept:
            families[tuple(over)].append(node)
    return {
        node: (place % most - (min(most, len(family)) - 1) / 2) * _UNIT
        for family in families.values()
        for place, node in enumerate(family)
    }


class _Rows:
    """Which places are taken: by top edge, the left edges of what stands there, in order."""

    def __init__(self) -> None:
        self._taken: defaultdict[float, list[float]] = defaultdict(list)
        self._tops: list[float] = []

    def take(self, x: float, y: float) -> None:
        if y not in self._taken:
            insort(self._tops, y)
        insort(self._taken[y], x)

    def leave(self, x: float, y: float) -> None:
        self._taken[y].remove(x)

    def free(self, x: float, y: float, gap: float = 0) -> bool:
        """Whether a box there would overlap none, with `gap` pixels on both sides."""
        first = bisect_left(self._tops, y - HEIGHT + 1e-9)
        for top in self._tops[first : bisect_left(self._tops, y + HEIGHT, first)]:
            lefts = self._taken[top]
            place = bisect_left(lefts, x - WIDTH - gap + 1e-9)
            if place < len(lefts) and lefts[place] < x + WIDTH + gap - 1e-9:
                return False
        return True

    def place(self, x: float, y: float, reach: float) -> Point:
        """Take the free place nearest to x, at most `reach` away, in the first row from y down that has one."""
        for top in self._tops[bisect_left(self._tops, y) :]:
            lefts = self._taken[top]
            beside = [left + side for left in lefts for side in (-_UNIT, _UNIT)]
            for found in sorted([x, *beside], key=lambda left: (abs(left - x), left)):
                if abs(found - x) > reach:
                    break
                if self.free(found, top, GAP_X):
                    self.take(found, top)
                    return found, top
        bottom = max(y, self._tops[-1] + HEIGHT + GAP_Y)
        self.take(x, bottom)
        return x, bottom


def rows_of(spots: Sequence[Point]) -> list[tuple[float, list[float]]]:
    """Each top edge with the left edges of the boxes that stand there, both ascending."""
    rows: defaultdict[float, list[float]] = defaultdict(list)
    for x, y in spots:
        rows[y].append(x)
    return [(y, sorted(rows[y])) for y in sorted(rows)]
