"""Copies what was taken of a store to another place: values, history files, the log, and last what makes a store of it.

Whatever is there and whole is not copied again, so that an interrupted copy goes on where it was.
"""

from __future__ import annotations

import hashlib
import os
import threading
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from wfstore._backup.logs import copy_pieces
from wfstore._backup.notes import BACKUP_FILE, UNFINISHED_FILE, Note
from wfstore._backup.places import Digest, GoneError, Place
from wfstore._backup.reframing import write_log
from wfstore._backup.taking import Piece, Taken
from wfstore.errors import DamageError
from wfstore.log import failpoints
from wfstore.log.manifest import HISTORY_DIRECTORY, HistoryFile, manifest_name
from wfstore.log.objects.files import FLOOR_FILE, floor_text
from wfstore.log.segment import LOG_DIRECTORY
from wfstore.log.witness import WITNESS_FILE, Witness, encoded
from wfstore.model.payload import payload_uri

Progress = Callable[[str, int, int], None]
_PAYLOADS = "payloads"
_AT_ONCE = 8
_MADE_HERE = (WITNESS_FILE, FLOOR_FILE, BACKUP_FILE, UNFINISHED_FILE)


@dataclass(slots=True)
class Copied:
    """What is at the place now. files, bytes: of it all; copied_files, copied_bytes: that had to be copied;
    lost: values that were left out, as they are lost or damaged where they come from."""

    pieces: tuple[Piece, ...] = ()
    end: dict[str, int] | None = None
    witness: Witness | None = None
    names: set[str] = field(default_factory=set)
    files: int = 0
    bytes: int = 0
    copied_files: int = 0
    copied_bytes: int = 0
    lost: list[str] = field(default_factory=list)
    vanished: bool = False


class Copying:
    """One copy of `taken` to `dest`. leave_out: values that are damaged where they come from are no error."""

    def __init__(self, taken: Taken, dest: Place, progress: Progress, leave_out: bool = False) -> None:
        self._taken, self._dest, self._progress, self._leave_out = taken, dest, progress, leave_out
        self._lock = threading.Lock()
        self._done = self._total = 0
        self.copied = Copied()

    def run(self, old: Note | None) -> Copied:
        """Everything but `backup.json`. old: the backup that is there, which can be restored until this one is done.

        Raises GoneError where the source has changed so that it has to be taken anew; DamageError, StorageError.
        """
        source, dest, taken = self._taken.place, self._dest, self._taken
        dest.tidy()
        payloads = {name: size for name, size in source.sizes(_PAYLOADS).items() if _is_payload(name)}
        history = {f"{HISTORY_DIRECTORY}/{file.name}": file for file in taken.manifest.files}
        sizes = {**payloads, **{name: file.bytes for name, file in history.items()}}
        have = {**dest.sizes(_PAYLOADS), **dest.sizes(HISTORY_DIRECTORY)}
        lacking = [name for name, size in sizes.items() if have.get(name) != size]
        log_bytes = sum(piece.bytes for piece in taken.pieces)
        self._total = sum(sizes.values()) + log_bytes
        self._done = self._total - log_bytes - sum(sizes[name] for name in lacking)
        self._copy_all(name for name in lacking if name in payloads)
        self._copy_all((name for name in lacking if name in history), history)
        self._copy_log(old)
        self.copied.names |= {*sizes, *(piece.name for piece in self.copied.pieces), *_MADE_HERE}
        self.copied.files, self.copied.bytes = len(sizes) + len(taken.pieces), sum(sizes.values()) + log_bytes
        self._make_a_store()
        return self.copied

    def sweep(self) -> None:
        """Remove what is not part of it: what the source has let go of, and what an older backup needed."""
        there = [name for folder in (LOG_DIRECTORY, HISTORY_DIRECTORY, _PAYLOADS) for name in self._dest.sizes(folder)]
        self._dest.remove(name for name in there if name not in self.copied.names)

    def _copy_all(self, names: Iterable[str], history: dict[str, HistoryFile] | None = None) -> None:
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="wfstore-copy") as threads:
            futures = [threads.submit(self._copy, name, (history or {}).get(name)) for name in names]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                for future in futures:
                    future.cancel()
                raise

    def _copy(self, name: str, file: HistoryFile | None) -> None:
        source = self._taken.place
        digest: Digest = _Sha256(source, name) if file is None else _Crc(source, name, file)
        try:
            with source.local(name) as path:
                size = os.path.getsize(path)
                self._dest.put_file(name, path, digest)
        except GoneError:
            if file is not None:
                raise
            with self._lock:
                self.copied.vanished = True  # nothing needs it any more, or it is missed in the end
            return
        except DamageError:
            if file is not None or not self._leave_out:
                raise
            with self._lock:
                self.copied.lost.append(name)
            return
        failpoints.hit(failpoints.BACKUP_FILE_COPIED)
        self._note(size)

    def _note(self, size: int, files: int = 1) -> None:
        with self._lock:
            self.copied.copied_files += files
            self.copied.copied_bytes += size
            self._done = min(self._total, self._done + size)
            done = self._done
        self._progress("copying", done, self._total)

    def _copy_log(self, old: Note | None) -> None:
        taken, copied = self._taken, self.copied
        if taken.on_disk == self._dest.on_disk:
            copy_pieces(taken, self._dest, self._note)
            copied.pieces = taken.pieces
        else:
            written = write_log(taken, self._dest, old, self._note)
            copied.pieces, copied.end = written
        failpoints.hit(failpoints.BACKUP_LOG_COPIED)

    def _make_a_store(self) -> None:
        """The manifest, then `store.json`: whoever opens the place from now on finds all of it."""
        taken, dest = self._taken, self._dest
        data = taken.manifest_data()
        if data is not None:
            name = f"{HISTORY_DIRECTORY}/{manifest_name(taken.manifest.number)}"
            if dest.read(name) != data:
                dest.put(name, data)
            self.copied.names.add(name)
        if not dest.on_disk:
            dest.put(FLOOR_FILE, floor_text(taken.manifest.next_seq))
        witness = self.copied.witness = taken.witness(self.copied.pieces, dest.on_disk)
        dest.put(WITNESS_FILE, encoded(witness))
        failpoints.hit(failpoints.BACKUP_BEFORE_NOTE)


class _Sha256:
    """Of a value, whose name says it."""

    def __init__(self, place: Place, name: str) -> None:
        self._place, self._name, self._hash = place, name, hashlib.sha256()

    def update(self, data: bytes) -> None:
        self._hash.update(data)

    def check(self) -> None:
        if self._hash.hexdigest() != os.path.basename(self._name):
            reason = "the payload's bytes are not those its name stands for"
            raise DamageError(self._place.storage, _path(self._place, self._name), 0, reason)


class _Crc:
    """Of a history file, as the manifest says it."""

    def __init__(self, place: Place, name: str, file: HistoryFile) -> None:
        self._place, self._name, self._file = place, name, file
        self._crc = self._size = 0

    def update(self, data: bytes) -> None:
        self._crc, self._size = zlib.crc32(data, self._crc), self._size + len(data)

    def check(self) -> None:
        if (self._size, self._crc) != (self._file.bytes, self._file.crc):
            reason = f"the history file is not what the manifest says ({self._size} of {self._file.bytes} bytes)"
            raise DamageError(self._place.storage, _path(self._place, self._name), 0, reason)


def _path(place: Place, name: str) -> str:
    return os.path.join(place.storage, name) if place.on_disk else name


def _is_payload(name: str) -> bool:
    return name == payload_uri(os.path.basename(name)) and len(os.path.basename(name)) == 64
