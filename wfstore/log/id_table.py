"""A table with one row per workflow id, sorted by it: millions of rows in Arrow's memory, one of them found in
microseconds. Never changed; a newer one is put before it, and the two become one when that pays.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

ID = "workflow_id"
#: Of so many ids one is held as a Python object: a search begins with those.
_STRIDE = 64
#: A small table is joined with the next older one when that has less than so many times its rows.
_RATIO = 4
_SMALL_ROWS = 1 << 17
_MOST_LAYERS = 8


class IdTable:
    """table: sorted by `workflow_id` (large_string, as UTF-8 sorts), which is unique and never null."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table.combine_chunks()
        chunks = self.table.column(ID).chunks
        self._ids = chunks[0] if chunks else pa.array([], pa.large_string())
        _, offsets, data = self._ids.buffers()
        first = self._ids.offset
        self._offsets = memoryview(offsets or b"").cast("q")[first : first + len(self._ids) + 1]
        self._data = memoryview(data or b"")
        self._marks = [self._id(row) for row in range(0, len(self._ids), _STRIDE)]

    def __len__(self) -> int:
        return len(self._ids)

    def find(self, workflow_id: str) -> int | None:
        """The row of that id."""
        wanted = workflow_id.encode("utf-8", "surrogatepass")
        start = max(0, bisect.bisect_right(self._marks, wanted) - 1) * _STRIDE
        stop = min(start + _STRIDE, len(self._ids))
        row = bisect.bisect_left(range(stop), wanted, lo=start, key=self._id) if start < stop else stop
        return row if row < stop and self._id(row) == wanted else None

    def cell(self, row: int, column: str) -> Any:
        """One value."""
        return self.table.column(column)[row].as_py()

    def _id(self, row: int) -> bytes:
        return bytes(self._data[self._offsets[row] : self._offsets[row + 1]])


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """All rows sorted by id; of several with the same id, the one in the earliest table."""
    table = pa.concat_tables(tables).combine_chunks()
    if table.num_rows < 2:
        return table
    ids = table.column(ID).chunk(0)
    before, after = ids[:-1], ids[1:]
    if not pc.all(pc.less(before, after)).as_py():
        # Of equal ids the sort keeps the order: the earliest comes first.
        table = table.take(pc.sort_indices(ids)).combine_chunks()
        ids = table.column(ID).chunk(0)
        different = pc.not_equal(ids[1:], ids[:-1])
        if not pc.all(different).as_py():
            table = table.filter(pa.concat_arrays([pa.array([True]), different])).combine_chunks()
    return table


def layered(new: Iterable[pa.Table], old: Iterable[IdTable]) -> tuple[IdTable, ...]:
    """Few tables, newest first, out of new and old ones, each newest first. Small ones are joined with what is next to
    them and not much larger; large ones only when there are too many: sorting millions of ids takes seconds."""
    kept = {id(table.table): table for table in old}
    layers: list[list[pa.Table]] = []
    for table in (*new, *(table.table for table in old)):
        newer = _rows(layers[-1]) if layers else 0
        if layers and newer + table.num_rows <= _SMALL_ROWS and newer * _RATIO > table.num_rows:
            layers[-1].append(table)
        elif table.num_rows:
            layers.append([table])
    while len(layers) > _MOST_LAYERS:
        place = min(range(len(layers) - 1), key=lambda at: _rows(layers[at]) + _rows(layers[at + 1]))
        layers[place : place + 2] = [layers[place] + layers[place + 1]]
    made = (kept.get(id(parts[0])) if len(parts) == 1 else None for parts in layers)
    return tuple(known or IdTable(joined(parts)) for known, parts in zip(made, layers, strict=True))


def _rows(tables: Iterable[pa.Table]) -> int:
    return sum(table.num_rows for table in tables)
