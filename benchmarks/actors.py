"""A durable virtual actor's call beside a call of a bare Ray actor, in the same run.

    python benchmarks/actors.py [--runs 5] [--calls 200]

Prints JSON lines; times are milliseconds per call, medians over the runs. Both sides call and wait, one by one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from typing import Any

os.environ.setdefault("RAY_worker_niceness", "0")

import ray

from wfstore import workflow


class Plain:
    def __init__(self, value: int) -> None:
        self.value = value

    def add(self, amount: int) -> int:
        self.value += amount
        return self.value


@workflow.virtual_actor
class Durable:
    def __init__(self, value: int) -> None:
        self.value = value

    def add(self, amount: int) -> int:
        self.value += amount
        return self.value

    @workflow.virtual_actor.readonly
    def get(self) -> int:
        return self.value


def per_call_ms(call: Callable[[], Any], calls: int) -> float:
    began = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - began) / calls * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--calls", type=int, default=200)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as storage:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="warning")
        workflow.init(storage=storage)
        bare = ray.remote(Plain).remote(0)
        times: dict[str, list[float]] = {"bare": [], "durable": [], "durable_async": [], "readonly": []}
        for number in range(asked.runs + 1):  # the first warms everything up
            actor = Durable.get_or_create(f"bench-{uuid.uuid4().hex[:8]}", 0)
            ray.get(actor.ready())
            seen = {
                "bare": per_call_ms(lambda: ray.get(bare.add.remote(1)), asked.calls),
                "durable": per_call_ms(lambda: actor.add.run(1), asked.calls),  # noqa: B023
                "durable_async": per_call_ms(lambda: ray.get(actor.add.run_async(1)), asked.calls // 4),  # noqa: B023
                "readonly": per_call_ms(lambda: actor.get.run(), asked.calls // 4),  # noqa: B023
            }
            assert actor.get.run() == asked.calls + asked.calls // 4
            for key, value in seen.items():
                times[key] += [value] if number else []
        per_call = {key: round(statistics.median(values), 3) for key, values in times.items()}
        ratio = {key: round(value / per_call["bare"], 2) for key, value in per_call.items() if key != "bare"}
        row = {"benchmark": "actors", "runs": asked.runs, "calls": asked.calls, "ms_per_call": per_call, "ratio": ratio}
        print(json.dumps(row), flush=True)
        ray.shutdown()


if __name__ == "__main__":
    main()
