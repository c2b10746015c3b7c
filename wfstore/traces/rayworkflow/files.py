"""Where the files of an old store are: a local folder, or anything that pyarrow.fs reaches by a URI. Reads only."""

from __future__ import annotations

import builtins
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from wfstore.traces.errors import TraceError

if TYPE_CHECKING:
    import pyarrow.fs


class Blob(NamedTuple):
    """A file. path: relative to the store's root, with slashes; modified_us: microseconds UTC; data: its content where
    it is small enough to have been read on the way."""

    path: str
    bytes: int
    modified_us: int | None = None
    data: builtins.bytes | None = None


class Files(Protocol):
    """A tree of files. `remote`: each look costs a round trip, so that several at once pay."""

    source: str
    remote: bool

    def children(self, folder: str) -> tuple[dict[str, Blob], list[str]]:
        """Files (by name) and names of folders directly in `folder`; both empty where it does not exist."""

    def below(self, folder: str) -> Iterator[Blob]:
        """All files in `folder` and its folders."""

    def read(self, path: str) -> bytes:
        """The whole file. Raises OSError."""

    def last_byte(self, path: str) -> bytes:
        """The last byte of a file that is not empty. Raises OSError."""


def open_files(source: str | os.PathLike[str]) -> Files:
    """A path, `file://` or any URI that pyarrow.fs knows (s3://, gs://, hdfs://). Raises TraceError."""
    text = os.fspath(source)
    if "://" not in text:
        return LocalFiles(os.path.abspath(os.path.expanduser(text)))
    parts = urlsplit(text)
    if parts.scheme.lower() == "file":
        return LocalFiles(os.path.abspath(unquote(parts.path)))
    import pyarrow as pa
    import pyarrow.fs

    try:
        filesystem, root = pyarrow.fs.FileSystem.from_uri(text)
        return ArrowFiles(text, filesystem, root.rstrip("/"))
    except (OSError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise TraceError(text, "", f"this storage cannot be reached: {error}") from error


class LocalFiles:
    """A folder of this machine."""

    remote = False

    def __init__(self, root: str) -> None:
        self.source = root
        self._root = root

    def children(self, folder: str) -> tuple[dict[str, Blob], list[str]]:
        files: dict[str, Blob] = {}
        folders: list[str] = []
        try:
            with os.scandir(os.path.join(self._root, folder)) as found:
                for item in found:
                    if item.is_dir():
                        folders.append(item.name)
                    else:
                        stat = item.stat()
                        path = f"{folder}/{item.name}" if folder else item.name
                        files[item.name] = Blob(path, stat.st_size, stat.st_mtime_ns // 1000)
        except (FileNotFoundError, NotADirectoryError):
            return {}, []
        return files, sorted(folders)

    def below(self, folder: str) -> Iterator[Blob]:
        waiting = [folder]
        while waiting:
            current = waiting.pop()
            files, folders = self.children(current)
            yield from files.values()
            waiting += [f"{current}/{name}" for name in folders]

    def read(self, path: str) -> bytes:
        return Path(self._root, path).read_bytes()

    def last_byte(self, path: str) -> bytes:
        with open(os.path.join(self._root, path), "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1)


class ArrowFiles:
    """A place that pyarrow.fs reaches."""

    remote = True

    def __init__(self, source: str, filesystem: pyarrow.fs.FileSystem, root: str) -> None:
        self.source = source
        self._filesystem = filesystem
        self._root = root

    def children(self, folder: str) -> tuple[dict[str, Blob], list[str]]:
        files: dict[str, Blob] = {}
        folders: list[str] = []
        for path, info in self._infos(folder, recursive=False):
            if info.is_file:
                files[info.base_name] = _blob(path, info)
            else:
                folders.append(info.base_name)
        return files, sorted(folders)

    def below(self, folder: str) -> Iterator[Blob]:
        return (_blob(path, info) for path, info in self._infos(folder, recursive=True) if info.is_file)

    def read(self, path: str) -> bytes:
        with self._filesystem.open_input_stream(f"{self._root}/{path}") as file:
            data: bytes = file.read()
            return data

    def last_byte(self, path: str) -> bytes:
        with self._filesystem.open_input_file(f"{self._root}/{path}") as file:
            file.seek(file.size() - 1)
            data: bytes = file.read(1)
            return data

    def _infos(self, folder: str, *, recursive: bool) -> Iterator[tuple[str, pyarrow.fs.FileInfo]]:
        import pyarrow.fs

        where = f"{self._root}/{folder}".rstrip("/")
        selector = pyarrow.fs.FileSelector(where, allow_not_found=True, recursive=recursive)
        for info in self._filesystem.get_file_info(selector):
            yield info.path.removeprefix(f"{self._root}/"), info


def _blob(path: str, info: pyarrow.fs.FileInfo) -> Blob:
    return Blob(path, info.size, None if info.mtime_ns is None else info.mtime_ns // 1000)
