"""What the figures of `history.py` have in common: lines of JSON, processes of their own, copies of a store."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import psutil

import wfstore

P = ParamSpec("P")
R = TypeVar("R")

#: Figures to see on a store of 10 M events, and on one of 100 M; None: nothing was promised.
Goal = tuple[float | None, float | None]
_LARGE = 30_000_000
_LINKED_BYTES = 1 << 20
_WATCH_S, _FAMILY_EVERY, _THOROUGH_EVERY = 0.05, 20, 100
#: The machine's pace is looked at no more often, in seconds; and what was seen.
_PACE_S = 10.0
_paced: dict[str, float] = {}
#: Processes begin anew, so that their memory is theirs alone.
SPAWN = multiprocessing.get_context("spawn")


@dataclass
class Bench:
    """One store under measurement. events: in it; runs: repetitions of what takes long; raw_events: size of logs that
    are made to be compacted; failed: figures not reached."""

    storage: str
    events: int
    runs: int = 5
    raw_events: int = 1_000_000
    failed: list[str] = field(default_factory=list)

    def show(
        self,
        figure: str,
        seen: float | None,
        goal: Goal = (None, None),
        unit: str = "ms",
        least: bool = False,
        **more: Any,
    ) -> None:
        """One line. least: the goal is the least to be seen, else the most."""
        must = goal[self.events > _LARGE]
        row: dict[str, Any] = {"benchmark": "history", "figure": figure, "seen": _rounded(seen), "unit": unit}
        if must is not None:
            ok = seen is not None and (seen >= must if least else seen <= must)
            row |= {"must": f"{'>=' if least else '<='} {must:g}", "ok": ok}
            if not ok:
                self.failed.append(figure)
        row |= {name: _rounded(value) for name, value in more.items()}
        print(json.dumps(row | {"events": self.events, **surroundings()}), flush=True)


def surroundings() -> dict[str, float]:
    """What else a figure depends on: load, the machine's average of a minute; loop_ms, how long 500,000 steps of Python
    take right now at best: a virtual machine's processors are two or three times as slow in one hour as in another."""
    began = time.perf_counter()
    if began - _paced.get("at", -_PACE_S) > _PACE_S:
        _paced.update(loop_ms=round(min(timed_ms(_loop) for _ in range(3)), 1), at=began)
    return {"load": round(os.getloadavg()[0], 1), "loop_ms": _paced["loop_ms"]}


def _loop() -> None:
    total = 0
    for number in range(500_000):
        total += number


def _rounded(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value


def timed_ms(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return (time.perf_counter() - began) * 1000


def median_ms(runs: int, ask: Callable[[], object], warm_up: int = 1) -> float:
    for _ in range(warm_up):
        ask()
    return statistics.median(timed_ms(ask) for _ in range(runs))


def percentile(values: Sequence[float], q: float) -> float:
    """The smallest value that so large a part (0..1) of all does not exceed."""
    return sorted(values)[max(0, -(-int(q * 1000) * len(values) // 1000) - 1)]


def peak_mb() -> float:
    """The most memory that this process has had. Not what getrusage says on Linux: that counts the parent's in, as it
    was when it started this process."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


@dataclass
class Peak:
    """MB: the most that a process and those that it started had at once, and the most that one of them had.

    together: what several of them map, such as libraries, counts in each; shared_once: it counts once; proportional: in
    parts, also for others who map it, so that it is less beside them. Linux tells the last two, elsewhere they are 0.
    """

    together: float = 0.0
    shared_once: float = 0.0
    proportional: float = 0.0
    largest: float = 0.0


@contextmanager
def watched() -> Iterator[Peak]:
    """Looks at this process and its children, again and again, while this is entered."""
    own, peak, done = psutil.Process(), Peak(), threading.Event()

    def watch() -> None:
        looks = 0
        while not done.wait(_WATCH_S):
            # What this costs the kernel is missing to what is watched, above all what is looked at thoroughly.
            if looks % _FAMILY_EVERY == 0:
                family = [own, *own.children(recursive=True)]
            if looks % _THOROUGH_EVERY == _FAMILY_EVERY:
                peak.proportional = max(peak.proportional, sum(map(_proportional, family)))
            looks += 1
            sizes, files = zip(*map(_resident, family), strict=True)
            peak.together, peak.largest = max(peak.together, sum(sizes)), max(peak.largest, *sizes)
            if any(files):
                peak.shared_once = max(peak.shared_once, sum(sizes) - sum(files) + max(files))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def _resident(process: psutil.Process) -> tuple[float, float]:
    """MB of a process; MB of these that are files, where Linux tells."""
    try:
        info = process.memory_info()
    except psutil.NoSuchProcess:
        return 0.0, 0.0
    return info.rss / 2**20, getattr(info, "shared", 0) / 2**20


def _proportional(process: psutil.Process) -> float:
    """What Linux says about the memory of a process as a whole, in MB, what is shared in parts."""
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))


def alone(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What `work` returns, in a process of its own. Raises what it raises."""
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        return pool.submit(work, *args, **kwargs).result()


def random_ids(store: wfstore.Store, count: int, status: str | None = None) -> list[str]:
    """The same ones of the same store each time."""
    where = "" if status is None else "WHERE status = $status"
    params = {} if status is None else {"status": status}
    ids = store.sql(f"SELECT workflow_id FROM workflows {where} ORDER BY hash(workflow_id) LIMIT {count}", params)
    return [workflow_id for (workflow_id,) in ids.fetchall()]


def command_ms(runs: int, *arguments: Sequence[str]) -> float:
    """Median of a whole `wfstore` process, from its start to its end; every run takes the next of the `arguments`."""
    spent = []
    for run in range(runs):
        line = [sys.executable, "-m", "wfstore", *arguments[run % len(arguments)]]
        spent.append(timed_ms(lambda line=line: subprocess.run(line, check=True, stdout=subprocess.DEVNULL)))  # type: ignore[misc]
    return statistics.median(spent)


@contextmanager
def linked(storage: str) -> Iterator[str]:
    """A copy to write to, beside the store and gone afterwards. Large files, which never change, are linked."""
    folder = tempfile.mkdtemp(prefix=".wfstore-bench-", dir=Path(storage).resolve().parent)
    try:
        copy = shutil.copytree(storage, Path(folder, "store"), copy_function=_link)
        yield str(copy)
    finally:
        shutil.rmtree(folder)


def _link(source: str, target: str) -> None:
    if os.stat(source).st_size < _LINKED_BYTES:
        shutil.copy2(source, target)
    else:
        os.link(source, target)
