"""Figures of following: `python benchmarks/follow.py [--quick]`. One JSON object per line.

latency: from a commit's acknowledgement in a writer's process to the event in the hands of a follower in this one, at
         1,000 events/s (100 commits of 10, or 1,000 of one), beside the floor: a loop that asks for the size of the
         newest segment every 5 ms and looks at nothing
idle:    CPU of a follower that waits
backlog: events/s of a follower that begins with the first event of a log, for all events and for one workflow's
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from itertools import islice
from pathlib import Path
from typing import Any

import wfstore
from wfstore.log import open_writer
from wfstore.log.segment import SegmentFile
from wfstore.model.events import Event

QUICK = "--quick" in sys.argv
SECONDS = 3 if QUICK else 15
RATE = 1000
BACKLOG = 20_000 if QUICK else 200_000
IDLE_S = 2 if QUICK else 10
_WARM_UP = 200


def event(number: int) -> Event:
    """What a task's start leaves."""
    return Event(
        ts=1_700_000_000_000_000 + number,
        type="attempt.started",
        workflow_id=f"nightly-{number % 100}",
        run=1,
        task_id=f"measure_{number}",
        attempt=1,
        status="RUNNING",
        task_status="RUNNING",
        node_id="a" * 56,
        worker_pid=4711,
        ray_task_id=f"{number:048x}",
    )


def show(name: str, **figures: Any) -> None:
    rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in figures.items()}
    print(json.dumps({"benchmark": f"follow.{name}", **rounded}), flush=True)


def write(storage: str, commit: int) -> None:
    """The writer's process: RATE events/s, `commit` of them at a time; prints when each commit was acknowledged."""
    writer = open_writer(storage)
    print(writer.next_seq, flush=True)
    sys.stdin.readline()
    acknowledged = []
    begin = time.monotonic()
    for first in range(0, RATE * SECONDS, commit):
        due = begin + first / RATE
        if (left := due - time.monotonic()) > 0:
            time.sleep(left)
        writer.append([event(number) for number in range(first, first + commit)])
        acknowledged.append(time.monotonic_ns())
    writer.close()
    print(json.dumps(acknowledged), flush=True)


def latency(root: str, commit: int) -> None:
    storage = f"{root}/latency-{commit}"
    open_writer(storage).close()
    command = [sys.executable, __file__, "--write", storage, str(commit), *(["--quick"] if QUICK else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        first_seq = int(process.stdout.readline())
        path = max(Path(storage, "log").iterdir())
        sizes: list[tuple[int, int]] = []
        stop = threading.Event()
        poller = threading.Thread(target=poll, args=(path, sizes, stop))
        poller.start()
        seen: list[int] = []
        with wfstore.open(storage).follow(since="now") as events:
            process.stdin.write("go\n")
            process.stdin.flush()
            for followed in islice(events, RATE * SECONDS):
                assert followed.seq == first_seq + len(seen)
                seen.append(time.monotonic_ns())
        acknowledged = json.loads(process.stdout.readline())
        stop.set()
        poller.join()
    ours = [(at - acknowledged[number // commit]) / 1e6 for number, at in enumerate(seen)][_WARM_UP:]
    floor = polled(storage, sizes, acknowledged)[_WARM_UP // commit :]
    (p50, p99), (floor_p50, floor_p99) = quantiles(ours), quantiles(floor)
    figures = {"p50_ms": p50, "p99_ms": p99, "max_ms": max(ours), "floor_p50_ms": floor_p50, "floor_p99_ms": floor_p99}
    load = os.getloadavg()[0]
    show("latency", events_per_s=RATE, commit=commit, **figures, load=load, must="p50 <= 15, p99 <= 100")


def poll(path: Path, sizes: list[tuple[int, int]], stop: threading.Event) -> None:
    size = path.stat().st_size
    while not stop.is_set():
        found = path.stat().st_size
        if found != size:
            size = found
            sizes.append((time.monotonic_ns(), size))
        time.sleep(0.005)


def polled(storage: str, sizes: list[tuple[int, int]], acknowledged: list[int]) -> list[float]:
    """When the poller first saw a file as long as each commit left it, after its acknowledgement, in ms."""
    ends: list[int] = []
    with SegmentFile(storage, max(os.listdir(f"{storage}/log"))) as file:
        header = file.header()
        assert header is not None
        at = header.start
        while at.offset < file.size():
            window = file.window(at, None)
            ends += [at.offset + frame.end for frame in window.frames]
            at = window.after
    times, place = [], 0
    for end, when in zip(ends, acknowledged, strict=True):
        while place < len(sizes) and sizes[place][1] < end:
            place += 1
        if place == len(sizes):
            break
        times.append((sizes[place][0] - when) / 1e6)
    return times


def quantiles(times: list[float]) -> tuple[float, float]:
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


def idle(root: str) -> None:
    storage = f"{root}/idle"
    writer = open_writer(storage)
    writer.append([event(0)])
    with wfstore.open(storage).follow(since="now") as events:
        waiting = threading.Thread(target=next, args=(events, None))
        waiting.start()
        time.sleep(0.5)
        before = time.process_time()
        time.sleep(IDLE_S)
        show("idle", cpu_percent=100 * (time.process_time() - before) / IDLE_S)
        events.close()
        waiting.join()
    writer.close()


def backlog(root: str) -> None:
    storage = f"{root}/backlog"
    writer = open_writer(storage)
    for first in range(0, BACKLOG, 500):
        writer.append([event(number) for number in range(first, first + 500)])
    writer.close()
    store = wfstore.open(storage)
    for name, workflow_id, count in (("all", None, BACKLOG), ("one workflow", "nightly-7", BACKLOG // 100)):
        with store.follow(workflow_id) as events:
            began = time.perf_counter()
            assert sum(1 for _ in islice(events, count)) == count
            show("backlog", of=name, events_per_s=BACKLOG / (time.perf_counter() - began), events=BACKLOG)


def main() -> None:
    if "--write" in sys.argv:
        place = sys.argv.index("--write")
        write(sys.argv[place + 1], int(sys.argv[place + 2]))
        return
    root = tempfile.mkdtemp(prefix="wfstore-bench-", dir=os.environ.get("WFSTORE_BENCH_DIR", "."))
    try:
        for commit in (10, 1):
            latency(root, commit)
        idle(root)
        backlog(root)
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
