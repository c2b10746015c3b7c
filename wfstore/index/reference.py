"""The reference pages of views, events and reports, made from what is declared once.

``python -m wfstore.index.reference docs/reference`` writes them; a test compares the files with what is declared.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from wfstore.index.catalog import Query, folder
from wfstore.model.events import EVENT_TYPES
from wfstore.schema.views import VIEWS, event_sentences

_MADE = "<!-- Made by `python -m wfstore.index.reference docs/reference` from {source}; change that instead. -->\n"

_VIEWS_HEAD = """# Views

What `wfstore sql`, `Store.sql` and `Store.connect` find in the default schema. `*_at` is a TIMESTAMP in UTC, `*_s` a
DOUBLE in seconds, `*_bytes` a BIGINT in bytes. Every view and column carries its sentence as a COMMENT, too:
`SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'tasks'`.

Statuses are what the manager decided, read from the last row that says one. One is worked out: an open workflow (and
its open run) reads RESUMABLE while no manager holds the store. Its tasks and attempts keep the status they had.

A deleted workflow is in no view but `events`. Runs of an id number on after it was deleted. Times of the manager and
of a worker come from two clocks: where machines disagree, `queue_s` and `wait_s` can be below zero.
"""

_EVENTS_HEAD = """# Events

The log is the only truth: everything else is a fold of its rows. A row is never changed; `seq` is the order. Columns
are only ever added.
"""

_REPORTS_HEAD = """# Reports

Named queries: `wfstore report NAME --param K=V`, `Store.report(name, k=v)`. Their SQL is in `queries/reports/`. A
TIMESTAMP parameter takes a datetime, ISO 8601 text (UTC unless it names a zone) or a span such as `7d`, meaning that
long ago; an INTERVAL takes a timedelta or a span.
"""


def views_page() -> str:
    """docs/reference/views.md"""
    parts = [_MADE.format(source="wfstore/schema/views.py and queries/views"), _VIEWS_HEAD]
    for name, columns in VIEWS.items():
        query = folder("views")[name]
        parts += [_heading(query), _table(("column", "type", "meaning"), ((f"`{c.name}`", *c[1:]) for c in columns))]
    return "\n".join(parts)


def events_page() -> str:
    """docs/reference/events.md"""
    types = ((f"`{name}`", meaning) for name, meaning in EVENT_TYPES.items())
    columns = ((f"`{name}`", meaning) for name, meaning in event_sentences().items())
    return "\n".join(
        [
            _MADE.format(source="wfstore/model/events.py"),
            _EVENTS_HEAD,
            "## Types\n",
            _table(("type", "meaning"), types),
            "## Columns\n",
            _table(("column", "meaning"), columns),
        ]
    )


def reports_page() -> str:
    """docs/reference/reports.md"""
    parts = [_MADE.format(source="queries/reports"), _REPORTS_HEAD]
    for report in folder("reports").values():
        params = ((f"`{p.name}`", p.type, p.default, p.text) for p in report.params)
        columns = ((f"`{c.name}`", c.type, c.text) for c in report.columns)
        parts += [
            _heading(report),
            _table(("parameter", "type", "default", "meaning"), params),
            _table(("column", "type", "meaning"), columns),
        ]
    return "\n".join(parts)


PAGES = {"views.md": views_page, "events.md": events_page, "reports.md": reports_page}


def _heading(query: Query) -> str:
    return f"## {query.name}\n\n{query.summary} One row per {query.grain}.\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def main(directory: str) -> None:
    """Write every page into `directory`."""
    for name, page in PAGES.items():
        Path(directory, name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
