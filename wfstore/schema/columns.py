"""The Arrow schema of the log row. Columns are only ever added, at the end, nullable; never renamed or retyped."""

from __future__ import annotations

import pyarrow as pa

from wfstore.model.events import Event

TIMESTAMP = pa.timestamp("us")  # UTC without a zone: DuckDB 2.0 hands TIMESTAMPTZ out only where pytz is installed

_TYPES: dict[str, pa.DataType] = {
    "seq": pa.int64(),
    "partition": pa.int16(),
    "epoch": pa.int32(),
    "ts": TIMESTAMP,
    "ts_source": TIMESTAMP,
    "run": pa.int32(),
    "attempt": pa.int32(),
    "bytes": pa.int64(),
    "worker_pid": pa.int32(),
    "payload": pa.large_binary(),
}

#: One field per field of `Event`, in its order; what is not listed above is text.
EVENT_SCHEMA = pa.schema([pa.field(name, _TYPES.get(name, pa.string())) for name in Event._fields])
