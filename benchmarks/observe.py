"""What observers cost the engine, how soon they see a change, and what progress reports cost.

    python benchmarks/observe.py [--runs 9] [--pollers 3]

Prints JSON lines. Runs with and without observers alternate, as the machine may be busy; processor time is told beside
wall time, as it does not depend on that.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import Any

os.environ.setdefault("RAY_worker_niceness", "0")

import psutil
import ray

import wfstore
from wfstore import workflow
from wfstore.engine import client

WIDE, NAMESPACE = 500, "observe"
#: A process that observes as a dashboard does: one long poll after the other, while the file of this name is there.
POLLER = f"""
import logging, os, sys, time, ray
address, storage, flag = sys.argv[1:]
ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
import wfstore
from wfstore import workflow
workflow.init(storage=storage, namespace="{NAMESPACE}")
observed = wfstore.WorkflowObservability(storage)
assert observed.live
print("ready", flush=True)
cursor = None
while True:
    if not os.path.exists(flag):
        cursor = None
        time.sleep(0.05)
        continue
    cursor = observed.changes(cursor, timeout_s=1.0).cursor
"""


@ray.remote
def add_one(value: int) -> int:
    return value + 1


@ray.remote
def gather(*values: Any) -> int:
    return len(values)


@ray.remote
def talks(seconds: float, loud: bool) -> int:
    deadline, said = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        said += 1
        if loud:
            workflow.progress(min(1.0, said / 1e6), "step", step=said)
        time.sleep(0.001)
    return said


def fan_out() -> None:
    dag = gather.bind(*[add_one.bind(i) for i in range(WIDE)])
    assert workflow.run(dag, workflow_id=f"fan-{uuid.uuid4().hex}") == WIDE


def manager() -> psutil.Process:
    link = client.current()
    assert link is not None
    return psutil.Process(link.call("describe")["pid"])


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def pollers(count: int, storage: str, flag: str) -> Iterator[list[psutil.Process]]:
    address = ray.get_runtime_context().gcs_address
    command = [sys.executable, "-c", POLLER, address, storage, flag]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield [psutil.Process(process.pid) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()


def cost(storage: str, runs: int, count: int) -> None:
    """Fan-out with and without observers."""
    flag = f"{storage}-poll"
    wall: dict[bool, list[float]] = {True: [], False: []}
    spent: dict[bool, list[float]] = {True: [], False: []}
    observers: list[float] = []
    with pollers(count, storage, flag) as others:
        for _ in range(3):
            fan_out()
        engine = manager()
        for number in range(2 * runs):
            watched = number % 2 == 1
            if watched:
                open(flag, "w").close()
            elif os.path.exists(flag):
                os.unlink(flag)
            time.sleep(0.5)
            before, theirs, began = cpu_s(engine), sum(map(cpu_s, others)), time.perf_counter()
            fan_out()
            wall[watched].append(time.perf_counter() - began)
            spent[watched].append(cpu_s(engine) - before)
            if watched:
                observers.append(sum(map(cpu_s, others)) - theirs)
    show(
        "fan-out 500 with long-pollers",
        pollers=count,
        wall_ms=[round(1000 * statistics.median(wall[watched])) for watched in (False, True)],
        wall_best_ms=[round(1000 * min(wall[watched])) for watched in (False, True)],
        manager_cpu_ms=[round(1000 * statistics.mean(spent[watched])) for watched in (False, True)],
        observers_cpu_ms=round(1000 * statistics.mean(observers)),
    )


def latency(storage: str, seconds: float, every_s: float) -> None:
    """From the manager's decision to the row in the observer's hands, one small workflow (4 to 6 events) at a time."""
    observed = wfstore.WorkflowObservability(storage)
    seen: list[float] = []
    stop = threading.Event()

    def look() -> None:
        cursor = observed.changes().cursor
        while not stop.is_set():
            found = observed.changes(cursor, timeout_s=0.5)
            now, cursor = time.time(), found.cursor
            ended = [row["ended_at"] for row in found.workflows if row["status"] == "SUCCESSFUL"]
            seen.extend(now - when.replace(tzinfo=UTC).timestamp() for when in ended)

    looking = threading.Thread(target=look)
    looking.start()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        workflow.run_async(add_one.bind(1), workflow_id=f"one-{uuid.uuid4().hex}")
        time.sleep(every_s)
    time.sleep(1)
    stop.set()
    looking.join()
    ranked = sorted(seen)
    show(
        "commit to changes",
        workflows_per_s=round(len(seen) / seconds, 1),
        p50_ms=round(1000 * ranked[len(ranked) // 2], 1),
        p95_ms=round(1000 * ranked[int(len(ranked) * 0.95)], 1),
    )


def reports(seconds: float, runs: int) -> None:
    """Tasks that report a thousand times a second, beside the same tasks that do not."""
    engine = manager()
    said: dict[bool, list[float]] = {True: [], False: []}
    spent: dict[bool, list[float]] = {True: [], False: []}
    for number in range(2 * runs):
        loud = number % 2 == 1
        before = cpu_s(engine)
        refs = [workflow.run_async(talks.bind(seconds, loud), workflow_id=f"t-{uuid.uuid4().hex}") for _ in range(2)]
        said[loud].append(sum(ray.get(refs)) / seconds)
        spent[loud].append(cpu_s(engine) - before)
    show(
        "two tasks that report in a tight loop",
        loops_per_s=[round(statistics.median(said[loud])) for loud in (False, True)],
        manager_cpu_ms_per_s=[round(1000 * statistics.mean(spent[loud]) / seconds, 1) for loud in (False, True)],
    )


def show(figure: str, **facts: Any) -> None:
    print(json.dumps({"figure": figure, **facts}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--pollers", type=int, default=3)
    parser.add_argument("--only", choices=("cost", "latency", "reports"))
    given = parser.parse_args()
    quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "configure_logging": False}
    ray.init(address="local", num_cpus=2, **quiet)
    with tempfile.TemporaryDirectory() as folder:
        storage = f"{folder}/store"
        workflow.init(storage=storage, namespace=NAMESPACE)
        if given.only in (None, "cost"):
            cost(storage, given.runs, given.pollers)
        if given.only in (None, "latency"):
            latency(storage, 10, 0.1)
        if given.only in (None, "reports"):
            reports(3.0, 3)
        ray.shutdown()


if __name__ == "__main__":
    main()
