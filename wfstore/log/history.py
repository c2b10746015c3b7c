"""The history files of a store as a reader has them: which there are, and where their bytes lie once they were checked.

Of single-bit flips in a Parquet file four in five give wrong rows without an error, so no reader gets a path of a file
whose CRC this process has not seen to be right.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Iterable

from wfstore.errors import DamageError
from wfstore.log.manifest import HISTORY_DIRECTORY, HistoryFile, Manifest, history_blobs, newest_number, read_manifest
from wfstore.objects import is_uri

_CHUNK_BYTES = 1 << 20
#: Paths of this process's checked files. A file is never changed, and no name is used twice.
_checked: set[tuple[str, int]] = set()


class HistoryFiles:
    """The newest manifest of a store, and its files. Any number of threads may share one.

    storage: as `resolve_storage` gave it. Nothing is read before `refresh`.
    """

    def __init__(self, storage: str) -> None:
        self.storage = storage
        self.manifest = Manifest()
        self._blobs = history_blobs(storage)
        self._lock = threading.Lock()

    def refresh(self) -> bool:
        """Look for a newer manifest; whether there is one. Raises DamageError, StorageVersionError, StorageError."""
        with self._lock:
            known = self.manifest
            self.manifest = read_manifest(self.storage, self._blobs, known if known.number else None)
            return self.manifest is not known and self.manifest.number != known.number

    def stale(self) -> bool:
        """Whether there is a newer manifest than the one here."""
        return self.newest() != self.manifest.number

    def newest(self) -> int:
        """Number of the newest manifest there is, whether or not it can be read."""
        return newest_number(self._blobs)

    def path(self, file: HistoryFile) -> str:
        """Where it lies on this machine, or will once it was checked."""
        return self._blobs.planned(file.name)

    def missing(self, file: HistoryFile) -> bool:
        """Whether it is not where it should be. What lies elsewhere is not looked for."""
        return not is_uri(self.storage) and not os.path.exists(self.path(file))

    def checked(self, files: Iterable[HistoryFile]) -> list[str]:
        """Paths of the files, each of which was found to be what was written.

        Raises DamageError naming a file that is missing, shorter, longer, or has another CRC than the manifest says.
        """
        return [self._check(file) for file in files]

    def _check(self, file: HistoryFile) -> str:
        path = self.path(file)
        if (path, file.crc) not in _checked or _size(path) != file.bytes:
            path = self._blobs.local(file.name)
            if (reason := difference(path, file)) is not None:
                raise DamageError(self.storage, os.path.join(self.storage, HISTORY_DIRECTORY, file.name), 0, reason)
            _checked.add((path, file.crc))
        return path


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def difference(path: str, file: HistoryFile) -> str | None:
    """How the bytes at `path` differ from what the manifest says; None when they do not. Reads the whole file."""
    try:
        with open(path, "rb", buffering=0) as opened:
            size = os.fstat(opened.fileno()).st_size
            if size != file.bytes:
                return f"the history file has {size} bytes, the manifest says {file.bytes}. {_WAY_OUT}"
            crc = 0
            buffer = memoryview(bytearray(_CHUNK_BYTES))
            while count := opened.readinto(buffer):
                crc = zlib.crc32(buffer[:count], crc)
    except FileNotFoundError:
        return f"the history file is missing, and the manifest counts on it. {_WAY_OUT}"
    except OSError as error:
        return f"the history file cannot be read: {error.strerror}"
    return None if crc == file.crc else f"the history file's checksum is not that of the manifest. {_WAY_OUT}"


_WAY_OUT = "Restore it from a backup; the other files are not harmed, and `wfstore verify` tells which are"
