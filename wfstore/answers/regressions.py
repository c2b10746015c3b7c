"""What a user says of two periods, or of two versions of code, as parameters of the report `regressions`.

The comparison itself is `queries/reports/regressions.sql`: command, dashboard and Python ask that one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeAlias

import polars as pl

from wfstore import _text as text
from wfstore.index.filters import Moment, seconds, utc

WORSE, NO_WORSE, TOO_FEW, ANY = "worse", "no worse", "too few", "any"
VERDICTS = (WORSE, NO_WORSE, TOO_FEW, ANY)
MEASURES = ("duration_s", "output_bytes", "retries", "queue_s")
#: How far back before looks where nothing else is said.
BASELINE = timedelta(days=28)

Side: TypeAlias = Moment | None

_CODE = re.compile(r"[0-9a-f]{4,64}")


def parameters(since: Moment, baseline: Side, until: Side, present: datetime | None = None) -> dict[str, Any]:
    """The sides as the report takes them: since, baseline and until; or code and baseline_code.

    since: a moment, how long ago ("7d"), or the beginning (4 digits or more) of a code hash or commit. baseline: a span
    before since, the moment at which it begins, or code too. present: as for `utc`. Raises ValueError for what is none
    of these, and for sides of different kinds.
    """
    end = utc(until, present)
    if _is_code(since):
        if baseline is not None and not _is_code(baseline):
            raise ValueError(f"since is code ({since}), so baseline has to be code too, not {baseline!r}")
        return {"code": since, "baseline_code": baseline, "until": end}
    begin = utc(since, present)
    if begin is None:
        raise ValueError("since is needed: a moment, how long ago, or the beginning of a code hash or commit")
    if begin > (present or datetime.now(UTC).replace(tzinfo=None)):
        raise ValueError(f"since ({text.clock(begin)} UTC) is in the future")
    if end is not None and end <= begin:
        raise ValueError(f"until ({text.clock(end)} UTC) is not after since ({text.clock(begin)} UTC)")
    return {"since": begin, "baseline": _length(begin, baseline), "until": end}


def choice(given: str | None, known: tuple[str, ...], what: str) -> str | None:
    """`given`, where it is one of them. Raises ValueError listing those there are."""
    if given is not None and given not in known:
        raise ValueError(f"no {what} is called {given!r}; there are: {', '.join(known)}")
    return given


def counts(found: pl.DataFrame) -> dict[str, int]:
    """Of an answer with every verdict: task keys compared, left out for want of workflows, and found worse."""
    keys = ("workflow_name", "task_key")
    compared = found.filter(pl.col("verdict") != TOO_FEW).select(keys).unique()
    every = found.select(keys).unique()
    worse = found.filter(pl.col("verdict") == WORSE).select(keys).unique()
    return {"compared": compared.height, "left_out": every.height - compared.height, "worse": worse.height}


def _length(begin: datetime, baseline: Side) -> timedelta:
    if baseline is None:
        return BASELINE
    if _is_code(baseline):
        raise ValueError(f"baseline is code ({baseline}), so since has to be code too")
    if isinstance(baseline, str):
        try:
            baseline = timedelta(seconds=seconds(baseline))
        except ValueError:
            baseline = utc(baseline) or begin
    elif isinstance(baseline, date):  # a datetime is one too
        baseline = utc(baseline) or begin
    span = baseline if isinstance(baseline, timedelta) else begin - baseline
    if span <= timedelta(0):
        raise ValueError("the baseline has to begin before since")
    return span


def _is_code(given: Side) -> bool:
    """Is it hexadecimal, and no moment? Digits alone that read as a date are one."""
    if not isinstance(given, str) or not _CODE.fullmatch(given):
        return False
    try:
        utc(given)
    except ValueError:
        return True
    return False


def said(measure: str, value: float | None) -> str:
    """A value of a measure with its unit: seconds, bytes, or retries for each task."""
    if value is None:
        return ""
    if measure == "output_bytes":
        return text.size(round(value))
    return f"{value:.3g}" if measure == "retries" else text.duration(value)


def ratio(row: Mapping[str, Any]) -> str:
    """As "1.31x (1.15 to 1.50)"; the interval is left out where there is none."""
    if row["ratio"] is None:
        return ""
    low, high = row["ratio_low"], row["ratio_high"]
    return f"{row['ratio']:.2f}x" + ("" if low is None else f" ({low:.2f} to {high:.2f})")


def cause(row: Mapping[str, Any]) -> str:
    """What changed with it, as far as it is known: code, commit, versions; "" where nothing did."""
    parts = [
        f"{name} {row[f'{column}_before'][:8]} -> {row[column][:8]}"
        for name, column in (("code", "code_hash"), ("commit", "git_commit"))
        if row[column] and row[f"{column}_before"] and row[column] != row[f"{column}_before"]
    ]
    return ", ".join([*parts, *([row["versions_changed"]] if row["versions_changed"] else [])])


#: Over what `cells` gives.
HEADERS = (
    "workflow", "task", "measure", "before", "after", "ratio (95 %)", "q", "n", "changed (UTC)", "first workflow",
    "with it",
)  # fmt: skip


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A row that became worse as people read it."""
    return (
        row["workflow_name"],
        row["task_key"],
        row["measure"],
        said(row["measure"], row["value_before"]),
        said(row["measure"], row["value_after"]),
        ratio(row),
        f"{row['q']:.2g}",
        f"{text.number(row['n_before'])}, {text.number(row['n_after'])}",
        text.clock(row["changed_at"]),
        row["first_workflow_id"],
        cause(row),
    )


def counted(found: pl.DataFrame, least: int) -> str:
    """One line under an answer with every verdict: how many task keys were compared, and how many not."""
    if found.is_empty():
        return "nothing to compare: no workflow that was asked for was submitted in that time, or has that code"
    n = counts(found)
    left = f", {text.number(n['left_out'])} left out: fewer than {least} workflows on a side" if n["left_out"] else ""
    return f"{text.number(n['compared'])} task key{'s' * (n['compared'] != 1)} compared{left}"
