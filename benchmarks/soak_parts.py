"""What `soak.py` looks at: the ledger of its load, memory and file descriptors of processes, and the verdicts."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil

import wfstore

QUESTIONS = ("history", "sql", "follow")
#: Ray names a worker after the task that it runs.
TASKS = frozenset({"add_one", "large", "total", "down", "needs", "joined"})
_DELETED = "SELECT workflow_id FROM events WHERE type = 'workflow.deleted'"
_YOUNG_S = 10.0
#: A descriptor more or less is nothing.
_FEW = 5


class Sample(NamedTuple):
    """at: time.monotonic(). rss: what the process has in memory; uss: of that, what nobody shares; pss: uss, and its
    part of what it shares (MB). fds: file descriptors."""

    at: float
    pid: int
    rss: float
    uss: float
    pss: float
    fds: float


class Samples:
    """Of any number of things, each of which may be another process at another time."""

    def __init__(self) -> None:
        self._taken: dict[str, list[Sample]] = defaultdict(list)
        self._lock = threading.Lock()

    def take(self, name: str, pid: int) -> None:
        """Nothing where the process has ended, or has only begun: that is no size to compare with."""
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError):
            process = psutil.Process(pid)
            if time.time() - process.create_time() < _YOUNG_S:
                return
            memory, fds = process.memory_full_info(), process.num_fds()
            pss = getattr(memory, "pss", memory.uss)
            sizes = (size / 2**20 for size in (memory.rss, memory.uss, pss))
            self.add(name, Sample(time.monotonic(), pid, *sizes, fds))

    def add(self, name: str, sample: Sample) -> None:
        with self._lock:
            self._taken[name].append(sample)

    def names(self) -> list[str]:
        return list(self._taken)

    def last(self, name: str, what: str) -> float:
        return float(round(getattr(self._taken[name][-1], what), 1))

    def thirds(self, name: str, what: str, began: float, ended: float) -> list[float | None]:
        """Mean of each third of the time; None without samples."""
        found: list[float | None] = []
        for third in range(3):
            low, high = (began + (ended - began) * (third + part) / 3 for part in (0, 1))
            values = [getattr(one, what) for one in self._taken[name] if low <= one.at < high]
            found.append(statistics.fmean(values) if values else None)
        return found

    def most(self, name: str, what: str) -> float:
        return float(max(getattr(one, what) for one in self._taken[name]))


def ledger(folder: Path) -> tuple[dict[str, str], list[str]]:
    """How each workflow has to end; and what was not as it had to be."""
    statuses: dict[str, str] = {}
    wrong = []
    for words in _lines(folder / "ledger"):
        if "wrong" in words:
            wrong.append(f"{words.get('id') or words.get('kind')}: {words['wrong']}")
        else:
            statuses[words["id"]] = words["status"]
    return statuses, wrong


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for text in path.read_text().splitlines() if path.exists() else ():
        yield json.loads(text)


class Verdicts:
    """Figures as they are told, and those that are not as they have to be."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def show(self, figure: str, seen: float | None, must: float | None = None, unit: str = "", **more: Any) -> None:
        """must: the most that may be seen."""
        row: dict[str, Any] = {"benchmark": "soak", "figure": figure, "seen": _rounded(seen), "unit": unit}
        if must is not None:
            ok = seen is not None and seen <= must
            row |= {"must": f"<= {must:g}", "ok": ok}
            if not ok:
                self.failed.append(figure)
        row |= {name: _rounded(value) for name, value in more.items()}
        print(json.dumps(row | {"load": round(os.getloadavg()[0], 1)}), flush=True)

    def flat(self, samples: Samples, began: float, ended: float) -> None:
        for name in samples.names():
            for what, unit, slack in (("uss", "MB", 0), ("fds", "descriptors", _FEW)):
                thirds = samples.thirds(name, what, began, ended)
                before, last = thirds[1], thirds[2]
                must = 0.0 if before is None else round(max(before * 1.1, before + slack), 1)
                more = {"thirds": thirds, "most": samples.most(name, what)}
                if what == "uss":
                    more |= {other: samples.thirds(name, other, began, ended) for other in ("rss", "pss")}
                self.show(f"{what} of {name}, last third", last, must, unit, **more)

    def accounts(self, name: str, folder: Path) -> None:
        """Every workflow of the ledger is in the store with the end that it had to have, or was deleted by retention;
        there are no others."""
        statuses, wrong = ledger(folder)
        store = wfstore.open(folder / "store", live=False)
        found = dict(store.sql("SELECT workflow_id, status FROM workflows").fetchall())
        gone = {each for (each,) in store.sql(_DELETED).fetchall()}
        missing = [each for each in statuses if each not in found and each not in gone]
        otherwise = [f"{each}: {status}" for each, status in found.items() if statuses.get(each) != status]
        self.show(f"{name}: workflows missing", len(missing), 0, of=len(statuses), which=missing[:5])
        self.show(f"{name}: workflows that ended otherwise", len(otherwise), 0, of=len(found), which=otherwise[:5])
        self.show(f"{name}: wrong answers", len(wrong), 0, which=wrong[:5])
        self.show(f"{name}: deleted by retention", len(gone))

    def answers(self, name: str, question: str, said: list[dict[str, Any]]) -> None:
        """What a reader says at its end: one line."""
        wrong = [text for line in said for text in line["wrong"]] if said else ["it did not come to its end"]
        answers = sum(line["answers"] for line in said)
        self.show(f"{name}: wrong answers to {question}", len(wrong), 0, answers=answers, which=wrong[:3])

    def sound(self, name: str, storage: str) -> None:
        problems = [str(problem) for problem in wfstore.open(storage, live=False).verify().problems]
        self.show(f"{name}: problems found by verify", len(problems), 0, which=problems[:5])


def _rounded(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return round(value, 1) if isinstance(value, float) else value
