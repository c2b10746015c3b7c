"""Charts as SVG to put into a page: drawn here and now by vl-convert, so that the page needs no script.

Colours are the page's own variables, so that one drawing fits light and dark. Every chart stands beside a table of the
same numbers; it has no text for screen readers of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from wfstore import _text as text
from wfstore.reports._extra import load

#: How many task names a chart shows; the page has as many colours.
SERIES = 6
_WIDTH, _PANEL_WIDTH, _HEIGHT, _PANEL_HEIGHT = 760, 340, 220, 110
_LABEL = 44

#: Colours that nothing else has while a chart is drawn -> what they become in the page.
_INK, _QUIET, _GRID = "#010101", "#020202", "#030303"
_COLOURS = [f"#0101{10 + number}" for number in range(SERIES)]
_GOOD, _BAD = "#010191", "#010192"
_VARIABLES = {
    _INK: "--ink",
    _QUIET: "--quiet",
    _GRID: "--grid",
    _GOOD: "--good",
    _BAD: "--bad",
    **{colour: f"--series-{number}" for number, colour in enumerate(_COLOURS)},
}
_COLOUR = re.compile('"(' + "|".join(_VARIABLES) + ')"')

_SECONDS = (
    "datum.value >= 3600 ? format(datum.value / 3600, '~r') + ' h' : "
    "datum.value >= 60 ? format(datum.value / 60, '.3~r') + ' min' : "
    "datum.value >= 1 || datum.value == 0 ? format(datum.value, '.3~r') + ' s' : "
    "format(datum.value * 1000, '.3~r') + ' ms'"
)
_BYTES = "format(datum.value, '.3~s') + 'B'"

Rows = Sequence[Mapping[str, Any]]


def throughput(rows: Rows, bucket_s: float) -> str:
    """How many attempts succeeded and failed in each span. rows: of the report `throughput`."""
    values = [
        {"at": _epoch(row["bucket"]), "n": row[what], "what": what} for row in rows for what in ("succeeded", "failed")
    ]
    colour = {"domain": ["succeeded", "failed"], "range": [_GOOD, _BAD]}
    return _draw(_bars(values, "what", colour, bucket_s, {"title": "attempts ended", "format": "~s", "tickMinStep": 1}))


def sizes(rows: Rows, bucket_s: float) -> str:
    """The bytes of outputs in each span, by task name. rows: of `sizes_over_time`, at most SERIES names."""
    names = _names(rows)
    values = [{"at": _epoch(row["bucket"]), "n": row["total_bytes"], "what": names[_key(row)]} for row in rows]
    domain = list(names.values())
    colour = {"domain": domain, "range": _COLOURS[: len(domain)]}
    return _draw(_bars(values, "what", colour, bucket_s, {"title": "bytes of outputs", "labelExpr": _BYTES}))


def durations(rows: Rows) -> str:
    """Median and 95th percentile in each span, a panel for each task name. rows: of `durations_over_time`."""
    names = _names(rows)
    values = [
        {"at": _epoch(row["bucket"]), "s": row[column], "task": names[_key(row)], "what": what}
        for row in rows
        for column, what in (("p50_s", "median"), ("p95_s", "95th percentile"))
    ]
    scale = {"domain": ["median", "95th percentile"], "range": [_COLOURS[0], _COLOURS[1]]}
    panel = {
        "width": _PANEL_WIDTH,
        "height": _PANEL_HEIGHT,
        "mark": {"type": "line", "point": {"size": 14}, "strokeWidth": 1.5},
        "encoding": {
            "x": {"field": "at", **_time_axis(padding=4)},
            "y": {
                "field": "s",
                "type": "quantitative",
                "scale": {"zero": True},
                "axis": {"title": None, "labelExpr": _SECONDS, "tickCount": 4},
            },
            "color": {"field": "what", "type": "nominal", "scale": scale, "legend": {"orient": "top", "title": None}},
        },
    }
    facet = {"field": "task", "type": "nominal", "sort": list(names.values()), "header": {"title": None}}
    return _draw(
        {
            "data": {"values": values},
            "facet": facet,
            "columns": 2,
            "spec": panel,
            "resolve": {"scale": {"y": "independent"}},
        }
    )


def _bars(
    values: list[dict[str, Any]], by: str, colour: dict[str, Any], bucket_s: float, axis: dict[str, Any]
) -> dict[str, Any]:
    times = [value["at"] for value in values]
    slots = (max(times) - min(times)) / (bucket_s * 1000) + 1
    return {
        "data": {"values": values},
        "width": _WIDTH,
        "height": _HEIGHT,
        "mark": {"type": "bar", "width": max(2, min(40, round(_WIDTH / slots) - 2))},
        "encoding": {
            "x": {"field": "at", **_time_axis(padding=14)},
            "y": {"field": "n", "type": "quantitative", "stack": "zero", "axis": {"tickCount": 5, **axis}},
            "color": {
                "field": by,
                "type": "nominal",
                "scale": colour,
                "legend": {"orient": "top", "title": None, "columns": 3, "labelLimit": 300},
            },
        },
    }


def _time_axis(padding: int) -> dict[str, Any]:
    """`padding`: pixels at both ends, so that what stands there is drawn whole."""
    axis = {"title": None, "grid": False, "labelOverlap": True}
    return {"type": "temporal", "scale": {"type": "utc", "padding": padding}, "axis": axis}


def _draw(chart: dict[str, Any]) -> str:
    config = {
        # a name for each of a thousand points would be longer than the drawing
        "aria": False,
        "background": None,
        "font": "sans-serif",
        "view": {"stroke": None},
        "axis": {
            "labelColor": _QUIET,
            "titleColor": _QUIET,
            "gridColor": _GRID,
            "domainColor": _GRID,
            "tickColor": _GRID,
            "titleFontWeight": "normal",
        },
        "legend": {"labelColor": _INK, "titleColor": _INK},
        "header": {"labelColor": _INK, "labelFontWeight": "bold", "labelLimit": _PANEL_WIDTH},
    }
    converter = load("vl_convert")
    svg: str = converter.vegalite_to_svg({**chart, "config": config}, allowed_base_urls=[])
    return _COLOUR.sub(lambda found: f'"var({_VARIABLES[found[1]]})"', svg)


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["workflow_name"], row["task_name"]


def _names(rows: Rows) -> dict[tuple[str, str], str]:
    """Short names, each another, those of the rows in their order."""
    names: dict[tuple[str, str], str] = {}
    for row in rows:
        key = _key(row)
        if key not in names:
            short = label(*key)
            names[key] = short if short not in names.values() else f"{short} ({len(names) + 1})"
    return names


def label(workflow: str, task: str) -> str:
    """A task name for a chart: one line, the end of what is too long left out."""
    whole = " / ".join(text.safe(part) for part in (workflow, task))
    return whole if len(whole) <= _LABEL else f"{whole[: _LABEL - 1]}…"


def _epoch(moment: datetime) -> int:
    """Milliseconds; Vega takes text without a zone for local time."""
    return round(moment.replace(tzinfo=UTC).timestamp() * 1000)
