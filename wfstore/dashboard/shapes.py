"""What the templates show, made of plain rows: pages of a table, progress, bars, filters, estimates. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from wfstore.errors import InvalidCommandError
from wfstore.model.statuses import (
    CANCELED,
    CAUGHT,
    FAILED,
    PENDING,
    RESUMABLE,
    RETRYING,
    RUNNING,
    SKIPPED,
    SUCCESSFUL,
)

Row = Mapping[str, Any]

#: Runs that may still change.
ACTIVE = frozenset((RUNNING, PENDING))


class Query:
    """A page's query, from which links to the same page with something changed are made."""

    def __init__(self, params: QueryParams) -> None:
        self._items = [(key, value) for key, value in params.multi_items() if value != "" and key != "token"]

    def one(self, key: str) -> str | None:
        """The last value said, None without one."""
        return next((value for name, value in reversed(self._items) if name == key), None)

    def all(self, key: str) -> list[str]:
        return [value for name, value in self._items if name == key]

    def whole(self, key: str, default: int, least: int = 0, most: int = 10**12) -> int:
        """A whole number. Raises InvalidCommandError naming the parameter."""
        said = self.one(key)
        if said is None:
            return default
        if not said.isdecimal() or not said.isascii() or not least <= int(said[:19]) <= most:
            raise InvalidCommandError(f"{key} has to be a whole number from {least:,} to {most:,}, not {said[:40]!r}")
        return int(said)

    def link(self, **changes: Any) -> str:
        """This query with these keys set, or left out where None: "?page=2"."""
        kept = [(key, value) for key, value in self._items if key not in changes]
        for key, value in changes.items():
            if value is not None:
                kept += [(key, one) for one in (value if isinstance(value, list) else [value])]
        return f"?{urlencode(kept)}"

    def others(self, *but: str) -> list[tuple[str, str]]:
        """What a form has to carry on besides its own fields."""
        return [(key, value) for key, value in self._items if key not in but]


@dataclass(frozen=True, slots=True)
class Paging:
    """Where a page of rows stands: rows first to last (from 1) of total; links to its neighbours, None at the ends."""

    first: int
    last: int
    total: int
    page: int
    pages: int
    previous: str | None
    next: str | None


def paging(query: Query, key: str, total: int, size: int, anchor: str = "") -> Paging:
    """The page that the query's `key` names, from 1; one behind the last is the last."""
    pages = max(1, -(-total // size))
    page = min(query.whole(key, 1, 1), pages)

    def link(number: int) -> str | None:
        return query.link(**{key: number}) + anchor if 1 <= number <= pages else None

    first = (page - 1) * size
    return Paging(
        first + 1 if total else 0, min(first + size, total), total, page, pages, link(page - 1), link(page + 1)
    )


class Part(NamedTuple):
    """A stretch of a progress bar: where it begins and how long it is, in percent."""

    status: str
    x: float
    width: float


class Progress(NamedTuple):
    """percent: of tasks that are done; parts: what the bar shows."""

    done: int
    failed: int
    total: int
    percent: float
    parts: tuple[Part, ...]


def progress(row: Row) -> Progress:
    """Of a row of `workflows`."""
    total, done, failed = row.get("tasks") or 0, row.get("tasks_done") or 0, row.get("tasks_failed") or 0
    share = 100 / total if total else 0.0
    parts = (Part(SUCCESSFUL, 0.0, done * share), Part(FAILED, done * share, failed * share))
    return Progress(done, failed, total, done * share, parts)


def tally(rows: Iterable[Row]) -> list[tuple[str, int]]:
    """Statuses with how many rows have them, in the order in which a reader looks for them."""
    found = Counter(row["status"] for row in rows)
    return [(status, found[status]) for status in _LOOKED_FOR if found[status]]


_LOOKED_FOR = (FAILED, RUNNING, RETRYING, PENDING, RESUMABLE, CAUGHT, CANCELED, SKIPPED, SUCCESSFUL)


def elapsed(row: Row, now: datetime) -> float | None:
    """Seconds since the start of what goes on, else the wall time that it took."""
    said: float | None = row.get("elapsed_s")
    if row["status"] not in (*ACTIVE, RETRYING):
        return said
    began = row.get("started_at") or row.get("submitted_at")
    return max(0.0, (now - began).total_seconds()) if began else said


class Span(NamedTuple):
    """A stretch of time on the overview's chart: its name in a query, how long, and each of its bars."""

    key: str
    label: str
    length: timedelta
    step: timedelta


SPANS = (
    Span("1h", "1 h", timedelta(hours=1), timedelta(minutes=1)),
    Span("24h", "24 h", timedelta(hours=24), timedelta(minutes=30)),
    Span("7d", "7 d", timedelta(days=7), timedelta(hours=3)),
    Span("30d", "30 d", timedelta(days=30), timedelta(hours=12)),
)


class Window(NamedTuple):
    """What the chart covers; the end is not part of it."""

    span: Span
    begin: datetime
    end: datetime


def window(key: str | None, last: datetime | None, now: datetime) -> Window:
    """The span asked for, else the shortest that reaches from now to `last`, when something was submitted last; up to
    now, or up to `last` where that is longer ago. Raises InvalidCommandError."""
    spans = {span.key: span for span in SPANS}
    if key is not None and key not in spans:
        raise InvalidCommandError(f"span has to be one of {', '.join(spans)}, not {key[:40]!r}")
    age = now - (last or now)
    span = spans[key] if key else next((s for s in SPANS if age < s.length), SPANS[-1])
    end = now if age < span.length or last is None else last
    step = span.step.total_seconds()
    # whole steps since 1970, so that bars do not change while time goes on
    rounded = datetime(1970, 1, 1) + timedelta(seconds=-(-(end - datetime(1970, 1, 1)).total_seconds() // step) * step)
    return Window(span, rounded - span.length, rounded)


class Bar(NamedTuple):
    """A bar of the chart. x, width and heights: units of its picture, which is 600 x 100."""

    x: float
    width: float
    good: float
    bad: float
    begin: datetime
    succeeded: int
    failed: int


@dataclass(frozen=True, slots=True)
class Activity:
    """The overview's chart: bars from left to right, the highest count, and the sums."""

    window: Window
    bars: tuple[Bar, ...]
    most: int
    succeeded: int
    failed: int


def activity(covered: Window, rows: Sequence[tuple[int, int, int]]) -> Activity:
    """rows: (position of the span, succeeded, failed)."""
    most = max((good + bad for _, good, bad in rows), default=0)
    slot = 600 / (covered.span.length / covered.span.step)
    scale = 96 / most if most else 0.0
    bars = tuple(
        Bar(at * slot + slot * 0.1, slot * 0.8, good * scale, max(bad * scale, 1.5 if bad else 0.0),
            covered.begin + at * covered.span.step, good, bad)
        for at, good, bad in rows
    )  # fmt: skip
    return Activity(covered, bars, most, sum(row[1] for row in rows), sum(row[2] for row in rows))


def metadata_filter(said: str | None) -> dict[str, Any] | None:
    """ "team=data, tries=3" as what to look for; values are JSON where they can be read as such, else text.

    Raises InvalidCommandError.
    """
    if not said or not said.strip():
        return None
    found: dict[str, Any] = {}
    for pair in said.split(","):
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise InvalidCommandError(f"metadata is looked for as key=value, several with commas; not {pair[:80]!r}")
        try:
            found[key.strip()] = json.loads(value)
        except ValueError:
            found[key.strip()] = value.strip()
    return found


def chosen(tasks: Sequence[Row], statuses: Sequence[str], name: str | None, part: str | None) -> list[Row]:
    """Tasks that match what was filled in; `part` is looked for in id, name, function and error, case aside."""
    wanted = (part or "").casefold()
    return [
        row
        for row in tasks
        if (not statuses or row["status"] in statuses)
        and (name is None or row["name"] == name)
        and (not wanted or any(wanted in str(row.get(key) or "").casefold() for key in _SEARCHED))
    ]


_SEARCHED = ("task_id", "name", "function", "error_type", "error_message")
#: What the task table can be ordered by -> the columns.
TASK_ORDERS = {
    "task": "task_id", "status": "status", "attempts": "attempts", "started": "started_at", "waited": "wait_s",
    "took": "duration_s", "slack": "slack_s", "output": "output_bytes",
}  # fmt: skip
WORKFLOW_ORDERS = {
    "workflow": "workflow_id", "status": "status", "started": "started_at", "took": "elapsed_s",
    "tasks": "tasks", "failed": "tasks_failed", "output": "total_output_bytes",
}  # fmt: skip


def ordering(said: str | None, known: Mapping[str, str]) -> tuple[str, bool] | None:
    """(column, descending) of "-took". Raises InvalidCommandError."""
    if said is None:
        return None
    column = known.get(said.removeprefix("-"))
    if column is None:
        raise InvalidCommandError(f"cannot be ordered by {said[:40]!r}; there are: {', '.join(known)}")
    return column, said.startswith("-")


def ordered(rows: Sequence[Row], order: tuple[str, bool] | None) -> list[Row]:
    """Rows without a value come last, whichever the direction."""
    if order is None:
        return list(rows)
    column, down = order
    known = sorted((row for row in rows if row.get(column) is not None), key=lambda row: row[column], reverse=down)
    return known + [row for row in rows if row.get(column) is None]


def downstream(tasks: Iterable[Row], task_id: str) -> list[Row]:
    """The tasks that take its output or that its continuation added."""
    return [row for row in tasks if task_id in (row.get("upstream") or ()) or row.get("creator") == task_id]


def readable(options: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A task's options; what is stored pickled is only named."""
    if options is None:
        return None
    pickled = {name: f"pickled, {value['bytes']:,} bytes" for name, value in options.items() if _is_payload(value)}
    return {**options, **pickled}


def _is_payload(value: Any) -> bool:
    return isinstance(value, Mapping) and {"hash", "bytes"} <= value.keys() and isinstance(value["bytes"], int)
