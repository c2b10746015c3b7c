"""An event as the log keeps it: one msgpack array per row, checked against the columns before it is packed.

`seq` and `epoch` are not in the row; the log knows them. Nothing that passes `pack` can fail to become Arrow later: a
row that was made durable and cannot be read would stop every reader for ever.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgpack
import pyarrow as pa

from wfstore.model.events import Event
from wfstore.schema.codec import events_of, from_columns
from wfstore.schema.columns import EVENT_SCHEMA

#: Columns kept in a row, in this order.
STORED_COLUMNS = tuple(name for name in Event._fields if name not in ("seq", "epoch"))

_SMALL, _LARGE = 2**31, 2**63
_SIGNATURES: set[tuple[type, ...]] = set()


def _expected(type_: pa.DataType) -> type:
    if pa.types.is_integer(type_) or pa.types.is_timestamp(type_):
        return int
    return bytes if pa.types.is_large_binary(type_) else str


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
        rows = unpack(self.data, self.rows)
        if self.kept < self.rows:
            rows = rows[self.skip : self.rows - self.drop]
        cells = zip(*rows, strict=True) if rows else ((),) * len(self.columns)
        columns = dict(zip(self.columns, cells, strict=True))
        first = self.first_seq + self.skip
        values: dict[str, Iterable[Any]] = {"seq": range(first, first + self.kept), **columns}
        values["epoch"] = (self.epoch,) * self.kept
        return values if wanted is None else {name: value for name, value in values.items() if name in wanted}

    def batch(self, wanted: Collection[str] | None = None) -> pa.RecordBatch:
        """As a record batch of `EVENT_SCHEMA`."""
        return from_columns(self.values(wanted), self.kept)

    def events(self, wanted: Collection[str] | None = None) -> Iterator[Event]:
        """As events; columns not `wanted` keep their field's default."""
        return events_of(self.values(wanted), self.kept)


def table_of(blocks: Iterable[Block], wanted: Collection[str] | None = None) -> pa.Table:
    """One table of `EVENT_SCHEMA` over all blocks; columns not `wanted` are null."""
    return pa.Table.from_batches([block.batch(wanted) for block in blocks if block.kept > 0], schema=EVENT_SCHEMA)
