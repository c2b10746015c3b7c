"""Durable file operations and the translation of the system's errors: the one place where an OSError becomes ours."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from wfstore.errors import StorageError, StorageFullError, StorageNotFoundError
from wfstore.log import failpoints

DIRECTORY_MODE, FILE_MODE = 0o700, 0o600


@contextlib.contextmanager
def translated(storage: str, doing: str) -> Iterator[None]:
    """Turns an OSError into a StorageError that says what was being done."""
    try:
        yield
    except OSError as error:
        raise storage_error(storage, doing, error) from error


def storage_error(storage: str, doing: str, error: OSError) -> StorageError:
    """The exception of our tree that stands for `error`."""
    message = f"{doing} failed: {error.strerror or error}"
    if error.filename is not None and str(error.filename) != storage:
        message += f" ({error.filename})"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFullError(storage, f"{message}. Free some space; a new manager goes on from the last commit")
    if error.errno in (errno.EACCES, errno.EPERM):
        return StorageError(storage, f"{message}. The store belongs to the user who created it")
    if error.errno == errno.EROFS:
        return StorageError(storage, f"{message}. It can be read, but not written")
    return StorageError(storage, message)


if sys.platform == "darwin":
    import fcntl

    def datasync(fd: int) -> None:
        """Returns when the file's bytes are on the medium; macOS's fsync stops at the drive's cache."""
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)

else:

    def datasync(fd: int) -> None:
        """Returns when the file's bytes are on the medium."""
        os.fdatasync(fd)


def sync_directory(path: str) -> None:
    """Makes the names in the directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_at(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data`: a nearly full disk takes a part without an error, and says so only at the next call."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        if written <= 0:
            raise OSError(errno.EIO, "the system wrote nothing and reported no error")
        offset += written
        view = view[written:]


def read_at(fd: int, offset: int, size: int) -> bytes:
    """Up to `size` bytes from `offset`; fewer only at the end of the file."""
    data = os.pread(fd, size, offset)
    if len(data) == size or not data:
        return data
    parts = [data]
    have = len(data)
    while have < size and (more := os.pread(fd, size - have, offset + have)):
        parts.append(more)
        have += len(more)
    return b"".join(parts)


def replace_file(path: str, data: bytes, *, durable: bool) -> None:
    """Atomically put `data` at `path`. `durable`: it is also there after a power loss."""
    temporary = f"{path}.{secrets.token_hex(4)}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    try:
        try:
            write_at(fd, data, 0)
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        if durable:
            failpoints.hit(failpoints.WITNESS_BEFORE_RENAME)
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(os.path.dirname(path))


def clock_of(directory: str) -> float:
    """What time it is by the clock that says when files in `directory` were written, in seconds since 1970.

    On a network file system that is the server's, not this machine's. Where nothing can be created: this machine's.
    """
    try:
        with tempfile.TemporaryFile(dir=directory) as probe:
            return os.fstat(probe.fileno()).st_mtime
    except OSError:
        return time.time()


def check_readable(storage: str) -> None:
    """Raises StorageNotFoundError or StorageError, saying the way out, unless `storage` is a directory one can list."""
    if not os.path.lexists(storage):
        raise no_store(storage)
    if not os.path.isdir(storage):
        raise StorageError(storage, "this is a file, and a store is a directory")
    with translated(storage, "reading the store"):
        os.listdir(storage)


def no_store(storage: str) -> StorageNotFoundError:
    return StorageNotFoundError(
        storage, "there is no store here. Name one with --storage or $WFSTORE_STORAGE, or run a workflow to create it"
    )
