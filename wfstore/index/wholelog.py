"""The event log from its first event on, in log order, wherever the events lie by now: history files, then the log.

Rows out of history files come without payloads, and without a hash that was left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import pyarrow as pa

from wfstore.errors import StorageError
from wfstore.index import database
from wfstore.index.catalog import folder
from wfstore.index.database import translated
from wfstore.log import Cursor, Reader, open_reader
from wfstore.log.history import HistoryFiles
from wfstore.log.manifest import Part
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
        self._stream: tuple[int, Iterator[pa.Table]] | None = None

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
        """The next rows of the part that the cursor is in; none, and the cursor behind it, where it has no more."""
        if self._stream is None or self._stream[0] != cursor.next_seq:
            self._stream = cursor.next_seq, self._rows_from(cursor.next_seq)
        while (table := next(self._stream[1], None)) is not None:
            if table.num_rows:
                following = table.column("seq")[-1].as_py() + 1
                self._stream = following, self._stream[1]
                return table, Cursor(following)
        self._stream = None
        return self.log.read(Cursor(self._history.manifest.next_seq))

    def _rows_from(self, seq: int) -> Iterator[pa.Table]:
        for part in self._history.manifest.parts:
            if part.last_seq < seq or not part.events:
                continue
            connection = database.connect(replacements=False, threads=1)
            database.run(connection, f"SET memory_limit = '{_MEMORY}'")
            params = {"paths": self._paths([part]), "first_seq": seq, "last_seq": part.last_seq}
            with translated():
                relation = connection.sql(folder("store")["seqs"].sql, params=params)
                for batch in relation.to_arrow_reader(_BATCH_ROWS):
                    yield conform(pa.Table.from_batches([batch]))


def _meets(part: Part, first_seq: int, last_seq: int) -> bool:
    return part.first_seq <= last_seq and part.last_seq >= first_seq
