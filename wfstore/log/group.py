"""Group commit for an asyncio loop: one thread commits, and whatever arrives meanwhile is the next commit.

The loop never blocks. Acknowledgements of one commit reach the loop in one call, in the order of the appends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol

from wfstore.errors import StorageError
from wfstore.model.events import Event
from wfstore.objects import is_uri
from wfstore.schema.rows import Rows, join, pack

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

#: A commit takes no further append once it holds so many bytes; the rest is the next commit.
_COMMIT_BYTES = 8 << 20
#: On object storage, where each commit is a request that costs money: a commit waits this long for more while several
#: callers append. One that is alone never waits.
_GATHER_S = 0.05


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
        self._appended_bytes = self._committed_bytes = 0
        self._closed = False
        self._gather_s = _GATHER_S if is_uri(writer.storage) else 0.0
        self._thread = threading.Thread(target=self._run, name="wfstore-commit", daemon=True)
        self._thread.start()

    @property
    def durable_seq(self) -> int:
        """Everything up to this seq is durable."""
        return self._durable_seq

    @property
    def waiting_bytes(self) -> int:
        """How much was appended and is not durable yet."""
        return self._appended_bytes - self._committed_bytes

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
        self._appended_bytes += len(rows.data)
        self._queue.put((rows, future))
        return future

    async def flushed(self) -> None:
        """Returns when everything appended before this call is durable; raises what made that impossible."""
        await self.append(())

    def close(self) -> None:
        """Commit what was appended and end the thread. Blocks for that long; safe to call again."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        queue = self._queue
        several = False
        while (first := queue.get()) is not None:
            group, size, last = [first], len(first[0].data), False
            until = time.monotonic() + self._gather_s if several else 0.0
            try:
                while size < _COMMIT_BYTES:
                    more = self._next(until)
                    if more is None:
                        last = True
                        break
                    group.append(more)
                    size += len(more[0].data)
            except Empty:
                pass
            several = len(group) > 1
            self._commit(group)
            if last:
                return

    def _next(self, until: float) -> _Waiting | None:
        """The next append that is there, or comes before `until`. Raises Empty."""
        left = until - time.monotonic() if until else 0.0
        return self._queue.get(timeout=left) if left > 0 else self._queue.get_nowait()

    def _commit(self, group: list[_Waiting]) -> None:
        rows = [waiting[0] for waiting in group]
        error: BaseException | None = None
        seq = self._durable_seq
        try:
            seq, self._durable_seq = self._writer.commit(join(rows))
        except BaseException as raised:  # the thread must go on to tell later callers the same
            error = raised
        self._committed_bytes += sum(len(each.data) for each in rows)
        try:
            self._loop.call_soon_threadsafe(_acknowledge, group, seq, error)
        except RuntimeError:
            # The loop is closed: nobody waits any more, and what was committed stays committed.
            self._closed = True


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
