"""What waiting costs: many workflows that sleep, or wait for an event, at the same time.

    python benchmarks/waiting.py [--workflows 10000] [--kind sleep|event|both] [--spread 40]

Prints JSON lines: memory of the manager (MB), CPUs that Ray tasks hold meanwhile, and how late they wake up
(milliseconds after the time they were to wake at, by the manager's clock as it is in the log).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from typing import Any

os.environ.setdefault("RAY_worker_niceness", "0")

import ray

import wfstore
from wfstore import workflow

LATE = """
    SELECT quantile_cont(late_ms, 0.5), quantile_cont(late_ms, 0.99), max(late_ms), count(*)
    FROM (
        SELECT (epoch_us(ts) - split_part(workflow_id, '-', 2)::BIGINT) / 1e3 AS late_ms
        FROM events WHERE type = $type AND starts_with(workflow_id, $prefix)
    )
"""


class At(workflow.EventListener):
    """The event comes at a time."""

    async def poll_for_event(self, when: float) -> float:
        await asyncio.sleep(when - time.time())
        return when


def held_cpus() -> float:
    """CPUs that running Ray tasks hold now."""
    return float(ray.cluster_resources()["CPU"] - ray.available_resources().get("CPU", 0.0))


def rss_mb(manager: Any) -> float:
    return round(ray.get(manager.describe.remote())["rss_bytes"] / 2**20, 1)


def measure(kind: str, count: int, spread_s: float, storage: str) -> None:
    manager = ray.get_actor("WorkflowManagementActor", "workflow")
    before = rss_mb(manager)
    began = time.time()
    first = began + 15 + count / 200
    refs = []
    for number in range(count):
        when = first + spread_s * number / count
        timer = workflow.TimerListener if kind == "sleep" else At
        node = workflow.wait_for_event(timer, when)
        refs.append(workflow.run_async(node, workflow_id=f"{kind}{spread_s:g}-{round(when * 1e6)}-{number}"))
    submitted = time.time() - began
    time.sleep(max(0.0, first - time.time() - 4))
    waiting, held, margin_s = rss_mb(manager), held_cpus(), first - time.time()
    ray.get(refs)
    given = {"type": "timer.fired" if kind == "sleep" else "event.received", "prefix": f"{kind}{spread_s:g}-"}
    p50, p99, most, seen = wfstore.open(storage).sql(LATE, given).fetchall()[0]
    row = {"benchmark": "waiting", "kind": kind, "workflows": count, "spread_s": spread_s}
    row |= {"submit_s": round(submitted, 1), "margin_s": round(margin_s, 1), "held_cpus": held}
    row |= {"manager_mb_before": before, "manager_mb": waiting}
    row |= {"late_ms_p50": round(p50, 1), "late_ms_p99": round(p99, 1), "late_ms_max": round(most, 1), "woken": seen}
    print(json.dumps(row), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workflows", type=int, default=10_000)
    parser.add_argument("--kind", choices=("sleep", "event", "both"), default="both")
    parser.add_argument("--spread", type=float, default=40.0, help="seconds over which the times to wake are spread")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as storage:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="warning")
        workflow.init(storage=storage)
        for kind in ("sleep", "event") if asked.kind == "both" else (asked.kind,):
            measure(kind, asked.workflows, asked.spread, storage)
        ray.shutdown()


if __name__ == "__main__":
    main()
