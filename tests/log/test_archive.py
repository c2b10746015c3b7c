"""What the manager reads of history files: all events of a workflow, however they were divided, and who is there."""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.compaction.stores import real_payloads, small_plan
from tests.model.histories import Simulation, random_history
from wfstore.errors import DamageError
from wfstore.index.compaction import compact
from wfstore.log import LogReader, open_writer
from wfstore.log.archive import Archive
from wfstore.log.known import Entry
from wfstore.model import events as ev
from wfstore.model.apply import replay
from wfstore.model.events import Event
from wfstore.schema.codec import to_events


class Compacted:
    """A random history in a store of several parts, and the same events."""

    archive: Archive

    def __init__(self, folder: Path, seed: int) -> None:
        self.storage = str(folder)
        self.events: list[Event] = []
        self.rng = random.Random(seed)
        self.simulation: Simulation = random_history(seed, 0)
        self.simulation.append(Event(ts=2, type=ev.MANAGER_STARTED, attributes='{"session":"s"}'))
        for steps in (40, 25, 25):
            self.write(steps)
            self.compact()

    def write(self, steps: int) -> None:
        with real_payloads(Path(self.storage)):
            for _ in range(steps):
                self.simulation.step()
        writer = open_writer(self.storage)
        writer.append(self.simulation.log[len(self.events) :])
        writer.close()
        self.events = list(self.simulation.log)

    def compact(self) -> None:
        """Everything there is; what was replaced goes at once."""
        open_writer(self.storage).close()
        with small_plan(self.rng):
            compact(self.storage, grace_s=0, workers=1, purge=False)

    def ids(self) -> list[str]:
        return sorted({event.workflow_id for event in self.events if event.workflow_id is not None})

    def of(self, workflow_id: str, first_seq: int, last_seq: int) -> list[Event]:
        return [
            event
            for event in self.events
            if event.workflow_id == workflow_id and first_seq <= (event.seq or 0) <= last_seq
        ]


@pytest.fixture(scope="module", params=[0, 2])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compacted:
    return Compacted(tmp_path_factory.mktemp("made") / "store", request.param)


@pytest.fixture
def store(made: Compacted, tmp_path: Path) -> Compacted:
    """A copy that belongs to one test."""
    own = copy.deepcopy(made)
    own.storage = str(shutil.copytree(made.storage, tmp_path / "store"))
    own.archive = Archive(own.storage, LogReader(own.storage))
    return own


def comparable(events: Iterable[Event]) -> list[Any]:
    """Without what a file does not say: the epoch is the writer's, and a hash without its value is left out. What is
    said in `attributes` has no order."""
    return [
        (event._replace(hash=None, epoch=None, attributes=None), json.loads(event.attributes or "{}"))
        for event in events
    ]


def rows(table: pa.Table) -> list[Any]:
    return comparable(to_events(table))


def entries(store: Compacted) -> list[Entry]:
    return [entry for name in store.ids() if (entry := store.archive.known.find(name)) is not None]


def test_knows_who_is_there_and_how_they_stand(store: Compacted) -> None:
    assert store.archive.refresh()
    assert not store.archive.refresh()
    state = replay(store.events)
    found = {entry.workflow_id: entry for entry in entries(store)}
    assert found == {
        workflow.workflow_id: Entry(
            workflow.workflow_id, workflow.status, workflow.first_seq or 0, workflow.last_seq or 0, workflow.runs > 0
        )
        for workflow in state.workflows.values()
    }
    for name in store.ids():
        gone = store.archive.known.gone(name)
        assert (None if gone is None else (gone.run or 0, gone.request_id, gone.seq)) == state.deleted.get(name)
    assert store.archive.known.next_seq == len(store.events) + 1


def test_events_are_those_of_the_log(store: Compacted) -> None:
    store.archive.refresh()
    for entry in entries(store):
        found = store.archive.events(entry.workflow_id, entry.first_seq, entry.last_seq)
        assert rows(found) == comparable(store.of(entry.workflow_id, entry.first_seq, entry.last_seq))
    begins = {entry.workflow_id: entry.first_seq for entry in entries(store)}
    (every,) = store.archive.histories(entries(store))
    assert rows(every) == comparable(
        event
        for event in store.events
        if (event.seq or 0) >= begins.get(event.workflow_id or "", len(store.events) + 1)
    )


def test_events_go_on_in_the_log(store: Compacted) -> None:
    store.archive.refresh()
    before = len(store.events)
    store.write(30)
    state = replay(store.events)
    went_on = [w for w in state.workflows.values() if (w.last_seq or 0) > before and (w.first_seq or 0) <= before]
    assert went_on
    for workflow in went_on:
        assert workflow.first_seq is not None
        assert workflow.last_seq is not None
        span = (workflow.workflow_id, workflow.first_seq, workflow.last_seq)
        assert rows(store.archive.events(*span)) == comparable(store.of(*span))


def test_files_may_be_replaced_and_the_log_trimmed_while_one_reads(store: Compacted) -> None:
    store.archive.refresh()
    before = {entry.workflow_id: entry for entry in entries(store)}
    store.write(30)
    state = replay(store.events)
    store.compact()  # neither the files nor the segments that the archive knows are there any more
    assert store.archive.stale()
    for workflow in state.workflows.values():
        span = (workflow.workflow_id, workflow.first_seq or 0, workflow.last_seq or 0)
        assert rows(store.archive.events(*span)) == comparable(store.of(*span))
    assert {name: store.archive.known.find(name) for name in before} == before
    assert store.archive.refresh()
    assert len(entries(store)) == len(state.workflows)


def test_whose_attempts_are_open(store: Compacted) -> None:
    store.archive.refresh()
    state = replay(store.events)
    opened = {workflow.workflow_id for workflow in state.workflows.values() if workflow.open_attempts}
    assert opened
    assert {entry.workflow_id for entry in store.archive.left_open(1)} == opened
    assert store.archive.left_open(len(store.events) + 1) == []


def test_the_newest_events_about_no_workflow(store: Compacted) -> None:
    store.archive.refresh()
    found = rows(store.archive.of_no_workflow([ev.MANAGER_STARTED, ev.CONFIG_SET, ev.MANAGER_STOPPED]))
    assert found == comparable(store.events[:2])


def test_a_damaged_file_is_named(store: Compacted) -> None:
    store.archive.refresh()
    entry = entries(store)[0]
    for path in Path(store.storage, "history").glob("events-*"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    with pytest.raises(DamageError, match="events-"):
        store.archive.events(entry.workflow_id, entry.first_seq, entry.last_seq)


def test_a_store_without_history_files(tmp_path: Path) -> None:
    writer = open_writer(str(tmp_path))
    writer.append([Event(ts=1, type=ev.WORKFLOW_SUBMITTED, workflow_id="w", attributes='{"output_task":"t"}')])
    archive = Archive(str(tmp_path), LogReader(str(tmp_path)))
    assert not archive.refresh()
    assert archive.known.find("w") is None
    assert archive.known.listed(None, [], set()) == []
    assert archive.of_no_workflow([ev.MANAGER_STARTED]).num_rows == 0
    assert [event.seq for event in to_events(archive.events("w", 1, 1))] == [1]
    writer.close()
