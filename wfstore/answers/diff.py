"""What is not alike in two workflows, or in two runs of one: their tasks matched by task_key and position, worst first.

Two tasks are a pair where their keys are the same and they are the n-th of that key in the order of definition; so the
members of a fan-out are compared in their order, and those one side has more of are added or gone.

What a task adds to the makespan is by how much the longest path becomes longer when it alone takes the time it took in
the other workflow, from when it was ready to its end: in a where it takes longer in b (its slack there is what it may
take longer for nothing), in b where it takes less. So diff(b, a) says the same with the other sign. Of a task that has
not ended in a workflow that goes on neither this nor the difference is known.
"""

from __future__ import annotations

import polars as pl

from wfstore.answers.diff_sides import COLUMNS, Side, side
from wfstore.answers.diff_value import HEADERS, Diff
from wfstore.model.statuses import PENDING, RETRYING, RUNNING

__all__ = ["HEADERS", "Diff", "Side", "diff", "side"]

#: What counts as another time or size: so many times as much, and at least so many seconds.
TIMES, SECONDS = 1.2, 0.01
_OPEN = (PENDING, RUNNING, RETRYING)
_LEADING = ("task_key", "position", "changes", "adds_s", "change_s")
_RATIOS = {"duration_s": "duration_ratio", "wait_s": "wait_ratio", "output_bytes": "output_ratio"}


def diff(a: Side, b: Side) -> Diff:
    """Compare them; what is said of b is in relation to a."""
    keys = ("task_key", "position")
    left, right = (
        one.tasks.rename({name: f"{name}_{which}" for name in COLUMNS}) for one, which in ((a, "a"), (b, "b"))
    )
    pairs = left.join(right, on=keys, how="full", coalesce=True, nulls_equal=True)
    spent_a, spent_b = _spent("a", a), _spent("b", b)
    pairs = pairs.with_columns(
        _changes(),
        _adds(spent_b - spent_a).alias("adds_s"),
        (spent_b - spent_a).alias("change_s"),
        *(_ratio(name, called) for name, called in _RATIOS.items()),
        _ratio("attempts", "attempts_ratio"),
    )
    columns = [*_LEADING]
    for name in COLUMNS:
        columns += [f"{name}_a", f"{name}_b"]
        columns += [_RATIOS[name]] if name in _RATIOS else []
        columns += ["attempts_ratio"] if name == "attempts" else []
    order = [pl.col("adds_s"), pl.col("change_s"), pl.col("task_key"), pl.col("position")]
    tasks = pairs.select(columns).sort(order, descending=[True, True, False, False], nulls_last=True)
    return Diff(a, b, tasks)


def _both() -> pl.Expr:
    return pl.col("task_id_a").is_not_null() & pl.col("task_id_b").is_not_null()


def _changes() -> pl.Expr:
    """The list of what is not alike, in this order."""
    differs = {
        "added": pl.col("task_id_a").is_null(),
        "gone": pl.col("task_id_b").is_null(),
        "code": _both() & pl.col("code_hash_a").ne(pl.col("code_hash_b")),
        "options": _both() & pl.col("options_a").ne_missing(pl.col("options_b")),
        "status": _both() & pl.col("status_a").ne_missing(pl.col("status_b")),
        "error": _both()
        & (
            pl.col("error_type_a").ne_missing(pl.col("error_type_b"))
            | pl.col("error_message_a").ne_missing(pl.col("error_message_b"))
        ),
        # a task whose output was taken over had no attempt, and there is nothing to compare
        "attempts": (pl.min_horizontal("attempts_a", "attempts_b") > 0) & pl.col("attempts_a").ne(pl.col("attempts_b")),
        "time": _apart("duration_s", SECONDS),
        "wait": _apart("wait_s", SECONDS),
        "size": _apart("output_bytes", 1),
    }
    words = [pl.when(found.fill_null(value=False)).then(pl.lit(word)) for word, found in differs.items()]
    return pl.concat_list(words).list.drop_nulls().alias("changes")


def _apart(name: str, least: float) -> pl.Expr:
    one, other = pl.col(f"{name}_a"), pl.col(f"{name}_b")
    low, high = pl.min_horizontal(one, other), pl.max_horizontal(one, other)
    return one.is_not_null() & other.is_not_null() & (high - low >= least) & (high >= low * TIMES)


def _ratio(name: str, called: str) -> pl.Expr:
    """b / a; None where either is not known or not above 0."""
    one, other = pl.col(f"{name}_a"), pl.col(f"{name}_b")
    return pl.when((one > 0) & (other > 0)).then(other / one).alias(called)


def _spent(which: str, of: Side) -> pl.Expr:
    """Seconds from when a task was ready to its end; 0 where it never was, or is on the other side only."""
    seconds = pl.col(f"span_s_{which}")
    if of.elapsed_s is not None:
        return seconds.fill_null(0.0)
    goes_on = pl.col(f"status_{which}").is_in(_OPEN).fill_null(value=False)
    return pl.when(goes_on).then(None).otherwise(seconds.fill_null(0.0))


def _adds(longer: pl.Expr) -> pl.Expr:
    return (
        pl.when(longer > 0)
        .then(_beyond(longer, "a", "b"))
        .when(longer < 0)
        .then(-_beyond(-longer, "b", "a"))
        .when(longer == 0)
        .then(0.0)
    )


def _beyond(seconds: pl.Expr, short: str, long: str) -> pl.Expr:
    """How much longer the longest path becomes. Where the task is on one side only, at most: all it takes, if it is
    on the longest path there."""
    critical = pl.col(f"slack_s_{long}").fill_null(1.0) <= 0
    alone = pl.when(critical).then(seconds).otherwise(0.0)
    slack = pl.col(f"slack_s_{short}")
    return pl.when(slack.is_null()).then(alone).otherwise((seconds - slack).clip(lower_bound=0.0))
