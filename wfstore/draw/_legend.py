"""What the shapes and lines of the drawings mean, as one line of SVG."""

from __future__ import annotations

from collections.abc import Mapping

from wfstore._text import number
from wfstore.draw._style import STYLE, icon, status_class
from wfstore.draw._text import shown

_HEIGHT, _GAP, _LETTER = 26, 20, 7.4
#: Class of a part of a timeline's bar, in words, how high it is in pixels (0: a line).
_SPENT = (
    ("before", "other tasks, admission, back-off", 0),
    ("queue", "Ray's queue", 5),
    ("fetch", "fetching arguments", 9),
    ("run", "user code", 14),
    ("run", "waiting", 14),
    ("store", "storing the output", 9),
    ("run", "failed attempt", 14),
)
#: Groups that parts stand in where they look otherwise.
_GROUPS = {"waiting": "waits st-SUCCESSFUL", "failed attempt": "st-FAILED", "critical path": "critical st-SUCCESSFUL"}


def legend(
    statuses: Mapping[str, int],
    *,
    critical: bool = False,
    created: bool = False,
    spent: bool = False,
    standalone: bool = False,
) -> str:
    """One <svg>: each status with how many there are; with `critical` and `created` the lines of those edges too; with
    `spent` what the parts of a timeline's bars are, and with `critical` which of them are on that path."""
    parts, x = [], 4.0
    for status, count in statuses.items():
        words = f"{number(count)} {status}"
        parts.append(
            f'<g class="{status_class(status)}">{icon(status, x, 5)}'
            f'<text x="{x + 22:g}" y="17.5">{shown(words)}</text></g>'
        )
        x += 22 + _LETTER * len(words) + _GAP
    lines = (("critical", "critical path", critical and not spent), ("created", "continuation", created))
    for name, words, wanted in lines:
        if wanted:
            parts.append(f'<path class="edge {name}" d="M{x:g} 13h30"/><text x="{x + 37:g}" y="17.5">{words}</text>')
            x += 37 + _LETTER * len(words) + _GAP
    bars = (*_SPENT, *([("run", "critical path", 14)] if critical else ()))
    for name, words, height in bars if spent else ():
        line = f'<path class="{name}" d="M{x:g} 13h24"/>'
        box = f'<rect class="{name}" x="{x:g}" y="{13 - height / 2:g}" width="24" height="{height}" rx="2"/>'
        group = _GROUPS.get(words, "st-SUCCESSFUL")
        parts.append(f'<g class="{group}">{box if height else line}<text x="{x + 31:g}" y="17.5">{words}</text></g>')
        x += 31 + _LETTER * len(words) + _GAP
    style = f"<style>{STYLE}</style>" if standalone else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="wf-draw legend" role="group" aria-label="Legend" '
        f'width="{x:g}" height="{_HEIGHT}" viewBox="0 0 {x:g} {_HEIGHT}">{style}{"".join(parts)}</svg>'
    )
