"""`store.json`: what the store is, and what of the log must at least be there. Kept outside the log on purpose."""

from __future__ import annotations

import json
import os
import secrets
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from wfstore.errors import DamageError, StorageError
from wfstore.log._files import DIRECTORY_MODE, check_readable, replace_file, sync_directory, translated
from wfstore.log.segment import FORMAT, log_path, newer_format

WITNESS_FILE = "store.json"
_REBUILT = "Remove it: the next manager writes it anew, from what the log says"
_LOST = "Restore what is missing from a backup; or, to go on without it for good, remove store.json"
_NOT_A_DIRECTORY = "this is a file, and a store is a directory"


@dataclass(frozen=True, slots=True)
class Witness:
    """The log holds at least `sealed_length` bytes of `segment`; `clean`: its last manager stopped in good order.

    restored_seq: the store is a copy, made by `backup` or `restore` when this was its last event; 0: it is none.
    """

    store_id: str
    created_at: int
    format: int = FORMAT
    epoch: int = 0
    segment: str = ""
    sealed_length: int = 0
    next_seq: int = 1
    clean: bool = True
    restored_seq: int = 0

    def check_log(self, storage: str, next_seq: int, ends: Mapping[str, int] | None = None) -> None:
        """The log goes on with the event `next_seq`. Raises DamageError where there were more. ends: bytes that are
        valid, by segment, as far as it is known."""
        if next_seq < self.next_seq:
            # An object is named by all of its name.
            path = self.segment if "/" in self.segment else log_path(storage, self.segment)
            at = (ends or {}).get(self.segment, 0)
            reason = f"the log ends before seq {next_seq}, and store.json counts on all before seq {self.next_seq}"
            raise DamageError(storage, path, at, f"{reason}. {_LOST}")


def witness_path(storage: str) -> str:
    return os.path.join(storage, WITNESS_FILE)


def read_witness(storage: str) -> Witness | None:
    """None when there is none. Raises DamageError, StorageVersionError, StorageError."""
    path = witness_path(storage)
    with translated(storage, "reading store.json"):
        try:
            with open(path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return None
    return decoded(storage, path, data)


def decoded(storage: str, path: str, data: bytes) -> Witness:
    """What `encoded` made. Raises DamageError, StorageVersionError."""
    try:
        values: dict[str, Any] = json.loads(data)
        fields = Witness.__dataclass_fields__
        # Earlier versions wrote no checksum, and no other names than today's.
        crc = values.pop("crc", None)
        if crc != _crc(values) and not (crc is None and fields.keys() >= values.keys()):
            raise ValueError("its checksum does not fit its text")
        if values["format"] > FORMAT:
            raise newer_format(storage, values["format"])
        return Witness(**{name: values[name] for name in fields if name in values})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamageError(storage, path, 0, f"not a store's description: {error}. {_REBUILT}") from error


def encoded(witness: Witness) -> bytes:
    """One line of JSON with a checksum of the rest of it."""
    values = asdict(witness)
    return (json.dumps({**values, "crc": _crc(values)}) + "\n").encode()


def _crc(values: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(values).encode())


def write_witness(storage: str, witness: Witness) -> None:
    """Durable and atomic. Raises StorageError."""
    with translated(storage, "writing store.json"):
        replace_file(witness_path(storage), encoded(witness), durable=True)


def check_storage(storage: str) -> None:
    """Raises what `open_writer` would say about a path that cannot be written as a store. Creates nothing.

    Raises StorageError (a file, no permission, read-only), StorageVersionError, DamageError.
    """
    path = storage
    while not os.path.lexists(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    if not os.path.isdir(path):
        raise StorageError(storage, _NOT_A_DIRECTORY if path == storage else f"{path} is a file, not a directory")
    if not os.access(path, os.W_OK | os.X_OK):
        raise StorageError(storage, f"{path} cannot be written by this user. Name another storage")
    if path == storage:
        read_witness(storage)


def ensure_store(storage: str, created_at: int, known_id: str | None = None) -> Witness:
    """The store's witness; the store is created when it is absent. `known_id`: of a log that lost its store.json."""
    _make_directories(storage)
    if (found := read_witness(storage)) is not None:
        return found
    witness = Witness(known_id or uuid.uuid4().hex, created_at)
    draft = f"{witness_path(storage)}.{secrets.token_hex(4)}.new"
    with translated(storage, "creating the store"):
        try:
            replace_file(draft, encoded(witness), durable=False)
            with open(draft, "rb") as file:
                os.fsync(file.fileno())
            # A link refuses to replace: of two creators one wins, and both use its store id.
            try:
                os.link(draft, witness_path(storage))
            except FileExistsError:
                pass
        finally:
            if os.path.exists(draft):
                os.unlink(draft)
        sync_directory(storage)
    found = read_witness(storage)
    if found is None:
        raise StorageError(storage, "store.json was created and has vanished again")
    return found


def _make_directories(storage: str) -> None:
    if os.path.lexists(storage) and not os.path.isdir(storage):
        raise StorageError(storage, _NOT_A_DIRECTORY)
    with translated(storage, "creating the store"):
        if not os.path.isdir(log_path(storage)):
            os.makedirs(os.path.dirname(storage) or "/", exist_ok=True)
            for path in (storage, log_path(storage)):
                if not os.path.isdir(path):
                    os.makedirs(path, DIRECTORY_MODE, exist_ok=True)
                sync_directory(os.path.dirname(path))
    check_readable(storage)


def advanced(witness: Witness, epoch: int, segment: str, length: int, next_seq: int, *, clean: bool) -> Witness:
    """The witness of the same store at a later moment."""
    return replace(witness, epoch=epoch, segment=segment, sealed_length=length, next_seq=next_seq, clean=clean)
