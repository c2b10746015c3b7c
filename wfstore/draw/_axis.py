"""An axis of time: from moments to pixels, with readable ticks, and with long idle times cut out. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

#: Pixels of a place where time was cut out, how much longer than all that is busy an idle time has to be for that, as a
#: share, and how many such places there are at most.
CUT = 34.0
_IDLE, _MOST_CUTS = 0.3, 8
#: The clocks of events count microseconds; what is shorter is no time.
_SHORTEST = 1e-6
#: Pixels between two ticks, at least; of a character of their labels.
_APART, _LETTER = 84.0, 6.4
_STEPS = (
    *(number * 10.0**power for power in range(-6, 0) for number in (1, 2, 5)),
    *(1.0, 2.0, 5.0, 10.0, 15.0, 30.0),
    *(60.0 * number for number in (1, 2, 5, 10, 15, 30)),
    *(3600.0 * number for number in (1, 2, 3, 6, 12)),
    *(86400.0 * number * 10**power for power in range(5) for number in (1, 2, 5)),
)


class Span(NamedTuple):
    """A time without a break, from `begin` to `end` in seconds, and where in pixels it begins."""

    begin: float
    end: float
    x: float


class Axis(NamedTuple):
    """spans: what is drawn to scale, ascending, `CUT` pixels apart; scale: pixels of a second; width: of all."""

    spans: list[Span]
    scale: float
    width: float

    def x(self, second: float) -> float:
        """Where a moment is; one that was cut out is between its neighbours."""
        place = max(0, bisect_right(self.spans, second, key=lambda span: span.begin) - 1)
        span = self.spans[place]
        if second <= span.end or place == len(self.spans) - 1:
            inside = min(max(second, span.begin), span.end)
            return span.x + (inside - span.begin) * self.scale
        until = self.spans[place + 1]
        share = (second - span.end) / (until.begin - span.end)
        return until.x - CUT + share * CUT

    def cuts(self) -> list[tuple[float, float]]:
        """(x, seconds) of each place where time was cut out, `CUT` pixels wide."""
        return [(after.x - CUT, after.begin - before.end) for before, after in pairwise(self.spans)]

    def ticks(self) -> list[tuple[float, str]]:
        """(x, label), from left to right, no label on another."""
        step = next((step for step in _STEPS if step * self.scale >= _APART), _STEPS[-1])
        found: list[tuple[float, str]] = []
        free = float("-inf")
        for span in self.spans:
            number = int(-(-span.begin // step))
            while number * step <= span.end * (1 + 1e-9) and len(found) < self.width / 8:
                x, label = self.x(number * step), said(number * step, step)
                half = _LETTER * len(label) / 2
                if x - half > free:
                    found.append((x, label))
                    free = x + half + _LETTER
                number += 1
        return found


def fitted(busy: Sequence[tuple[float, float]], width: float) -> Axis:
    """The axis for what is `busy`: (begin, end) in seconds of everything that is to be drawn; `width`: pixels."""
    if not busy:
        return Axis([Span(0.0, 0.0, 0.0)], 0.0, width)
    merged = _merged(busy)
    length = sum(end - begin for begin, end in merged)
    idle = sorted(((after[0] - before[1], after[0]) for before, after in pairwise(merged)), reverse=True)
    cut = {begin for gap, begin in idle[: min(_MOST_CUTS, int(width / CUT / 4))] if gap > _IDLE * length}
    parts: list[list[float]] = []
    for begin, end in merged:
        if not parts or begin in cut:
            parts.append([begin, end])
        else:
            parts[-1][1] = end
    seconds = sum(end - begin for begin, end in parts)
    scale = (width - CUT * (len(parts) - 1)) / seconds if seconds >= _SHORTEST else 0.0
    spans: list[Span] = []
    x = 0.0
    for begin, end in parts:
        spans.append(Span(begin, end, x))
        x += (end - begin) * scale + CUT
    return Axis(spans, scale, width)


def _merged(busy: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for begin, end in sorted(busy):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def said(second: float, step: float) -> str:
    """A moment of the axis: "0", "20 ms", "1.5 s", "2:30 min", "1:05 h", "3 d 6:00 h"."""
    if not second:
        return "0"
    if second < 60:
        unit, name = (1e-6, "µs") if step < 1e-3 and second < 1e-3 else (1e-3, "ms") if second < 1 else (1.0, "s")
        return f"{round(second / unit, 6):.10g} {name}"
    whole, part = divmod(round(second / min(step, 1)) * min(step, 1), 1)
    minutes, seconds = divmod(int(whole), 60)
    small = f":{seconds:02d}" + (f"{part:.6f}".rstrip("0")[1:] if part > 1e-9 else "")
    if minutes < 60:
        return f"{minutes} min" if step >= 60 else f"{minutes}{small} min"
    hours, minutes = divmod(minutes, 60)
    fine = small if step < 60 else ""
    if hours < 24:
        return f"{hours} h" if step >= 3600 else f"{hours}:{minutes:02d}{fine} h"
    days, hours = divmod(hours, 24)
    return f"{days} d" if step >= 86400 else f"{days} d {hours}:{minutes:02d}{fine}"
