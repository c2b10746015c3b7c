"""How wide the columns of a table are, and which find no room at all. Pure arithmetic on characters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

#: Blanks between two columns.
GAP = 2
#: A shortened cell keeps so many characters.
SHORTEST = 8


class Column(NamedTuple):
    """One column of a table, and what becomes of it on a narrow terminal.

    keep: cells are not shortened; drop: the column with the largest is the first that is left out, among equals the
    one furthest to the right, and never the first of all.
    """

    header: str
    right: bool = False
    keep: bool = False
    drop: int = 0


def fit(columns: Sequence[Column], widest: Sequence[int], room: int) -> dict[int, int]:
    """Position -> width of the columns that are shown in `room` characters; `widest`: the longest cell of each."""
    natural = [max(wide, len(column.header)) for column, wide in zip(columns, widest, strict=True)]
    least = [
        max(wide, min(len(column.header), SHORTEST)) if column.keep else min(whole, SHORTEST)
        for column, wide, whole in zip(columns, widest, natural, strict=True)
    ]
    shown = list(range(len(columns)))
    while len(shown) > 1 and _total([least[position] for position in shown]) > room:
        shown.remove(max(shown[1:], key=lambda position: (columns[position].drop, position)))
    widths = {position: natural[position] for position in shown}
    excess = _total(list(widths.values())) - room
    while excess > 0:
        # The column with most to give gives, down to the one that has the next most.
        spare = sorted(((widths[position] - least[position], position) for position in shown), reverse=True)
        if spare[0][0] <= 0:
            break
        second = max(spare[1][0], 0) if len(spare) > 1 else 0
        given = min(excess, max(1, spare[0][0] - second))
        widths[spare[0][1]] -= given
        excess -= given
    if excess > 0:
        widths[shown[0]] = max(1, widths[shown[0]] - excess)
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)
