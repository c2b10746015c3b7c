"""Checks the history files of a store: each against what the newest manifest says of it, and what is in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wfstore.errors import DamageError, StorageVersionError
from wfstore.log.blobs import WORK_PREFIX, Blobs
from wfstore.log.history import difference
from wfstore.log.manifest import (
    HISTORY_DIRECTORY,
    HistoryFile,
    Manifest,
    Part,
    history_blobs,
    manifest_name,
    manifest_number,
    manifests,
    newest_number,
    parse_manifest,
    read_manifest,
)
from wfstore.log.verify_group import EVENT_COLUMNS, PACK_COLUMNS, GroupCheck, Payloads, batches
from wfstore.log.verify_report import HISTORY, Problem, Progress, silent
from wfstore.schema.history import DELETED, EVENTS, PACKS

#: Of so many seqs at a time it is seen whether one is there twice.
_WINDOW_SEQS = 4_000_000
_NEEDED = {EVENTS: EVENT_COLUMNS, PACKS: PACK_COLUMNS}


#: Setting of a manifest: what retention has done to values. See `wfstore.index.retention.Dropped`.
VALUES_DROPPED = "payloads_dropped"


#: What to do with a file's name: it gives the path of the bytes as they are stored, on this machine.
Fetch = Callable[[str], str]
#: Opens a room for the files of one part, and closes it with them.
Room = Callable[[], AbstractContextManager[Fetch]]


class Found(NamedTuple):
    """manifest: None where it cannot be read; payloads: files that events here name; left_behind: files that nobody
    needs, such as those of a compaction that was killed."""

    manifest: Manifest | None
    problems: list[Problem]
    payloads: Payloads
    left_behind: list[str]
    files: int = 0
    events: int = 0


def check_history(storage: str, store_id: str | None, progress: Progress = silent, room: Room | None = None) -> Found:
    """Look at every history file. store_id: None where it is not known; room: where files have to be fetched to.

    Raises StorageVersionError, StorageError.
    """
    blobs = history_blobs(storage)
    while True:
        number = newest_number(blobs)
        found = _Check(storage, blobs, store_id, progress, room or (lambda: nullcontext(blobs.local))).run()
        # What a compaction replaced meanwhile may have gone away.
        if not found.problems or newest_number(blobs) == number:
            return found


class _Check:
    def __init__(self, storage: str, blobs: Blobs, store_id: str | None, progress: Progress, room: Room) -> None:
        self._storage, self._blobs, self._store_id = storage, blobs, store_id
        self._progress, self._room = progress, room
        self._problems: list[Problem] = []
        self._payloads = Payloads()
        self._part: Part | None = None
        self._events = 0

    def run(self) -> Found:
        try:
            manifest = read_manifest(self._storage, self._blobs)
        except DamageError as error:
            message = error.message.partition(f"at byte {error.offset}: ")[2]
            self._problems.append(Problem(error.path, 0, message, kind=HISTORY, concerns="all history files"))
            return Found(None, self._problems, self._payloads, [])
        if manifest.number and self._store_id is not None and manifest.store_id != self._store_id:
            self._problem(manifest_name(manifest.number), f"the manifest is of another store ({manifest.store_id})")
        self._payloads = Payloads(manifest.settings.get(VALUES_DROPPED, {}).get("ended_before", 0))
        count, done = sum(len(part.files) for part in manifest.parts), 0
        for part in manifest.parts:
            with self._room() as fetch:
                self._part = part
                self._check_part(manifest, part, fetch, done, count)
            done += len(part.files)
        left = self._left_behind(manifest)
        return Found(manifest, self._problems, self._payloads, left, count, self._events)

    def _problem(self, name: str, message: str, file: HistoryFile | None = None) -> None:
        part = self._part
        concerns = "" if part is None else _concerns(part, file)
        since_seq, since_us = (None, None) if part is None else (part.first_seq, _beginning(part))
        path = os.path.join(self._storage, HISTORY_DIRECTORY, name)
        found = Problem(path, 0, message, False, HISTORY, concerns, since_seq, since_us)
        self._problems.append(found)

    def _check_part(self, manifest: Manifest, part: Part, fetch: Fetch, done: int, count: int) -> None:
        sound: dict[int, dict[str, tuple[HistoryFile, str]]] = {}
        damaged: dict[int, set[str]] = {}
        for number, file in enumerate(part.files, done):
            self._progress("checking history files", number, count)
            path = fetch(file.name)
            if (reason := difference(path, file) or _shape(path, file)) is not None:
                self._problem(file.name, reason, file)
                damaged.setdefault(file.group, set()).add(file.kind)
            else:
                sound.setdefault(file.group, {})[file.kind] = file, path
                self._events += file.rows if file.kind == EVENTS else 0
        self._check_count(manifest, part)
        for number, files in sound.items():
            group = GroupCheck(part, files, self._of_file, self._payloads, damaged.get(number, ()))
            self._guarded(files, group.run)
        self._check_seqs(part, [files[EVENTS] for files in sound.values() if EVENTS in files])

    def _guarded(self, files: dict[str, tuple[HistoryFile, str]], check: Callable[[], None]) -> None:
        """A file with the right checksum that is no Parquet file was never one."""
        try:
            check()
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            names = ", ".join(file.name for file, _ in files.values())
            self._problem("", f"one of {names} cannot be read: {error}")

    def _of_file(self, file: HistoryFile, message: str) -> None:
        self._problem(file.name, message, file)

    def _check_count(self, manifest: Manifest, part: Part) -> None:
        name = manifest_name(manifest.number)
        rows = sum(file.rows for file in part.of(EVENTS))
        span = part.last_seq - part.first_seq + 1
        what = f"of the events {part.first_seq} to {part.last_seq}"
        if rows != part.events:
            self._problem(name, f"{what} it counts {part.events}, and its files {rows}")
        if rows > span or (rows < span and not manifest.of(DELETED)):
            self._problem(name, f"{what} there are {rows}, and nothing was deleted")

    def _check_seqs(self, part: Part, files: Iterable[tuple[HistoryFile, str]]) -> None:
        """No event is there twice."""
        for start in range(part.first_seq, part.last_seq + 1, _WINDOW_SEQS):
            chunks: list[pa.Array] = []
            for _, path in files:
                for rows in batches(path, ["seq"]):
                    seqs = rows["seq"]
                    inside = pc.and_(pc.greater_equal(seqs, start), pc.less(seqs, start + _WINDOW_SEQS))
                    chunks += seqs.filter(inside).chunks
            there = pa.chunked_array(chunks, pa.int64())
            if pc.count_distinct(there).as_py() != len(there):
                twice = pc.value_counts(there)
                seq = twice.filter(pc.greater(twice.field("counts"), 1)).field("values")[0].as_py()
                self._problem("", f"the event {seq} is more than once in the part {part.first_seq} to {part.last_seq}")

    def _left_behind(self, manifest: Manifest) -> list[str]:
        """Files that neither this manifest names nor an older one, which its readers may still use."""
        named = {file.name for file in manifest.files}
        for number, _ in manifests(self._blobs):
            data = self._blobs.read(manifest_name(number)) if number != manifest.number else None
            if data is not None:
                try:
                    named |= {file.name for file in parse_manifest(self._storage, number, data).files}
                except (DamageError, StorageVersionError):
                    continue  # it was replaced: nobody reads it, and the next compaction removes it
        left = [blob.name for blob in self._blobs.names() if blob.name not in named]
        return [*(name for name in left if manifest_number(name) is None), *self._work_folders()]

    def _work_folders(self) -> list[str]:
        folder = os.path.join(self._storage, HISTORY_DIRECTORY)
        names = os.listdir(folder) if os.path.isdir(folder) else []
        return sorted(name for name in names if name.startswith(WORK_PREFIX))


def _shape(path: str, file: HistoryFile) -> str | None:
    """What is wrong with the Parquet file as such."""
    try:
        with pq.ParquetFile(path) as opened:
            rows, schema = opened.metadata.num_rows, opened.schema_arrow
    except (pa.ArrowException, OSError) as error:
        return f"this is not a Parquet file: {error}"
    if rows != file.rows:
        return f"it has {rows} rows, the manifest says {file.rows}"
    if missing := [name for name in _NEEDED.get(file.kind, ("workflow_id",)) if name not in schema.names]:
        return f"it has no column {', '.join(missing)}"
    return None


def _concerns(part: Part, file: HistoryFile | None) -> str:
    what = f"events {part.first_seq} to {part.last_seq}"
    if file is None or file.min_id is None:
        return what
    of = f"workflows {file.min_id!r} to {file.max_id!r}, of {what}"
    return of if file.kind == EVENTS else f"{file.kind} of {of}"


def _beginning(part: Part) -> int | None:
    return min((file.min_ts for file in part.of(EVENTS) if file.min_ts is not None), default=None)
