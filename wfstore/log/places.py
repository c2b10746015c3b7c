"""Where a store lies decides what reads and writes it: a local filesystem or object storage. Decided here, once each.

Only a store on object storage needs `obstore`; it is imported then and not before.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

import pyarrow as pa

from wfstore.log import claim, lease, reader, witness
from wfstore.log import trim as local_trim
from wfstore.log import verify as local
from wfstore.log.cursor import Cursor
from wfstore.log.group import Committer
from wfstore.log.lease import LEASE_TIMEOUT_US, Lease
from wfstore.log.reader import Extent
from wfstore.log.storage import now_us, resolve_storage
from wfstore.log.trim import Trimmed
from wfstore.log.verify_report import Progress, VerifyReport, silent
from wfstore.log.writer import DEFAULT_SEGMENT_BYTES
from wfstore.model.events import Event
from wfstore.objects import bucket_of, is_uri
from wfstore.schema.rows import Block

#: Folders of a store -> the kind of bytes they hold; everything else is "other_bytes".
_KINDS = {"log": "log_bytes", "payloads": "payload_bytes", "history": "history_bytes"}
_PACKS = "history/packs-"


class Reader(Protocol):
    """What reads a log, wherever it lies: `LogReader` says what each method does."""

    storage: str

    def read(self, cursor: Cursor | None = None, max_bytes: int | None = None) -> tuple[pa.Table, Cursor]: ...

    def blocks(self, cursor: Cursor | None = None, max_bytes: int | None = None) -> tuple[list[Block], Cursor]: ...

    def events(self, cursor: Cursor | None = None, columns: Collection[str] | None = None) -> Iterator[Event]: ...

    def read_range(self, first_seq: int, last_seq: int, columns: Collection[str] | None = None) -> pa.Table: ...

    def sealed(self, next_seq: int) -> list[Extent]: ...

    def unsealed(self) -> bool: ...

    def unsealed_bytes(self) -> int: ...

    def lease(self) -> Lease | None: ...


class Writer(Committer, Protocol):
    """What appends to a log, wherever it lies: `LogWriter` says what each method does."""

    epoch: int

    @property
    def store_id(self) -> str: ...

    @property
    def restored(self) -> bool: ...

    def append(self, events: Sequence[Event]) -> tuple[int, int]: ...

    def close(self) -> None: ...


def open_reader(storage: str) -> Reader:
    """A reader of the log at `storage`. Raises StorageNotFoundError, StorageVersionError or StorageError."""
    storage = resolve_storage(storage)
    if is_uri(storage):
        from wfstore.log.objects.reader import ObjectLogReader

        return ObjectLogReader(storage)
    return reader.LogReader(storage)


def open_writer(
    storage: str, *, clock: Callable[[], int] = now_us, segment_bytes: int = DEFAULT_SEGMENT_BYTES
) -> Writer:
    """Claim the next epoch of the log at `storage` and return its writer; the store is created when it is absent.

    Older writers are fenced from here on. segment_bytes: of a local store, where a segment that has reached it gets no
    further frame. Raises StorageError, StorageFullError, StorageVersionError, DamageError (nothing was claimed) and
    FencedError (somebody claimed a still newer epoch meanwhile).
    """
    storage = resolve_storage(storage)
    if is_uri(storage):
        from wfstore.log.objects.claim import open_writer as open_object_writer

        return open_object_writer(storage, clock=clock)
    return claim.open_writer(storage, clock=clock, segment_bytes=segment_bytes)


def check_storage(storage: str) -> None:
    """Raises what `open_writer` would say about a place that cannot be written as a store. Creates nothing."""
    if is_uri(storage):
        from wfstore.log.objects.files import read_witness

        read_witness(bucket_of(storage))
    else:
        witness.check_storage(storage)


def verify(storage: str, *, repair: bool = False, progress: Progress = silent) -> VerifyReport:
    """Check the store's bytes. repair: cut a torn tail, after a copy was made; on object storage there is none to cut.

    Raises StorageNotFoundError, StorageVersionError or StorageError when there is no store that can be read; damage is
    in the report.
    """
    storage = resolve_storage(storage)
    if is_uri(storage):
        from wfstore.log.objects.verify import verify as verify_objects

        return verify_objects(storage, progress)
    return local.verify(storage, repair=repair, progress=progress)


def read_lease(storage: str) -> Lease | None:
    """The lease as it stands, alive or not; None when there is none that can be understood."""
    if is_uri(storage):
        from wfstore.log.objects import files

        return files.read_lease(storage)
    return lease.read_lease(storage)


def write_lease(storage: str, own: Lease) -> None:
    """Atomically replace the store's lease."""
    if is_uri(storage):
        from wfstore.log.objects import files

        files.write_lease(storage, own)
    else:
        lease.write_lease(storage, own)


def remove_lease(storage: str) -> None:
    """For a manager that stops in good order."""
    if is_uri(storage):
        from wfstore.log.objects import files

        files.remove_lease(storage)
    else:
        lease.remove_lease(storage)


def store_id(storage: str) -> str:
    """What tells the store from all others; empty where it has lost its store.json."""
    if is_uri(storage):
        from wfstore.log.objects.files import read_witness

        found = read_witness(bucket_of(storage))
    else:
        found = witness.read_witness(storage)
    return "" if found is None else found.store_id


def beginning(storage: str) -> bool:
    """Whether somebody has claimed the log of late, and has neither said that it manages the store nor left: a manager
    that reads what there is, or an import. On object storage nobody can tell."""
    if is_uri(storage) or (found := witness.read_witness(storage)) is None or found.clean:
        return False
    held = lease.read_lease(storage)
    if held is not None and held.epoch == found.epoch:
        return False
    return claim.newest_age_s(storage) < LEASE_TIMEOUT_US / 1e6


def replaced_bytes(storage: str, next_seq: int) -> int:
    """Of the log: what `trim` would remove."""
    if is_uri(storage):
        log = open_reader(storage)
        return max(0, sizes(storage)["log_bytes"] - sum(extent.bytes for extent in log.sealed(next_seq)))
    return local_trim.replaced_bytes(storage, next_seq)


def trim(storage: str, next_seq: int) -> Trimmed:
    """Remove the files of the log that hold nothing from `next_seq` on. Raises the StorageError family."""
    if is_uri(storage):
        from wfstore.log.objects.trim import trim as trim_objects

        return trim_objects(storage, next_seq)
    return local_trim.trim(storage, next_seq)


def sizes(storage: str) -> dict[str, int]:
    """files, and bytes by kind, of what the store takes where it lies: log_bytes, history_bytes (without pack_bytes,
    the values in history files), payload_bytes, other_bytes."""
    found = dict.fromkeys(("files", "log_bytes", "history_bytes", "pack_bytes", "payload_bytes", "other_bytes"), 0)
    for name, size in _objects(storage) if is_uri(storage) else _files(storage):
        kind = "pack_bytes" if name.startswith(_PACKS) else _KINDS.get(name.partition("/")[0], "other_bytes")
        found[kind] += size
        found["files"] += 1
    return found


def _objects(storage: str) -> Iterator[tuple[str, int]]:
    return ((entry.name, entry.bytes) for entry in bucket_of(storage).entries())


def _files(storage: str) -> Iterator[tuple[str, int]]:
    for folder, _, names in os.walk(storage):
        for name in names:
            path = os.path.join(folder, name)
            try:
                yield os.path.relpath(path, storage).replace(os.sep, "/"), os.stat(path).st_size
            except FileNotFoundError:
                continue  # a temporary file that has got its name since
