"""What a page is about, and the parts that it is made of."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from wfstore import _text as text
from wfstore.reports._pictures import Picture
from wfstore.reports._tables import Table, table

if TYPE_CHECKING:
    import polars as pl

    from wfstore._store import Store


class Fit(NamedTuple):
    """rows: of a table; width: characters of a text in it; narrow: the same in the many rows behind a chart; picture:
    bytes of the drawing of a workflow."""

    rows: int
    width: int
    narrow: int
    picture: int


class Section(NamedTuple):
    """A part of the page: a chart (SVG) with the table of its numbers, where there is one, tables, and drawings."""

    title: str
    note: str
    tables: Sequence[Table]
    chart: str | None = None
    behind: Table | None = None
    pictures: Sequence[Picture] = ()


class Asked(NamedTuple):
    """What the page is about, asked of one report after the other."""

    store: Store
    since: datetime | None
    until: datetime | None
    now: datetime
    workflow: str | None
    answers: dict[str, pl.DataFrame]

    @property
    def end(self) -> datetime:
        """One end for all reports: what arrives between two of them must not show in one only."""
        return self.until or self.now

    def frame(self, report: str, **more: Any) -> pl.DataFrame:
        """The rows of a report, asked for once."""
        if report not in self.answers:
            given = {"since": self.since, "until": self.end, "workflow": self.workflow}
            self.answers[report] = self.store.report(report, **given, **more)
        return self.answers[report]

    def command(self, report: str, **more: str) -> str:
        """What prints the same rows."""
        given = {"workflow": self.workflow, "since": self.since, "until": self.until, **more}
        said = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in given.items()}
        words = [f"--param {shlex.quote(f'{name}={value}')}" for name, value in said.items() if value is not None]
        return text.safe(" ".join([f"wfstore report {report}", *words]))

    def table(self, report: str, fit: Fit) -> Table:
        return table(self.frame(report), self.command(report), fit.rows, fit.width)
