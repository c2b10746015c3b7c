"""Laws: what a manager answers does not depend on what history files hold, nor on when they came to hold it."""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compaction.stores import real_payloads, small_plan
from tests.model.histories import Simulation, random_history
from wfstore import errors
from wfstore.engine import memory as memory_module
from wfstore.engine.memory import Memory
from wfstore.engine.recovery import restored
from wfstore.index.compaction import compact
from wfstore.log import LogReader, open_writer
from wfstore.log.archive import Archive
from wfstore.model import events as ev
from wfstore.model.apply import apply, replay
from wfstore.model.commands import Cancel, Command, Delete, Interrupt, Resume, Submit
from wfstore.model.dag import DagSpec, TaskSpec
from wfstore.model.decide import decide
from wfstore.model.events import Event
from wfstore.model.payload import PayloadRef
from wfstore.model.state import State, TaskState, WorkflowState
from wfstore.model.statuses import RESUMABLE, WORKFLOW_ACTIVE, WORKFLOW_STATUSES

SEEDS = st.integers(0, 2**32)
_NEW = DagSpec((TaskSpec("t", "m.t", "h"),), 0)


def plain(value: Any) -> Any:
    """As comparable plain values. History files do not keep the hash of a value that is not kept itself."""
    if isinstance(value, PayloadRef):
        return (value.hash if value.data is not None else None, value.bytes, value.data)
    if isinstance(value, (WorkflowState, TaskState)):
        return {name: plain(getattr(value, name)) for name in value.__slots__}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


class Store:
    """A simulated history in a real store, and the state of a manager that has been there all the time."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.storage = str(folder)
        self.rng = random.Random(seed)
        self.simulation: Simulation = random_history(seed, 0)
        self.simulation.append(Event(ts=1, type=ev.MANAGER_STARTED, attributes='{"session":"s"}'))
        self.writer = open_writer(self.storage)
        self.log = LogReader(self.storage)
        self.memory = Memory(self.storage, Archive(self.storage, self.log))
        self.state = State(self.memory)
        self.written = 0

    def go_on(self, steps: int) -> None:
        for _ in range(steps):
            self.simulation.step()
        new = self.simulation.log[self.written :]
        self.writer.append(new)
        self.written += len(new)
        for event in new:
            apply(self.state, event)
            found = self.state.workflows.get(event.workflow_id or "")
            if found is not None and found.status not in WORKFLOW_ACTIVE and not found.open_attempts:
                self.memory.closed(self.state, found)

    def compact(self) -> None:
        """Everything so far; segments go at once."""
        self.writer.close()
        self.writer = open_writer(self.storage)
        with small_plan(self.rng):
            compact(self.storage, grace_s=0, workers=1, purge=self.rng.random() < 0.5)

    def notice(self) -> None:
        self.memory.archive.refresh()
        self.memory.let_go(self.state)


def answers(state: State, memory: Memory, ids: list[str]) -> dict[str, Any]:
    """All that is asked of a manager's memory."""
    listed = [asyncio.run(memory.listed(state, wanted)) for wanted in (None, *({name} for name in WORKFLOW_STATUSES))]
    statuses = {name: memory.status(state, name) for name in ids}
    found = {name: plain(state.find(name)) for name in ids}
    return {
        "listed": listed,
        "statuses": statuses,
        "found": found,
        "deletions": {name: state.deletion(name) for name in ids},
        "rest": [state.seq, state.session, state.running, list(state.queue), state.max_running, state.max_pending],
    }


def expected(state: State, ids: list[str]) -> dict[str, Any]:
    ordered = sorted(state.workflows.values(), key=lambda w: w.status == RESUMABLE and w.runs == 0)
    pairs = [(workflow.workflow_id, workflow.status) for workflow in ordered]
    return {
        "listed": [pairs, *([pair for pair in pairs if pair[1] == name] for name in WORKFLOW_STATUSES)],
        "statuses": {name: state.workflows[name].status if name in state.workflows else None for name in ids},
        "found": {name: plain(state.workflows.get(name)) for name in ids},
        "deletions": {name: state.deleted.get(name) for name in ids},
        "rest": [state.seq, state.session, state.running, list(state.queue), state.max_running, state.max_pending],
    }


def differences(found: Any, wanted: Any, path: str = "") -> list[str]:
    """Where two plain values differ: a whole state is too much to read."""
    if isinstance(found, dict) and isinstance(wanted, dict) and found.keys() == wanted.keys():
        return [line for key in wanted for line in differences(found[key], wanted[key], f"{path}.{key}")]
    return [] if found == wanted else [f"{path}: {found!r} instead of {wanted!r}"]


def decided(state: State, command: Command, now: int) -> Any:
    try:
        return [event._replace(hash=None) for event in decide(state, command, now)]
    except errors.WfstoreError as error:
        return type(error)


def commands(ids: list[str]) -> list[Command]:
    made: list[Command] = []
    for name in ids:
        made += [Submit(name, _NEW, None, {}, "new"), Resume(name, "again"), Cancel(name, "c"), Delete(name, "d")]
        made += [Interrupt(name)]
    return made


def history_does_not_matter(seed: int, folder: Path) -> None:
    with real_payloads(folder):
        _history_does_not_matter(Store(folder, seed))


def _history_does_not_matter(store: Store) -> None:
    rng = store.rng
    for _ in range(rng.randint(1, 4)):
        store.go_on(rng.randint(5, 60))
        store.compact()
        store.go_on(rng.choice([0, 0, 15]))
        if rng.random() < 0.7:
            store.notice()
    store.go_on(rng.choice([0, 30]))
    whole = replay(store.simulation.log)
    ids = sorted({event.workflow_id for event in store.simulation.log if event.workflow_id} | {"none such"})
    archive = Archive(store.storage, store.log)
    archive.refresh()
    anew, memory = restored(store.storage, archive, store.log)
    for command in commands(ids):
        wanted = decided(whole, command, store.simulation.now)
        assert decided(anew, command, store.simulation.now) == wanted, command
        assert decided(store.state, command, store.simulation.now) == wanted, command
    assert not differences(answers(anew, memory, ids), expected(whole, ids))
    assert not differences(answers(store.state, store.memory, ids), expected(whole, ids))
    store.notice()
    assert not differences(answers(store.state, store.memory, ids), expected(whole, ids))
    store.writer.close()


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has ended is let go of at once."""
    monkeypatch.setattr(memory_module, "WARM_BYTES", 0)
    monkeypatch.setattr(memory_module, "ARCHIVED_BYTES", 0)


@pytest.mark.usefixtures("small_memory")
@pytest.mark.parametrize("seed", range(6))
def test_a_manager_answers_the_same_whatever_was_compacted(seed: int, tmp_path: Path) -> None:
    history_does_not_matter(seed, tmp_path / "store")


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_a_manager_answers_the_same_in_many_more_histories(seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(memory_module, "WARM_BYTES", 0)
        patch.setattr(memory_module, "ARCHIVED_BYTES", 0)
        history_does_not_matter(seed, Path(folder, "store"))
