"""Whether large dynamic workflows cost more per task than small ones, in the same run.

    python benchmarks/scale.py [--runs 3] [--deep 1000] [--wide 10000]

Prints JSON lines: milliseconds per task of a continuation `deep` levels deep and of a fan-out `wide` tasks wide (made
by a continuation), beside the same of 100.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("RAY_worker_niceness", "0")

import ray

from wfstore import workflow

SMALL = 100


@ray.remote
def down(levels: int) -> Any:
    return workflow.continuation(down.bind(levels - 1)) if levels else "bottom"


@ray.remote
def one(number: int) -> int:
    return number


@ray.remote
def count(*numbers: int) -> int:
    return len(numbers)


@ray.remote
def spread(width: int) -> Any:
    return workflow.continuation(count.bind(*[one.bind(number) for number in range(width)]))


def deep(levels: int) -> None:
    assert workflow.run(down.bind(levels)) == "bottom"


def wide(width: int) -> None:
    assert workflow.run(spread.bind(width)) == width


def ms_per_task(work: Callable[[int], None], size: int) -> float:
    began = time.perf_counter()
    work(size)
    return (time.perf_counter() - began) / size * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--deep", type=int, default=1000)
    parser.add_argument("--wide", type=int, default=10_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as storage:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="warning")
        workflow.init(storage=storage)
        for name, work, size in (("continuation", deep, asked.deep), ("fan-out", wide, asked.wide)):
            work(SMALL)
            small = statistics.median(ms_per_task(work, SMALL) for _ in range(asked.runs))
            large = statistics.median(ms_per_task(work, size) for _ in range(asked.runs))
            row: dict[str, Any] = {"benchmark": "scale", "shape": name, "size": size, "runs": asked.runs}
            row |= {"ms_per_task": round(large, 3), "ms_per_task_of_100": round(small, 3)}
            print(json.dumps(row | {"ratio": round(large / small, 2)}), flush=True)
        ray.shutdown()


if __name__ == "__main__":
    main()
