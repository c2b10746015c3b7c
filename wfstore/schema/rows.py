"""An event as the log keeps it: one msgpack array per row, checked against the columns before it is packed.

`seq` and `epoch` are not in the row; the log knows them. Nothing that passes `pack` can fail to become Arrow later: a
row that was made durable and cannot be read would stop every reader for ever.
"""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple

import msgpack
import numpy as np
import pyarrow as pa

from wfstore.model.events import Event
from wfstore.schema.codec import events_of, from_columns
from wfstore.schema.columnar import arrays_of
from wfstore.schema.columns import EVENT_SCHEMA

#: Columns kept in a row, in this order.
STORED_COLUMNS = tuple(name for name in Event._fields if name not in ("seq", "epoch"))

_SMALL, _LARGE = 2**31, 2**63
#: Rows that become columns at a time: their objects stay in the processor's caches, which halves the time.
_CHUNK_ROWS = 4096
#: From here on columns at once are faster; of fewer rows, the calls cost more than the rows.
_MANY_ROWS = 1024
_SIGNATURES: set[tuple[type, ...]] = set()


def _expected(type_: pa.DataType) -> type:
    if pa.types.is_integer(type_) or pa.types.is_timestamp(type_):
        return int
    return bytes if pa.types.is_large_binary(type_) else str


_TYPES = {name: EVENT_SCHEMA.field(name).type for name in STORED_COLUMNS}
_EXPECTED = {name: _expected(EVENT_SCHEMA.field(name).type) for name in STORED_COLUMNS}


class Rows(NamedTuple):
    """Packed rows and how many there are."""

    data: bytes
    rows: int


def join(parts: Sequence[Rows]) -> Rows:
    """All rows, in order, as one."""
    if len(parts) == 1:
        return parts[0]
    return Rows(b"".join([data for data, _ in parts]), sum(count for _, count in parts))


def pack(events: Iterable[Event]) -> Rows:
    """The events' rows. Raises TypeError or ValueError naming the column when a value does not fit it."""
    packer = msgpack.Packer(autoreset=False)
    count = 0
    for event in events:
        row = (event[1], *event[3:])
        # Seen signatures pass with one lookup; there are only as many as there are shapes of events.
        if (signature := tuple(map(type, row))) not in _SIGNATURES:
            _check_types(row)
            _SIGNATURES.add(signature)
        _check_ranges(event)
        try:
            packer.pack(row)
        except UnicodeEncodeError as error:
            raise ValueError(f"event {event.type}: text that is not Unicode: {error}") from error
        count += 1
    return Rows(packer.bytes(), count)


def _check_types(row: tuple[Any, ...]) -> None:
    for (name, expected), value in zip(_EXPECTED.items(), row, strict=True):
        if value is not None and (not isinstance(value, expected) or isinstance(value, bool)):
            raise TypeError(f"event column {name} takes {expected.__name__}, not {type(value).__name__}")


def _check_ranges(event: Event) -> None:
    for value in (event.run, event.attempt, event.worker_pid):
        if value is not None and not -_SMALL <= value < _SMALL:
            raise ValueError(f"event {event.type}: {value} does not fit 32 bits (run, attempt, worker_pid)")
    if not -_LARGE <= event.ts < _LARGE or not -32768 <= event.partition < 32768:
        raise ValueError(f"event {event.type}: ts {event.ts} or partition {event.partition} out of range")
    for value in (event.ts_source, event.bytes):
        if value is not None and not -_LARGE <= value < _LARGE:
            raise ValueError(f"event {event.type}: {value} does not fit 64 bits (ts_source, bytes)")


def unpack(data: bytes, count: int) -> Sequence[tuple[Any, ...]]:
    """`count` rows out of their bytes, which must have been verified. Raises ValueError when there are others."""
    rows: Sequence[tuple[Any, ...]] = msgpack.unpackb(b"\xdd" + count.to_bytes(4, "big") + data, use_list=False)
    return rows


class Block(NamedTuple):
    """Consecutive rows of one segment: their bytes, the columns they hold, and what the log knows about them.

    first_seq, rows: of all rows in `data`; skip, drop: rows at its start and end that were not asked for
    """

    columns: tuple[str, ...]
    epoch: int
    first_seq: int
    rows: int
    data: bytes
    skip: int = 0
    drop: int = 0

    def trimmed(self, skip: int, drop: int) -> Block:
        """Without the first `skip` and the last `drop` rows, which a frame that is only half asked for brings along."""
        return self._replace(skip=self.skip + skip, drop=self.drop + drop)

    @property
    def kept(self) -> int:
        """Rows left after trimming."""
        return self.rows - self.skip - self.drop

    def values(self, wanted: Collection[str] | None = None) -> dict[str, Iterable[Any]]:
        """Column name -> values, unknown columns included; restricted to `wanted`."""
        return self._columns(unpack(self.data, self.rows), wanted)

    def _columns(self, rows: Sequence[tuple[Any, ...]], wanted: Collection[str] | None) -> dict[str, Iterable[Any]]:
        if not all(type(row) is tuple for row in rows):
            raise ValueError("bytes that are not those of rows")
        if self.kept < self.rows:
            rows = rows[self.skip : self.rows - self.drop]
        cells = zip(*rows, strict=True) if rows else ((),) * len(self.columns)
        columns = dict(zip(self.columns, cells, strict=True))
        first = self.first_seq + self.skip
        values: dict[str, Iterable[Any]] = {"seq": range(first, first + self.kept), **columns}
        values["epoch"] = (self.epoch,) * self.kept
        return values if wanted is None else {name: value for name, value in values.items() if name in wanted}

    def batches(self, wanted: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """As record batches of `EVENT_SCHEMA`. Raises ValueError where the bytes are not those of so many rows."""
        runs = None
        if self.rows >= _MANY_ROWS:
            types = [_TYPES.get(name) if wanted is None or name in wanted else None for name in self.columns]
            runs = arrays_of(self.data, self.rows, types, self.skip, self.drop)
        if runs is None:
            yield from self._batches_by_row(wanted)
            return
        first = self.first_seq + self.skip
        for rows, arrays in runs:
            columns: dict[str, Any] = {"seq": np.arange(first, first + rows)}
            columns |= {name: array for name, array in zip(self.columns, arrays, strict=True) if array is not None}
            columns["epoch"] = np.full(rows, self.epoch, np.int32)
            yield from_columns(columns, rows, wanted)
            first += rows

    def _batches_by_row(self, wanted: Collection[str] | None) -> Iterator[pa.RecordBatch]:
        if self.rows <= _CHUNK_ROWS:
            yield from_columns(self.values(wanted), self.kept)
            return
        unpacker = msgpack.Unpacker(use_list=False, max_buffer_size=0)
        unpacker.feed(self.data)
        first, rows = self.first_seq, islice(unpacker, self.rows)
        while some := list(islice(rows, _CHUNK_ROWS)):
            skip = max(0, self.first_seq + self.skip - first)
            drop = max(0, first + len(some) - (self.first_seq + self.rows - self.drop))
            if skip + drop < len(some):
                part = self._replace(first_seq=first, rows=len(some), skip=skip, drop=drop)
                yield from_columns(part._columns(some, wanted), part.kept)
            first += len(some)
        if first != self.first_seq + self.rows or unpacker.tell() != len(self.data):
            raise ValueError(f"{len(self.data)} bytes that are not those of {self.rows} rows")

    def events(self, wanted: Collection[str] | None = None) -> Iterator[Event]:
        """As events; columns not `wanted` keep their field's default."""
        return events_of(self.values(wanted), self.kept)


def table_of(blocks: Iterable[Block], wanted: Collection[str] | None = None) -> pa.Table:
    """One table of `EVENT_SCHEMA` over all blocks; columns not `wanted` are null."""
    with _collector_paused():
        batches = [batch for block in blocks if block.kept > 0 for batch in block.batches(wanted)]
    return pa.Table.from_batches(batches, schema=EVENT_SCHEMA)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Of thousands of tuples none is in a cycle, and looking for some takes as long as all the rest."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
