"""The log's rows as history files have them: sorted by workflow, one range of ids after the other."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from wfstore.model.events import WORKFLOW_DELETED


def sort_rows(table: pa.Table) -> pa.Table:
    """By workflow id, in log order within; rows about no workflow first."""
    if not table.num_rows:
        return table
    ids = pa.concat_arrays(table.column("workflow_id").chunks).dictionary_encode()
    ranks = np.zeros(len(ids.dictionary) + 1, np.min_scalar_type(len(ids.dictionary)))
    ranks[pc.sort_indices(ids.dictionary).to_numpy()] = np.arange(1, len(ranks))
    # The rows are in log order, or several runs of sorted ones one after the other: either way seq by seq.
    order = np.argsort(ranks[ids.indices.fill_null(len(ids.dictionary)).to_numpy()], kind="stable")
    return table.combine_chunks().take(pa.array(order))


def split(table: pa.Table, bounds: Sequence[str]) -> list[pa.Table]:
    """Sorted rows in len(bounds) + 1 ranges: ids below bounds[0] (and rows about none), then below bounds[1], ..."""
    ids = table.column("workflow_id").combine_chunks()
    cuts = [bisect.bisect_left(ids, bound, key=lambda cell: cell.as_py() or "") for bound in bounds]
    edges = [0, *cuts, table.num_rows]
    return [table.slice(start, end - start) for start, end in itertools.pairwise(edges)]


def without_deleted(table: pa.Table) -> pa.Table:
    """Rows of an id that come before it was deleted, left out; the row that says so stays."""
    is_end = pc.equal(table.column("type"), WORKFLOW_DELETED)
    if not pc.any(is_end).as_py():
        return table
    rows = pl.from_arrow(table.select(["workflow_id", "seq"]))
    ends = pl.from_arrow(table.filter(is_end).select(["workflow_id", "seq"]))
    assert isinstance(rows, pl.DataFrame) and isinstance(ends, pl.DataFrame)
    last = ends.group_by("workflow_id").agg(pl.col("seq").max().alias("end"))
    kept = rows.join(last, on="workflow_id", how="left", maintain_order="left")
    return table.filter((kept["seq"] >= kept["end"].fill_null(0)).to_arrow())
