"""Group commit: order, gathering, failure, and the end."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from tests.log.events import plain, plains
from wfstore.errors import FencedError, StorageError
from wfstore.log import GroupCommit, LogReader, MemoryLog, open_writer
from wfstore.schema.rows import Rows


class SlowLog(MemoryLog):
    """Commits when it is allowed to, and remembers how many rows each commit had."""

    def __init__(self) -> None:
        super().__init__()
        self.allowed = threading.Semaphore(0)
        self.entered = threading.Event()
        self.commits: list[int] = []

    def commit(self, rows: Rows) -> tuple[int, int]:
        self.entered.set()
        self.allowed.acquire()
        self.commits.append(rows.rows)
        return super().commit(rows)


def test_many_writers(tmp_path: Path) -> None:
    async def main() -> list[int]:
        writer = open_writer(str(tmp_path / "store"))
        group = GroupCommit(writer)

        async def one(name: int) -> list[int]:
            return [await group.append([plain(name * 100 + number)]) for number in range(20)]

        seqs = await asyncio.gather(*(one(name) for name in range(64)))
        assert all(own == sorted(own) for own in seqs)
        assert group.durable_seq == 64 * 20
        group.close()
        writer.close()
        return [seq for own in seqs for seq in own]

    seqs = asyncio.run(main())
    assert sorted(seqs) == list(range(1, 64 * 20 + 1))
    by_seq = {event.seq: event.task_id for event in LogReader(str(tmp_path / "store")).events()}
    assert [by_seq[seq] for seq in seqs] == [f"t{name * 100 + n}" for name in range(64) for n in range(20)]
    assert len((tmp_path / "store" / "log" / "seg-00000001-000001.wfl").read_bytes().split(b"\xf5WFE")) < 400


def test_what_arrives_during_a_commit_is_the_next_commit() -> None:
    async def main() -> None:
        log = SlowLog()
        group = GroupCommit(log)
        first = group.append([plain(0)])
        await asyncio.to_thread(log.entered.wait)
        rest = [group.append(plains(number, 2)) for number in range(5)]
        flushed = asyncio.ensure_future(group.flushed())
        # Its append is only made when the loop turns; later, it would be a commit of its own, of no rows.
        await asyncio.sleep(0)
        log.allowed.release(2)
        assert await first == 1
        assert await asyncio.gather(*rest) == [3, 5, 7, 9, 11]
        await flushed
        assert log.commits == [1, 10]
        group.close()

    asyncio.run(main())


def test_flushed_waits_for_what_came_before_it() -> None:
    async def main() -> None:
        log = SlowLog()
        group = GroupCommit(log)
        group.append([plain(0)])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(group.flushed(), 0.05)
        log.allowed.release(3)
        await group.flushed()
        assert (group.durable_seq, log.next_seq) == (1, 2)
        group.close()

    asyncio.run(main())


def test_a_bad_value_fails_only_its_own_append() -> None:
    async def main() -> None:
        log = MemoryLog()
        group = GroupCommit(log)
        good = group.append([plain(0)])
        with pytest.raises(TypeError):
            group.append([plain(1)._replace(run="x")])
        assert await good == 1
        assert await group.append([plain(2)]) == 2
        group.close()

    asyncio.run(main())


def test_a_failure_reaches_everybody_and_lasts() -> None:
    async def main() -> None:
        log = MemoryLog()
        group = GroupCommit(log)
        await group.append([plain(0)])
        log.successor()
        results = await asyncio.gather(*(group.append([plain(n)]) for n in range(3)), return_exceptions=True)
        assert {type(result) for result in results} == {FencedError}
        with pytest.raises(FencedError):
            await group.flushed()
        assert group.durable_seq == 1
        group.close()

    asyncio.run(main())


def test_close_commits_what_was_appended() -> None:
    async def main() -> None:
        log = MemoryLog()
        group = GroupCommit(log)
        futures = [group.append([plain(number)]) for number in range(10)]
        group.close()
        group.close()
        assert log.next_seq == 11
        assert await asyncio.gather(*futures) == list(range(1, 11))
        with pytest.raises(StorageError, match="closed"):
            group.append([plain(11)])

    asyncio.run(main())


def test_a_canceled_waiter_is_still_committed() -> None:
    async def main() -> None:
        log = SlowLog()
        group = GroupCommit(log)
        canceled, other = group.append([plain(0)]), group.append([plain(1)])
        canceled.cancel()
        log.allowed.release(2)
        assert await other == 2
        group.close()

    asyncio.run(main())
