"""The boxes of a DAG as SVG: a task with what is known of it, or a group with how many of its tasks stand where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from wfstore._text import duration, number, safe
from wfstore.draw._layout import HEIGHT, WIDTH, Point
from wfstore.draw._rows import Task
from wfstore.draw._style import icon, known, status_class
from wfstore.draw._text import attribute, clip, node_id, shown
from wfstore.model.statuses import CANCELED, CAUGHT, FAILED, PENDING, RETRYING, RUNNING, SKIPPED, SUCCESSFUL

#: The end of an edge: the tip is where the path ended.
ARROW = "m-3.5 -6.5 3.5 6.5 3.5 -6.5"
#: What a group is called by: the first of these that any of its tasks is.
_WORST_FIRST = (FAILED, RETRYING, RUNNING, PENDING, CANCELED, CAUGHT, SKIPPED, SUCCESSFUL)
_TEXT_X, _NAME_Y, _FACTS_Y, _BAR_Y, _LIFT = 34, 25, 41, 52, 7
_BAR, _ROOM = WIDTH - 16, WIDTH - 8 - 34


#: The name's 12 px are as wide as so many of the usual weight.
_BOLD = 13.4


class Look(NamedTuple):
    """Where a box stands (left, top), whether it is on the critical path, and what stands before its ids."""

    spot: Point
    critical: bool
    prefix: str


def task(one: Task, look: Look, url: str | None, *, focusable: bool) -> str:
    """A task; `url`: where it leads to."""
    spent = duration(one.spent_s)
    tried = f"{number(one.attempts)} attempts" if one.attempts > 1 else ""
    share = f"{one.progress:.0%}" if one.progress is not None and one.status == RUNNING else ""
    facts = " ".join(fact for fact in (one.status, share, spent) if fact)
    more = ", ".join(fact for fact in (tried, one.type, one.error_type) if fact)
    lift = _LIFT if more else 0
    title = [
        one.id,
        one.name if one.name != one.id else "",
        one.status + (f", {one.error_type}" if one.error_type else ""),
        f"took {spent}" if spent and one.status != RUNNING else f"so far {spent}" if spent else "",
        tried,
        one.type,
        f"continuation of {one.creator}" if one.creator else "",
        "on the critical path"
        if look.critical
        else f"slack {duration(one.slack_s)}"
        if one.slack_s is not None
        else "",
    ]
    inside = [
        _rect("box", 0, 0, WIDTH, HEIGHT, 8),
        icon(one.status, 10, HEIGHT / 2 - 8),
        _text("name", one.id, _NAME_Y - lift, _BOLD),
        _text("facts", facts, _FACTS_Y - lift, 10.5),
        _text("facts", more, _FACTS_Y - lift + 13, 10.5) if more else "",
    ]
    if one.progress is not None:
        inside.append(_rect("track", 8, _BAR_Y, _BAR, 3) + _rect("progress", 8, _BAR_Y, _BAR * one.progress, 3))
    attributes = f'data-task="{attribute(one.id)}" data-status="{attribute(one.status)}"'
    return _linked(_whole(one.id, "", one.status, attributes, look, title, inside), url, focusable)


def group(
    key: str, label: str, statuses: Mapping[str, int], median_s: float | None, look: Look, url: str | None
) -> str:
    """A group; label: what it is called; median_s: how long its tasks took."""
    order = sorted(statuses, key=lambda status: (_rank(status), status))
    counts = ", ".join(f"{number(statuses[status])} {status}" for status in order)
    spent = f"median {duration(median_s)}" if median_s is not None else ""
    title = [label, *(f"{number(statuses[status])} {status}" for status in order), spent]
    title.append("the critical path goes through it" if look.critical else "")
    total = sum(statuses.values())
    bars, x = [], 8.0
    for status in order:
        wide = _BAR * statuses[status] / total
        bars.append(_rect(f"part {status_class(status)}", x, _BAR_Y, max(wide, 2), 3, radius=0))
        x += wide
    inside = [
        _rect("behind", 4, 5, WIDTH, HEIGHT, 8),
        _rect("box", 0, 0, WIDTH, HEIGHT, 8),
        icon(order[0], 10, HEIGHT / 2 - 8),
        _text("name", label, _NAME_Y - _LIFT, _BOLD),
        _counts(counts, [(status, statuses[status]) for status in order]),
        _text("facts", spent, _FACTS_Y - _LIFT + 13, 10.5) if spent else "",
        *bars,
    ]
    attributes = f'data-group="{attribute(key)}" data-count="{total}" data-status="{attribute(order[0])}"'
    return _linked(_whole(key, " group", order[0], attributes, look, title, inside), url, focusable=True)


def _counts(said: str, statuses: list[tuple[str, int]]) -> str:
    """How many stand where: in words, or where there is no room for them, in shapes."""
    if clip(said, _ROOM, 10.5) == safe(said):
        return _text("facts", said, _FACTS_Y - _LIFT, 10.5)
    parts, x = [], float(_TEXT_X)
    for status, count in statuses:
        words = number(count)
        wide = 15 + 6.2 * len(words)
        if x + wide > WIDTH - 14:
            parts.append(f'<text class="facts" x="{x:.9g}" y="{_FACTS_Y - _LIFT}">…</text>')
            break
        place = _FACTS_Y - _LIFT
        parts.append(
            f'<g class="{status_class(status)}">{icon(status, x, place - 9.5, 11)}'
            f'<text class="facts" x="{x + 14:.9g}" y="{place}">{words}</text></g>'
        )
        x += wide + 8
    return "".join(parts)


def _rank(status: str) -> int:
    return _WORST_FIRST.index(status) if status in _WORST_FIRST else len(_WORST_FIRST)


def _whole(key: str, kind: str, status: str, attributes: str, look: Look, title: list[str], inside: list[str]) -> str:
    x, y = look.spot
    names = f"node{kind} {status_class(known(status))}{' critical' * look.critical}"
    ring = _rect("ring", -4, -4, WIDTH + 8, HEIGHT + 8, 11) if look.critical else ""
    said = "\n".join(shown(line) for line in title if line)
    return (
        f'<g id="{attribute(node_id(key, look.prefix))}" class="{names}" {attributes} '
        f'transform="translate({x:.9g} {y:.9g})"><title>{said}</title>{"".join(inside)}{ring}</g>'
    )


def _linked(text: str, url: str | None, focusable: bool) -> str:
    if url is None:
        return text
    return f'<a href="{attribute(url)}"{"" if focusable else " tabindex=" + chr(34) + "-1" + chr(34)}>{text}</a>'


def _rect(name: str, x: float, y: float, width: float, height: float, radius: float = 2) -> str:
    place = f' x="{x:.9g}" y="{y:.9g}"' if x or y else ""
    return f'<rect class="{name}"{place} width="{width:.4g}" height="{height:.9g}" rx="{radius:.9g}"/>'


def _text(name: str, text: str, y: float, size: float, x: float = _TEXT_X) -> str:
    return f'<text class="{name}" x="{x:.9g}" y="{y:.9g}">{shown(clip(text, WIDTH - 8 - x, size))}</text>'
