"""What `wfstore show ID --watch`, with its estimate of the end, costs the engine.

    python benchmarks/eta_watch.py [--rounds 12] [--wide 500] [--terminal]

A workflow begins with a task that waits for a file; then it fans out, and gathers. Rounds with and without somebody who
watches it from another process take turns (without: who watched has stopped before the file is there); the time is from
the moment that the file is there, which is any between two looks, until the workflow has ended. Enough of its kind have
ended before, so that there is an estimate. Who watches does so in a session of its own, as from another terminal, and
reads JSON documents, or, with `--terminal`, a picture that is redrawn. Prints JSON lines; goal: 2 % at most.
`cost_of_pairs` is the median of what each round with a watcher took beyond its neighbour without one. `watcher_cpu_s`
is the processor time that the watching process used during that time, `manager_alone_cpu_s` and
`manager_watched_cpu_s` that of the manager, which other programs on the machine change less than the time. Ray runs
workers at niceness 15; RAY_worker_niceness=0 in the environment makes figures steadier where others are at work.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_DEDUP_LOGS", "0")
sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil
import ray

from benchmarks.measuring import surroundings
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
    """A process that watches, and how often it showed the workflow, and an estimate of its end."""

    def __init__(self, workflow_id: str, storage: str, terminal: bool) -> None:
        command = [sys.executable, "-m", "wfstore", "show", workflow_id, "--watch", "--storage", storage]
        self._mine, theirs = pty.openpty() if terminal else os.pipe()
        self.process = subprocess.Popen(
            command if terminal else [*command, "--json"], stdout=theirs, stderr=theirs, start_new_session=False
        )
        os.close(theirs)
        self.looks = self.estimates = 0
        self._thread = threading.Thread(target=self._picture if terminal else self._documents, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 60
        while not self.looks and time.monotonic() < deadline:
            time.sleep(0.02)

    def _documents(self) -> None:
        with open(self._mine) as lines:
            for line in lines:
                if line.startswith("{") and (found := json.loads(line))["kind"] == "workflow":
                    self.looks += 1
                    self.estimates += found["eta_p50_at"] is not None

    def _picture(self) -> None:
        with open(self._mine, "rb", buffering=0) as screen, suppress(OSError):  # the end of a terminal is an error
            while data := screen.read(65536):
                self.looks += data.count(b"submitted")
                self.estimates += data.count(b"expected end")

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)
        self._thread.join(timeout=60)


def cpu_s(pid: int) -> float:
    """Seconds of processor that a process used so far."""
    spent = psutil.Process(pid).cpu_times()
    return spent.user + spent.system


def one(storage: str, wide: int, watched: bool, terminal: bool = False, wait_s: float = 1.0) -> dict[str, Any]:
    """Seconds of one run behind its gate, which opens so long after it was first shown."""
    gate = Path(storage).parent / f"gate-{uuid.uuid4().hex}"
    workflow_id = f"watched-{uuid.uuid4().hex[:12]}"
    first = opened.bind(str(gate))
    ref = workflow.run_async(
        gather.bind(*[add_one.bind(first, number) for number in range(wide)]),
        workflow_id=workflow_id,
        metadata={"name": "watched"},
    )
    # Both kinds of round wait as long for their gate, or Ray would have ended idle workers before one kind only.
    watcher = Watcher(workflow_id, storage, terminal)
    if not watched:
        watcher.stop()
    time.sleep(wait_s)
    lease = read_lease(storage)
    assert lease is not None
    manager = cpu_s(lease.pid)
    before = cpu_s(watcher.process.pid) if watched else 0.0
    began = time.perf_counter()
    gate.touch()
    assert ray.get(ref) == wide
    found: dict[str, Any] = {"seconds": time.perf_counter() - began, "manager_cpu_s": cpu_s(lease.pid) - manager}
    if watched:
        found["cpu_s"] = cpu_s(watcher.process.pid) - before if watcher.process.poll() is None else None
        watcher.stop()
        found["looks"], found["estimates"] = watcher.looks, watcher.estimates
    return found


def measure(rounds: int, wide: int, terminal: bool, storage: str) -> bool:
    for _ in range(_PAST):
        one(storage, wide, False)
    alone, watched = [], []
    for number in range(rounds):
        order = (False, True) if number % 2 else (True, False)
        wait_s = 1.0 + (number + 0.5) / rounds
        for with_watcher in order:
            (watched if with_watcher else alone).append(one(storage, wide, with_watcher, terminal, wait_s))
    seconds = [statistics.median(row["seconds"] for row in rows) for rows in (alone, watched)]
    pairs = [b["seconds"] / a["seconds"] - 1 for a, b in zip(alone, watched, strict=True)]
    manager = [statistics.median(row["manager_cpu_s"] for row in rows) for rows in (alone, watched)]
    spent = [row["cpu_s"] for row in watched if row["cpu_s"] is not None]
    said = {
        "benchmark": "eta.watch",
        "wide": wide,
        "rounds": rounds,
        "terminal": terminal,
        "alone_s": round(seconds[0], 3),
        "watched_s": round(seconds[1], 3),
        "cost": round(seconds[1] / seconds[0] - 1, 4),
        "cost_of_pairs": round(statistics.median(pairs), 4),
        "manager_alone_cpu_s": round(manager[0], 3),
        "manager_watched_cpu_s": round(manager[1], 3),
        "manager_cost": round(manager[1] / manager[0] - 1, 4),
        "watcher_cpu_s": round(statistics.median(spent), 3) if spent else None,
        "looks": statistics.median(row["looks"] for row in watched),
        "estimates": statistics.median(row["estimates"] for row in watched),
        "worker_niceness": int(os.environ.get("RAY_worker_niceness", 15)),  # noqa: SIM112
        **surroundings(),
    }
    print(json.dumps(said), flush=True)
    return seconds[1] / seconds[0] - 1 <= 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--wide", type=int, default=500)
    parser.add_argument("--terminal", action="store_true", help="watch on a terminal")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        storage = f"{folder}/store"
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="warning")
        workflow.init(storage=storage)
        good = measure(given.rounds, given.wide, given.terminal, storage)
        ray.shutdown()
    sys.exit(not good)


if __name__ == "__main__":
    main()
