"""Stores to be damaged: copies of one with history files of every kind, and ways to make its manifest lie."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import wfstore
from tests.compaction.stores import Pair, planned, real_payloads, stir, views
from tests.model.histories import random_history
from wfstore.log.manifest import (
    HISTORY_DIRECTORY,
    HistoryFile,
    Manifest,
    Part,
    history_blobs,
    manifest_name,
    publish_manifest,
    read_manifest,
)
from wfstore.schema.history import EVENTS, KINDS

#: A history with all kinds of files in several parts and groups.
_SEED, _STEPS = 10, 60


def make(root: Path, seed: int = _SEED) -> Pair:
    """A store whose log goes on behind its history files; `expected` is what its views say.

    seed: of the history; not every one has all kinds of files.
    """
    root.mkdir(exist_ok=True)
    plan = planned(range_events=20, group_events=25, fan_out=8, part_events=60)
    with plan, real_payloads(root / "store"):
        simulation = random_history(seed, 0)
        stir(simulation, _STEPS)
        pair = Pair(root, 600)
        rest = len(simulation.log) * 3 // 4
        for start in range(0, rest, 7):
            pair.append(simulation.log[start : min(start + 7, rest)])
        pair.reopen()
        pair.compact(purge=False)
        for start in range(rest, len(simulation.log), 7):
            pair.append(simulation.log[start : start + 7])
    pair.close()
    assert {file.kind for file in manifest(pair).files} == set(KINDS)
    pair.expected = views(wfstore.open(pair.plain))
    return pair


def copy(pair: Pair, root: Path) -> Pair:
    shutil.copytree(pair.path, root / "store")
    return pair.at(root / "store")


def manifest(pair: Pair) -> Manifest:
    return read_manifest(str(pair.path))


def path_of(pair: Pair, file: HistoryFile | str) -> Path:
    return pair.path / HISTORY_DIRECTORY / (file if isinstance(file, str) else file.name)


def manifest_path(pair: Pair) -> Path:
    return path_of(pair, manifest_name(manifest(pair).number))


def say(pair: Pair, **changes: Any) -> None:
    """Let the newest manifest say something else, with the right checksum."""
    found = manifest(pair)
    path_of(pair, manifest_name(found.number)).unlink()
    assert publish_manifest(history_blobs(str(pair.path)), replace(found, **changes))


def say_of_file(pair: Pair, file: HistoryFile, **changes: Any) -> None:
    """Let the newest manifest say something else about a file."""

    def told(part: Part) -> Part:
        files = tuple(replace(each, **changes) if each.name == file.name else each for each in part.files)
        return replace(part, files=files)

    say(pair, parts=tuple(map(told, manifest(pair).parts)))


def rewritten(pair: Pair, file: HistoryFile, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change the rows of a file and let the manifest say that this is how it should be."""
    path = path_of(pair, file)
    table = change(pq.read_table(path))
    pq.write_table(table, path)
    data = path.read_bytes()
    say_of_file(pair, file, bytes=len(data), crc=zlib.crc32(data), rows=table.num_rows)
    if file.kind == EVENTS:
        parts = manifest(pair).parts
        say(pair, parts=tuple(replace(p, events=sum(each.rows for each in p.of(EVENTS))) for p in parts))


def largest(pair: Pair, kind: str) -> HistoryFile:
    return max(manifest(pair).of(kind), key=lambda file: file.rows)
