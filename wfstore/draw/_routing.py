"""The ways of edges: down from a box, between the boxes of every row that they pass, down into a box. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from wfstore.draw._layout import FOLD_Y, GAP_X, HEIGHT, WIDTH, Point, rows_of

#: Distance from the side of a box at which an edge passes it, also inside folded rows, where both sides have edges of
#: their own; a few pixels more or less tell apart the edges that leave different boxes.
_LANE, _NEAR = GAP_X / 2, GAP_X / 4
_SPREAD = (0, -4, 4, -8, 8)


class Router:
    """Finds ways between the boxes of one drawing."""

    def __init__(self, spots: Sequence[Point]) -> None:
        self._spots = spots
        self._rows = rows_of(spots)
        self._place = {y: number for number, (y, _) in enumerate(self._rows)}
        self._band = [0] * len(self._rows)
        for number in range(1, len(self._rows)):
            apart = self._rows[number][0] - self._rows[number - 1][0] - HEIGHT > FOLD_Y
            self._band[number] = self._band[number - 1] + apart

    def way(self, above: int, below: int) -> list[Point]:
        """Points that the edge passes, each of them going straight down; the first and the last are the ends."""
        (x1, y1), (x2, y2) = self._spots[above], self._spots[below]
        start, end = (x1 + WIDTH / 2, y1 + HEIGHT), (x2 + WIDTH / 2, y2)
        first, last = self._place[y1], self._place[y2]
        spread = _SPREAD[above % len(_SPREAD)]
        points = [start]
        for number in range(first + 1, last):
            top, lefts = self._rows[number]
            before = points[-1][0]
            if self._band[number] == self._band[first]:
                # Beside its own column, on the right; what comes from above passes on the left.
                x = _lane(lefts, start[0] + 1 if len(points) == 1 else before, _NEAR)
            elif self._band[number] == self._band[last]:
                x = _lane(lefts, end[0] - 1, _NEAR)
            else:
                straight = before + (end[0] - before) * (top - points[-1][1]) / (y2 - points[-1][1])
                stays = len(points) > 1 and abs(straight - before) < WIDTH and _lane(lefts, before, 0) == before
                x = before if stays else _lane(lefts, straight, _LANE + spread)
            if before != x or len(points) == 1:
                points.append((x, top))
            points.append((x, top + HEIGHT))
        return [*points, end]


def _lane(lefts: Sequence[float], wanted: float, distance: float) -> float:
    """Where an edge that wants to pass a row at x can do so: there, or at a distance from the box that is there."""
    place = bisect_right(lefts, wanted + distance) - 1
    if place < 0 or wanted >= lefts[place] + WIDTH + distance:
        return round(wanted)
    left, right = lefts[place] - distance, lefts[place] + WIDTH + distance
    return left if wanted - left <= right - wanted else right


def path(points: Sequence[Point]) -> str:
    """The d of a smooth path through the points, straight down at each."""
    (x, y), *rest = points
    parts = [f"M{x:.9g} {y:.9g}"]
    for right, low in rest:
        if right == x:
            if parts[-1][0] == "V":
                parts.pop()  # one stroke down, however many rows it passes
            parts.append(f"V{low:.9g}")
        else:
            bend = round((low - y) * 0.5, 1)
            parts.append(f"C{x:.9g} {y + bend:.9g} {right:.9g} {low - bend:.9g} {right:.9g} {low:.9g}")
        x, y = right, low
    return "".join(parts)
