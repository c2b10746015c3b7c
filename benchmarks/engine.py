"""What durability costs: workloads through wfstore beside the same work as bare Ray tasks, in the same run.

    python benchmarks/engine.py [--runs 5] [--only chain,many] [--peers PYTHON]

Prints one JSON line per workload. ``--peers`` names the Python of a virtual environment with ray==2.47.1, whose
ray.workflow then runs the same workloads (chain, fan-out, many). Times are milliseconds per task, medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_worker_niceness", "0")  # Ray starts workers at niceness 15: both sides alike
os.environ.setdefault("RAY_DEDUP_LOGS", "0")

import ray

CHAIN, WIDE, MANY, DEEP, MEGABYTE = 200, 500, 200, 3, 1 << 20


@ray.remote
def add_one(value: int) -> int:
    return value + 1


@ray.remote
def gather(*values: Any) -> int:
    return len(values)


@ray.remote
def megabyte(seed: int) -> bytes:
    return seed.to_bytes(4, "little") * (MEGABYTE // 4)


@ray.remote
def fails_at(value: int, path: str) -> int:
    if os.path.exists(path):
        raise ValueError("the flag is still there")
    return value + 1


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def fresh(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


# -- the same work, bare and durable ----------------------------------------------------------------------------------


def bare_chain_awaited() -> None:
    value = 0
    for _ in range(CHAIN):
        value = ray.get(add_one.remote(value))


def bare_chain_submitted() -> None:
    value: Any = 0
    for _ in range(CHAIN):
        value = add_one.remote(value)
    assert ray.get(value) == CHAIN


def bare_fan_out() -> None:
    assert ray.get(gather.remote(*[add_one.remote(i) for i in range(WIDE)])) == WIDE


def bare_many() -> None:
    refs: list[Any] = list(range(MANY))
    for _ in range(DEEP):
        refs = [add_one.remote(ref) for ref in refs]
    assert ray.get(refs) == [i + DEEP for i in range(MANY)]


def bare_payload() -> None:
    assert ray.get(gather.remote(*[megabyte.remote(i) for i in range(50)])) == 50


def chain_dag(length: int) -> Any:
    node: Any = 0
    for _ in range(length):
        node = add_one.bind(node)
    return node


def durable_chain(workflow: Any) -> None:
    assert workflow.run(chain_dag(CHAIN), workflow_id=fresh("chain")) == CHAIN


def durable_fan_out(workflow: Any) -> None:
    dag = gather.bind(*[add_one.bind(i) for i in range(WIDE)])
    assert workflow.run(dag, workflow_id=fresh("fan")) == WIDE


def durable_many(workflow: Any) -> None:
    refs = []
    for i in range(MANY):
        dag = add_one.bind(add_one.bind(add_one.bind(i)))
        refs.append(workflow.run_async(dag, workflow_id=fresh("many")))
    assert ray.get(refs) == [i + DEEP for i in range(MANY)]


def durable_payload(workflow: Any) -> None:
    dag = gather.bind(*[megabyte.bind(i) for i in range(50)])
    assert workflow.run(dag, workflow_id=fresh("payload")) == 50


def durable_resume(workflow: Any, folder: str) -> tuple[float, float]:
    """Seconds of a resume of the last 100 of 200 tasks, and of a fresh chain of 100."""
    flag = Path(folder) / fresh("flag")
    flag.touch()
    node: Any = chain_dag(99)
    node = fails_at.options(max_retries=0).bind(node, str(flag))
    for _ in range(100):
        node = add_one.bind(node)
    workflow_id = fresh("resume")
    try:
        workflow.run(node, workflow_id=workflow_id)
        raise SystemExit("the workflow should have failed")
    except workflow.WorkflowExecutionError:
        flag.unlink()
    resumed = timed(lambda: workflow.resume(workflow_id))
    again = timed(lambda: workflow.run(chain_dag(101), workflow_id=fresh("fresh")))
    return resumed, again


# -- measuring --------------------------------------------------------------------------------------------------------


def files_in(storage: str) -> int:
    return sum(len(files) for _, _, files in os.walk(storage))


def measure(workflow: Any, storage: str, runs: int, only: set[str]) -> list[dict[str, Any]]:
    plan: list[tuple[str, int, Callable[[Any], None], dict[str, Callable[[], None]]]] = [
        ("chain", CHAIN, durable_chain, {"awaited": bare_chain_awaited, "submitted": bare_chain_submitted}),
        ("fan-out", WIDE + 1, durable_fan_out, {"bare": bare_fan_out}),
        ("many", MANY * DEEP, durable_many, {"bare": bare_many}),
        ("payload", 51, durable_payload, {"bare": bare_payload}),
    ]
    rows = []
    for name, tasks, durable, bare in plan:
        if only and name not in only:
            continue
        durable(workflow)
        for work in bare.values():
            work()
        before = files_in(storage)
        times: dict[str, list[float]] = {"wfstore": [], **{key: [] for key in bare}}
        for _ in range(runs):
            times["wfstore"].append(timed(lambda: durable(workflow)))  # noqa: B023
            for key, work in bare.items():
                times[key].append(timed(work))
        per_task = {key: round(statistics.median(values) / tasks * 1000, 3) for key, values in times.items()}
        row = {"benchmark": "engine", "workload": name, "tasks": tasks, "runs": runs, "ms_per_task": per_task}
        row["ratio"] = {key: round(per_task["wfstore"] / per_task[key], 2) for key in bare}
        row["files_per_task"] = round((files_in(storage) - before) / runs / tasks, 4)
        rows.append(row)
        print(json.dumps(row), flush=True)
    if not only or "resume" in only:
        pairs = [durable_resume(workflow, storage) for _ in range(runs)]
        resumed, again = (statistics.median(values) for values in zip(*pairs, strict=True))
        row = {"benchmark": "engine", "workload": "resume", "tasks": 101, "runs": runs}
        row |= {"resume_s": round(resumed, 4), "fresh_s": round(again, 4), "ratio": round(resumed / again, 2)}
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


PEER = r"""
import json, statistics, sys, tempfile
sys.path.insert(0, sys.argv[1])
import ray, engine
from ray import workflow
runs = int(sys.argv[2])
ray.init(storage="file://" + tempfile.mkdtemp(), num_cpus=2, include_dashboard=False, log_to_driver=False)
workflow.init()
for name, tasks, work in (("chain", engine.CHAIN, engine.durable_chain), ("fan-out", engine.WIDE + 1,
        engine.durable_fan_out), ("many", engine.MANY * engine.DEEP, engine.durable_many)):
    work(workflow)
    times = [engine.timed(lambda: work(workflow)) for _ in range(runs)]
    print("ROW " + json.dumps({"workload": name, "ms_per_task": statistics.median(times) / tasks * 1000}), flush=True)
"""


def peers(python: str, runs: int, own: list[dict[str, Any]]) -> None:
    """The same workloads through ray.workflow 2.47.1, in its own virtual environment, after ours has shut down."""
    here = str(Path(__file__).parent)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_ADDRESS")}
    done = subprocess.run(
        [python, "-c", PEER, here, str(runs)], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise SystemExit(f"the peer failed:\n{done.stderr[-2000:]}")
    for line in done.stdout.splitlines():
        if not line.startswith("ROW "):
            continue
        row = json.loads(line[4:])
        for mine in own:
            if mine["workload"] == row["workload"]:
                ratio = row["ms_per_task"] / mine["ms_per_task"]["wfstore"]
                out = {"benchmark": "engine", "peer": "ray.workflow 2.47.1", "workload": row["workload"]}
                out |= {"ms_per_task": round(row["ms_per_task"], 3), "times_slower_than_wfstore": round(ratio, 1)}
                print(json.dumps(out), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="repetitions of each workload (median is printed)")
    parser.add_argument("--only", default="", help="comma-separated workloads: chain, fan-out, many, payload, resume")
    parser.add_argument("--peers", metavar="PYTHON", help="a Python with ray==2.47.1")
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from wfstore import workflow

    with tempfile.TemporaryDirectory(prefix="wfstore-bench-") as storage:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        workflow.init(storage=storage)
        only = {name for name in arguments.only.split(",") if name}
        rows = measure(workflow, storage, arguments.runs, only)
        ray.shutdown()
    if arguments.peers:
        peers(arguments.peers, arguments.runs, rows)


if __name__ == "__main__":
    main()
