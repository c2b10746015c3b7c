"""Files or objects of pickled values, ``<storage>/payloads/<hash[:2]>/<hash>``, named by the sha256 of their content.

A file appears under its name whole and durable, or not at all; it is never changed. What a crash can leave behind is a
``*.tmp`` beside it, which nobody reads. This module does not unpickle. What may go, `wfstore.payloads.collect` knows.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
from collections.abc import Callable, Collection, Iterable

from wfstore.errors import DamageError, LimitExceededError, PayloadMissingError, StorageError, StorageFullError
from wfstore.model.payload import INLINE_LIMIT_BYTES, PayloadRef, payload_uri
from wfstore.objects import bucket_of, is_uri
from wfstore.payloads import collect, objects
from wfstore.payloads.pickling import hash_of

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_HASH = re.compile(r"[0-9a-f]{64}")
_BY_RETENTION = ": retention has removed it (wfstore retain --payloads)"
_OR_RETENTION = ". Either retention has removed it (wfstore retain --payloads), or the file was lost"

#: macOS: fsync leaves the data in the drive's cache there, this does not.
_FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)


def _sync(fd: int) -> None:
    if _FULL_SYNC is None:
        os.fsync(fd)
    else:
        fcntl.fcntl(fd, _FULL_SYNC)


class PayloadStore:
    """The payloads of one storage (a path, or a resolved URI). Cheap to make, safe to share between threads."""

    def __init__(self, storage: str, max_bytes: int | None = None) -> None:
        """max_bytes: of one that may be put. Raises StorageError for a URI that cannot be used. Sends nothing to it."""
        self.storage = storage
        self.max_bytes = max_bytes
        self._bucket = bucket_of(storage) if is_uri(storage) and not storage.startswith("file:") else None
        self._root = os.path.join(storage.removeprefix("file://"), "payloads")

    def put(self, data: bytes) -> PayloadRef:
        """Small data come back inside the reference and nothing is written; larger data are on disk when this returns.

        Raises LimitExceededError, StorageFullError, StorageError.
        """
        self.check(len(data))
        name = hash_of(data)
        if len(data) <= INLINE_LIMIT_BYTES:
            return PayloadRef(name, len(data), data)
        self._keep(name, data)
        return PayloadRef(name, len(data))

    def put_file(self, data: bytes) -> PayloadRef:
        """On disk whatever the size. Raises as `put`."""
        self.check(len(data))
        name = hash_of(data)
        self._keep(name, data)
        return PayloadRef(name, len(data))

    def check(self, size: int) -> None:
        """Raises LimitExceededError where a value of so many bytes may not be put."""
        if self.max_bytes is not None and size > self.max_bytes:
            raise LimitExceededError("max_payload_bytes", self.max_bytes, size, "a pickled value")

    def get(self, payload: PayloadRef | str) -> bytes:
        """The bytes, checked against their hash. Raises PayloadMissingError, DamageError, StorageError."""
        if isinstance(payload, PayloadRef):
            if payload.data is not None:
                return payload.data
            payload = payload.hash
        data = self._read_file(payload) if self._bucket is None else self._bucket.get(self.uri(payload))
        if data is None:
            raise PayloadMissingError(self.storage, f"payload {payload} is not in this store{_OR_RETENTION}")
        if hash_of(data) != payload:
            reason = f"its {len(data)} bytes do not have the hash in its name"
            raise DamageError(self.storage, self.uri(payload), 0, reason)
        return data

    def _read_file(self, hash: str) -> bytes | None:
        path = self.path(hash)
        try:
            if (found := _read(path)) is not None:
                return found
            # Whoever removes what nobody uses gives it back when somebody does.
            back = (_read(other) for other in [*collect.aside(path), path])
            return next((data for data in back if data is not None), None)
        except OSError as error:
            raise StorageError(self.storage, f"payload {hash} cannot be read: {error}") from error

    def exists(self, hash: str) -> bool:
        """Whether the store holds it; its bytes are not checked."""
        if self._bucket is not None:
            return self._bucket.size(self.uri(hash)) is not None
        path = self.path(hash)
        return os.path.isfile(path) or bool(collect.aside(path)) or os.path.isfile(path)

    def use(self, hashes: Iterable[str]) -> None:
        """Keep files from being removed for a day: an event that names them will follow.

        Raises PayloadMissingError for one that is not there, StorageError.
        """
        for name in hashes:
            path = None if self._bucket is not None else self.path(name)
            if path is None or not _touched(path):
                self._keep(name, self.get(name))

    def unreferenced(self, kept: Collection[str]) -> list[str]:
        """Paths of files that nobody made or used lately and whose hash is not in `kept`."""
        if self._bucket is not None:
            return objects.unreferenced(self._bucket, kept)
        return collect.unreferenced(self._root, kept)

    def remove_unreferenced(self, kept: Callable[[], Collection[str]]) -> tuple[int, int]:
        """Remove them; returns how many files and bytes. Raises StorageError."""
        if self._bucket is not None:
            return objects.remove_unreferenced(self._bucket, kept)
        try:
            return collect.remove_unreferenced(self._root, kept)
        except OSError as error:
            raise StorageError(self.storage, f"a payload that nobody needs cannot be removed: {error}") from error

    def path(self, hash: str) -> str:
        """Where it lies on this machine, of a local store. Raises PayloadMissingError for what is no sha256."""
        return os.path.join(os.path.dirname(self._root), *self.uri(hash).split("/"))

    def uri(self, hash: str) -> str:
        """Where it lies relative to the storage: ``payloads/ab/ab12...``. Raises PayloadMissingError for what is no
        sha256; the empty text stands for a value whose row in a history file has lost it."""
        if not hash:
            raise PayloadMissingError(self.storage, f"this value is no longer kept{_BY_RETENTION}")
        if not _HASH.fullmatch(hash):
            raise PayloadMissingError(self.storage, f"{hash!r} is not the sha256 of a payload")
        return payload_uri(hash)

    def _keep(self, name: str, data: bytes) -> None:
        if self._bucket is not None:
            objects.keep(self._bucket, self.uri(name), data)
            return
        path = self.path(name)
        try:
            if _size(path) == len(data) and _touched(path):
                # Another writer may have renamed it a moment ago without having synced the directory yet.
                _sync_directory(os.path.dirname(path))
            else:
                _write_durably(path, data)
        except OSError as error:
            raise self._storage_error(error, len(data)) from error

    def _storage_error(self, error: OSError, size: int) -> StorageError:
        if error.errno in _FULL:
            return StorageFullError(
                self.storage, f"no space left for a payload of {size} bytes; free some, then resume the workflow"
            )
        return StorageError(self.storage, f"a payload of {size} bytes cannot be written: {error}")


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return -1


def _touched(path: str) -> bool:
    """Whoever removes what nobody uses shall see that somebody does. False when it has just been removed."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _write_durably(path: str, data: bytes) -> None:
    temporary = f"{path}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        fd = _create(temporary)
    except FileNotFoundError:
        _make_directory(os.path.dirname(path))
        fd = _create(temporary)
    try:
        try:
            _write_all(fd, data)
            _sync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        _remove(temporary)
        raise
    _sync_directory(os.path.dirname(path))


def _create(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _write_all(fd: int, data: bytes) -> None:
    # On a nearly full disk write() takes a part and reports no error; the next call does.
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _make_directory(path: str) -> None:
    parent = os.path.dirname(path)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        if parent == path:
            raise
        _make_directory(parent)
        _make_directory(path)
        return
    _sync_directory(parent)


def _sync_directory(path: str) -> None:
    fd = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _sync(fd)
    finally:
        os.close(fd)
