"""The units of work of a compaction. Each is a plain function over plain values, so that it runs in this process or,
where there is much to do, in one of its own: `python -m wfstore.index.compaction.tasks` takes them as JSON lines.
"""

from __future__ import annotations

import base64
import gc
import itertools
import json
import os
import pickle
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import cache, partial
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from wfstore.errors import StorageError
from wfstore.index.compaction.fold import Folder
from wfstore.index.compaction.output import Output
from wfstore.index.compaction.rewrite import Rewriter
from wfstore.index.compaction.rows import sort_rows, split, without_deleted
from wfstore.log import open_reader
from wfstore.log.history import HistoryFiles
from wfstore.log.manifest import HistoryFile
from wfstore.schema.history import EVENTS, PACKS
from wfstore.schema.packing import for_folds, parted


class Target(NamedTuple):
    """Where a group of files goes: work folder, seqs of the part, number of the group."""

    folder: str
    first_seq: int
    last_seq: int
    group: int

    def output(self) -> Output:
        return Output(self.folder, f"{self.first_seq:012d}-{self.last_seq:012d}", self.group)


def read_rows(storage: str, first_seq: int, last_seq: int) -> pa.Table:
    """The log's rows of these seqs, sorted."""
    rows = open_reader(storage).read_range(first_seq, last_seq)
    if rows.num_rows != last_seq - first_seq + 1:
        raise StorageError(storage, f"of the events {first_seq} to {last_seq} the log gave only {rows.num_rows}")
    return sort_rows(rows)


def sort_run(storage: str, first_seq: int, last_seq: int, bounds: Sequence[str], path: str) -> int:
    """Write the log's rows of these seqs to `path`, one batch for each range of ids; returns how many there are."""
    rows = read_rows(storage, first_seq, last_seq)
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
        for part in split(rows, bounds):
            batches = part.combine_chunks().to_batches()
            writer.write_batch(batches[0] if batches else pa.RecordBatch.from_pylist([], schema=rows.schema))
    return int(rows.num_rows)


def fold_runs(
    storage: str, runs: Sequence[str], ranges: Sequence[int], target: Sequence[Any], threads: int = 1
) -> list[dict[str, Any]]:
    """Make the files of one group of a new part out of sorted runs: the ranges of ids number ranges[0] to ranges[1]."""
    return _fold(storage, _ranges_of(runs, ranges), Target(*target), threads)


def _ranges_of(runs: Sequence[str], ranges: Sequence[int]) -> Iterable[pa.Table]:
    with ExitStack() as opened:
        readers = [pa.ipc.open_file(opened.enter_context(pa.OSFile(path, "rb"))) for path in runs]
        for number in range(*ranges):
            # Not kept in a variable: rows that were used are not to lie beside the next ones.
            yield sort_rows(pa.Table.from_batches([reader.get_batch(number) for reader in readers]))
            pa.default_memory_pool().release_unused()


def fold_log(
    storage: str, first_seq: int, last_seq: int, target: Sequence[Any], threads: int = 1
) -> list[dict[str, Any]]:
    """Make the files of a small part, in one group, out of the log."""
    return _fold(storage, [read_rows(storage, first_seq, last_seq)], Target(*target), threads)


def _fold(storage: str, ranges: Iterable[pa.Table], target: Target, threads: int) -> list[dict[str, Any]]:
    output, folder, history = target.output(), Folder(threads), _history(storage)
    older = [file for part in history.manifest.parts if part.last_seq < target.first_seq for file in part.of(EVENTS)]
    for events, packs in map(parted, filter(len, ranges)):
        ids = pc.min_max(events["workflow_id"]).as_py()
        near = [file for file in older if ids["min"] is not None and file.may_hold_between(ids["min"], ids["max"])]
        for kind, facts in folder.facts(for_folds(events), target.last_seq, partial(history.checked, near)):
            output.write(kind, facts)
        kept = without_deleted(events)
        output.write(EVENTS, kept)
        output.write(PACKS, packs if kept is events else _of_kept(packs, kept))
        # Before the next range is read.
        del events, packs, kept
    return [asdict(file) for file in output.close()]


def _of_kept(packs: pa.Table, kept: pa.Table) -> pa.Table:
    return packs.filter(pc.is_in(packs["seq"], value_set=kept["seq"].combine_chunks()))


def rewrite(
    storage: str,
    files: Sequence[dict[str, Any]],
    bounds: Sequence[str | None],
    target: Sequence[Any],
    dead: Sequence[tuple[str, int]] = (),
    no_payloads: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Make the files of one group out of files that exist: ids from bounds[0] to below bounds[-1], None: no limit.

    dead: (id, seq): nothing about the id from before the seq is taken along; no_payloads: ids that lose their packs.
    """
    to = Target(*target)
    inputs = [HistoryFile(**file) for file in files]
    history = _history(storage)
    rewriter = Rewriter(inputs, history.checked, dead, no_payloads)
    output = to.output()
    for low, high in itertools.pairwise(bounds):
        for kind, rows in rewriter.rows(low, high, to.last_seq):
            output.write(kind, rows)
    return [asdict(file) for file in output.close()]


def _history(storage: str) -> HistoryFiles:
    history = HistoryFiles(storage)
    history.refresh()
    return history


_TASKS: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (sort_run, fold_runs, fold_log, rewrite)
}


@cache
def _quiet() -> None:
    """A bystander: whoever runs workflows on this machine comes first."""
    os.nice(10)


def run(name: str, arguments: dict[str, Any]) -> Any:
    """One unit of work in this process."""
    return _TASKS[name](**arguments)


def main() -> None:
    """Take units of work as JSON lines from standard input; answer each with a line: what came of it, or why not.

    The first line is the storage, pickled by the process that started this one, in base64.
    """
    _quiet()
    pa.set_cpu_count(1)
    # What is imported stays: nothing is to look through it for garbage again and again.
    gc.freeze()
    pickle.loads(base64.b64decode(sys.stdin.readline()))
    for line in sys.stdin:
        task = json.loads(line)
        try:
            said = {"answer": run(task["name"], task["arguments"])}
        except Exception as error:  # the next unit of work may be a better one
            said = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
