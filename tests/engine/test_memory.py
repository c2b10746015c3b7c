"""Workflows that were let go of come back one caller after the other, in a thread, and only when they are asked for."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from wfstore.engine.memory import Memory, Place
from wfstore.engine.recovery import restored
from wfstore.errors import DamageError
from wfstore.index.compaction import compact
from wfstore.log import LogReader, open_writer
from wfstore.log.archive import Archive
from wfstore.model import events as ev
from wfstore.model.events import Event
from wfstore.model.state import State, WorkflowState
from wfstore.model.wire import dumps


class Watched(Memory):
    """Says which workflows were read, and on which thread; a disk takes its time."""

    def __init__(self, storage: str, archive: Archive) -> None:
        super().__init__(storage, archive)
        self.reads: list[str] = []
        self.on_loop = 0

    def read(self, place: Place) -> WorkflowState:
        self.reads.append(place.workflow_id)
        self.on_loop += threading.current_thread() is threading.main_thread()
        time.sleep(0.03)
        return super().read(place)


@pytest.fixture
def memory(tmp_path: Path) -> Watched:
    """Of a store whose workflows a and b are in history files."""
    storage = str(tmp_path)
    writer = open_writer(storage)
    for name in "ab":
        facts = dumps({"output_task": "t"})
        writer.append(
            [
                Event(ts=1, type=ev.WORKFLOW_SUBMITTED, workflow_id=name, status="PENDING", attributes=facts),
                Event(ts=2, type=ev.WORKFLOW_CANCELED, workflow_id=name, status="CANCELED"),
            ]
        )
    writer.close()
    open_writer(storage).close()
    compact(storage, workers=1, grace_s=0)
    archive = Archive(storage, LogReader(storage))
    archive.refresh()
    return Watched(storage, archive)


@pytest.fixture
def state(memory: Watched) -> State:
    found, _ = restored("", memory.archive, LogReader(memory._storage))
    assert not found.workflows
    found.past = memory
    return found


def test_callers_get_in_in_the_order_in_which_they_came(memory: Watched, state: State) -> None:
    order: list[int] = []

    async def caller(number: int, workflow_id: str) -> None:
        async with memory.present(state, workflow_id):
            order.append(number)
            assert workflow_id == "none" or state.workflows[workflow_id].status == "CANCELED"

    async def run() -> None:
        tasks = [asyncio.create_task(caller(number, "a")) for number in range(3)]
        tasks.append(asyncio.create_task(caller(3, "none")))
        while 0 not in order:
            await asyncio.sleep(0)
        tasks.append(asyncio.create_task(caller(4, "a")))  # it is there by now, and others still wait for their turn
        await asyncio.gather(*tasks)

    asyncio.run(run())
    assert order == [3, 0, 1, 2, 4]  # nobody waits for what is not there
    assert memory.reads == ["a"]
    assert memory.on_loop == 0


def test_a_status_brings_nothing_back(memory: Watched, state: State) -> None:
    assert [memory.status(state, name) for name in ("a", "b", "c")] == ["CANCELED", "CANCELED", None]
    assert asyncio.run(memory.listed(state, {"CANCELED"})) == [("a", "CANCELED"), ("b", "CANCELED")]
    assert memory.reads == []
    assert not state.workflows


def test_whoever_cannot_wait_is_quicker(memory: Watched, state: State) -> None:
    async def run() -> WorkflowState | None:
        async def caller() -> None:
            async with memory.present(state, "a"):
                pass

        task = asyncio.create_task(caller())
        await asyncio.sleep(0.005)
        found = state.find("a")
        await task
        return found

    assert asyncio.run(run()) is state.workflows["a"]
    assert memory.reads == ["a", "a"]


def test_what_cannot_be_read_is_told_to_each(memory: Watched, state: State, tmp_path: Path) -> None:
    for path in (tmp_path / "history").glob("events-*"):
        path.write_bytes(path.read_bytes()[:-1])

    async def caller() -> None:
        async with memory.present(state, "a"):
            raise AssertionError("it cannot be there")

    async def run() -> list[BaseException | None]:
        return list(await asyncio.gather(caller(), caller(), return_exceptions=True))

    assert [type(error) for error in asyncio.run(run())] == [DamageError, DamageError]
    assert memory.status(state, "a") == "CANCELED"
