"""Figures of `history.py` that write: a store, its compaction, commits beside it, refresh, readers beside a writer."""

from __future__ import annotations

import hashlib
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import wfstore
from benchmarks.generate import generate
from benchmarks.measuring import SPAWN, Bench, Peak, alone, linked, percentile, timed_ms, watched
from benchmarks.query import Generator
from wfstore.errors import WfstoreError
from wfstore.log import now_us, open_writer, own_lease, write_lease
from wfstore.model.events import WORKFLOW_SUCCEEDED, Event

READERS, RATE, SECONDS = 8, 5_000, 20.0
_EACH, _TASKS = 15, 3  # events and tasks of a workflow that `Generator` writes
_LOOKED_BACK = 3_000
QUIET_S = 5.0
_LEASE_S = 5.0
_REFRESHES = 20

#: seq, type, workflow_id, task_id, attempt, status
Row = tuple[int, str, str | None, str | None, int | None, str | None]
_NEWEST = "SELECT seq, type, workflow_id, task_id, attempt, status FROM events WHERE seq > $since ORDER BY seq"
_NEW_WORKFLOWS = "SELECT count(*), count(*) FILTER (status = 'SUCCESSFUL') FROM workflows WHERE submitted_seq > $since"


# -- compaction -------------------------------------------------------------------------------------------------------


def make(bench: Bench) -> None:
    """Generate the store, compact it, and say how fast both were."""
    said = alone(generate, bench.events, bench.storage, 6.0, 1, datetime(2026, 1, 1, tzinfo=UTC), _quietly)
    bench.show("generated", said["events_per_s"], (200_000, 200_000), "events/s", least=True, peak_mb=said["peak_mb"])
    _show_compaction(bench, bench.storage)


def _quietly(row: dict[str, Any]) -> None:
    """For `generate`."""


class _Compacted(NamedTuple):
    """events: taken in; seconds that it took; the memory of all processes that took part."""

    events: int
    seconds: float
    peak: Peak


def _compact(storage: str) -> _Compacted | None:
    """None where the store cannot do that."""
    compact = getattr(wfstore.open(storage), "compact", None)
    if compact is None:
        return None
    from wfstore.log.manifest import read_manifest

    before = read_manifest(storage).next_seq
    with watched() as peak:
        began = time.perf_counter()
        compact()
        took = time.perf_counter() - began
    return _Compacted(read_manifest(storage).next_seq - before, took, peak)


def _show_compaction(bench: Bench, storage: str) -> None:
    found = alone(_compact, storage) or _Compacted(0, 1.0, Peak())
    figures: dict[str, Any] = {"compacted": found.events, "seconds": found.seconds}
    bench.show("compaction", found.events / found.seconds, (300_000, 300_000), "events/s", least=True, **figures)
    peak = found.peak
    seen: dict[str, Any] = {"rss": peak.together, "pss": peak.proportional, "largest_process": peak.largest}
    bench.show("peak memory of compaction", peak.shared_once or peak.together, (1000, 1000), "MB", **seen)


def compaction(bench: Bench) -> None:
    """Of a log that is generated for it."""
    with tempfile.TemporaryDirectory(prefix=".wfstore-bench-", dir=Path(bench.storage).resolve().parent) as folder:
        raw = str(Path(folder, "store"))
        alone(generate, bench.raw_events, raw, 6.0, 1, datetime(2026, 1, 1, tzinfo=UTC), _quietly)
        _show_compaction(bench, raw)


# -- a writer in its own process --------------------------------------------------------------------------------------


class _Written(NamedTuple):
    """rows: what was acknowledged; commits: when each began (seconds of the machine's clock), and how many ms it took;
    error: what ended it too early."""

    rows: list[Row]
    commits: list[tuple[float, float]]
    error: str | None


class _Collector:
    """Stands where a writer stands, and keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def append(self, events: Sequence[Event]) -> None:
        self.events += events


def _batches(workflows: int) -> Iterator[list[Event]]:
    """Copies of one workflow with other ids and times, so many at a time: this is about commits, not about deciding."""
    collector = _Collector()
    Generator(collector).workflows(1)  # type: ignore[arg-type]  # all that it needs is append()
    assert len(collector.events) == _EACH
    for first in itertools.count(0, workflows):
        yield [
            event._replace(
                workflow_id=f"wf-{number:07d}",
                ts=event.ts + number * 1_000,
                ts_source=None if event.ts_source is None else event.ts_source + number * 1_000,
            )
            for number in range(first, first + workflows)
            for event in collector.events
        ]


def _write(storage: str, rate: int, workflows: int, acknowledged: Any, stop: Any, answer: Connection) -> None:
    """Whole workflows, so many a commit, `rate` events/s, until told to stop. Answers where it begins, and in the end
    what it wrote. It has a lease, as a manager has."""
    rows: list[Row] = []
    commits: list[tuple[float, float]] = []
    error = None
    writer = open_writer(storage)
    leased = 0.0
    answer.send(writer.next_seq - 1)
    due = time.perf_counter()
    try:
        for events in _batches(workflows):
            began = time.perf_counter()
            if began - leased > _LEASE_S:
                write_lease(storage, own_lease(now_us(), None, writer.epoch))
                leased = began = time.perf_counter()
            first, last = writer.append(events)
            commits.append((began, (time.perf_counter() - began) * 1000))
            acknowledged.value = last
            for seq, event in enumerate(events, first):
                rows.append((seq, event.type, event.workflow_id, event.task_id, event.attempt, event.status))
            due += len(events) / rate
            if stop.wait(max(0.0, due - time.perf_counter())):
                break
    except WfstoreError as problem:
        error = repr(problem)
    answer.send(_Written(rows, commits, error))
    writer.close()


class _Writer:
    """`_write` in a process, while this is entered. base: the last seq before it; acknowledged: the last of its own."""

    def __init__(self, storage: str, rate: int, workflows: int) -> None:
        self._answer, theirs = SPAWN.Pipe(duplex=False)
        self._stop = SPAWN.Event()
        self.acknowledged = SPAWN.Value("q", 0)
        given = (storage, rate, workflows, self.acknowledged, self._stop, theirs)
        self._process = SPAWN.Process(target=_write, args=given, daemon=True)
        self.written = _Written([], [], "it never began")

    def __enter__(self) -> _Writer:
        self._process.start()
        self.base: int = self._answer.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.written = self._answer.recv()
        self._process.join()


def commits(bench: Bench) -> None:
    """Of a writer that commits 15 events 200 times a second: beside a compaction, and before and after it."""
    with tempfile.TemporaryDirectory(prefix=".wfstore-bench-", dir=Path(bench.storage).resolve().parent) as folder:
        raw = str(Path(folder, "store"))
        alone(generate, min(bench.raw_events, 3_000_000), raw, 6.0, 1, datetime(2026, 1, 1, tzinfo=UTC), _quietly)
        with _Writer(raw, 200 * _EACH, 1) as writer:
            time.sleep(QUIET_S)
            began = time.perf_counter()
            compacted = alone(_compact, raw)
            ended = time.perf_counter()
            time.sleep(QUIET_S)
    written = writer.written
    if compacted is None or written.error:
        bench.show("p99 of commits, beside a compaction", None, (5, 5), note=written.error or "no compact()")
        return
    beside = [took for at, took in written.commits if began <= at <= ended]
    without = [took for at, took in written.commits if not began <= at <= ended]
    with_p99, without_p99 = percentile(beside, 0.99), percentile(without, 0.99)
    figures: dict[str, Any] = {
        "beside_ms": with_p99,
        "without_ms": without_p99,
        "most_ms": max(beside),
        "n": len(beside),
    }
    bench.show("p99 of commits, added by a compaction", with_p99 - without_p99, (5, 5), **figures)


# -- readers ----------------------------------------------------------------------------------------------------------


def refresh(bench: Bench) -> None:
    """The same question after 1,000 new events and again without any, in turns."""
    questions: dict[str, Callable[[wfstore.Store], object]] = {
        "ls": lambda store: store.workflows(limit=50),
        "count of events": lambda store: store.sql("SELECT count(*) FROM events").fetchall(),
        "count of tasks": lambda store: store.sql("SELECT count(*) FROM tasks").fetchall(),
    }
    added = {}
    with linked(bench.storage) as copy:
        writer = open_writer(copy)
        generator = Generator(writer)
        store = wfstore.open(copy)
        for name, ask in questions.items():
            ask(store)
            new, old = [], []
            for _ in range(_REFRESHES):
                generator.workflows(1000 // _EACH + 1)
                new.append(timed_ms(lambda: ask(store)))  # noqa: B023
                old.append(timed_ms(lambda: ask(store)))  # noqa: B023
            added[name] = statistics.median(new) - statistics.median(old)
            figures: dict[str, Any] = {"with_ms": statistics.median(new), "without_ms": statistics.median(old)}
            bench.show(f"added by 1,000 new events, {name}", added[name], (10, 10), **figures, n=_REFRESHES)
        writer.close()


class _Seen(NamedTuple):
    """One reader's account. pieces: (since, last seq, digest) of the rows that it was given."""

    queries: int
    pieces: list[tuple[int, int, str]]
    wrong: list[str]


def _digest(rows: Sequence[Row]) -> str:
    return hashlib.sha256(repr([tuple(row) for row in rows]).encode()).hexdigest()


def _read(storage: str, seed: int, base: int, acknowledged: Any, stop: Any, answer: Connection) -> None:
    """Ask and check until told to stop. Whatever happens is answered."""
    chance = random.Random(seed)
    queries, pieces, wrong = 0, [], []
    try:
        store = wfstore.open(storage)
        answer.send("ready" if store.workflows(limit=1).height else "empty")
        while not stop.is_set():
            known = acknowledged.value
            since = max(base, known - _LOOKED_BACK)
            rows = store.sql(_NEWEST, {"since": since}).fetchall()
            last = rows[-1][0] if rows else since
            if last < known or [row[0] for row in rows] != list(range(since + 1, last + 1)):
                wrong.append(f"rows after {since} end with {last} and are {len(rows)}, {known} was acknowledged")
            pieces.append((since, last, _digest(rows)))
            closed = [row[2] for row in rows if row[1] == WORKFLOW_SUCCEEDED]
            if closed:
                wrong += _history_wrong(store, chance.choice(closed))
            known = acknowledged.value
            submitted, ended = store.sql(_NEW_WORKFLOWS, {"since": base}).fetchall()[0]
            if not (known - base) // _EACH <= ended <= submitted <= (acknowledged.value - base) // _EACH + 1:
                wrong.append(f"{submitted} workflows, {ended} of them ended, at {known - base} events")
            queries += 3
    except Exception as error:  # any error at all is what this looks for
        wrong.append(repr(error))
    answer.send(_Seen(queries, pieces, wrong))


def _history_wrong(store: wfstore.Store, workflow_id: str) -> list[str]:
    history = store.history(workflow_id)
    seen = (history.status, history.tasks.height, history.attempts.height, history.events.height)
    return [] if seen == ("SUCCESSFUL", _TASKS, _TASKS, _EACH) else [f"the history of {workflow_id} is {seen}"]


def readers(bench: Bench) -> None:
    """Eight processes that read while one writes, and in the middle of it a compaction."""
    stop = SPAWN.Event()
    with linked(bench.storage) as copy, _Writer(copy, RATE, 5) as writer:
        found = [_Reader(copy, seed, writer, stop) for seed in range(READERS)]
        try:
            for reader in found:
                reader.begin()
            began = time.perf_counter()
            from_seq = writer.acknowledged.value
            time.sleep(SECONDS / 2)
            alone(_compact, copy)
            time.sleep(max(0.0, began + SECONDS - time.perf_counter()))
            rate = (writer.acknowledged.value - from_seq) / (time.perf_counter() - began)
        finally:
            stop.set()
        seen = [reader.end() for reader in found]
    rows = writer.written.rows
    wrong = [complaint for one in seen for complaint in one.wrong]
    wrong += [] if writer.written.error is None else [writer.written.error]
    for one in seen:
        for since, last, digest in one.pieces:
            if _digest(rows[since - writer.base : last - writer.base]) != digest:
                wrong.append(f"the rows from {since} to {last} are not those that were written")
    figures = {"queries": sum(one.queries for one in seen), "writer_events_per_s": rate, "examples": wrong[:3]}
    bench.show("8 readers beside a writer: errors and wrong rows", len(wrong), (0, 0), "", **figures)


class _Reader:
    """`_read` in a process."""

    def __init__(self, storage: str, seed: int, writer: _Writer, stop: Any) -> None:
        self._answer, theirs = SPAWN.Pipe(duplex=False)
        given = (storage, seed, writer.base, writer.acknowledged, stop, theirs)
        self._process = SPAWN.Process(target=_read, args=given, daemon=True)
        self._process.start()
        self._first: Any = None

    def begin(self) -> None:
        """Wait until it has opened the store."""
        self._first = self._answer.recv()

    def end(self) -> _Seen:
        seen: _Seen = self._first if isinstance(self._first, _Seen) else self._answer.recv()
        self._process.join()
        return seen
