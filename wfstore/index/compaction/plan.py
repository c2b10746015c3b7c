"""Decides what a compaction does: which parts become one, and at which ids the rows are divided. Changes nothing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from wfstore.log import Reader
from wfstore.log.manifest import Part
from wfstore.log.reader import Extent

#: What is sorted and folded at a time, so that memory does not grow with the history.
RANGE_EVENTS = 100_000
#: A part has so many files of each kind at most, so that their number grows with the logarithm of the history.
MAX_GROUPS = 8
_GROUP_EVENTS = 1_000_000
#: So many neighbouring parts of about one size become one.
FAN_OUT = 8
_TIER_EVENTS = 131_072
#: Neighbouring rows are about few workflows, so the sample is of more rows than are kept of it.
_SAMPLE_ROWS, _SAMPLE_IDS, _MANY_EXTENTS = 8_000, 1_000, 16


def tier(part: Part) -> int:
    """0 for a small part, one more for each `FAN_OUT` times as many events."""
    return max(0, math.floor(math.log(max(part.events, 1) / _TIER_EVENTS, FAN_OUT)) + 1)


def due(parts: Sequence[Part]) -> tuple[int, int] | None:
    """Which parts, from and up to where, should become one; None when that is not due."""
    tiers = [tier(part) for part in parts]
    for level in sorted(set(tiers)):
        start = 0
        for stop in range(len(parts) + 1):
            if stop < len(parts) and tiers[stop] <= level:
                continue
            if stop - start >= FAN_OUT:
                return start, stop
            start = stop + 1
    return None


def sampled_ids(reader: Reader, extents: Iterable[Extent]) -> list[str]:
    """Workflow ids of some rows at the beginning of every extent; of many, at that of every other."""
    ids: list[str] = []
    extents = list(extents)
    for extent in extents[:: 2 if len(extents) > _MANY_EXTENTS else 1]:
        last = min(extent.first_seq + _SAMPLE_ROWS, extent.last_seq)
        column = reader.read_range(extent.first_seq, last, columns=("workflow_id",)).column("workflow_id").drop_null()
        ids += column.take(pa.array(range(0, len(column), max(1, len(column) // _SAMPLE_IDS)))).to_pylist()
    return ids


def ids_of_files(paths: Iterable[str]) -> list[str]:
    """The lowest workflow id of every row group of sorted files."""
    ids: list[str] = []
    for path in paths:
        metadata = pq.read_metadata(path)
        column = metadata.schema.names.index("workflow_id")
        for number in range(metadata.num_row_groups):
            statistics = metadata.row_group(number).column(column).statistics
            if statistics is not None and statistics.has_min_max:
                ids.append(statistics.min)
    return ids


def bounds(ids: list[str], events: int) -> list[str]:
    """Ids that divide the rows into ranges of about `RANGE_EVENTS`; ids: a sample, each weighing the same."""
    count = min(math.ceil(events / RANGE_EVENTS), len(ids))
    ordered = sorted(ids)
    return sorted({ordered[len(ordered) * number // count] for number in range(1, count)})


def groups(ranges: int, events: int) -> list[tuple[int, int]]:
    """From and up to which range the files of each group go."""
    count = math.ceil(events / _GROUP_EVENTS)
    # Two processes share the groups out: the last of an odd number is waited for.
    count = max(1, min(MAX_GROUPS, ranges, count + count % 2 if count > 1 else count))
    edges = [ranges * number // count for number in range(count + 1)]
    return list(itertools.pairwise(edges))
