"""The event log from its first event on, in log order, wherever the events lie by now: history files, then the log.

Rows out of history files come without payloads, and without a hash that was left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from wfstore.errors import DamageError, StorageError
from wfstore.index import database
from wfstore.index.catalog import folder
from wfstore.index.database import translated
from wfstore.log import Cursor, Reader, open_reader
from wfstore.log.history import HistoryFiles
from wfstore.log.manifest import Manifest, Part
from wfstore.schema.codec import conform
from wfstore.schema.history import EVENTS

_BATCH_ROWS = 16_384
#: Sorting a large part by seq goes to disk beyond this.
_MEMORY = "400MB"


class WholeLog:
    """What `LogReader` is for the log alone. For one thread at a time: it remembers where it is in a part."""

    def __init__(self, reader: Reader, history: HistoryFiles) -> None:
        self.log, self.storage = reader, reader.storage
        self._history = history
        self._stream: _Stream | None = None

    @classmethod
    def at(cls, storage: str) -> WholeLog:
        """That of a store. Raises what `LogReader` raises."""
        return cls(open_reader(storage), HistoryFiles(storage))

    @property
    def log_begins(self) -> int:
        """Seq of the first event that history files do not hold."""
        self._history.refresh()
        return self._history.manifest.next_seq

    def read(self, cursor: Cursor | None = None, max_bytes: int | None = None) -> tuple[pa.Table, Cursor]:
        """As `LogReader.read`."""
        cursor = cursor or Cursor()
        if cursor.next_seq < self._history.manifest.next_seq:
            return self._from_files(cursor)
        try:
            return self.log.read(cursor, max_bytes)
        except StorageError:
            # A segment that history files hold by now goes away after its time of grace.
            if cursor.next_seq >= self.log_begins:
                raise
        return self._from_files(cursor)

    def read_range(self, first_seq: int, last_seq: int, columns: Collection[str] | None = None) -> pa.Table:
        """As `LogReader.read_range`."""
        begins = self.log_begins
        tables = []
        if first_seq < begins:
            paths = self._paths(part for part in self._history.manifest.parts if _meets(part, first_seq, last_seq))
            if paths:
                connection = database.connect(replacements=False, threads=1)
                params = {"paths": paths, "first_seq": first_seq, "last_seq": last_seq}
                with translated():
                    tables.append(conform(connection.sql(folder("store")["seqs"].sql, params=params).to_arrow_table()))
        if last_seq >= begins:
            tables.append(self.log.read_range(max(first_seq, begins), last_seq, columns))
        return pa.concat_tables(tables) if tables else self.log.read_range(1, 0)

    def _paths(self, parts: Iterator[Part] | Sequence[Part]) -> list[str]:
        return self._history.checked(file for part in parts for file in part.of(EVENTS))

    def _from_files(self, cursor: Cursor) -> tuple[pa.Table, Cursor]:
        """The next rows of the part that the cursor is in; where files have no more, what comes behind them."""
        if self._stream is None or self._stream.next_seq != cursor.next_seq:
            manifest = self._history.manifest
            self._stream = _Stream(cursor.next_seq, manifest.next_seq, self._rows_from(manifest, cursor.next_seq))
        stream = self._stream
        try:
            table = next((table for table in stream.tables if table.num_rows), None)
        except DamageError:
            self._stream = None
            # Files that a newer manifest does without go away after their time of grace.
            if not self._history.refresh():
                raise
            return self.read(cursor)
        if table is None:
            self._stream = None
            # There may be a newer manifest by now, which holds more than this one did.
            return self.read(Cursor(stream.ends))
        stream.next_seq = table.column("seq")[-1].as_py() + 1
        return table, Cursor(stream.next_seq, more=True)

    def _rows_from(self, manifest: Manifest, seq: int) -> Iterator[pa.Table]:
        for part in manifest.parts:
            if part.last_seq < seq or not part.events:
                continue
            connection = database.connect(replacements=False, threads=1)
            database.run(connection, f"SET memory_limit = '{_MEMORY}'")
            params = {"paths": self._paths([part]), "first_seq": seq, "last_seq": part.last_seq}
            with translated():
                relation = connection.sql(folder("store")["seqs"].sql, params=params)
                for batch in relation.to_arrow_reader(_BATCH_ROWS):
                    yield conform(pa.Table.from_batches([batch]))


@dataclass
class _Stream:
    """Events of one manifest's files, on the way from `next_seq` to before `ends`."""

    next_seq: int
    ends: int
    tables: Iterator[pa.Table]


def _meets(part: Part, first_seq: int, last_seq: int) -> bool:
    return part.first_seq <= last_seq and part.last_seq >= first_seq
