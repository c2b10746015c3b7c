"""Whole files below one folder of a store: each appears complete and durable under its name, or not at all, and is
never changed. History files and manifests are kept so. What the bytes mean is not known here.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple, Protocol

from wfstore.log import failpoints
from wfstore.log._files import DIRECTORY_MODE, FILE_MODE, datasync, replace_file, sync_directory, translated
from wfstore.objects import is_uri

#: How the name of a work directory begins.
WORK_PREFIX = ".work-"


class Blob(NamedTuple):
    """A file there is. modified_us: when its bytes came to be, by the storage's clock."""

    name: str
    bytes: int
    modified_us: int


class Blobs(Protocol):
    """The files of one folder. Every method raises the StorageError family."""

    def names(self) -> list[Blob]:
        """All there are, in the order of their names; none when the folder does not exist."""

    def read(self, name: str) -> bytes | None:
        """The whole file; None when there is none."""

    def create(self, name: str, data: bytes) -> bool:
        """Durable when this returns. False, and nothing was changed, where the name is taken."""

    def publish(self, name: str, path: str) -> None:
        """Durably give the bytes of the local file `path` the name, which nobody else uses; `path` may be gone then."""

    def local(self, name: str) -> str:
        """Path of a file on this machine with those bytes. It need not exist where there is no such name."""

    def planned(self, name: str) -> str:
        """What `local` will answer. Nothing need be there yet."""

    def remove(self, name: str) -> None:
        """Nothing happens when there is none."""

    def scratch(self) -> str:
        """A new directory on this machine, for files that are to be published. Whoever asked for it removes it."""


class LocalBlobs:
    """A directory of a store on a local filesystem. It comes to be with the first file."""

    def __init__(self, storage: str, folder: str) -> None:
        self._storage, self._path = storage, os.path.join(storage, folder)

    def names(self) -> list[Blob]:
        with translated(self._storage, f"listing {self._path}"):
            try:
                entries = sorted(os.scandir(self._path), key=lambda entry: entry.name)
            except FileNotFoundError:
                return []
            return [blob for entry in entries if (blob := _blob(entry)) is not None]

    def read(self, name: str) -> bytes | None:
        with translated(self._storage, f"reading {name}"):
            try:
                return Path(self.local(name)).read_bytes()
            except FileNotFoundError:
                return None

    def create(self, name: str, data: bytes) -> bool:
        path = self.local(name)
        draft = f"{path}.{secrets.token_hex(4)}.new"
        with translated(self._storage, f"writing {name}"):
            self._make()
            try:
                replace_file(draft, data, durable=True)
                failpoints.hit(failpoints.MANIFEST_DRAFTED)
                # A link refuses to replace: of two that create, one wins.
                try:
                    os.link(draft, path)
                except FileExistsError:
                    return False
            finally:
                Path(draft).unlink(missing_ok=True)
            sync_directory(self._path)
        failpoints.hit(failpoints.MANIFEST_PUBLISHED)
        return True

    def publish(self, name: str, path: str) -> None:
        with translated(self._storage, f"writing {name}"):
            self._make()
            fd = os.open(path, os.O_RDWR)
            try:
                os.fchmod(fd, FILE_MODE)
                # Whoever sweeps takes an old file that no manifest names for one that was left behind.
                os.utime(fd)
                datasync(fd)
            finally:
                os.close(fd)
            if os.stat(path).st_dev == os.stat(self._path).st_dev:
                os.rename(path, self.local(name))
            else:
                draft = f"{self.local(name)}.{secrets.token_hex(4)}.new"
                shutil.copyfile(path, draft)
                fd = os.open(draft, os.O_RDWR)
                try:
                    datasync(fd)
                finally:
                    os.close(fd)
                os.rename(draft, self.local(name))
            sync_directory(self._path)
        failpoints.hit(failpoints.FILE_PUBLISHED)

    def local(self, name: str) -> str:
        return os.path.join(self._path, name)

    def planned(self, name: str) -> str:
        return self.local(name)

    def remove(self, name: str) -> None:
        with translated(self._storage, f"removing {name}"):
            Path(self.local(name)).unlink(missing_ok=True)

    def scratch(self) -> str:
        with translated(self._storage, f"writing below {self._path}"):
            self._make()
            return tempfile.mkdtemp(prefix=WORK_PREFIX, dir=self._path)

    def _make(self) -> None:
        if not os.path.isdir(self._path):
            os.makedirs(self._path, DIRECTORY_MODE, exist_ok=True)
            sync_directory(self._storage)


def _blob(entry: os.DirEntry[str]) -> Blob | None:
    try:
        stat = entry.stat()
        if entry.is_dir():
            return None
    except FileNotFoundError:
        return None  # removed since the directory was read
    return Blob(entry.name, stat.st_size, stat.st_mtime_ns // 1000)


def open_blobs(storage: str, folder: str) -> Blobs:
    """The files of `folder` (such as "history") of the store at `storage`. Creates nothing."""
    if is_uri(storage):
        from wfstore.log.objects.blobs import ObjectBlobs

        return ObjectBlobs(storage, folder)
    return LocalBlobs(storage, folder)
