"""One compaction: takes in what is sealed, merges small parts, leaves out what was deleted, sweeps away what nobody
needs. Any number may run at once: of two that publish, one wins, and the other starts from what the first has made.
"""

from __future__ import annotations

import bisect
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any

from wfstore.errors import StorageError
from wfstore.index.compaction import plan
from wfstore.index.compaction.dead import dead_since, packs_of
from wfstore.index.compaction.sweep import Swept, sweep
from wfstore.index.compaction.workers import Task, Workers
from wfstore.index.retention import Dropped
from wfstore.log import failpoints, now_us, open_reader, store_id
from wfstore.log._files import translated
from wfstore.log.history import HistoryFiles
from wfstore.log.manifest import (
    HistoryFile,
    Manifest,
    Part,
    history_blobs,
    newest_number,
    publish_manifest,
    read_manifest,
)
from wfstore.log.reader import Extent
from wfstore.schema.history import DELETED, EVENTS, FACTS_SCHEMA, KINDS, PACKS

#: One new part takes in so much of the log at most; its sorted runs lie in a work folder meanwhile.
_PART_EVENTS, _PART_BYTES = 16_000_000, 4 << 30
#: Up to here a part is made in one go, in memory.
_SMALL_EVENTS, _SMALL_BYTES = 150_000, 40 << 20
GRACE_S = 600.0
Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class Compacted:
    """What a compaction did. events: taken in from the log, as `parts` new parts; merged: old parts that became fewer;
    purged: groups of files written anew without what was deleted; payload_files: values that only those needed;
    bytes_before, bytes_after: what the files of each kind take, as in `Store.stats`."""

    events: int = 0
    parts: int = 0
    merged: int = 0
    purged: int = 0
    payload_files: int = 0
    bytes_before: dict[str, int] = field(default_factory=dict)
    bytes_after: dict[str, int] = field(default_factory=dict)
    removed: Swept = field(default_factory=Swept)


class _LostError(Exception):
    """Somebody else published first."""


def compact(
    storage: str,
    *,
    grace_s: float = GRACE_S,
    workers: int | None = None,
    purge: bool = True,
    progress: Progress = lambda what, done, total: None,
) -> Compacted:
    """Take every segment that is sealed by now into history files, merge and clean up. Returns what was done.

    grace_s: what is replaced stays so long for those who read it; workers: processes, None: one for each of 2 cores;
    purge: also write files anew for the sake of what was deleted; progress: told (what is done, how much, of how much).
    Raises the StorageError family: then nothing is lost, and the next compaction goes on.
    """
    said = Compacted()
    with translated(storage, "compacting"), Workers(storage, workers) as pool:
        job = _Compaction(storage, pool, progress, said)
        # What is sealed meanwhile is for the next one: a writer may be faster than this.
        last_seq = job.last_sealed()
        while job.once(last_seq, purge):
            pass
    said.removed = sweep(storage, grace_s)
    return said


def drop_payloads(
    storage: str,
    chosen: Callable[[], Collection[str]],
    dropped: Callable[[int], Dropped],
    *,
    grace_s: float = GRACE_S,
    workers: int | None = None,
    progress: Progress = lambda what, done, total: None,
) -> int:
    """Leave the values of workflows out of all pack files; returns of how many.

    chosen: their ids, asked again before anything counts: what was resumed meanwhile keeps its values. dropped: what to
    say about it in the manifest whose files end before the given seq.
    """
    said = Compacted()
    with translated(storage, "compacting"), Workers(storage, workers) as pool:
        job = _Compaction(storage, pool, progress, said)
        while (count := job.drop_payloads(chosen, dropped)) is None:
            pass
    sweep(storage, grace_s)
    return count


class _Work:
    """A folder for files that are not published yet."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> _Work:
        failpoints.hit(failpoints.WORK_MADE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


class _Compaction:
    def __init__(self, storage: str, pool: Workers, progress: Progress, said: Compacted) -> None:
        self._storage, self._pool, self._progress, self._said = storage, pool, progress, said
        self._blobs = history_blobs(storage)
        self._reader = open_reader(storage)

    def last_sealed(self) -> int:
        """Seq of the last event that is sealed now; 0 where the log holds none that is."""
        extents = self._reader.sealed(1)
        return extents[-1].last_seq if extents else 0

    def once(self, last_seq: int, purge: bool) -> bool:
        """Do the next thing there is to do, as far as events up to `last_seq` go; False when there is none."""
        manifest = read_manifest(self._storage, self._blobs)
        try:
            if extents := self._sealed(manifest.next_seq, last_seq):
                self._take_in(manifest, extents)
            elif (span := plan.due(manifest.parts)) is not None:
                self._merge(manifest, *span)
            elif purge and manifest.of(DELETED) and manifest.purged_to < manifest.next_seq - 1:
                self._purge(manifest)
            else:
                return False
        except _LostError:
            return True
        except Exception:
            # Files go away under whoever works from a manifest that somebody else has replaced.
            if newest_number(self._blobs) == manifest.number:
                raise
        return True

    def _sealed(self, next_seq: int, last_seq: int) -> list[Extent]:
        # Of objects, what came since may be part of the last extent.
        found = self._reader.sealed(next_seq) if next_seq <= last_seq else []
        return [
            extent._replace(last_seq=min(extent.last_seq, last_seq)) for extent in found if extent.first_seq <= last_seq
        ]

    def _take_in(self, manifest: Manifest, extents: Sequence[Extent]) -> None:
        first_seq = manifest.next_seq
        chosen, events, size = _chosen(extents, first_seq)
        last_seq = chosen[-1].last_seq
        if chosen[0].first_seq > first_seq:
            reason = f"the log begins at seq {chosen[0].first_seq}, and history files end before seq {first_seq}"
            raise StorageError(self._storage, f"{reason}: a segment is missing. Restore it from a backup")
        with _Work(self._blobs.scratch()) as work:
            if events <= _SMALL_EVENTS and size <= _SMALL_BYTES:
                seqs = {"first_seq": first_seq, "last_seq": last_seq}
                target = [work.path, first_seq, last_seq, 0]
                answers = self._pool.map([self._task("fold_log", **seqs, target=target, threads=2)])
            else:
                answers = self._fold_runs(work, chosen, first_seq, events)
            part = _part(first_seq, last_seq, _files(answers))
            self._publish(manifest, work, part.files, next_seq=last_seq + 1, parts=(*manifest.parts, part))
        self._said.events += events
        self._said.parts += 1

    def _fold_runs(self, work: _Work, extents: Sequence[Extent], first_seq: int, events: int) -> list[Any]:
        last_seq = extents[-1].last_seq
        if len(extents) > 1:
            self._pool.warm()
        bounds = plan.bounds(plan.sampled_ids(self._reader, extents), events)
        groups = plan.groups(len(bounds) + 1, events)
        runs, total = [], len(extents) + len(groups)
        for number, extent in enumerate(extents):
            seqs = {"first_seq": max(extent.first_seq, first_seq), "last_seq": extent.last_seq}
            path = os.path.join(work.path, f"run-{number:05d}.arrow")
            runs.append(self._task("sort_run", **seqs, bounds=bounds, path=path))
        self._pool.map(runs, lambda done: self._progress("reading the log", done, total))
        paths = [run.arguments["path"] for run in runs]
        folds = [
            self._task("fold_runs", runs=paths, ranges=span, target=[work.path, first_seq, last_seq, group])
            for group, span in enumerate(groups)
        ]
        return self._pool.map(folds, lambda done: self._progress("writing history", len(extents) + done, total))

    def _merge(self, manifest: Manifest, start: int, stop: int) -> None:
        old = manifest.parts[start:stop]
        first_seq, last_seq = old[0].first_seq, old[-1].last_seq
        events = sum(part.events for part in old)
        inputs = [file for part in old for file in part.files]
        history = HistoryFiles(self._storage)
        ids = plan.ids_of_files(history.checked(file for file in inputs if file.kind == EVENTS))
        bounds = plan.bounds(ids, events)
        edges = [None, *bounds, None]
        with _Work(self._blobs.scratch()) as work:
            tasks = []
            for group, (low, high) in enumerate(plan.groups(len(bounds) + 1, events)):
                target = [work.path, first_seq, last_seq, group]
                tasks.append(self._task("rewrite", files=_plain(inputs), bounds=edges[low : high + 1], target=target))
            files = _files(self._pool.map(tasks, lambda done: self._progress("merging", done, len(tasks))))
            parts = (*manifest.parts[:start], _part(first_seq, last_seq, files, _schema(old)), *manifest.parts[stop:])
            self._publish(manifest, work, files, parts=parts)
        self._said.merged += len(old)

    def _purge(self, manifest: Manifest) -> None:
        """Leave what was deleted out of every file that holds something of it."""
        dead, places = dead_since(self._storage, manifest)
        with _Work(self._blobs.scratch()) as work:
            tasks = []
            for number, group in places:
                part = manifest.parts[number]
                files = [file for file in part.files if file.group == group]
                target = [work.path, part.first_seq, part.last_seq, group]
                tasks.append(self._task("rewrite", files=_plain(files), bounds=[None, None], target=target, dead=dead))
            answers = self._pool.map(tasks, lambda done: self._progress("removing what was deleted", done, len(tasks)))
            self._replace(manifest, work, places, answers, KINDS, purged_to=manifest.next_seq - 1)
        self._said.purged += len(places)

    def drop_payloads(self, chosen: Callable[[], Collection[str]], dropped: Callable[[int], Dropped]) -> int | None:
        """None when it has to be done again: somebody else published first, or resumed one of them."""
        manifest = read_manifest(self._storage, self._blobs)
        ids = sorted(chosen())
        if not ids:
            return 0
        try:
            places = packs_of(self._storage, manifest, ids)
            settings = dropped(manifest.next_seq).within(manifest.settings)
            return len(ids) if self._drop_from(manifest, places, ids, settings, chosen) else None
        except _LostError:
            return None
        except Exception:
            # As in `once`.
            if newest_number(self._blobs) == manifest.number:
                raise
            return None

    def _drop_from(
        self,
        manifest: Manifest,
        places: Sequence[tuple[int, int]],
        ids: Sequence[str],
        settings: dict[str, Any],
        chosen: Callable[[], Collection[str]],
    ) -> bool:
        with _Work(self._blobs.scratch()) as work:
            tasks = []
            for number, group in places:
                part = manifest.parts[number]
                files = [file for file in part.of(PACKS) if file.group == group]
                target = [work.path, part.first_seq, part.last_seq, group]
                arguments = {"files": _plain(files), "bounds": [None, None], "target": target}
                tasks.append(self._task("rewrite", **arguments, no_payloads=_between(ids, files)))
            answers = self._pool.map(tasks, lambda done: self._progress("removing values", done, len(tasks)))
            if not set(ids) <= set(chosen()):
                return False
            self._replace(manifest, work, places, answers, {PACKS}, settings=settings)
        self._said.purged += len(places)
        return True

    def _replace(
        self,
        manifest: Manifest,
        work: _Work,
        places: Sequence[tuple[int, int]],
        answers: list[Any],
        kinds: Collection[str],
        **changes: Any,
    ) -> None:
        """Publish `answers` instead of the files of these kinds in these (part, group)s."""
        parts = list(manifest.parts)
        for (number, group), answer in zip(places, answers, strict=True):
            kept = [file for file in parts[number].files if file.group != group or file.kind not in kinds]
            old = parts[number]
            parts[number] = _part(old.first_seq, old.last_seq, [*kept, *_files([answer])], old.schema)
        self._publish(manifest, work, _files(answers), parts=tuple(parts), **changes)

    def _publish(self, manifest: Manifest, work: _Work, files: Iterable[HistoryFile], **changes: Any) -> None:
        files = list(files)
        failpoints.hit(failpoints.FILES_WRITTEN)
        for file in files:
            self._blobs.publish(file.name, os.path.join(work.path, file.name))
        if not manifest.store_id:
            changes["store_id"] = store_id(self._storage)
        if not publish_manifest(self._blobs, manifest.following(now_us(), **changes)):
            for file in files:
                self._blobs.remove(file.name)
            raise _LostError

    def _task(self, name: str, **arguments: Any) -> Task:
        return Task(name, {"storage": self._storage, **arguments})


def _chosen(extents: Sequence[Extent], first_seq: int) -> tuple[list[Extent], int, int]:
    """The extents of the next part, how many events and bytes they hold."""
    chosen: list[Extent] = []
    events = size = 0
    for extent in extents:
        count = extent.last_seq - max(extent.first_seq, first_seq) + 1
        if chosen and (events + count > _PART_EVENTS or size + extent.bytes > _PART_BYTES):
            break
        chosen.append(extent)
        events, size = events + count, size + extent.bytes
    return chosen, events, size


def _files(answers: Iterable[Iterable[dict[str, Any]]]) -> list[HistoryFile]:
    return [HistoryFile(**file) for answer in answers for file in answer]


def _plain(files: Iterable[HistoryFile]) -> list[dict[str, Any]]:
    return [asdict(file) for file in files]


def _between(ids: Sequence[str], files: Iterable[HistoryFile]) -> list[str]:
    """Those of sorted ids that the files may hold."""
    (low, high) = min(file.min_id or "" for file in files), max(file.max_id or "" for file in files)
    return list(ids[bisect.bisect_left(ids, low) : bisect.bisect_right(ids, high)])


def _schema(parts: Iterable[Part]) -> int:
    """What parts that became one can be relied on to have."""
    return min(part.schema for part in parts)


def _part(first_seq: int, last_seq: int, files: Sequence[HistoryFile], schema: int = FACTS_SCHEMA) -> Part:
    events = sum(file.rows for file in files if file.kind == EVENTS)
    ordered = tuple(sorted(files, key=lambda file: (file.kind, file.group)))
    return Part(first_seq, last_seq, events, ordered, schema)
