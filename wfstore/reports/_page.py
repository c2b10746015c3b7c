"""Asks the reports, and puts their rows, as tables and charts, into one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING

from wfstore import _text as text
from wfstore import draw
from wfstore._version import __version__
from wfstore.cli import output
from wfstore.index import filters
from wfstore.reports import _answers, _charts
from wfstore.reports._asked import Asked, Fit, Section
from wfstore.reports._extra import load
from wfstore.reports._spans import span
from wfstore.reports._tables import WIDTH, Table, cell, table

if TYPE_CHECKING:
    import polars as pl

    from wfstore._store import Store

#: A page is for reading, and for sending: it stays below so many bytes.
_MOST_BYTES = 1_000_000
_TILES = (
    "workflows", "succeeded", "failed", "canceled", "resumable", "active", "tasks", "attempts", "retries",
    "failed_attempts", "busy_s", "output_bytes",
)  # fmt: skip
#: The first that keeps the page small enough is taken; the last one always does.
_FITS = (Fit(50, WIDTH, 48, 200_000), Fit(20, 120, 24, 80_000), Fit(10, 40, 8, 20_000))


def html(
    store: Store,
    *,
    since: filters.Moment | None = None,
    until: filters.Moment | None = None,
    workflow: str | None = None,
) -> str:
    """One self-contained page about a store: HTML with inline SVG and style, no script, nothing to fetch.

    since (included), until (not): as in `Store.workflows`; workflow: only workflows of this name.
    Raises ReportExtraMissingError when the extra `report` is not installed, ValueError for what is no moment.
    """
    jinja2 = load("jinja2")
    load("vl_convert")
    now = datetime.now(UTC).replace(tzinfo=None)
    asked = Asked(store, filters.utc(since), filters.utc(until), now, workflow, {})
    overview = asked.frame("overview")
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True).from_string(
        files("wfstore.reports").joinpath("page.html.j2").read_text(encoding="utf-8")
    )
    facts = {
        "storage": _place(store.storage),
        "version": __version__,
        "made_at": text.clock(now),
        "begin": text.clock(asked.since),
        "end": text.clock(asked.until),
        "workflow": text.safe(workflow or ""),
        "command": asked.command("overview"),
        "draw_style": draw.STYLE,
        "tiles": [(output.header(name), cell(name, overview[name].item())) for name in _TILES],
    }
    page = ""
    for fit in _FITS:
        page = template.render(facts, sections=_sections(asked, overview, fit))
        if len(page.encode()) < _MOST_BYTES:
            break
    return page


def _sections(asked: Asked, overview: pl.DataFrame, fit: Fit) -> list[Section]:
    first, last = overview["first_ended_at"].item(), overview["last_ended_at"].item()
    length, name = span(max(first, asked.since) if first and asked.since else first, last)
    seconds = length.total_seconds()

    def charted(title: str, report: str, draw: Callable[[_charts.Rows], str], tables: Sequence[Table]) -> Section:
        limit = {} if report == "throughput" else {"limit": _charts.SERIES}
        rows = asked.frame(report, bucket=length, **limit)
        command = asked.command(report, bucket=f"{seconds:g}s", **{key: str(most) for key, most in limit.items()})
        few = f" The chart has at most {_charts.SERIES} task names, those with the most in sum." if limit else ""
        chart = draw(rows.to_dicts()) if rows.height else None
        return Section(title, f"In spans of {name}.{few}", tables, chart, table(rows, command, width=fit.narrow))

    def throughput(rows: _charts.Rows) -> str:
        return _charts.throughput(rows, seconds)

    def sizes(rows: _charts.Rows) -> str:
        return _charts.sizes(rows, seconds)

    return [
        *_answers.under_way(asked, fit),
        charted("Attempts over time", "throughput", throughput, []),
        charted("Durations over time", "durations_over_time", _charts.durations, [asked.table("task_durations", fit)]),
        charted("Sizes over time", "sizes_over_time", sizes, [asked.table("output_sizes", fit)]),
        Section("Failures", "Messages that differ only in numbers, hex, paths or quoted text count as one.",
                [asked.table("failures", fit)]),
        _answers.worse(asked, fit),
        Section("Slowest tasks", "Tasks that only waited are left out.", [asked.table("slowest_tasks", fit)]),
        Section("Where time goes", "What the time of attempts went to, summed by task.",
                [asked.table("where_time_goes", fit)]),
        *_answers.slowest_one(asked, fit),
    ]  # fmt: skip


def _place(storage: str) -> str:
    """Where the store is, without what a URI may say about who may go there."""
    scheme, found, rest = storage.partition("://")
    if not found:
        return text.safe(storage)
    return text.safe(f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}")
