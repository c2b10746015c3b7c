"""What the time of attempts went to, summed: the rows of the view `time_spent` taken together."""

from __future__ import annotations

import polars as pl

from wfstore.answers.paths_frames import seconds

#: Column of `time_spent` -> what people call it, in the order in which they follow each other.
PARTS = {
    "dependency_s": "other tasks",
    "admission_s": "admission",
    "backoff_s": "back-off",
    "ray_queue_s": "Ray's queue",
    "fetch_s": "arguments",
    "user_s": "user code",
    "waiting_s": "waiting",
    "checkpoint_s": "output",
}


def summed(spent: pl.DataFrame, *by: str) -> pl.DataFrame:
    """Rows of `time_spent` summed, the largest first: the columns `by`, attempts (how many), total_s and `PARTS`.

    What is under way is left out. Without `by` one row, also where there is nothing to sum. Sums are of whole
    microseconds, so that parts and totals agree: what the report `where_time_goes` says.
    """
    ended = spent.drop_nulls("total_s")
    counted = [pl.len().cast(pl.Int64).alias("attempts"), (pl.col(*PARTS) * 1e6).round().cast(pl.Int64).sum()]
    found = ended.group_by(by, maintain_order=True).agg(counted) if by else ended.select(counted)
    found = found.with_columns(total_s=pl.sum_horizontal(*PARTS))
    found = found.with_columns(seconds(found[name]) for name in ("total_s", *PARTS))
    return found.select(*by, "attempts", "total_s", *PARTS).sort("total_s", *by, descending=[True, *[False] * len(by)])
