"""What `wfstore show ID --watch`, with its estimate of the end, costs the engine.

    python benchmarks/eta_watch.py [--rounds 12] [--wide 500]

A workflow begins with a task that waits for a file; then it fans out, and gathers. Rounds with and without somebody who
watches it from another process take turns; the time is from the moment that the file is there until the workflow has
ended. Enough of its kind have ended before, so that there is an estimate. Prints JSON lines; goal: 2 % at most.
`watcher_cpu_s` is the processor time that the watching process used during that time, `manager_alone_cpu_s` and
`manager_watched_cpu_s` that of the manager, which other programs on the machine change less than the time. Ray runs
workers at niceness 15; RAY_worker_niceness=0 in the environment makes figures steadier where others are at work.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_DEDUP_LOGS", "0")
sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil
import ray

from wfstore import workflow
from wfstore.log import read_lease

#: An estimate needs five past runs.
_PAST = 6


@ray.remote
def opened(gate: str) -> int:
    while not os.path.exists(gate):
        time.sleep(0.002)
    return 1


@ray.remote
def add_one(value: int, number: int) -> int:
    return value + number


@ray.remote
def gather(*values: Any) -> int:
    return len(values)


class Watcher:
    """A process that watches, and what it says."""

    def __init__(self, workflow_id: str, storage: str) -> None:
        command = [sys.executable, "-m", "wfstore", "show", workflow_id, "--watch", "--json", "--storage", storage]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.documents: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 60
        while not self.documents and time.monotonic() < deadline:
            time.sleep(0.02)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found = json.loads(line)
            if found["kind"] == "workflow":
                self.documents.append(found)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)


def cpu_s(pid: int) -> float:
    """Seconds of processor that a process used so far."""
    spent = psutil.Process(pid).cpu_times()
    return spent.user + spent.system


def one(storage: str, wide: int, watched: bool) -> dict[str, Any]:
    """Seconds of one run behind its gate."""
    gate = Path(storage).parent / f"gate-{uuid.uuid4().hex}"
    workflow_id = f"watched-{uuid.uuid4().hex[:12]}"
    first = opened.bind(str(gate))
    ref = workflow.run_async(
        gather.bind(*[add_one.bind(first, number) for number in range(wide)]),
        workflow_id=workflow_id,
        metadata={"name": "watched"},
    )
    watcher = Watcher(workflow_id, storage) if watched else None
    time.sleep(1.0)
    lease = read_lease(storage)
    assert lease is not None
    manager = cpu_s(lease.pid)
    before = cpu_s(watcher.process.pid) if watcher else 0.0
    began = time.perf_counter()
    gate.touch()
    assert ray.get(ref) == wide
    found: dict[str, Any] = {"seconds": time.perf_counter() - began, "manager_cpu_s": cpu_s(lease.pid) - manager}
    if watcher:
        found["cpu_s"] = cpu_s(watcher.process.pid) - before if watcher.process.poll() is None else None
        watcher.stop()
        found["documents"] = len(watcher.documents)
        found["estimates"] = sum(one["eta_p50_at"] is not None for one in watcher.documents)
    return found


def measure(rounds: int, wide: int, storage: str) -> bool:
    for _ in range(_PAST):
        one(storage, wide, False)
    alone, watched = [], []
    for number in range(rounds):
        order = (False, True) if number % 2 else (True, False)
        for with_watcher in order:
            (watched if with_watcher else alone).append(one(storage, wide, with_watcher))
    seconds = [statistics.median(row["seconds"] for row in rows) for rows in (alone, watched)]
    pairs = [b["seconds"] / a["seconds"] - 1 for a, b in zip(alone, watched, strict=True)]
    manager = [statistics.median(row["manager_cpu_s"] for row in rows) for rows in (alone, watched)]
    spent = [row["cpu_s"] for row in watched if row["cpu_s"] is not None]
    said = {
        "benchmark": "eta.watch",
        "wide": wide,
        "rounds": rounds,
        "alone_s": round(seconds[0], 3),
        "watched_s": round(seconds[1], 3),
        "cost": round(seconds[1] / seconds[0] - 1, 4),
        "cost_of_pairs": round(statistics.median(pairs), 4),
        "manager_alone_cpu_s": round(manager[0], 3),
        "manager_watched_cpu_s": round(manager[1], 3),
        "manager_cost": round(manager[1] / manager[0] - 1, 4),
        "watcher_cpu_s": round(statistics.median(spent), 3) if spent else None,
        "documents": statistics.median(row["documents"] for row in watched),
        "estimates": statistics.median(row["estimates"] for row in watched),
        "worker_niceness": int(os.environ.get("RAY_worker_niceness", 15)),  # noqa: SIM112
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(said), flush=True)
    return seconds[1] / seconds[0] - 1 <= 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--wide", type=int, default=500)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        storage = f"{folder}/store"
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="warning")
        workflow.init(storage=storage)
        good = measure(given.rounds, given.wide, storage)
        ray.shutdown()
    sys.exit(not good)


if __name__ == "__main__":
    main()
