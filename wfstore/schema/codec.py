"""Events to Arrow and back: one schema for every reader, whatever version wrote the rows.

It knows nothing of files. How a row is kept in a segment is `wfstore.schema.rows`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Any

import pyarrow as pa

from wfstore.model.events import Event
from wfstore.schema.columns import EVENT_SCHEMA

#: Builds an Event from an iterable of exactly its fields, without a Python frame per event.
make_event = partial(tuple.__new__, Event)

_TYPES = [field.type for field in EVENT_SCHEMA]
_NAMES = Event._fields
_SEQ, _EPOCH = _NAMES.index("seq"), _NAMES.index("epoch")
_STRUCT = pa.struct(list(EVENT_SCHEMA))
#: Below this many rows one conversion of dictionaries beats one conversion per column (31 against 63 us for one row).
_FEW_ROWS = 16
_BATCH_ROWS = 8192


def encode(events: Sequence[Event], first_seq: int, epoch: int) -> pa.RecordBatch:
    """The events as a record batch of `EVENT_SCHEMA`, numbered from `first_seq` and stamped with `epoch`.

    Raises TypeError or ValueError (pyarrow's subclasses) when a value does not fit its column.
    """
    count = len(events)
    if count < _FEW_ROWS:
        rows = [dict(zip(_NAMES, event, strict=True)) for event in events]
        for seq, row in enumerate(rows, first_seq):
            row["seq"], row["epoch"] = seq, epoch
        return pa.RecordBatch.from_struct_array(pa.array(rows, _STRUCT))
    columns: list[Iterable[Any]] = list(zip(*events, strict=True))
    columns[_SEQ] = range(first_seq, first_seq + count)
    columns[_EPOCH] = [epoch] * count
    return from_columns(dict(zip(_NAMES, columns, strict=True)), count)


def from_columns(
    columns: Mapping[str, Iterable[Any]], count: int, wanted: Collection[str] | None = None
) -> pa.RecordBatch:
    """Columns of plain values (times as integers) as a record batch of `EVENT_SCHEMA` in its order.

    Unknown names are left out, missing ones are null, and so are those not `wanted`.
    """
    arrays = []
    for name, type_ in zip(_NAMES, _TYPES, strict=True):
        values = columns.get(name) if wanted is None or name in wanted else None
        arrays.append(pa.nulls(count, type_) if values is None else pa.array(values, type_))
    return pa.RecordBatch.from_arrays(arrays, schema=EVENT_SCHEMA)


def to_events(data: pa.Table | pa.RecordBatch, columns: Collection[str] | None = None) -> Iterator[Event]:
    """The rows as events. Columns not in `columns` keep the default of their field."""
    table = pa.Table.from_batches([data]) if isinstance(data, pa.RecordBatch) else data
    if table.num_rows == 0:
        return
    present = [n for n in _NAMES if n in table.column_names and (columns is None or n in columns)]
    # Thousands of chunks of a row or two cost more than one copy.
    table = table.select(present).combine_chunks()
    for start in range(0, table.num_rows, _BATCH_ROWS):
        part = table.slice(start, _BATCH_ROWS)
        values = {name: _values(part.column(name)) for name in present}
        yield from events_of(values, part.num_rows)


def events_of(columns: Mapping[str, Iterable[Any]], count: int) -> Iterator[Event]:
    """Columns of plain values as `count` events; a missing column keeps the default of its field."""
    defaults = Event._field_defaults
    ordered = [columns.get(name, repeat(defaults[name], count)) for name in _NAMES]
    return map(make_event, zip(*ordered, strict=True))


def _values(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        # As integers: a datetime costs five times as much and is not what an Event holds.
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    values: list[Any] = column.to_pylist()
    return values


def conform(table: pa.Table) -> pa.Table:
    """An older or newer version's table brought to `EVENT_SCHEMA`: missing columns null, unknown ones left out."""
    if table.schema.equals(EVENT_SCHEMA):
        return table
    present = set(table.column_names)
    columns = [
        table.column(field.name).cast(field.type) if field.name in present else pa.nulls(table.num_rows, field.type)
        for field in EVENT_SCHEMA
    ]
    return pa.table(columns, schema=EVENT_SCHEMA)
