"""How well the report `regressions` tells what became worse, and how fast.

    python -m benchmarks.regressions [--repeats 20] [--store /opt/wf/stores/n10]

Planted truth: log-normal durations, 1.3 times as long after as before in some of the task keys of a history, and in
none of them. The rows stand in tables in place of the views, so that millions are cheap; times are taken over a store.
Prints JSON lines; exits with 1 where a figure is not reached.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from statistics import NormalDist
from typing import Any

import duckdb
import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1]))

import wfstore
from wfstore.index import catalog, reports, to_polars

SINCE = datetime(2024, 6, 1)
#: (n on each side, sigma) of the noise; and (task keys, of them slower).
NOISE = ((50, 0.3), (200, 0.5))
PLANTED = ((100, 10), (100, 50))
DRAWN = ((1, 1), (20, 1), (40, 1), (100, 10), (1000, 50))
FACTOR, FOUND, FALSE, SECONDS = 1.3, 0.95, 0.01, 2.0


def over(workflows: pl.DataFrame, tasks: pl.DataFrame, **params: Any) -> pl.DataFrame:
    """The report over these rows of the views `workflows` and `tasks`, as far as it reads their columns."""
    query = catalog.folder("reports")["regressions"]
    with duckdb.connect(":memory:", config={"threads": 2}) as connection:
        for name, frame in (("workflows", workflows), ("tasks", tasks)):
            connection.register("rows", frame.to_arrow())
            connection.execute(f"CREATE TABLE main.{name} AS SELECT * FROM rows")
            connection.unregister("rows")
        connection.execute("ALTER TABLE workflows ALTER versions TYPE JSON")
        given = reports.bind(query, {"since": SINCE, "verdict": "any", **params})
        return to_polars(connection.sql(query.sql, params=given))


def history(keys: int, slower: int, n: int, sigma: float, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Workflows of one name, 2 n of them, and of each the tasks of `keys` task keys; the first `slower` keys take 1.3
    times as long from SINCE on. Waits, sizes and retries vary too, and never change."""
    chance = np.random.default_rng(seed)
    ids = [f"w{number:06d}" for number in range(2 * n)]
    workflows = pl.DataFrame(
        {
            "workflow_id": ids,
            "name": "flow",
            "submitted_at": [SINCE + timedelta(minutes=number - n) for number in range(2 * n)],
            "submitted_seq": range(2 * n),
            "git_commit": pl.Series([None] * 2 * n, dtype=pl.String),
            "versions": "{}",
        }
    ).with_columns(pl.col("submitted_at").dt.cast_time_unit("us"))
    factor = np.ones((2 * n, keys))
    factor[n:, :slower] = FACTOR
    rows = 2 * n * keys
    tasks = pl.DataFrame(
        {
            "workflow_id": np.repeat(ids, keys),
            "task_key": np.tile([f"key{number:04d}" for number in range(keys)], 2 * n),
            "type": "function",
            "status": "SUCCESSFUL",
            "code_hash": pl.Series([None] * rows, dtype=pl.String),
            "duration_s": (chance.lognormal(0, sigma, (2 * n, keys)) * factor).ravel(),
            "output_bytes": chance.lognormal(8, sigma, rows).astype(np.int64),
            "attempts": 1,
            "retries": chance.binomial(1, 0.05, rows),
            "wait_s": chance.lognormal(-3, 1, rows),
        }
    )
    return workflows, tasks


def planted(repeats: int) -> bool:
    """Which share of the slower keys is found, and which of those reported is false."""
    good = True
    for (keys, slower), (n, sigma) in itertools.product(PLANTED, NOISE):
        rounds = max(2, repeats * 5 // slower)
        found = false = 0
        for seed in range(rounds):
            worse = over(*history(keys, slower, n, sigma, seed)).filter(verdict="worse")
            hits = worse.filter(pl.col("measure") == "duration_s", pl.col("task_key") < f"key{slower:04d}").height
            found, false = found + hits, false + worse.height - hits
        share = found / (rounds * slower)
        good &= share >= FOUND
        facts = {"keys": keys, "slower": slower, "n": n, "sigma": sigma, "planted": rounds * slower}
        wrong = round(false / max(1, found + false), 4)
        show("found", round(share, 4), FOUND, share >= FOUND, **facts, false_share=wrong)
    return good


def drawn(repeats: int) -> bool:
    """The same for families of keys that are drawn from the p values and ratios of two large histories, one with all
    keys slower and one with none, and judged with the limits of the report."""
    good, chance = True, np.random.default_rng(0)
    limits = {
        param.name: float(param.default)
        for param in catalog.folder("reports")["regressions"].params
        if param.type == "DOUBLE"
    }
    for n, sigma in NOISE:
        count = 60_000 // n
        seen = [over(*history(count, slower, n, sigma, 7 + slower), measure="duration_s") for slower in (count, 0)]
        slow, same = (one.select("p", "ratio").to_numpy() for one in seen)
        for keys, slower in DRAWN:
            found = false = 0
            rounds = repeats * 2000 // keys
            for _ in range(rounds):
                drawn = np.vstack(
                    [slow[chance.integers(0, count, slower)], same[chance.integers(0, count, keys - slower)]]
                )
                worse = judged(drawn[:, 0], drawn[:, 1], **limits)
                found, false = found + int(worse[:slower].sum()), false + int(worse[slower:].sum())
            share = found / (rounds * slower)
            good &= share >= FOUND
            facts = {"keys": keys, "slower": slower, "n": n, "sigma": sigma, "planted": rounds * slower}
            wrong = round(false / max(1, found + false), 4)
            show("found, drawn", round(share, 4), FOUND, share >= FOUND, **facts, false_share=wrong)
    return good


def judged(p: Any, ratio: Any, *, min_ratio: float, max_p: float, max_q: float) -> Any:
    """Which are worse, as the report says it: Benjamini and Hochberg's q by a running minimum from the largest p."""
    order = np.argsort(p)
    q = np.empty(len(p))
    q[order] = np.minimum.accumulate((p[order] * len(p) / np.arange(1, len(p) + 1))[::-1])[::-1]
    return (p <= max_p) & (q <= max_q) & (ratio >= min_ratio)


def reachable(keys: int = 40, draws: int = 40_000) -> None:
    """Which share of slower keys, one among so many, each test would find, without a limit for the ratio and with it:
    this report's test of ranks, the one of normal scores, and Student's on logarithms, which knows that the noise is
    log-normal and is the best there can be. Critical values are those of the normal distribution."""
    normal, chance = NormalDist(), np.random.default_rng(3)
    for n, sigma in NOISE:
        before, after = chance.normal(0, sigma, (draws, n)), chance.normal(np.log(FACTOR), sigma, (draws, n))
        rank = np.concatenate([before, after], axis=1).argsort(1).argsort(1)[:, n:]
        places = np.arange(1, 2 * n + 1)
        scores = {"ranks": places, "normal scores": np.array([normal.inv_cdf(place / (2 * n + 1)) for place in places])}
        found = {
            name: (score[rank].sum(1) - n * score.mean()) / np.sqrt(n / 2 * score.var(ddof=1))
            for name, score in scores.items()
        }
        pooled = np.sqrt((before.var(1, ddof=1) + after.var(1, ddof=1)) / n)
        found["t of logarithms"] = (after.mean(1) - before.mean(1)) / pooled
        larger = np.median(after, 1) - np.median(before, 1) >= np.log(1.1)
        # alone among many, it has to be q / keys
        enough = normal.inv_cdf(1 - 0.2 / keys)
        for name, z in found.items():
            shares = {"alone": float((z >= enough).mean()), "with_ratio": float(((z >= enough) & larger).mean())}
            print(json.dumps({"figure": "reachable", "test": name, "keys": keys, "n": n, "sigma": sigma, **shares}))


def nothing(repeats: int) -> bool:
    """Which share of 1,000 task keys is reported where nothing changed, and the worst of all repetitions."""
    good = True
    for n, sigma in NOISE:
        shares = [
            over(*history(1000, 0, n, sigma, seed)).filter(verdict="worse")["task_key"].n_unique() / 1000
            for seed in range(max(3, repeats // 2))
        ]
        good &= max(shares) <= FALSE
        mean = round(float(np.mean(shares)), 6)
        show("reported of nothing", max(shares), FALSE, max(shares) <= FALSE, n=n, sigma=sigma, mean=mean)
    return good


def speed(storage: str) -> bool:
    """Seconds of one question on a store that has been asked before."""
    store, good = wfstore.open(storage), True
    for since, baseline in (("7d", "28d"), ("90d", "92d")):
        store.regressions(since, baseline)
        began = time.perf_counter()
        answer = store.regressions(since, baseline, verdict="any")
        seconds = time.perf_counter() - began
        good &= seconds <= SECONDS
        facts = {"since": since, "baseline": baseline, "rows": answer.height}
        show("seconds", round(seconds, 2), SECONDS, seconds <= SECONDS, **facts)
    return good


def show(figure: str, seen: float, must: float, reached: bool, **more: Any) -> None:
    print(json.dumps({"figure": figure, "seen": seen, "must": must, "reached": reached, **more}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--store", help="one of 10 M events, for the times; without it none are taken")
    given = parser.parse_args()
    reachable()
    good = [
        nothing(given.repeats),
        drawn(given.repeats),
        planted(given.repeats),
        *([speed(given.store)] if given.store else []),
    ]
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
