"""What the manager needs of history files: which workflows there are, how each stands, and all events of those that
somebody asks about. The facts are as of one event, up to which the log has been taken in; `refresh` moves it on.

It reads Parquet with pyarrow alone, and writes nothing. Every method may be called from any thread, and raises
DamageError or StorageError when a file is not what was written.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wfstore.errors import StorageError
from wfstore.log.history import HistoryFiles
from wfstore.log.id_table import ID
from wfstore.log.known import DELETED_FACTS, WORKFLOW_FACTS, Entry, Known
from wfstore.log.lookup import rows_of, rows_of_none
from wfstore.log.manifest import HistoryFile, Part
from wfstore.log.places import Reader
from wfstore.model.statuses import ATTEMPT_OPEN
from wfstore.schema.columns import EVENT_SCHEMA
from wfstore.schema.history import ATTEMPTS, DELETED, EVENTS, EVENTS_SCHEMA, PACKS, PACKS_SCHEMA, WORKFLOWS
from wfstore.schema.packing import whole

_T = TypeVar("_T")
_NO_EVENTS = EVENT_SCHEMA.empty_table()
_OPEN = pa.array(sorted(ATTEMPT_OPEN), pa.string())
#: Workflows read in one go: their rows are Python values for a moment.
_AT_ONCE = 1000


class Archive:
    """The history files of the store at `storage`, and the log that goes on behind them.

    known: which workflows there are; nothing before the first `refresh`.
    """

    def __init__(self, storage: str, log: Reader) -> None:
        self.known = Known()
        self._files = HistoryFiles(storage)
        self._log = log
        self._refreshing = threading.Lock()

    def stale(self) -> bool:
        """Whether there are newer history files than those in use here."""
        return self._files.stale()

    def refresh(self) -> bool:
        """Take in what compactions have added since; whether that is anything."""
        with self._refreshing:
            self._files.refresh()
            before = self.known
            self.known = self._with_files(self._newer)
            pa.default_memory_pool().release_unused()
            return self.known is not before

    def _newer(self) -> Known:
        manifest, since = self._files.manifest, self.known.next_seq
        if manifest.next_seq == since:
            return self.known
        parts = [part for part in reversed(manifest.parts) if part.last_seq >= since]
        # What a part says about an id is over when a later one says something, or that it was deleted there.
        return self.known.with_newer(
            manifest.next_seq,
            (self._facts(part, WORKFLOWS, WORKFLOW_FACTS, "last_seq", since) for part in parts),
            (self._facts(part, DELETED, DELETED_FACTS, "seq", since) for part in parts),
        )

    def _facts(self, part: Part, kind: str, schema: pa.Schema, seq: str, since: int) -> pa.Table:
        """The rows of one kind about what happened at or after `since`."""
        tables = [schema.empty_table()]
        for path in self._files.checked(part.of(kind)):
            with pq.ParquetFile(path) as file:
                table = file.read(schema.names, use_threads=False).select(schema.names).cast(schema)
            tables.append(table if part.first_seq >= since else table.filter(pc.greater_equal(table[seq], since)))
        return pa.concat_tables(tables)

    # -- events -------------------------------------------------------------------------------------------------------

    def events(
        self, workflow_id: str, first_seq: int, last_seq: int, columns: Collection[str] | None = None
    ) -> pa.Table:
        """The events of a workflow from `first_seq` to `last_seq`, out of history files and the log, in log order.

        As a table of EVENT_SCHEMA; columns not in `columns` may be null.
        """

        def read() -> pa.Table:
            next_seq = self._files.manifest.next_seq
            tables = [self._rows([workflow_id], first_seq, min(last_seq, next_seq - 1), columns)]
            if last_seq >= next_seq:
                found = self._log.read_range(max(first_seq, next_seq), last_seq, columns)
                tables.append(found.filter(pc.equal(found[ID], workflow_id)))
            return pa.concat_tables(tables)

        return self._with_files(read)

    def histories(self, entries: Iterable[Entry], columns: Collection[str] | None = None) -> list[pa.Table]:
        """All events of these workflows out of history files, in log order within each table; each table holds some of
        the workflows whole. Columns as for `events`."""
        ordered = sorted(entries)
        slices = [ordered[start : start + _AT_ONCE] for start in range(0, len(ordered), _AT_ONCE)]
        return self._with_files(lambda: [self._history(some, columns) for some in slices])

    def _history(self, entries: Sequence[Entry], columns: Collection[str] | None) -> pa.Table:
        ids = [entry.workflow_id for entry in entries]
        first_seq, last_seq = min(entry.first_seq for entry in entries), max(entry.last_seq for entry in entries)
        found = self._rows(ids, first_seq, last_seq, columns)
        # What came before a deletion may still be there.
        begins = pa.array([entry.first_seq for entry in entries], pa.int64())
        place = pc.index_in(found[ID], value_set=pa.array(ids, pa.string()))
        return found.filter(pc.greater_equal(found["seq"], begins.take(place)))

    def left_open(self, since: int) -> list[Entry]:
        """Workflows with an attempt that has not ended; only those whose last event is `since` or later."""
        return self._with_files(lambda: list(self._left_open(since)))

    def _left_open(self, since: int) -> Iterator[Entry]:
        for part in self._files.manifest.parts:
            if part.last_seq < since:
                continue
            paths = self._files.checked(part.of(ATTEMPTS))
            for workflow_id in dict.fromkeys(found for path in paths for found in _with_open_attempt(path)):
                entry = self.known.find(workflow_id)
                # About one that went on in a later part, that one tells.
                if entry is not None and max(part.first_seq, since) <= entry.last_seq <= part.last_seq:
                    yield entry

    def of_no_workflow(self, types: Collection[str]) -> pa.Table:
        """The newest event of each of these types, which are about no workflow, in log order; without payloads."""
        return self._with_files(lambda: self._of_no_workflow(set(types)))

    def _of_no_workflow(self, types: set[str]) -> pa.Table:
        found: list[pa.Table] = []
        for part in reversed(self._files.manifest.parts):
            # They are sorted before all others.
            for path in self._files.checked(part.of(EVENTS)[:1] if types else ()):
                rows = _filled(rows_of_none(path), EVENTS_SCHEMA).sort_by([("seq", "descending")])
                for number, type_ in enumerate(rows["type"].to_pylist()):
                    if type_ in types:
                        types.discard(type_)
                        found.append(rows.slice(number, 1))
        if not found:
            return _NO_EVENTS
        return whole(pa.concat_tables(found), PACKS_SCHEMA.empty_table())

    # -- files --------------------------------------------------------------------------------------------------------

    def _rows(self, ids: Sequence[str], first_seq: int, last_seq: int, columns: Collection[str] | None) -> pa.Table:
        """Rows of sorted ids between two seqs, of EVENT_SCHEMA."""
        without = set() if columns is None else set(EVENT_SCHEMA.names) - {*columns, ID, "seq"}
        events: list[pa.Table] = []
        packs: list[pa.Table] = []
        for part in self._files.manifest.parts:
            if part.first_seq <= last_seq and part.last_seq >= first_seq:
                near = [file for file in part.files if file.kind in (EVENTS, PACKS) and _may_hold(file, ids)]
                for file, path in zip(near, self._files.checked(near), strict=True):
                    if file.kind == EVENTS:
                        events.append(_filled(rows_of(path, ids, without), EVENTS_SCHEMA))
                    else:
                        packs.append(_filled(rows_of(path, ids), PACKS_SCHEMA))
        if not events:
            return _NO_EVENTS
        found = whole(pa.concat_tables(events), pa.concat_tables([PACKS_SCHEMA.empty_table(), *packs]))
        seqs = found["seq"]
        return found.filter(pc.and_(pc.greater_equal(seqs, first_seq), pc.less_equal(seqs, last_seq)))

    def _with_files(self, read: Callable[[], _T]) -> _T:
        """What `read` gives; it is tried again where others have replaced files, or trimmed the log, meanwhile."""
        while True:
            number = self._files.manifest.number
            try:
                return read()
            except (StorageError, OSError):
                self._files.refresh()
                if self._files.manifest.number == number:
                    raise


def _may_hold(file: HistoryFile, ids: Sequence[str]) -> bool:
    if file.min_id is None or file.max_id is None:
        return False
    place = bisect.bisect_left(ids, file.min_id)
    return place < len(ids) and ids[place] <= file.max_id


def _with_open_attempt(path: str) -> Iterator[str]:
    """Ids of workflows with such an attempt, as of the file's part."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            status = file.read_row_group(group, ["status"], use_threads=False)["status"]
            still = pc.is_in(status, value_set=_OPEN)
            if pc.any(still).as_py():
                yield from file.read_row_group(group, [ID], use_threads=False)[ID].filter(still).to_pylist()


def _filled(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with these columns; those that it lacks are null."""
    have = set(table.column_names)
    columns = [
        table[field.name].cast(field.type) if field.name in have else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
