"""The log without a disk: writer and reader in one, for tests of whatever stands on a log. It passes the same contract.

Nothing outlives the process. Rows go through the same packing, so that what a disk would refuse is refused here too.
"""

from __future__ import annotations

import bisect
import threading
import uuid
from collections.abc import Collection, Iterator, Sequence

import pyarrow as pa

from wfstore.errors import FencedError, StorageError, WfstoreError
from wfstore.log.cursor import Cursor
from wfstore.log.lease import Lease
from wfstore.model.events import Event
from wfstore.schema.rows import STORED_COLUMNS, Block, Rows, pack, table_of


class MemoryLog:
    """`LogWriter` and `LogReader` of a log in memory. `successor()` is what a second `open_writer` is on disk."""

    def __init__(self, storage: str = "memory", *, _former: MemoryLog | None = None) -> None:
        self.storage = storage
        self._blocks: list[Block] = [] if _former is None else _former._blocks
        self._shared_lock: threading.Lock = threading.Lock() if _former is None else _former._shared_lock
        self.epoch: int = 1 if _former is None else _former.epoch + 1
        self.store_id: str = uuid.uuid4().hex if _former is None else _former.store_id
        self._failure: WfstoreError | None = None
        self._lease: Lease | None = None

    def successor(self) -> MemoryLog:
        """Claim the next epoch of the same log; this writer is fenced from here on and still reads."""
        with self._shared_lock:
            following = MemoryLog(self.storage, _former=self)
            self._failure = FencedError(self.storage, f"epoch {following.epoch} was claimed")
            return following

    @property
    def next_seq(self) -> int:
        return self._blocks[-1].first_seq + self._blocks[-1].rows if self._blocks else 1

    def append(self, events: Sequence[Event]) -> tuple[int, int]:
        """As `LogWriter.append`."""
        return self.commit(pack(events))

    def commit(self, rows: Rows) -> tuple[int, int]:
        """As `LogWriter.commit`."""
        with self._shared_lock:
            if self._failure is not None:
                raise self._failure
            first = self.next_seq
            if rows.rows:
                self._blocks.append(Block(STORED_COLUMNS, self.epoch, first, rows.rows, rows.data))
            return first, first + rows.rows - 1

    def close(self) -> None:
        """No further append; what is there can be read."""
        with self._shared_lock:
            if self._failure is None:
                self._failure = StorageError(self.storage, "this writer is closed")

    def read(self, cursor: Cursor | None = None, max_bytes: int | None = None) -> tuple[pa.Table, Cursor]:
        """As `LogReader.read`."""
        cursor = cursor or Cursor()
        blocks, more = self._since(cursor.next_seq), False
        if max_bytes is not None:
            taken = 0
            for count, block in enumerate(blocks, 1):
                if (taken := taken + len(block.data)) >= max_bytes:
                    blocks, more = blocks[:count], True
                    break
        next_seq = blocks[-1].first_seq + blocks[-1].rows if blocks else cursor.next_seq
        return table_of(blocks), Cursor(next_seq, more=more)

    def events(self, cursor: Cursor | None = None, columns: Collection[str] | None = None) -> Iterator[Event]:
        """As `LogReader.events`."""
        for block in self._since((cursor or Cursor()).next_seq):
            yield from block.events(columns)

    def read_range(self, first_seq: int, last_seq: int, columns: Collection[str] | None = None) -> pa.Table:
        """As `LogReader.read_range`."""
        blocks = [
            block.trimmed(0, max(0, block.first_seq + block.rows - 1 - last_seq))
            for block in self._since(max(1, first_seq))
            if block.first_seq <= last_seq
        ]
        return table_of(blocks, columns)

    def lease(self) -> Lease | None:
        """As `LogReader.lease`; what `set_lease` was given."""
        return self._lease

    def set_lease(self, lease: Lease | None) -> None:
        """What `write_lease` and `remove_lease` are on disk."""
        self._lease = lease

    def _since(self, seq: int) -> list[Block]:
        blocks = list(self._blocks)
        place = max(0, bisect.bisect_right(blocks, seq, key=lambda block: block.first_seq) - 1)
        kept = blocks[place:]
        if kept and kept[0].first_seq + kept[0].rows <= seq:
            return kept[1:]
        if kept and kept[0].first_seq < seq:
            kept[0] = kept[0].trimmed(seq - kept[0].first_seq, 0)
        return kept
