"""What a copy says about itself: `backup.json`, what a finished backup consists of; `unfinished.json`, who is at work.

A restore goes by `backup.json` alone: a backup whose next one was interrupted half-way is still the older one.
"""

from __future__ import annotations

import hashlib
import json
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from wfstore._backup.places import Place
from wfstore._backup.taking import Piece, Taken, manifest_of
from wfstore._version import __version__
from wfstore.errors import DamageError, StorageError, StorageVersionError
from wfstore.log import Lease, lease_alive, now_us, own_lease
from wfstore.log.witness import WITNESS_FILE, Witness, decoded

BACKUP_FILE, UNFINISHED_FILE = "backup.json", "unfinished.json"
BACKUP, RESTORE = "backup", "restore"
FORMAT = 1
_REFRESH_S = 10.0
#: By these it is told whether two logs have the same event at the same seq.
_PROOF = ("seq", "epoch", "ts", "type", "workflow_id", "run", "task_id", "attempt", "request_id")
PROOF_ROWS = 100
#: Places that this process copies to now.
_active: set[str] = set()


@dataclass(frozen=True, slots=True)
class Note:
    """A finished backup. seq: its last event; taken_at: microseconds UTC; manifest: its number, 0 without one; log: the
    files of its log, and how many bytes of each count; witness: its `store.json`; end: where a log that was rewritten
    for another kind of storage goes on; proof: seq -> what the source's event was."""

    store_id: str
    created_at: int
    seq: int
    taken_at: int
    source: str
    manifest: int
    epoch: int
    log: tuple[Piece, ...]
    witness: dict[str, Any]
    end: dict[str, int] | None = None
    proof: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT
    version: str = __version__

    def taken(self, place: Place) -> Taken:
        """What the backup at `place` is a copy of. Raises DamageError, StorageVersionError, StorageError."""
        manifest = manifest_of(place, self.manifest)
        return Taken(place, self.store_id, self.created_at, self.seq, self.taken_at, manifest, self.log, self.epoch)


def read_note(place: Place) -> Note | None:
    """None where there is no finished backup. Raises DamageError, StorageVersionError, StorageError."""
    data = place.read(BACKUP_FILE)
    if data is None:
        return None
    try:
        values = json.loads(data)
        if values.pop("crc") != _crc(values):
            raise ValueError("its checksum does not fit its text")
        if values["format"] > FORMAT:
            reason = f"the backup has format {values['format']}, this wfstore reads up to {FORMAT}. Install a newer one"
            raise StorageVersionError(place.storage, reason)
        known = {name: values[name] for name in Note.__dataclass_fields__ if name in values}
        return Note(**{**known, "log": tuple(Piece(*piece) for piece in known["log"])})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamageError(place.storage, BACKUP_FILE, 0, f"not the description of a backup: {error}") from error


def write_note(place: Place, note: Note) -> None:
    """From here on this is the backup. Durable."""
    values = json.loads(json.dumps({**asdict(note), "log": [list(piece) for piece in note.log]}))
    place.put(BACKUP_FILE, (json.dumps({**values, "crc": _crc(values)}, indent=1) + "\n").encode())


def _crc(values: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(values, sort_keys=True).encode())


def proof_of(rows: pa.Table) -> dict[str, str]:
    """What tells these events from others at the same seqs."""
    cells = (rows.column(name).cast(pa.int64()) if name == "ts" else rows.column(name) for name in _PROOF)
    values = zip(*(column.to_pylist() for column in cells), strict=True)
    return {str(row[0]): hashlib.sha256(repr(row).encode()).hexdigest()[:16] for row in values}


def differ(one: dict[str, str], other: dict[str, str]) -> Iterable[int]:
    """Seqs at which both have an event, and not the same one."""
    return sorted(int(seq) for seq in one.keys() & other.keys() if one[seq] != other[seq])


def witness_at(place: Place) -> Witness | None:
    """None where there is no `store.json`. Raises DamageError, StorageVersionError."""
    data = place.read(WITNESS_FILE)
    return None if data is None else decoded(place.storage, WITNESS_FILE, data)


# -- who is at work ---------------------------------------------------------------------------------------------------


def unfinished(place: Place) -> dict[str, Any] | None:
    """What a copy that is under way, or was interrupted, said of itself; None where there is none."""
    data = place.read(UNFINISHED_FILE)
    try:
        found = json.loads(data or b"null")
    except ValueError:
        found = {}
    return found if data is not None else None


def at_work(said: dict[str, Any]) -> Lease | None:
    """Who is at it now, as far as can be told; None where nobody is."""
    try:
        lease = Lease(**said["by"])
    except (KeyError, TypeError):
        return None
    return lease if lease_alive(lease, now_us()) else None


@contextmanager
def working(place: Place, what: str, store_id: str, source: str, seq: int) -> Iterator[None]:
    """Says so at `place` until all is done; what remains after an error or a kill lets the next one go on.

    Raises StorageError where somebody else is at it.
    """

    def text() -> bytes:
        said = {
            "what": what,
            "store_id": store_id,
            "source": source,
            "seq": seq,
            "by": asdict(own_lease(now_us(), None, 0)),
        }
        return (json.dumps(said) + "\n").encode()

    if not place.create(UNFINISHED_FILE, text()):
        other = at_work(unfinished(place) or {})
        own = own_lease(0, None, 0)
        # One of this process that could not say that it was over, as the storage failed.
        is_over = other is not None and (other.pid, other.host) == (own.pid, own.host) and place.storage not in _active
        if other is not None and not is_over:
            reason = f"another copy to this place is under way: process {other.pid} on {other.host}"
            raise StorageError(place.storage, f"{reason}. Wait until it is done")
        place.put(UNFINISHED_FILE, text())
    stop = threading.Event()
    _active.add(place.storage)

    def refresh() -> None:
        while not stop.wait(_REFRESH_S):
            try:
                place.put(UNFINISHED_FILE, text())
            except StorageError:
                continue  # the copy itself will meet it, too, and say so

    thread = threading.Thread(target=refresh, name="wfstore-backup", daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        _end(place, stop, thread)
        _leave(place, text())
        raise
    _end(place, stop, thread)
    place.remove([UNFINISHED_FILE])


def _end(place: Place, stop: threading.Event, thread: threading.Thread) -> None:
    stop.set()
    thread.join()
    _active.discard(place.storage)


def _leave(place: Place, text: bytes) -> None:
    """Nobody is at it any more, and whoever comes next need not wait for a minute."""
    said = json.loads(text)
    del said["by"]
    with suppress(StorageError):  # the error that ends it is told; without this the next one only waits longer
        place.put(UNFINISHED_FILE, (json.dumps(said) + "\n").encode())
