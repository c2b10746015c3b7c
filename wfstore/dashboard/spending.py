"""What the time of a workflow went to, as its page shows it: one bar for all attempts, one row for a task key. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from wfstore.answers.paths_frames import Makespan
from wfstore.answers.spent import PARTS, summed

#: So many task keys have a row.
MOST_ROWS = 20


class Part(NamedTuple):
    """A piece of the bar. name: its class; x, width: in percent of it; seconds: of all attempts together."""

    name: str
    words: str
    seconds: float
    x: float
    width: float


class Spent(NamedTuple):
    """attempts: how many have ended, from which it was summed; parts: those that took any time; rows: by task key, the
    largest first, at most `MOST_ROWS` of `keys`; makespan: None while the workflow goes on."""

    attempts: int
    total_s: float
    parts: list[Part]
    rows: list[dict[str, Any]]
    keys: int
    makespan: Makespan | None


def spent(rows: Sequence[Mapping[str, Any]], makespan: Makespan | None) -> Spent:
    """rows: of `time_spent`."""
    frame = pl.DataFrame(rows, schema={"task_key": pl.String, **dict.fromkeys(("total_s", *PARTS), pl.Float64)})
    by_key = summed(frame, "task_key")
    whole = summed(frame).row(0, named=True)
    parts, x = [], 0.0
    for column, words in PARTS.items():
        width = 100 * whole[column] / (whole["total_s"] or 1)
        if width > 0:
            parts.append(Part(column.removesuffix("_s").replace("_", "-"), words, whole[column], x, width))
        x += width
    return Spent(whole["attempts"], whole["total_s"], parts, by_key.head(MOST_ROWS).to_dicts(), by_key.height, makespan)


def with_begun(attempts: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `attempts` with `begun_at` of `time_spent`."""
    begun = {(row["task_id"], row["run"], row["attempt"]): row["begun_at"] for row in rows}
    return [{**row, "begun_at": begun.get((row["task_id"], row["run"], row["attempt"]))} for row in attempts]
