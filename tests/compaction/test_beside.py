"""Compactors, a writer and readers at once: nobody meets an error, and every answer is that of some moment."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

import wfstore
from tests.compaction.processes import Counts, compact_until, count_until, counts, event, queue, start
from tests.compaction.stores import Pair, check_purged, check_same, sound, stir
from tests.index.worlds import World, dag, spec
from tests.model.histories import random_history
from wfstore.index.compaction import compact
from wfstore.log import LogWriter, failpoints, open_reader, open_writer, verify
from wfstore.log.manifest import read_manifest
from wfstore.model import events as ev
from wfstore.model.events import Event


def story(workflows: int) -> list[Event]:
    """Workflows of three tasks that begin and end beside each other."""
    world = World()
    for number in range(workflows):
        world.submit(f"w{number:04d}", dag(spec("a"), spec("b", 0), spec("c", 0, 1)))
        if number > 5:
            for _ in range(3):
                workflow_id, _, task_id, _ = world.simulation.open_attempts()[0]
                world.end(task_id, workflow_id)
    return world.simulation.log


def told(events: list[Event]) -> list[Counts]:
    """What readers see after so many events."""
    found = [Counts(0, 0, 0, 0, 0, 0)]
    places = {ev.WORKFLOW_SUBMITTED: 2, ev.WORKFLOW_SUCCEEDED: 3, ev.TASK_DEFINED: 4, ev.ATTEMPT_SUBMITTED: 5}
    for each in events:
        cells = list(found[-1])
        for place in (0, 1, places.get(each.type)):
            if place is not None:
                cells[place] += 1
        found.append(Counts(*cells))
    return found


class Writing:
    """Appends a story a few events at a time, in small segments and ever new epochs."""

    def __init__(self, path: Path, events: list[Event], seed: int) -> None:
        self.path, self._events, self._chance = path, events, random.Random(seed)
        self.begun = self.acknowledged = 0
        self._writer = self._open()

    def _open(self) -> LogWriter:
        writer = open_writer(str(self.path), segment_bytes=500)
        assert isinstance(writer, LogWriter)
        return writer

    def all(self, between: Callable[[], None] = lambda: None) -> None:
        while self.acknowledged < len(self._events):
            count = self._chance.randint(1, 9)
            some = self._events[self.acknowledged : self.acknowledged + count]
            self.begun += len(some)
            _, self.acknowledged = self._writer.append(some)
            between()
            if self._chance.random() < 0.05:
                self._writer.close()
                self._writer = self._open()
        self._writer.close()


def follow(writing: Writing, store: wfstore.Store, expected: list[Counts], done: threading.Event) -> int:
    """Ask again and again, while the writer's own list says what the answer may be. Returns how often."""
    asked = 0
    while not done.is_set():
        least = writing.acknowledged
        found = counts(store)
        assert least <= found.events <= writing.begun
        assert found == expected[found.events]
        asked += 1
    return asked


def readers_beside(root: Path, workflows: int, threads: int, processes: int) -> None:
    events = story(workflows)
    expected = told(events)
    writing = Writing(root / "store", events, workflows)
    path, stop, done, rounds = str(root / "store"), event(), threading.Event(), queue()
    others = [start(compact_until, path, 3, stop)]
    others += [start(count_until, path, expected, stop, rounds) for _ in range(processes)]
    store, errors, asked = wfstore.open(path), [], []

    def reads() -> None:
        try:
            asked.append(follow(writing, store, expected, done))
        except BaseException as error:  # told below, where pytest sees it
            errors.append(error)

    running = [threading.Thread(target=reads) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        writing.all(lambda: None if not errors else done.set())
    finally:
        done.set()
        for thread in running:
            thread.join()
        stop.set()
        for process in others:
            process.join()
    assert not errors, errors
    assert [process.exitcode for process in others] == [0] * len(others)
    assert all(asked) and all(rounds.get() for _ in range(processes))
    open_writer(path).close()
    compact(path, grace_s=0, workers=1)
    assert counts(store) == counts(wfstore.open(path)) == expected[-1]


def test_readers_beside_a_compactor_and_a_writer(tmp_path: Path) -> None:
    readers_beside(tmp_path, 25, 2, 1)


@pytest.mark.slow
def test_readers_beside_a_compactor_and_a_writer_for_longer(tmp_path: Path) -> None:
    readers_beside(tmp_path, 120, 3, 2)


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_a_writer_that_seals_ever_more_does_not_keep_a_compaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setenv("WFSTORE_CACHE", str(tmp_path / "cache"))
    storage = str(tmp_path / "store") if where == "disk" else f"memory://{uuid.uuid4().hex}/store"
    writer = open_writer(storage, segment_bytes=1)
    events = story(20)
    writer.append(events[:30])
    writer.append(events[30:40])
    published: list[int] = []

    def seals_more() -> None:
        published.append(len(published))
        if len(published) > 3:
            failpoints.disarm()
        for _ in range(2):
            writer.append(events[40 + 4 * len(published) : 44 + 4 * len(published)])

    failpoints.arm(failpoints.FILES_WRITTEN, seals_more)
    try:
        sealed = open_reader(storage).sealed(1)[-1].last_seq
        assert compact(storage, workers=1).events == sealed
    finally:
        failpoints.disarm()
    assert published == [0]
    assert read_manifest(storage).next_seq == sealed + 1
    assert compact(storage, workers=1).events == open_reader(storage).sealed(1)[-1].last_seq - sealed > 0
    writer.close()


def compactors_beside(root: Path, seed: int, rounds: int, compactors: int) -> None:
    root.mkdir(exist_ok=True)
    simulation, written = random_history(seed, 0), 0
    pair, stop = Pair(root, 400), event()
    running = [start(compact_until, str(pair.path), seed + number, stop) for number in range(compactors)]
    try:
        for _ in range(rounds):
            stir(simulation, 4)
            while written < len(simulation.log):
                pair.append(simulation.log[written : written + 5])
                written = min(written + 5, len(simulation.log))
            if simulation.rng.random() < 0.1:
                pair.reopen()
    finally:
        stop.set()
        for process in running:
            process.join()
    assert [process.exitcode for process in running] == [0] * compactors
    pair.reopen()
    pair.close()
    pair.compact()
    check_same(pair, wfstore.open(pair.plain), wfstore.open(pair.path))
    check_purged(pair)
    assert sound(pair) == []


@pytest.mark.slow
def test_two_compactors_and_a_writer(tmp_path: Path) -> None:
    compactors_beside(tmp_path / "pair", 8, 40, 2)


@pytest.mark.slow
def test_three_compactors_and_a_writer_for_longer(tmp_path: Path) -> None:
    for seed in range(2):
        compactors_beside(tmp_path / str(seed), seed, 150, 3)


def test_a_compaction_in_other_processes_says_what_one_in_this_process_says(tmp_path: Path) -> None:
    events = story(40)
    for number, workers in enumerate((1, 2)):
        writer = open_writer(str(tmp_path / str(number)), segment_bytes=3000)
        for start_ in range(0, len(events), 20):
            writer.append(events[start_ : start_ + 20])
        writer.close()
        open_writer(str(tmp_path / str(number))).close()
        assert compact(str(tmp_path / str(number)), grace_s=0, workers=workers).events == len(events)
        assert counts(wfstore.open(tmp_path / str(number))) == told(events)[-1]
        assert [p for p in verify(str(tmp_path / str(number))).problems if "/payloads/" not in p.path] == []
