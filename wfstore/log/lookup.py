"""Reads the rows of a few ids, or of none, out of history files: only row groups that may hold them, only as far as
they reach. It knows neither manifests nor checksums; a path given here was checked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_ID = "workflow_id"
#: So much is decoded at a time: of 20,000 rows with large values a few suffice.
_BATCH_BYTES, _MOST_ROWS, _FEWEST_ROWS = 1 << 20, 2048, 16
_BUFFER_BYTES = 1 << 20
_FOOTERS = 64

_Chosen = Callable[[pa.Array], pa.Array]


def rows_of(path: str, ids: Sequence[str], without: Collection[str] = ()) -> pa.Table:
    """Rows of the file whose workflow_id is one of `ids` (sorted), in the file's order, but for the columns `without`.
    Raises OSError."""
    wanted = pa.array(ids, pa.string())
    return _read(path, without, ids[0], ids[-1], lambda found: pc.is_in(found, value_set=wanted))


def rows_of_none(path: str) -> pa.Table:
    """Rows that are about no workflow. Raises OSError."""
    return _read(path, (), None, None, pc.is_null)


def _read(path: str, without: Collection[str], low: str | None, high: str | None, chosen: _Chosen) -> pa.Table:
    footer = _footer(path)
    with pq.ParquetFile(path, metadata=footer, pre_buffer=False, buffer_size=_BUFFER_BYTES) as file:
        schema = pa.schema([field for field in file.schema_arrow if field.name not in without])
        batches = []
        for group in _groups(footer, low, high):
            size = footer.row_group(group)
            rows = size.num_rows * _BATCH_BYTES // max(1, size.total_byte_size)
            rows = max(_FEWEST_ROWS, min(_MOST_ROWS, rows))
            for batch in file.iter_batches(rows, [group], schema.names, use_threads=False):
                ids = batch.column(_ID)
                first, last = ids[0].as_py(), ids[-1].as_py()
                if low is not None and (last is None or last < low):
                    continue
                if first is not None and (high is None or first > high):
                    break
                found = batch.filter(chosen(ids))
                if found.num_rows:
                    batches.append(found)
    return pa.Table.from_batches(batches, schema)


def _groups(footer: pq.FileMetaData, low: str | None, high: str | None) -> Iterator[int]:
    column = footer.schema.names.index(_ID)
    for number in range(footer.num_row_groups):
        known = footer.row_group(number).column(column).statistics
        if low is None:
            if known is None or known.null_count is None or known.null_count:
                yield number
        elif known is None or not known.has_min_max or (known.max >= low and known.min <= (high or low)):
            yield number


@lru_cache(_FOOTERS)
def _footer(path: str) -> pq.FileMetaData:
    """A file is never changed, and no name is used twice."""
    return pq.read_metadata(path)
