"""Attempts on one axis of time as SVG: a row for each task, for each attempt a bar of what its time went to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from wfstore._text import clock, duration, number
from wfstore.draw._axis import CUT, Axis, fitted
from wfstore.draw._rows import number as figure
from wfstore.draw._style import STYLE, icon, status_class
from wfstore.draw._text import attribute, bar_id, clip, shown
from wfstore.model.dag import EVENT, TIMER, WAIT
from wfstore.model.statuses import ATTEMPT_OPEN, PENDING, SUCCESSFUL

#: Pixels: a row, the axis above them, the names on the left, what is said on the right of the last bar.
_ROW, _AXIS, _NAMES, _SAID = 26, 44, 230, 200
_RUN, _QUEUE, _MIDDLE, _LEAST = 14, 5, 9, 2.5
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Timeline:
    """A drawing. svg: one <svg> element of width x height pixels with the rows first to first + shown, of total_rows;
    row_height: pixels between two rows; axis_height: pixels above the first."""

    svg: str
    width: float
    height: float
    first: int
    shown: int
    total_rows: int
    row_height: float
    axis_height: float


class _Attempt(NamedTuple):
    """One attempt; moments in seconds since 1970. `queued` to `began` it waited, `began` to `ended` it ran.

    `before`: since when its task waited for others, None where that is not known; `fetch`: how long before `began` it
    got its arguments; `store`: how long after `ended` it stored its output, seconds; `waits`: no code ran."""

    task: str
    run: int
    attempt: int
    status: str
    queued: float | None
    began: float | None
    ended: float
    error: str
    place: str
    before: float | None = None
    fetch: float = 0.0
    store: float = 0.0
    waits: bool = False

    @property
    def first(self) -> float:
        return next(moment for moment in (self.queued, self.began, self.ended) if moment is not None)


def timeline(
    attempts: Sequence[Mapping[str, Any]],
    *,
    now: datetime | None,
    critical: Collection[str] = (),
    link: Callable[[str], str] | None = None,
    first: int = 0,
    rows: int = 200,
    width: int = 1100,
    axis: bool = True,
    standalone: bool = False,
    prefix: str = "",
) -> Timeline:
    """Draw the attempts of one workflow: a row for each task, in the order of first submission, a bar for each attempt.

    attempts: rows of `attempts`; used are task_id, run, attempt, status, kind, submitted_at, started_at, ended_at,
    fetch_s, checkpoint_s, task_type, error_type, error_message, node_id, worker_pid, and begun_at of `time_spent`.
    now: until when open attempts are drawn (None: until the last moment that any of them knows); naive moments are UTC.
    first, rows: which rows are drawn; the axis is that of all of them, so that windows fit below each other.
    width: pixels; axis: False leaves its labels out. Long times in which nothing was under way are cut out of the axis,
    visibly. critical, link, standalone, prefix: as in `dag`.

    Each bar is a <g class="bar st-STATUS"> with id `bar_id(task_id, run, attempt)`, data-task, data-run, data-attempt,
    data-status, a <title>, and in it, as far as there are such times, <path class="before"> (for other tasks,
    admission, a back-off), <rect class="queue"> (Ray's), "fetch" (its arguments), "run" (user code; the bar of what
    only waits is of class "waits", too) and "store" (its output).
    """
    tasks = _rows(attempts, _second(now) if now else None)
    every = [attempt for row in tasks for attempt in row]
    start = min((attempt.first for attempt in every), default=0.0)
    busy = [(attempt.first - start, attempt.ended + attempt.store - start) for attempt in every]
    scale = fitted(busy, width - _NAMES - _SAID)
    first, path = max(0, first), frozenset(critical)
    drawn = tasks[first : first + max(0, rows)]
    window = _Window(first, len(drawn), _AXIS if axis else 0, width)
    parts = [_background(scale, start, window)] if every else ['<text x="16" y="18">No attempts yet.</text>']
    for place, row in enumerate(drawn):
        look = _Look(window.head + _ROW * place, row[0].task in path, prefix)
        parts.append(_row(row, scale, start, look, link(row[0].task) if link else None))
    height = max(window.head + _ROW * len(drawn), _ROW)
    some = f"rows {number(first + 1)} to {number(first + len(drawn))} of {number(len(tasks))}" if drawn else "no rows"
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="wf-draw timeline" role="group" '
        f'aria-label="Timeline of attempts, {some}" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f"{f'<style>{STYLE}</style>' if standalone else ''}{''.join(parts)}</svg>"
    )
    return Timeline(svg, width, height, first, len(drawn), len(tasks), _ROW, window.head)


class _Window(NamedTuple):
    """first: of all rows, the first that is drawn; shown: how many are; head: pixels above them; width: of all."""

    first: int
    shown: int
    head: int
    width: int


class _Look(NamedTuple):
    """Of a row: its upper edge, whether it is on the critical path, and what stands before its ids."""

    top: float
    critical: bool
    prefix: str


def _rows(attempts: Sequence[Mapping[str, Any]], now: float | None) -> list[list[_Attempt]]:
    """The attempts of each task in their order; tasks in the order in which they were first tried."""
    moments = [_second(row.get(name)) for row in attempts for name in ("submitted_at", "started_at", "ended_at")]
    until = now if now is not None else max((moment for moment in moments if moment is not None), default=0.0)
    found: dict[str, dict[tuple[int, int], _Attempt]] = {}
    for row in attempts:
        one = _attempt(row, until)
        if one is not None:
            found.setdefault(one.task, {}).setdefault((one.run, one.attempt), one)
    tasks = [[kept[key] for key in sorted(kept)] for kept in found.values()]
    return sorted(tasks, key=lambda row: min(one.first for one in row))


def _attempt(row: Mapping[str, Any], until: float) -> _Attempt | None:
    """None for what says no time at all, or belongs to no task."""
    queued, began, ended = (_second(row.get(name)) for name in ("submitted_at", "started_at", "ended_at"))
    status = str(row.get("status") or PENDING)
    known = [moment for moment in (queued, began, ended) if moment is not None]
    if row.get("task_id") is None or not known:
        return None
    # Clocks differ, and are set back: nothing lasts less than no time.
    last = max(known[0], until) if ended is None and status in ATTEMPT_OPEN else known[-1]
    if began is not None:
        last = max(last, began)
    error = ": ".join(str(row[name]) for name in ("error_type", "error_message") if row.get(name))
    kind = f" ({row['kind']})" if row.get("kind") else ""
    worker = [("node", row.get("node_id")), ("pid", row.get("worker_pid"))]
    place = ", ".join(f"{name} {value}" for name, value in worker if value)
    run, attempt = int(row.get("run") or 1), int(row.get("attempt") or 1)
    fetch, store = (max(0.0, figure(row.get(name)) or 0.0) for name in ("fetch_s", "checkpoint_s"))
    return _Attempt(
        str(row["task_id"]),
        run,
        attempt,
        status,
        queued,
        began,
        max(last, *known),
        error[:500] + kind,
        place,
        _second(row.get("begun_at")),
        fetch,
        store if ended is not None else 0.0,
        str(row.get("task_type")) in (TIMER, EVENT, WAIT),
    )


def _second(moment: object) -> float | None:
    if not isinstance(moment, datetime):
        return None
    plain = moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    return (plain - _EPOCH).total_seconds()


def _background(scale: Axis, start: float, window: _Window) -> str:
    """A stripe in every other row, lines of ticks, places where time was cut out, and labels of both."""
    top = window.head - 6 if window.head else 0
    bottom = window.head + _ROW * window.shown
    odd = range(1 - window.first % 2, window.shown, 2)
    stripes = "".join(f"M0 {window.head + _ROW * row}h{window.width}v{_ROW}H0z" for row in odd)
    lines, labels, cuts = [], [], []
    for x, label in scale.ticks():
        lines.append(f"M{_NAMES + x:.1f} {top}V{bottom}")
        labels.append(f'<text x="{_NAMES + x:.1f}" y="{top - 6}">{label}</text>')
    for x, seconds in scale.cuts():
        left, right = _NAMES + x, _NAMES + x + CUT
        cuts.append(
            f'<g class="cutout"><title>{duration(seconds)} in which nothing was under way</title>'
            f'<path d="M{left:.1f} {top}V{bottom}H{right:.1f}V{top}"/></g>'
        )
        labels.append(f'<text x="{left + CUT / 2:.1f}" y="14">{duration(seconds)} idle</text>')
    began = clock(datetime.fromtimestamp(start, UTC))
    words = f'<text class="since" x="8" y="{top - 6}">since {began} UTC</text>{"".join(labels)}'
    return (
        f'<path class="stripes" d="{stripes}"/>{"".join(cuts)}'
        f'<g class="axis"><path d="{"".join(lines)}"/>{words if window.head else ""}</g>'
    )


def _row(row: Sequence[_Attempt], scale: Axis, start: float, look: _Look, url: str | None) -> str:
    last = row[-1]
    name = f'<text class="name" x="30" y="{look.top + 17:g}">{shown(clip(last.task, _NAMES - 40, 13.4))}'
    name += f"<title>{shown(last.task)}</title></text>"
    if url is not None:
        name = f'<a href="{attribute(url)}" tabindex="-1">{name}</a>'
    bars = "".join(_bar(attempt, scale, start, look) for attempt in row)
    x = _NAMES + scale.x(last.ended + last.store - start) + 8
    spent = duration(last.ended - last.began) if last.began is not None else ""
    tried = f", {number(len(row))} attempts" if len(row) > 1 else ""
    facts = " ".join(fact for fact in (last.status, spent) if fact) + tried
    return (
        f'<g class="attempts {status_class(last.status)}{" critical" * look.critical}">'
        f"{icon(last.status, 8, look.top + 6, 14)}{name}{bars}"
        f'<text class="said" x="{x:.1f}" y="{look.top + 17:g}">{shown(facts)}</text></g>'
    )


def _bar(one: _Attempt, scale: Axis, start: float, look: _Look) -> str:
    names = f"bar {status_class(one.status)}{' open' * (one.status in ATTEMPT_OPEN)}{' critical' * look.critical}"
    names += " waits" * one.waits
    key = attribute(bar_id(one.task, one.run, one.attempt, look.prefix))
    queued = max(0.0, (one.began or one.ended) - one.queued) if one.queued is not None else None
    waited = max(0.0, one.queued - one.before) if one.queued is not None and one.before is not None else 0.0
    facts = [
        one.task,
        f"run {one.run}, attempt {one.attempt}: {one.status}",
        f"not given to Ray for {duration(waited)}" if waited else "",
        f"waited {duration(queued)}" if queued is not None else "",
        f"of that {duration(one.fetch)} for its arguments" if one.fetch else "",
        f"ran {duration(one.ended - one.began)}" if one.began is not None else "never began",
        f"stored its output in {duration(one.store)}" if one.store else "",
        one.error if one.status != SUCCESSFUL else "",
        one.place,
    ]
    title = "\n".join(shown(fact) for fact in facts if fact)
    return (
        f'<g id="{key}" class="{names}" data-task="{attribute(one.task)}" data-run="{one.run}" '
        f'data-attempt="{one.attempt}" data-status="{attribute(one.status)}"><title>{title}</title>'
        f"{_parts(one, scale, start, look.top + _ROW / 2)}</g>"
    )


def _parts(one: _Attempt, scale: Axis, start: float, middle: float) -> str:
    """What its time went to, from left to right; middle: of the row, in pixels from above."""

    def x(moment: float) -> float:
        return _NAMES + scale.x(moment - start)

    text = ""
    until = one.ended if one.began is None else one.began
    fetched = until if one.began is None else until - one.fetch
    if one.queued is not None:
        fetched = max(fetched, one.queued)
        if one.before is not None and x(one.queued) - x(one.before) >= 1:
            text += f'<path class="before" d="M{x(one.before):.1f} {middle:g}H{x(one.queued):.1f}"/>'
        if x(fetched) - x(one.queued) >= 1:
            text += _rect("queue", x(one.queued), x(fetched) - x(one.queued), middle, _QUEUE)
    if x(until) - x(fetched) >= 1:
        text += _rect("fetch", x(fetched), x(until) - x(fetched), middle, _MIDDLE)
    if one.began is not None:
        text += _rect("run", x(until), max(x(one.ended) - x(until), _LEAST), middle, _RUN)
    if (wide := x(one.ended + one.store) - x(one.ended)) >= 1:
        text += _rect("store", x(one.ended), wide, middle, _MIDDLE)
    return text


def _rect(name: str, x: float, width: float, middle: float, height: float) -> str:
    y = middle - height / 2
    return f'<rect class="{name}" x="{x:.1f}" y="{y:g}" width="{width:.1f}" height="{height:g}" rx="2"/>'
