"""Writes a store of any size with a realistic history, through the public writer of the log.

    python benchmarks/generate.py --events 10_000_000 --storage ./big [--months 6] [--seed 1] [--until 2026-01-01]

Forty kinds of workflows, the frequent ones far more frequent than the rare ones (Zipf); user code takes a log-normal
time; 3 % of attempts are tried again, 2 % of workflows fail, some of them are resumed; some wait for a timer, some go
on with a continuation, some are canceled or interrupted with their manager. Workflows overlap, as in a real log. Prints
JSON lines: how far it is, and in the end what it wrote, which SQL must say too.

The same seed and `--until` give the same rows. It needs memory for one window of some thousand workflows.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.kinds import kinds
from benchmarks.scripts import Script, scripts
from benchmarks.templates import Copies, Numbers, Template, Values
from wfstore.log import LogWriter, open_writer
from wfstore.model import events as ev
from wfstore.model.events import Event
from wfstore.model.payload import PayloadRef
from wfstore.model.wire import dumps
from wfstore.payloads import PayloadStore
from wfstore.schema.rows import Rows, pack

_WINDOW_WORKFLOWS = 6_000
_COMMIT_BYTES = 8 << 20
_DAY_US = 86_400_000_000
_REPORT_S = 5.0

#: What may happen: makes the scripts to choose from, and may write large values for them.
Lives: TypeAlias = Callable[[PayloadStore, random.Random], Iterable[Script]]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, required=True, help="at least so many")
    parser.add_argument("--storage", required=True, help="a store that is not there yet")
    parser.add_argument("--months", type=float, default=6.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--until", help="ISO 8601, UTC: when the last one is submitted; default: last midnight")
    given = parser.parse_args(arguments)
    until = datetime.fromisoformat(given.until) if given.until else datetime.now(UTC).replace(hour=0, minute=0)
    until = (until if until.tzinfo else until.replace(tzinfo=UTC)).replace(second=0, microsecond=0)
    generate(given.events, given.storage, given.months, given.seed, until)


def company(payloads: PayloadStore, chance: random.Random) -> Iterable[Script]:
    """Forty kinds of workflows and all that may happen to them."""
    bodies: dict[str, str] = {}

    def body(name: str) -> str:
        if name not in bodies:
            bodies[name] = payloads.put_file(pickle.dumps(partial(print, name), 5)).hash
        return bodies[name]

    large = [payloads.put_file(pickle.dumps(chance.randbytes(size), 5)) for size in _large_sizes(chance)]
    return scripts(kinds(chance, [PayloadRef(ref.hash, ref.bytes) for ref in large], body), chance)


def generate(
    events: int,
    storage: str,
    months: float,
    seed: int,
    until: datetime,
    say: Callable[[dict[str, Any]], None] | None = None,
    lives: Lives = company,
) -> dict[str, Any]:
    """Write at least that many events; returns the facts that it prints last. Raises the StorageError family."""
    say = say or (lambda row: print(json.dumps(row), flush=True))
    began = time.perf_counter()
    writer = open_writer(storage)
    if writer.next_seq > 1:
        writer.close()
        raise SystemExit(f"{storage} has a history already; name a store that is not there yet")
    world = _World(lives(PayloadStore(storage), random.Random(seed)), seed)
    last_us = round(until.timestamp() * 1e6)
    first_us = last_us - round(timedelta(days=30.44 * months).total_seconds() * 1e6)
    sink = _Sink(writer, say)
    sink.rows(_manager(ev.MANAGER_STARTED, first_us - 1_000_000))
    counts = world.run(events, first_us, last_us, sink)
    sink.rows(_manager(ev.MANAGER_STOPPED, max(sink.newest, last_us) + 1_000_000))
    sink.commit()
    writer.close()
    took = time.perf_counter() - began
    log_bytes = sum(entry.stat().st_size for entry in Path(storage.removeprefix("file://"), "log").iterdir())
    facts = {
        "benchmark": "generate",
        "events": sink.events,
        **counts,
        "seconds": round(took, 3),
        "events_per_s": round(sink.events / took),
        "bytes_per_event": round(log_bytes / sink.events, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1 if sys.platform == "darwin" else 1024),
        "load": round(os.getloadavg()[0], 1),
        "seed": seed,
    }
    say(facts)
    return facts


def _manager(type_: str, moment: int) -> Rows:
    return pack([Event(ts=moment, type=type_, attributes=dumps({"pid": os.getpid(), "task": "generate"}))])


class _Window(NamedTuple):
    """Rows in the order of the log."""

    data: bytes
    lengths: Numbers
    times: Numbers


class _Sink:
    """Large commits of rows that are in order."""

    def __init__(self, writer: LogWriter, say: Callable[[dict[str, Any]], None]) -> None:
        self._writer, self._say = writer, say
        self._parts: list[bytes] = []
        self._rows = self._bytes = 0
        self._began = self._said = time.perf_counter()
        self.events = 0
        self.newest = 0

    def rows(self, rows: Rows) -> None:
        self._parts.append(rows.data)
        self._rows += rows.rows
        self._bytes += len(rows.data)
        if self._bytes >= _COMMIT_BYTES:
            self.commit()

    def window(self, window: _Window) -> None:
        """In commits that begin and end with whole rows."""
        ends = np.cumsum(window.lengths)
        row = start = 0
        while row < len(ends):
            stop = min(int(np.searchsorted(ends, start + _COMMIT_BYTES)) + 1, len(ends))
            self.rows(Rows(window.data[start : int(ends[stop - 1])], stop - row))
            row, start = stop, int(ends[stop - 1])
        if len(window.times):
            self.newest = max(self.newest, int(window.times[-1]))

    def commit(self) -> None:
        if self._rows:
            self._writer.commit(Rows(b"".join(self._parts), self._rows))
        self.events += self._rows
        self._parts, self._rows, self._bytes = [], 0, 0
        now = time.perf_counter()
        if now - self._said >= _REPORT_S:
            self._said = now
            rate = self.events / (now - self._began)
            self._say({"benchmark": "generate.progress", "events": self.events, "events_per_s": round(rate)})


class _World:
    """All templates, and how often each is used."""

    def __init__(self, lives: Iterable[Script], seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._values = Values()
        self._templates = [Template(script) for script in lives]
        weights = np.array([template.script.weight for template in self._templates])
        self._shares = weights / weights.sum()
        self._sizes = np.array([template.events for template in self._templates])

    def run(self, events: int, first_us: int, last_us: int, sink: _Sink) -> dict[str, Any]:
        """Write all windows; what was written, as SQL counts it."""
        counts: Counter[str] = Counter()
        statuses: Counter[str] = Counter()
        planned = self._plan(events)
        edges = np.linspace(first_us, last_us, len(planned) + 1).astype(np.int64)
        carried = _Window(b"", np.zeros(0, np.int64), np.zeros(0, np.int64))
        number = 0
        for window, chosen in enumerate(planned):
            submitted = np.sort(self._rng.integers(edges[window], edges[window + 1], len(chosen)))
            submitted = np.clip(_by_day(submitted), first_us, last_us)
            parts = list(self._copies(chosen, submitted, number))
            number += len(chosen)
            final = window == len(planned) - 1
            done, carried = _merged(carried, parts, None if final else int(_by_day(edges[window + 1])))
            sink.window(done)
            for place, copies in zip(*np.unique(chosen, return_counts=True), strict=True):
                self._count(self._templates[place].script, int(copies), counts, statuses)
        return {**counts, "statuses": dict(sorted(statuses.items()))}

    def _plan(self, events: int) -> list[Numbers]:
        """Which template each workflow of each window follows; together they have at least so many events."""
        planned: list[Numbers] = []
        while events > 0:
            chosen = self._rng.choice(len(self._shares), _WINDOW_WORKFLOWS, p=self._shares).astype(np.int64)
            reached = np.cumsum(self._sizes[chosen])
            chosen = chosen[: int(np.searchsorted(reached, events)) + 1]
            events -= int(self._sizes[chosen].sum())
            planned.append(chosen)
        return planned

    def _copies(self, chosen: Numbers, submitted: Numbers, number: int) -> Iterator[Copies]:
        order = np.argsort(chosen, kind="stable")
        places, starts = np.unique(chosen[order], return_index=True)
        for place, mine in zip(places, np.split(order, starts[1:]), strict=True):
            yield self._templates[place].copies(self._rng, self._values, submitted[mine], number)
            number += len(mine)

    def _count(self, script: Script, copies: int, counts: Counter[str], statuses: Counter[str]) -> None:
        statuses[script.status] += copies
        for name in ("tasks", "attempts", "retries", "runs"):
            counts[name] += copies * getattr(script, name)
        counts["workflows"] += copies


def _by_day(times: Any) -> Any:
    """Evenly spread times moved, so that there are more at noon than at midnight. Their order stays."""
    return times - (0.55 * _DAY_US / (2 * np.pi) * np.sin(2 * np.pi * (times % _DAY_US) / _DAY_US)).astype(np.int64)


def _large_sizes(chance: random.Random) -> list[int]:
    return [min(400_000, 34_000 + round(chance.lognormvariate(10.5, 0.8))) for _ in range(24)]


def _merged(carried: _Window, parts: list[Copies], until: int | None) -> tuple[_Window, _Window]:
    """All rows by their times: those before `until` (None: all), and those that belong to later windows."""
    data = b"".join([carried.data, *(part.data for part in parts)])
    lengths = np.concatenate([carried.lengths, *(part.lengths for part in parts)])
    times = np.concatenate([carried.times, *(part.times for part in parts)])
    order = np.argsort(times, kind="stable")  # rows of one workflow keep their order
    ends = np.cumsum(lengths)
    split = len(order) if until is None else int(np.searchsorted(times[order], until))
    found = []
    for chosen in (order[:split], order[split:]):
        stops = ends[chosen]
        starts = stops - lengths[chosen]
        rows = [data[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
        found.append(_Window(b"".join(rows), lengths[chosen], times[chosen]))
    return found[0], found[1]


if __name__ == "__main__":
    main()
