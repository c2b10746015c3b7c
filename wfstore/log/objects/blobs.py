"""Whole files below one folder of a store on object storage, with copies on this machine for what has to have a path.

A file never changes under its name, so a copy of the right size is right. Copies can be deleted at any time; those that
nobody has used for a month go with the next download.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from wfstore.errors import StorageError
from wfstore.log._files import DIRECTORY_MODE, translated
from wfstore.log.blobs import Blob
from wfstore.log.objects.files import read_witness
from wfstore.objects import bucket_of

_UNUSED_S = 30 * 24 * 3600.0


class ObjectBlobs:
    """`Blobs` of a folder. The copies are in $WFSTORE_CACHE, else in ~/.cache/wfstore."""

    def __init__(self, storage: str, folder: str) -> None:
        self._storage, self._folder = storage, folder
        self._bucket = bucket_of(storage)
        self._sizes: dict[str, int] = {}
        self._cache: Path | None = None

    def names(self) -> list[Blob]:
        """As `Blobs.names`."""
        start = len(self._folder) + 1
        found = [
            Blob(entry.name[start:], entry.bytes, entry.modified_us) for entry in self._bucket.entries(self._folder)
        ]
        self._sizes = {blob.name: blob.bytes for blob in found}
        return found

    def read(self, name: str) -> bytes | None:
        """As `Blobs.read`."""
        return self._bucket.get(self._key(name))

    def create(self, name: str, data: bytes) -> bool:
        """As `Blobs.create`. Two that put the same bytes are both told that they did."""
        return self._bucket.create(self._key(name), data)

    def publish(self, name: str, path: str) -> None:
        """As `Blobs.publish`; the file at `path` becomes this machine's copy."""
        size = os.path.getsize(path)
        self._bucket.upload(self._key(name), path)
        with contextlib.suppress(OSError):  # the object is there; a copy would only spare a download
            os.replace(path, self._made(name))
            self._sizes[name] = size

    def local(self, name: str) -> str:
        """As `Blobs.local`: downloads the object unless its copy is here."""
        size = self._size(name)
        path = self._path(name)
        with translated(self._storage, f"keeping a copy of {name}"):
            if size is None:
                path.unlink(missing_ok=True)
            elif _size_of(path) == size:
                os.utime(path)
            else:
                self._download(name, size)
        return str(path)

    def planned(self, name: str) -> str:
        """As `Blobs.planned`."""
        return str(self._path(name))

    def remove(self, name: str) -> None:
        """As `Blobs.remove`."""
        self._bucket.remove([self._key(name)])
        self._sizes.pop(name, None)
        with contextlib.suppress(OSError):
            self._path(name).unlink()

    def scratch(self) -> str:
        """As `Blobs.scratch`; beside the copies, so that what is published becomes one without being copied."""
        with translated(self._storage, "making a folder for work"):
            return tempfile.mkdtemp(prefix=".work-", dir=self._made("x").parent)

    def _key(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def _size(self, name: str) -> int | None:
        if name not in self._sizes:
            size = self._bucket.size(self._key(name))
            if size is None:
                return None
            self._sizes[name] = size
        return self._sizes[name]

    def _download(self, name: str, size: int) -> None:
        path = self._made(name)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            found = self._bucket.download(self._key(name), str(draft))
            if found is None:
                return
            if found != size:
                raise StorageError(self._storage, f"{name} has {size} bytes, {found} came")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        _drop_unused(path.parent)

    def _path(self, name: str) -> Path:
        if self._cache is None:
            witness = read_witness(self._bucket)
            # Nothing of a store without an id is worth finding again, and two must not share their copies.
            known = hashlib.sha256(self._storage.encode()).hexdigest()[:32] if witness is None else witness.store_id
            base = os.environ.get("WFSTORE_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "wfstore")
            self._cache = Path(base, known, self._folder)
        return self._cache / name

    def _made(self, name: str) -> Path:
        path = self._path(name)
        path.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        return path


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _drop_unused(folder: Path) -> None:
    oldest = time.time() - _UNUSED_S
    with contextlib.suppress(OSError):
        for path in _older(folder, oldest):
            path.unlink()


def _older(folder: Path, than: float) -> Iterator[Path]:
    for entry in os.scandir(folder):
        if entry.is_file() and entry.stat().st_mtime < than:
            yield Path(entry.path)
