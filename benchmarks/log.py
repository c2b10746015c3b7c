"""Figures of the event log: `python benchmarks/log.py [--quick]`. One JSON object per line.

commit:  one event made durable, beside a raw append + fdatasync of as many bytes, taken in turns in the same run
group:   events/s through GroupCommit with 64 coroutines that each await one event at a time; one coroutine's latency
replay:  events/s out of a log of small frames (1 to 3 rows) and of one of large frames (500 rows)
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from wfstore.log import GroupCommit, LogReader, LogWriter, open_writer
from wfstore.model.events import Event

QUICK = "--quick" in sys.argv
ROUNDS = 3 if QUICK else 5
COMMITS = 200 if QUICK else 600
GROUP_EVENTS = 150 if QUICK else 600
REPLAY_EVENTS = 20_000 if QUICK else 120_000
WRITERS = 64


def event(number: int) -> Event:
    """What a finished task leaves: the row with the most columns set."""
    return Event(
        ts=1_700_000_000_000_000 + number,
        ts_source=1_700_000_000_000_000 + number,
        type="attempt.succeeded",
        workflow_id=f"nightly-{number % 100}",
        run=1,
        task_id=f"measure_{number}",
        attempt=1,
        status="SUCCESSFUL",
        task_status="SUCCESSFUL",
        name="measure",
        bytes=60,
        hash=f"{number:064x}",
        node_id=f"{number % 4:056x}",
        worker_pid=4711,
        ray_task_id=f"{number:048x}",
        attributes='{"output_repr":"3.14","checkpointed":true}',
        payload=bytes(60),
    )


def show(name: str, **figures: Any) -> None:
    rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in figures.items()}
    print(json.dumps({"benchmark": f"log.{name}", **rounded}), flush=True)


def timed_us(action: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    action()
    return (time.perf_counter_ns() - start) / 1000


def quantiles(times: list[float]) -> tuple[float, float]:
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


def commit(root: str) -> None:
    writer = open_writer(f"{root}/commit")
    segment = f"{root}/commit/log/seg-{writer.epoch:08d}-000001.wfl"
    before = os.path.getsize(segment)
    writer.append([event(0)])
    data = bytes(os.path.getsize(segment) - before)
    fd = os.open(f"{root}/raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def raw() -> None:
        os.write(fd, data)
        os.fdatasync(fd)

    ours, theirs = [], []
    for number in range(COMMITS):
        events = [event(number)]
        ours.append(timed_us(lambda events=events: writer.append(events)))  # type: ignore[misc]
        theirs.append(timed_us(raw))
    os.close(fd)
    writer.close()
    (p50, p99), (raw_p50, raw_p99) = quantiles(ours), quantiles(theirs)
    figures = {"p50_us": p50, "p99_us": p99, "raw_p50_us": raw_p50, "raw_p99_us": raw_p99, "bytes": len(data)}
    show("commit", **figures, ratio_p50=p50 / raw_p50, must="ratio <= 2")


async def group(root: str) -> None:
    writer = open_writer(f"{root}/group")
    commits = GroupCommit(writer)

    async def one(name: int) -> None:
        for number in range(GROUP_EVENTS):
            await commits.append([event(name * GROUP_EVENTS + number)])

    rates = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        await asyncio.gather(*(one(name) for name in range(WRITERS)))
        rates.append(WRITERS * GROUP_EVENTS / (time.perf_counter() - start))
    show("group", events_per_s=statistics.median(rates), writers=WRITERS, must=">= 30000")
    await alone(commits, writer)
    commits.close()
    writer.close()


async def alone(commits: GroupCommit, writer: LogWriter) -> None:
    """What the way to the thread and back costs, when nobody else appends."""
    through, direct = [], []
    for number in range(COMMITS):
        start = time.perf_counter_ns()
        await commits.append([event(number)])
        through.append((time.perf_counter_ns() - start) / 1000)
        direct.append(timed_us(lambda number=number: writer.append([event(number)])))  # type: ignore[misc]
    (p50, p99), (direct_p50, _) = quantiles(through), quantiles(direct)
    show("group_alone", p50_us=p50, p99_us=p99, direct_p50_us=direct_p50, ratio_p50=p50 / direct_p50)


def replay(root: str, name: str, sizes: tuple[int, ...], must: str) -> None:
    from wfstore.log import writer as writer_module

    writer = open_writer(f"{root}/{name}")
    # The log's content is wanted here, not its durability.
    real, writer_module.datasync = writer_module.datasync, lambda fd: None
    number = frames = 0
    while number < REPLAY_EVENTS:
        size = sizes[frames % len(sizes)]
        writer.append([event(number + row) for row in range(size)])
        number, frames = number + size, frames + 1
    writer.close()
    writer_module.datasync = real
    events, tables = [], []
    for _ in range(ROUNDS):
        events.append(timed_us(lambda: sum(1 for _ in LogReader(f"{root}/{name}").events())) / 1e6)
        tables.append(timed_us(lambda: LogReader(f"{root}/{name}").read()) / 1e6)
    size_bytes = sum(entry.stat().st_size for entry in os.scandir(f"{root}/{name}/log"))
    show(
        name,
        events_per_s=number / statistics.median(events),
        table_rows_per_s=number / statistics.median(tables),
        events=number,
        frames=frames,
        bytes_per_event=size_bytes / number,
        must=must,
    )


def main() -> None:
    root = tempfile.mkdtemp(prefix="wfstore-bench-", dir=os.environ.get("WFSTORE_BENCH_DIR", "."))
    try:
        commit(root)
        asyncio.run(group(root))
        replay(root, "replay_small_frames", (1, 2, 3), ">= 120000")
        replay(root, "replay_large_frames", (500,), ">= 120000")
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
