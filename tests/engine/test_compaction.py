"""The manager has its log compacted by itself, and lets go of what history files hold; nobody notices."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

import wfstore
from tests.engine.conftest import MakeWorld
from tests.engine.world import World, eventually, names
from wfstore import errors, workflow
from wfstore.engine import compaction
from wfstore.engine.compaction import Compactions
from wfstore.index.compaction import compact
from wfstore.log import LogReader, open_writer
from wfstore.log.archive import Archive
from wfstore.log.manifest import read_manifest
from wfstore.model import events as ev
from wfstore.model.events import Event
from wfstore.model.wire import dumps


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is due at once."""
    monkeypatch.setattr(compaction, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(compaction, "DUE_AT_START_BYTES", 1)
    monkeypatch.setattr(compaction, "DUE_BYTES", 1)


def write(storage: str, workflow_id: str) -> None:
    """One workflow that is submitted and canceled, in a segment that is sealed when another is written."""
    writer = open_writer(storage)
    facts = dumps({"output_task": "t"})
    submitted = Event(ts=1, type=ev.WORKFLOW_SUBMITTED, workflow_id=workflow_id, status="PENDING", attributes=facts)
    writer.append([submitted, Event(ts=2, type=ev.WORKFLOW_CANCELED, workflow_id=workflow_id, status="CANCELED")])
    writer.close()


def watch(storage: str, until: Callable[[Archive, Compactions], bool]) -> list[int]:
    """Let it run until then; up to where the archive knew the log whenever it was told that there is more."""
    log = LogReader(storage)
    archive = Archive(storage, log)
    told: list[int] = []

    async def run() -> None:
        compactions = Compactions(storage, log, archive, lambda: told.append(archive.known.next_seq))
        task = asyncio.create_task(compactions.run())
        deadline = time.monotonic() + 20
        while not until(archive, compactions):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        compactions.stop()
        task.cancel()

    asyncio.run(run())
    return told


@pytest.mark.usefixtures("hasty")
def test_what_is_sealed_goes_to_history_files(tmp_path: Path) -> None:
    storage = str(tmp_path)
    for name in "abc":
        write(storage, name)
    assert watch(storage, lambda archive, _: archive.known.next_seq > 1) == [5]
    assert read_manifest(storage).next_seq == 5


@pytest.mark.usefixtures("hasty")
def test_a_failure_is_told_once_and_tried_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compaction, "_AGAIN_S", 0.05)
    monkeypatch.setattr(compaction, "_PROGRAM", "raise ValueError('on purpose')")
    for name in "ab":
        write(str(tmp_path), name)
    tried: list[object] = []

    class Counted(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            tried.append(args)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(subprocess, "Popen", Counted)
    with caplog.at_level(logging.WARNING, logger="wfstore.compaction"):
        assert watch(str(tmp_path), lambda archive, _: len(tried) >= 3) == []
    assert [record.message.count("ValueError: on purpose") for record in caplog.records] == [1]


@pytest.mark.usefixtures("hasty")
def test_it_can_be_switched_off_and_others_do_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WFSTORE_COMPACTION", "off")
    storage = str(tmp_path)
    for name in "ab":
        write(storage, name)
    looked = 0

    def until(archive: Archive, _: Compactions) -> bool:
        nonlocal looked
        looked += 1
        if looked == 20:
            assert read_manifest(storage).number == 0
            compact(storage, workers=1)
        return archive.known.next_seq > 1

    assert watch(storage, until) == [3]


@workflow.task
def add(left: int, right: int) -> int:
    return left + right


@workflow.task
def fails_without(path: str) -> str:
    return Path(path).read_text()


@workflow.virtual_actor
class Counter:
    def __init__(self, value: int) -> None:
        self.value = value

    def incr(self) -> int:
        self.value += 1
        return self.value


@pytest.mark.ray
def test_whatever_has_ended_is_answered_for_out_of_history_files(make_world: MakeWorld) -> None:
    world = make_world()
    key = world.file("key")
    assert workflow.run(add.bind(add.bind(1, 2), 3), workflow_id="sum", metadata={"k": 1}) == 6
    assert workflow.run(add.bind(1, 1), workflow_id="gone") == 2
    workflow.delete("gone")
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(fails_without.bind(str(key)), workflow_id="failed")
    counter: Any = Counter.get_or_create("counter", 10)  # type: ignore[attr-defined]
    assert ray.get(counter.incr.run_async()) == 11
    listed = workflow.list_all()
    kill_manager(world)  # the next one goes on in another segment
    compact(world.storage, workers=1)
    assert read_manifest(world.storage).number > 0
    assert workflow.list_all() == listed
    kill_manager(world)

    assert workflow.list_all() == listed
    assert names(workflow.list_all("FAILED")) == ["failed"]
    assert workflow.get_status("sum") == "SUCCESSFUL"
    assert world.call("live")[2] == []  # none of this has brought a workflow back
    with pytest.raises(workflow.WorkflowNotFoundError):
        workflow.get_status("gone")
    first = workflow.list_tasks("sum")[0]["task_id"]
    assert workflow.get_output("sum", task_id=first) == 3
    assert workflow.get_metadata("sum")["user_metadata"] == {"k": 1}
    assert workflow.run(add.bind(0, 0), workflow_id="sum") == 6
    key.write_text("opened")
    assert workflow.resume("failed") == "opened"
    counter = workflow.get_actor("counter")
    assert ray.get(counter.incr.run_async()) == 12
    assert workflow.run(add.bind(5, 5), workflow_id="gone") == 10
    workflow.delete("sum")
    with pytest.raises(errors.WorkflowNotFoundError):
        workflow.get_output("sum")
    found = wfstore.open(world.storage, live=False).sql(
        "SELECT workflow_id, status, attempts FROM workflows ORDER BY 1"
    )
    assert found.fetchall() == [("counter", "SUCCESSFUL", 3), ("failed", "SUCCESSFUL", 2), ("gone", "SUCCESSFUL", 1)]


def kill_manager(world: World) -> None:
    """Ray starts the next one."""
    pid = world.describe()["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: world.describe()["pid"] != pid, "there is another manager", timeout_s=60)
