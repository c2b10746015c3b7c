"""How long the critical path takes to work out, of large DAGs: JSON lines, one for each shape and question.

    python -m benchmarks.critical_path [--tasks 5000] [--repeat 7] [--storage STORE]

The shapes: a chain, layers of two, of 50 and of 1,000 tasks, and a fan. Each is measured from the frames of a history
to slack, path and what-if; `best_ms` is the best of the repetitions and `median_ms` the median. With --storage, the
report `where_time_goes` over a whole store, too, and its point questions of one workflow.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from statistics import median
from typing import Any

import polars as pl

import wfstore
from wfstore.answers.paths_frames import Critical
from wfstore.answers.paths_whatif import what_if

START = datetime(2026, 1, 1)


def shapes(count: int, rng: random.Random) -> dict[str, list[list[int]]]:
    """Name -> the upstream tasks of each task."""

    def layers(width: int, degree: int) -> list[list[int]]:
        upstream: list[list[int]] = []
        for one in range(count):
            first = (one // width - 1) * width
            upstream.append(rng.sample(range(first, first + width), min(degree, width)) if first >= 0 else [])
        return upstream

    fan = [[], *([0] for _ in range(count - 2)), list(range(1, count - 1))]
    return {
        "chain": [[one - 1] if one else [] for one in range(count)],
        "layers of 2": layers(2, 2),
        "layers of 50": layers(50, 5),
        "layers of 1000": layers(1000, 10),
        "fan": fan,
    }


def frames(upstream: list[list[int]], rng: random.Random) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """tasks, edges, attempts, as a history has them, of tasks that began when what they need had ended."""
    began, ended = [], []
    for above in upstream:
        began.append(max((ended[one] for one in above), default=0))
        ended.append(began[-1] + rng.randint(1, 10_000_000))
    ids = [f"work_{one}" for one in range(len(upstream))]
    tasks = pl.DataFrame(
        {
            "task_id": ids,
            "task_key": [f"shop.work#{one % 20}" for one in range(len(ids))],
            "name": ["work"] * len(ids),
            "type": ["function"] * len(ids),
            "status": ["SUCCESSFUL"] * len(ids),
            "started_at": [START + timedelta(microseconds=one) for one in began],
            "ended_at": [START + timedelta(microseconds=one) for one in ended],
            "wait_s": [0.0] * len(ids),
            "duration_s": [(end - begin) / 1e6 for begin, end in zip(began, ended, strict=True)],
            "creator": pl.Series([None] * len(ids), dtype=pl.String),
        }
    )
    links = [(ids[above], ids[one], "argument") for one, some in enumerate(upstream) for above in some]
    edges = pl.DataFrame(links, schema=["upstream_task_id", "task_id", "kind"], orient="row")
    return tasks, edges, tasks.select("started_at", "ended_at", task_type="type")


def measured(repeat: int, ask: Callable[[], Any]) -> dict[str, float]:
    """best_ms and median_ms; cpu_ms: of the process, the least."""
    walls, cpus = [], []
    for _ in range(repeat):
        wall, cpu = time.perf_counter(), time.process_time()
        ask()
        walls.append((time.perf_counter() - wall) * 1e3)
        cpus.append((time.process_time() - cpu) * 1e3)
    return {"best_ms": round(min(walls), 2), "median_ms": round(median(walls), 2), "cpu_ms": round(min(cpus), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=5000)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--storage")
    given = parser.parse_args()
    rng = random.Random(7)
    for name, upstream in shapes(given.tasks, rng).items():
        tasks, edges, attempts = frames(upstream, rng)
        asked: dict[str, Callable[[], Any]] = {
            "path and slack": lambda t=tasks, e=edges: Critical(t, e, START).table,
            "what_if": lambda t=tasks, e=edges, a=attempts: what_if(t, a, Critical(t, e), {"shop.work#1": 0.5}),
        }
        for question, ask in asked.items():
            facts = {"shape": name, "tasks": len(upstream), "edges": edges.height, "question": question}
            print(json.dumps({**facts, **measured(given.repeat, ask)}), flush=True)
    if given.storage:
        _of_store(given.storage, given.repeat)


def _of_store(storage: str, repeat: int) -> None:
    store = wfstore.open(storage, live=False)
    (one,) = store.sql("SELECT arg_max(workflow_id, tasks) FROM workflows").fetchall()[0]
    (name,) = store.sql("SELECT arg_max(workflow_name, n) FROM task_stats").fetchall()[0]
    asked: dict[str, Callable[[], Any]] = {
        "where_time_goes": lambda: store.report("where_time_goes"),
        "where_time_goes workflow=": lambda: store.report("where_time_goes", workflow=name),
        "where_time_goes id=": lambda: store.report("where_time_goes", id=one),
        "critical_path id= scope=all": lambda: store.report("critical_path", id=one, scope="all"),
        "history(id).critical_path": lambda: store.history(one).critical_path,
        "history(id).time_spent": lambda: store.history(one).time_spent,
    }
    for question, ask in asked.items():
        print(json.dumps({"storage": storage, "question": question, **measured(repeat, ask)}), flush=True)


if __name__ == "__main__":
    main()
