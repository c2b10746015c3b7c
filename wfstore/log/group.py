"""Group commit for an asyncio loop: whatever arrives while a commit is under way is the next commit.

A thread commits, or the loop itself where that takes less than a millisecond. Acknowledgements of one commit reach the
loop in one call, in the order of the appends.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol

from wfstore.errors import StorageError
from wfstore.model.events import Event
from wfstore.schema.rows import Rows, join, pack

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

#: A commit that has lately taken less than this is made on the loop itself: waking a thread and being woken by it costs
#: as much again, and other threads run meanwhile. On a slow disk, or for many bytes, the thread does it.
_QUICK_S = 0.001
_QUICK_BYTES = 64 << 10

#: A commit takes no further append once it holds so many bytes; the rest is the next commit.
_COMMIT_BYTES = 8 << 20


class Committer(Protocol):
    """What `GroupCommit` needs of a writer: `LogWriter` and `MemoryLog` have it."""

    storage: str

    @property
    def next_seq(self) -> int: ...

    def commit(self, rows: Rows) -> tuple[int, int]: ...


_Waiting = tuple[Rows, "Future[int]"]


class GroupCommit:
    """Gathers appends from one asyncio loop into commits of `writer`. Create and use it on that loop.

    The writer stays the caller's: closing this one commits what was appended and leaves the writer open.
    """

    def __init__(self, writer: Committer) -> None:
        from asyncio import get_running_loop

        self._writer = writer
        self._loop: AbstractEventLoop = get_running_loop()
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._durable_seq = writer.next_seq - 1
        self._closed = False
        self._here: list[_Waiting] = []
        self._in_thread = 0
        self._commit_s = math.inf
        self._thread = threading.Thread(target=self._run, name="wfstore-commit", daemon=True)
        self._thread.start()

    @property
    def durable_seq(self) -> int:
        """Everything up to this seq is durable."""
        return self._durable_seq

    def append(self, events: Sequence[Event]) -> Future[int]:
        """Commit the events with the next group; the future gives the seq of the last one once they are durable.

        Appends are committed in the order of the calls, each as a whole. Raises TypeError or ValueError at once when a
        value does not fit its column (nothing of this append is written, others are not touched). The future raises
        what `LogWriter.append` raises.
        """
        return self.append_rows(pack(events))

    def append_rows(self, rows: Rows) -> Future[int]:
        """`append` for rows that were packed, and so checked, before."""
        if self._closed:
            raise StorageError(self._writer.storage, "this group commit is closed")
        future: Future[int] = self._loop.create_future()
        if self._in_thread or self._commit_s > _QUICK_S or len(rows.data) > _QUICK_BYTES:
            self._hand_over()
            self._in_thread += 1
            self._queue.put((rows, future))
            return future
        if not self._here:
            self._loop.call_soon(self._commit_here)
        self._here.append((rows, future))
        return future

    def _hand_over(self) -> None:
        """What was to be committed on the loop goes to the thread first, so that the order stays."""
        for waiting in self._here:
            self._in_thread += 1
            self._queue.put(waiting)
        self._here = []

    def _commit_here(self) -> None:
        group, self._here = self._here, []
        if group:
            _acknowledge(group, *self._commit(group))

    async def flushed(self) -> None:
        """Returns when everything appended before this call is durable; raises what made that impossible."""
        await self.append(())

    def close(self) -> None:
        """Commit what was appended and end the thread. Blocks for that long; safe to call again."""
        if not self._closed:
            self._closed = True
            self._hand_over()
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        queue = self._queue
        while (first := queue.get()) is not None:
            group, size, last = [first], len(first[0].data), False
            try:
                while size < _COMMIT_BYTES:
                    more = queue.get_nowait()
                    if more is None:
                        last = True
                        break
                    group.append(more)
                    size += len(more[0].data)
            except Empty:
                pass
            seq, error = self._commit(group)
            try:
                self._loop.call_soon_threadsafe(self._acknowledge_thread, group, seq, error)
            except RuntimeError:
                # The loop is closed: nobody waits any more, and what was committed stays committed.
                self._closed = True
            if last:
                return

    def _commit(self, group: list[_Waiting]) -> tuple[int, BaseException | None]:
        """Commit the group; (seq of its first row, what made that impossible)."""
        began = time.perf_counter()
        seq = self._durable_seq
        try:
            seq, self._durable_seq = self._writer.commit(join([waiting[0] for waiting in group]))
        except BaseException as raised:  # later callers must be told the same
            return seq, raised
        took = time.perf_counter() - began
        self._commit_s = took if self._commit_s == math.inf else (self._commit_s + took) / 2
        return seq, None

    def _acknowledge_thread(self, group: list[_Waiting], seq: int, error: BaseException | None) -> None:
        self._in_thread -= len(group)
        _acknowledge(group, seq, error)


def _acknowledge(group: list[_Waiting], first_seq: int, error: BaseException | None) -> None:
    seq = first_seq - 1
    for rows, future in group:
        seq += rows.rows
        if future.done():
            continue
        if error is None:
            future.set_result(seq)
        else:
            future.set_exception(error)
