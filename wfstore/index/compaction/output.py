"""Writes the Parquet files of one range of ids of a part. They lie in a work folder until they are published."""

from __future__ import annotations

import os
import secrets
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wfstore.log import failpoints
from wfstore.log.manifest import HistoryFile
from wfstore.schema.history import EVENTS, KINDS, PACKS

#: A point question decodes one row group of each file that it opens.
_ROW_GROUP_ROWS, _ROW_GROUP_BYTES = 20_480, 16 << 20
#: Higher levels are slower, and the files no smaller.
_COMPRESSION_LEVEL = 1
_CRC_BYTES = 1 << 20
_LATEST = 2**62
AS_OF = "as_of"
_ID = "workflow_id"


class Output:
    """Takes rows of every kind, in the order of their ids, and makes one file of each kind that has any."""

    def __init__(self, folder: str, label: str, group: int = 0) -> None:
        """folder: where the files come to lie; label: for their names, such as the seqs of the part."""
        self._folder, self._label, self._group = folder, label, group
        self._open: dict[str, _File] = {}

    def write(self, kind: str, rows: pa.Table) -> None:
        """Rows of `kind` that come after all those it was given before."""
        if rows.num_rows == 0:
            return
        if kind not in self._open:
            name = f"{kind}-{self._label}-{self._group}-{secrets.token_hex(4)}.parquet"
            self._open[kind] = _File(kind, os.path.join(self._folder, name), rows.schema)
        self._open[kind].write(rows)

    def close(self) -> list[HistoryFile]:
        """What was written; the files are whole, not durable."""
        return [file.close(self._group) for file in self._open.values()]


class _File:
    def __init__(self, kind: str, path: str, schema: pa.Schema) -> None:
        self._kind, self._path = kind, path
        self._schema = pa.schema([pa.field(field.name, _plain(field.type)) for field in schema])
        self._writer = pq.ParquetWriter(path, self._schema, **_options(kind, self._schema))
        self._rows = 0
        self._held: list[pa.Table] = []
        self._held_rows = self._held_bytes = 0
        self._lowest: str | None = None
        self._highest: str | None = None
        self._first_ts, self._last_ts = _LATEST, -_LATEST

    def write(self, rows: pa.Table) -> None:
        extent = pc.min_max(rows["workflow_id"]).as_py()
        self._lowest = extent["min"] if self._lowest is None else self._lowest
        self._highest = extent["max"] or self._highest
        if self._kind == EVENTS:
            moments = pc.min_max(rows["ts"].cast(pa.int64())).as_py()
            self._first_ts = min(self._first_ts, moments["min"])
            self._last_ts = max(self._last_ts, moments["max"])
        self._rows += rows.num_rows
        if nobodys := rows[_ID].null_count:
            # They come first. In a row group of their own, for the same reason for which there are no statistics.
            self._hold(rows.slice(0, nobodys))
            self._flush(whole_groups=False)
            rows = rows.slice(nobodys)
        self._hold(rows)

    def _hold(self, rows: pa.Table) -> None:
        if not rows.num_rows:
            return
        self._held.append(rows.cast(self._schema))
        self._held_rows += rows.num_rows
        self._held_bytes += rows.nbytes
        if self._held_rows >= _ROW_GROUP_ROWS:
            self._flush(whole_groups=self._held_bytes * _ROW_GROUP_ROWS < _ROW_GROUP_BYTES * self._held_rows)
        elif self._held_bytes >= _ROW_GROUP_BYTES:
            self._flush(whole_groups=False)

    def close(self, group: int) -> HistoryFile:
        self._flush(whole_groups=False)
        self._writer.close()
        failpoints.hit(failpoints.FILE_WRITTEN)
        crc, size = _crc(self._path)
        name = os.path.basename(self._path)
        times = (self._first_ts, self._last_ts) if self._kind == EVENTS else (None, None)
        return HistoryFile(name, self._kind, size, crc, self._rows, group, self._lowest, self._highest, *times)

    def _flush(self, *, whole_groups: bool) -> None:
        if not self._held_rows:
            return
        table = pa.concat_tables(self._held)
        count = table.num_rows - table.num_rows % _ROW_GROUP_ROWS if whole_groups else table.num_rows
        # Large values make a row group of few rows: one of them is not to cost the decoding of all the others.
        few = count * _ROW_GROUP_BYTES // max(self._held_bytes, 1)
        self._writer.write_table(table.slice(0, count), row_group_size=max(1, min(_ROW_GROUP_ROWS, few)))
        # A copy: a slice would keep the whole range of ids that it comes from.
        rest = table.take(pa.array(np.arange(count, table.num_rows)))
        self._held_bytes = rest.nbytes
        self._held, self._held_rows = ([rest] if rest.num_rows else []), rest.num_rows


def _options(kind: str, schema: pa.Schema) -> dict[str, Any]:
    entry = KINDS[kind]
    delta = [name for name in (*entry.delta, AS_OF) if name in schema.names]
    dictionary = [name for name in schema.names if name not in (*delta, *entry.split, *entry.plain)]
    return {
        "compression": "zstd",
        "compression_level": _COMPRESSION_LEVEL,
        "use_dictionary": [_leaf(schema, name) for name in dictionary],
        # DuckDB 2.0 takes a whole row group for NULL (WHERE x IS NULL) where a column of text without a dictionary has
        # nulls and statistics that name one value. Such columns hardly ever prune anything.
        "write_statistics": [_leaf(schema, name) for name in schema.names if name == _ID or name not in entry.plain],
        "column_encoding": dict.fromkeys(delta, "DELTA_BINARY_PACKED")
        | dict.fromkeys(entry.split, "BYTE_STREAM_SPLIT"),
        "bloom_filter_options": {"workflow_id": {"ndv": 4096, "fpp": 0.01}} if kind in (EVENTS, PACKS) else None,
        "sorting_columns": _sorting(kind, schema),
        "version": "2.6",
    }


def _leaf(schema: pa.Schema, name: str) -> str:
    """A list's values have a path of their own in Parquet."""
    return f"{name}.list.element" if pa.types.is_list(schema.field(name).type) else name


def _sorting(kind: str, schema: pa.Schema) -> Sequence[pq.SortingColumn] | None:
    if any(pa.types.is_nested(field.type) for field in schema):
        return None  # positions would be those of leaves
    return [pq.SortingColumn(schema.names.index(name), nulls_first=True) for name in KINDS[kind].sort]


def _plain(type_: pa.DataType) -> pa.DataType:
    """Types that every reader of Parquet knows."""
    if isinstance(type_, pa.BaseExtensionType):
        type_ = type_.storage_type
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return pa.string()
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return pa.list_(_plain(type_.value_type))
    return type_


def _crc(path: str) -> tuple[int, int]:
    crc = size = 0
    with open(path, "rb", buffering=0) as file:
        while data := file.read(_CRC_BYTES):
            crc = zlib.crc32(data, crc)
            size += len(data)
    return crc, size
