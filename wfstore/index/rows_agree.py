"""Whether SQL reads the rows that are in the log, and history files hold those that the log has yet; and whether values
that stand in rows of the log are those that the rows say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from wfstore.errors import StorageError
from wfstore.index import database
from wfstore.index.catalog import folder
from wfstore.index.database import translated
from wfstore.index.tail import Index
from wfstore.log import Reader
from wfstore.log.history import HistoryFiles
from wfstore.log.manifest import HistoryFile
from wfstore.log.verify_rows import wrong_value
from wfstore.schema.history import DELETED, EVENTS, PACKS
from wfstore.schema.packing import parted

Progress = Callable[[str, int, int], None]
_WINDOW_ROWS = 50_000
_VALUES = ("type", "hash", "uri", "attributes", "payload")


class RowProblem(NamedTuple):
    """What is wrong about an event."""

    seq: int
    message: str


class RowsCompared(NamedTuple):
    """tail: rows of the log that SQL was found to have; in_both: those that history files have, too."""

    tail: int
    in_both: int
    problems: list[RowProblem]


def compare_rows(index: Index, log: Reader, history: HistoryFiles, progress: Progress) -> RowsCompared:
    """Raises the StorageError family and QueryError. What goes on to change is compared as far as it is there yet."""
    as_of, _ = index.refresh()
    history.refresh()
    problems: list[RowProblem] = []
    in_both = _compare_history(log, history, progress, problems)
    begin = history.manifest.next_seq
    seen = 0
    for first, last in _windows(begin, as_of):
        progress("comparing the log with SQL", first - begin, as_of - begin + 1)
        kept = _from_log(log, history, first, last)
        if kept is None:
            break
        shown = index.run(folder("verify")["tail_rows"], {"first_seq": first, "last_seq": last}).to_arrow_table()
        problems += _different(kept.select(shown.column_names), shown, "SQL")
        problems += _wrong_values(kept)
        seen += kept.num_rows
    return RowsCompared(seen, in_both, problems)


def _from_log(log: Reader, history: HistoryFiles, first: int, last: int) -> pa.Table | None:
    """None where a compaction has let go of them meanwhile: they are in history files by now."""
    try:
        return log.read_range(first, last)
    except StorageError:
        number = history.manifest.number
        history.refresh()
        if history.manifest.number == number and first >= history.manifest.next_seq:
            raise
        return None


def _compare_history(log: Reader, history: HistoryFiles, progress: Progress, problems: list[RowProblem]) -> int:
    """Rows that are in history files already, and in the log yet; they stay for the time of grace."""
    manifest = history.manifest
    extents = log.sealed(1) if manifest.parts else []
    begin = min((extent.first_seq for extent in extents), default=manifest.next_seq)
    seen = 0
    for first, last in _windows(begin, manifest.next_seq - 1):
        progress("comparing the log with history files", first - begin, manifest.next_seq - begin)
        rows = _from_log(log, history, first, last)
        if rows is None:
            break
        for kind, wanted in zip((EVENTS, PACKS), parted(rows), strict=True):
            problems += _compare_kind(history, kind, wanted, first, last)
        seen += rows.num_rows
    return seen


def _compare_kind(history: HistoryFiles, kind: str, wanted: pa.Table, first: int, last: int) -> Iterator[RowProblem]:
    parts = [part for part in history.manifest.parts if part.first_seq <= last and part.last_seq >= first]
    params = {"first_seq": first, "last_seq": last}
    there = _file_rows(history, [file for part in parts for file in part.of(kind)], "file_rows", params)
    if there is None:
        there = wanted.slice(0, 0)
    wanted = wanted.sort_by("seq")
    known = pc.is_in(wanted["seq"], value_set=there["seq"].combine_chunks())
    names = [name for name in wanted.column_names if name in there.column_names]
    yield from _different(wanted.filter(known).select(names), there.select(names), "history files")
    missing = wanted.filter(pc.invert(known))
    # Retention takes values out of packs, and says so in the manifest; whoever is deleted leaves both.
    if missing.num_rows and not (kind == PACKS and history.manifest.settings):
        deleted = dict(_deletions(history))
        for workflow_id, seq in zip(missing["workflow_id"].to_pylist(), missing["seq"].to_pylist(), strict=True):
            if deleted.get(workflow_id, 0) <= seq:
                yield RowProblem(seq, f"event {seq} is in the log, and not in the history files that should have it")
                return


def _deletions(history: HistoryFiles) -> Iterator[tuple[str, int]]:
    rows = _file_rows(history, history.manifest.of(DELETED), "deleted", {})
    if rows is not None:
        yield from zip(rows["workflow_id"].to_pylist(), rows["seq"].to_pylist(), strict=True)


def _file_rows(history: HistoryFiles, files: list[HistoryFile], query: str, params: dict[str, Any]) -> pa.Table | None:
    """None where there are no files."""
    paths = history.checked(files)
    if not paths:
        return None
    connection = database.connect(replacements=False, threads=1)
    with translated():
        return connection.sql(folder("verify")[query].sql, params={**params, "paths": paths}).to_arrow_table()


def _windows(first: int, last: int) -> Iterator[tuple[int, int]]:
    for start in range(first, last + 1, _WINDOW_ROWS):
        yield start, min(last, start + _WINDOW_ROWS - 1)


def _different(kept: pa.Table, shown: pa.Table, where: str) -> Iterator[RowProblem]:
    """The first row that is not the same in both, and the columns that differ in it. Both are sorted by seq."""
    shown = shown.cast(kept.schema)
    if kept.equals(shown):
        return
    ours, theirs = kept["seq"].to_pylist(), shown["seq"].to_pylist()
    if ours != theirs:
        odd = min(set(ours) ^ set(theirs), default=ours[0])
        has, lacks = ("the log", where) if odd in set(ours) else (where, "the log")
        yield RowProblem(odd, f"event {odd} is in {has} and not just so in {lacks}")
        return
    for place, seq in enumerate(ours):
        one, other = kept.slice(place, 1), shown.slice(place, 1)
        if not one.equals(other):
            names = [name for name in kept.column_names if not one[name].equals(other[name])]
            yield RowProblem(seq, f"event {seq} is not the same in the log and in {where}: {', '.join(names)}")
            return


def _wrong_values(rows: pa.Table) -> Iterator[RowProblem]:
    cells = (rows[name].to_pylist() for name in ("seq", *_VALUES))
    for seq, type_, hash_, uri, attributes, payload in zip(*cells, strict=True):
        if wrong_value(type_, None if uri else hash_, attributes, payload):
            yield RowProblem(seq, f"a value in event {seq} is not the one that its hash stands for")
