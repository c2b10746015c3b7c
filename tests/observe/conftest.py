"""A store that grows, and a manager that is only as much of one as observers need: real state, no Ray."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.index.worlds import World, lease
from tests.model.histories import Simulation
from wfstore import WorkflowObservability, errors
from wfstore.engine.changes import Changes
from wfstore.log import MemoryLog, open_writer, write_lease
from wfstore.model.commands import Cancel, Delete, Place, RecordProgress, RecordStarted, Resume
from wfstore.model.events import Event
from wfstore.model.progress import Progress

PLACE = Place(1, "node", 7, "ray")


class Lean(World):
    """A world without an index: the store has one."""

    def __init__(self) -> None:
        self.simulation = Simulation()
        self.log = MemoryLog()
        self._written = 0


class Stage:
    """A world whose events go to a store on disk, with a manager that may be there, gone, or another one."""

    def __init__(self, storage: str) -> None:
        self.storage = storage
        self.world = Lean()
        self.writer = open_writer(storage)
        self.committed = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.down = False
        self.epoch = 0
        self.asked: list[str] = []
        self.start()
        write_lease(storage, lease())

    def start(self) -> None:
        """A manager begins, the next one after the one before."""
        self.epoch += 1
        self.changes = Changes(self.epoch, self.world.simulation.state)
        self.down = False

    def commit(self) -> list[Event]:
        """What the world decided since goes into the log; then the manager notes it."""
        new = self.world.simulation.log[self.committed :]
        self.committed += len(new)
        if new:
            self.writer.append(new)
            self.loop.call_soon_threadsafe(self.changes.note, new)
        return new

    def do(self, command: Any) -> None:
        self.world.do(command)
        self.commit()

    def begin(self, task_id: str, workflow_id: str = "w") -> tuple[str, int, str, int]:
        (key,) = [o for o in self.world.simulation.open_attempts() if (o[0], o[2]) == (workflow_id, task_id)]
        self.do(RecordStarted(*key, PLACE))
        return key

    def says(self, key: tuple[str, int, str, int], progress: Progress) -> None:
        """The worker of an attempt reports."""
        self.loop.call_soon_threadsafe(self.changes.reports.said, key, PLACE, progress)

    def logs(self, key: tuple[str, int, str, int], progress: Progress) -> None:
        self.do(RecordProgress(*key, progress, PLACE))

    def rest(self) -> None:
        """Answers that were made are shared no longer."""
        time.sleep(max(0.0, self.changes._next_at - self.loop.time()))

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        self.writer.close()

    # -- as a link to the manager -------------------------------------------------------------------------------------

    def ask(self, method: str, *args: Any, timeout_s: float = 5.0) -> Any:
        self.asked.append(method)
        if self.down:
            raise errors.ManagerLostError(self.storage, "gone")
        if method == "changes":
            return asyncio.run_coroutine_threadsafe(self.changes.wait(*args), self.loop).result(timeout_s)
        if method == "live":
            return self.changes.live(*args)
        if method == "status":
            return self.world.simulation.state.workflows[args[0]].status
        assert method == "describe"
        return {}

    def cancel(self, workflow_id: str, by: str | None = None, request_id: str | None = None) -> None:
        self.do(Cancel(workflow_id, request_id, by))

    def delete(self, workflow_id: str, by: str | None = None, request_id: str | None = None) -> None:
        self.do(Delete(workflow_id, request_id, by))

    def rerun(self, workflow_id: str, by: str | None = None, request_id: str | None = None) -> str:
        return f"again-{workflow_id}"

    def resumption(
        self, workflow_id: str, code: str = "stored", by: str | None = None, request_id: str | None = None
    ) -> Resume:
        return Resume(workflow_id, request_id, by)

    def order(self, command: Any) -> Any:
        self.do(command)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(str(tmp_path / "store"))
    yield stage
    stage.close()


@pytest.fixture
def live(stage: Stage) -> WorkflowObservability:
    """Observes it with a way to the manager."""
    return WorkflowObservability(stage.storage, manager=stage)


@pytest.fixture
def stored(stage: Stage) -> WorkflowObservability:
    """Observes it without."""
    return WorkflowObservability(stage.storage, live=False)
