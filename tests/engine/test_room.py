"""Back-pressure: new work waits for a slow disk and for compaction; a full disk is waited for. Without Ray."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from tests.log.events import plain
from wfstore.engine import patience, room
from wfstore.engine.room import Room
from wfstore.errors import LimitExceededError, StorageError, StorageFullError
from wfstore.log import GroupCommit, MemoryLog
from wfstore.schema.rows import Rows


class SlowLog(MemoryLog):
    """A log whose commits take as long as somebody wants."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = threading.Event()

    def commit(self, rows: Rows) -> tuple[int, int]:
        assert self.may_go_on.wait(30)
        return super().commit(rows)


def test_a_slow_disk_holds_up_who_brings_more_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "WAITING_BYTES", 3000)

    async def story() -> tuple[list[int], int, int]:
        log = SlowLog()
        commits = GroupCommit(log)
        entry = Room(lambda: commits.waiting_bytes, lambda: 0, lambda: 1)
        most = 0
        acknowledged: list[int] = []

        async def submit(number: int) -> None:
            nonlocal most
            await entry.enter()
            seq = commits.append([plain(number)._replace(name="n" * 500)])
            most = max(most, commits.waiting_bytes)
            acknowledged.append(await seq)

        submitters = [asyncio.create_task(submit(number)) for number in range(40)]
        await asyncio.sleep(0.2)
        assert acknowledged == []
        held = sum(not task.done() for task in submitters)
        log.may_go_on.set()
        await asyncio.gather(*submitters)
        commits.close()
        assert commits.waiting_bytes == 0
        return sorted(acknowledged), most, held

    acknowledged, most, held = asyncio.run(story())
    assert acknowledged == list(range(1, 41)), "each of them once, none lost"
    assert held == 40
    assert most < 3000 + 40 * 700 / 4, "those that came too early have waited outside"


def test_what_is_waited_for_may_fail() -> None:
    class FullLog(MemoryLog):
        def commit(self, rows: Rows) -> tuple[int, int]:
            raise StorageFullError("here", "no space")

    async def story() -> int:
        commits = GroupCommit(FullLog())
        with pytest.raises(StorageFullError):
            await commits.append([plain(1)])
        commits.close()
        return commits.waiting_bytes

    assert asyncio.run(story()) == 0, "and nobody waits for it any longer"


def test_a_long_tail_is_waited_for_and_then_refused() -> None:
    tail = 12
    entry = Room(lambda: 0, lambda: tail, lambda: 10, patience_s=0.2)

    async def story() -> None:
        nonlocal tail
        began = time.monotonic()
        with pytest.raises(LimitExceededError, match=r"wfstore compact.*12 events, and max_tail_events allows 10"):
            await entry.enter()
        assert time.monotonic() - began >= 0.2
        waiting = asyncio.create_task(entry.enter())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        tail = 10
        await waiting

    asyncio.run(story())


def test_waiting_for_space(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(patience, "_PAUSE_S", 0.01)
    tries = 0
    full = [True, True, False]

    def action() -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise StorageFullError("s", "no space")
        return "done"

    monkeypatch.setattr(patience, "is_full", lambda storage: full.pop(0) if full else False)
    assert patience.with_patience(str(tmp_path), action) == "done"
    assert tries == 3 and not full

    def never() -> None:
        raise StorageFullError("s", "no space")

    began = time.monotonic()
    with pytest.raises(StorageFullError):
        patience.with_patience(str(tmp_path), never, for_s=0.1)
    assert time.monotonic() - began < 10

    def other() -> None:
        raise StorageError("s", "something else")

    with pytest.raises(StorageError, match="something else"):
        patience.with_patience(str(tmp_path), other)


def test_what_is_full(tmp_path: Path) -> None:
    assert not patience.is_full(str(tmp_path))
    assert not patience.is_full("s3://bucket/prefix")
    assert not patience.is_full(str(tmp_path / "nothing"))
