"""Where files are copied from and to: a folder on a disk, or a prefix on object storage. Names are relative to it.

A file comes to be under its name whole and durable, or not at all. What the bytes mean is not known here.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from wfstore.errors import StorageError
from wfstore.log._files import DIRECTORY_MODE, FILE_MODE, sync_directory, translated
from wfstore.objects import bucket_of, is_uri

_CHUNK_BYTES = 1 << 20
_TEMPORARY = ".tmp"
#: What a folder may hold without being in use.
_NOBODYS = frozenset({"lost+found", ".DS_Store"})


class GoneError(Exception):
    """A file that was there a moment ago is not any more."""


class Digest(Protocol):
    """Takes the bytes of a file, and says whether they are the right ones."""

    def update(self, data: bytes) -> None: ...

    def check(self) -> None:
        """Raises DamageError."""


class Place(Protocol):
    """Every method raises the StorageError family."""

    storage: str
    on_disk: bool

    def sizes(self, folder: str) -> dict[str, int]:
        """name -> bytes of every file in a folder, and in the folders in it."""

    def used(self) -> list[str]:
        """What lies at the top, in the order of the names."""

    def read(self, name: str) -> bytes | None:
        """The whole file; None when there is none."""

    def local(self, name: str) -> AbstractContextManager[str]:
        """Path of its bytes on this machine, for a while. Raises GoneError."""

    def put(self, name: str, data: bytes) -> None:
        """Whatever was there is replaced."""

    def create(self, name: str, data: bytes) -> bool:
        """False, and nothing was changed, where there is one."""

    def put_file(self, name: str, path: str, digest: Digest) -> None:
        """`put` of a local file's bytes, if they are right. Raises DamageError, and changes nothing, if not."""

    def remove(self, names: Iterable[str]) -> None:
        """Nothing happens for those that are not there."""

    def tidy(self) -> None:
        """Remove what an interrupted copy has left half done."""


class Disk:
    """A folder. It comes to be with the first file."""

    on_disk = True

    def __init__(self, storage: str) -> None:
        self.storage = storage

    def sizes(self, folder: str) -> dict[str, int]:
        found = {}
        with translated(self.storage, f"listing {folder}"):
            for root, _, names in os.walk(os.path.join(self.storage, folder), onerror=_unless_missing):
                for name in names:
                    path = os.path.join(root, name)
                    with contextlib.suppress(FileNotFoundError):
                        found[os.path.relpath(path, self.storage).replace(os.sep, "/")] = os.stat(path).st_size
        return found

    def used(self) -> list[str]:
        if os.path.lexists(self.storage) and not os.path.isdir(self.storage):
            raise StorageError(self.storage, "this is a file, and a store is a directory")
        with translated(self.storage, "looking what is there"):
            try:
                return sorted(set(os.listdir(self.storage)) - _NOBODYS)
            except FileNotFoundError:
                return []

    def read(self, name: str) -> bytes | None:
        with translated(self.storage, f"reading {name}"):
            try:
                return Path(self.storage, name).read_bytes()
            except FileNotFoundError:
                return None

    @contextmanager
    def local(self, name: str) -> Iterator[str]:
        path = os.path.join(self.storage, name)
        if not os.path.exists(path):
            raise GoneError(name)
        yield path

    def put(self, name: str, data: bytes) -> None:
        self._keep(name, [data])

    def create(self, name: str, data: bytes) -> bool:
        with translated(self.storage, f"writing {name}"):
            draft = f"{name}.{secrets.token_hex(4)}{_TEMPORARY}"
            self._keep(draft, [data])
            # A link refuses to replace: of two that create, one wins.
            try:
                os.link(os.path.join(self.storage, draft), os.path.join(self.storage, name))
            except FileExistsError:
                return False
            finally:
                self.remove([draft])
        return True

    def put_file(self, name: str, path: str, digest: Digest) -> None:
        self._keep(name, _chunks(path), digest)

    def _keep(self, name: str, chunks: Iterable[bytes], digest: Digest | None = None) -> None:
        path = os.path.join(self.storage, name)
        draft = f"{path}.{secrets.token_hex(4)}{_TEMPORARY}"
        with translated(self.storage, f"writing {name}"):
            self._make(os.path.dirname(name))
            try:
                fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
                with open(fd, "wb") as file:
                    for chunk in chunks:
                        file.write(chunk)
                        if digest is not None:
                            digest.update(chunk)
                    if digest is not None:
                        digest.check()
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(draft, path)
            finally:
                Path(draft).unlink(missing_ok=True)
            sync_directory(os.path.dirname(path))

    def remove(self, names: Iterable[str]) -> None:
        with translated(self.storage, "removing what is not needed any more"):
            for name in names:
                Path(self.storage, name).unlink(missing_ok=True)

    def tidy(self) -> None:
        self.remove([name for name in self.sizes("") if name.endswith(_TEMPORARY)])

    def _make(self, folder: str) -> None:
        path = os.path.join(self.storage, folder) if folder else self.storage
        if os.path.isdir(path):
            return
        if folder:
            self._make(os.path.dirname(folder))
            os.makedirs(path, DIRECTORY_MODE, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(path) or os.sep, exist_ok=True)
            os.makedirs(path, DIRECTORY_MODE, exist_ok=True)
        sync_directory(os.path.dirname(path) or os.sep)


class Prefix:
    """On object storage."""

    on_disk = False

    def __init__(self, storage: str) -> None:
        self.storage = storage
        self._bucket = bucket_of(storage)

    def sizes(self, folder: str) -> dict[str, int]:
        return {entry.name: entry.bytes for entry in self._bucket.entries(folder)}

    def used(self) -> list[str]:
        return sorted({entry.name.partition("/")[0] for entry in self._bucket.entries()})

    def read(self, name: str) -> bytes | None:
        return self._bucket.get(name)

    @contextmanager
    def local(self, name: str) -> Iterator[str]:
        with tempfile.TemporaryDirectory(prefix="wfstore-backup-") as folder:
            path = os.path.join(folder, "object")
            if self._bucket.download(name, path) is None:
                raise GoneError(name)
            yield path

    def put(self, name: str, data: bytes) -> None:
        self._bucket.put(name, data)

    def create(self, name: str, data: bytes) -> bool:
        return self._bucket.create(name, data)

    def put_file(self, name: str, path: str, digest: Digest) -> None:
        with translated(self.storage, f"reading what is to be {name}"):
            for chunk in _chunks(path):
                digest.update(chunk)
        digest.check()
        self._bucket.upload(name, path)

    def remove(self, names: Iterable[str]) -> None:
        waiting = list(names)
        for start in range(0, len(waiting), 1000):
            self._bucket.remove(waiting[start : start + 1000])

    def tidy(self) -> None:
        """An object is there whole or not at all."""


def place_of(storage: str) -> Place:
    """storage: as `resolve_storage` gave it. Creates nothing."""
    return Prefix(storage) if is_uri(storage) else Disk(storage)


def _chunks(path: str) -> Iterator[bytes]:
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError as error:
        raise GoneError(path) from error
    with open(fd, "rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
