"""Backup of a store that may be in use, and its restoration elsewhere: on disks and on object storage, either way.

A backup is itself a store: whatever reads one reads it in place. Nothing here manages a store, or writes to the one
that is backed up.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from wfstore._backup import notes
from wfstore._backup.copying import Copied, Copying, Progress
from wfstore._backup.notes import BACKUP, RESTORE, Note
from wfstore._backup.places import GoneError, Place, place_of
from wfstore._backup.taking import Taken, take
from wfstore.errors import DamageError, StorageError
from wfstore.index import WholeLog
from wfstore.log import failpoints, lease_alive, now_us, read_lease
from wfstore.log import verify as verify_bytes
from wfstore.log.verify_report import PAYLOAD, Problem, VerifyReport
from wfstore.log.witness import WITNESS_FILE
from wfstore.objects import is_uri

__all__ = ["BackedUp", "backup", "restore"]

#: So often the source may change under a copy, before it is given up.
_TRIES = 10


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A copy that is whole. seq: the last event in it; taken_at: when the source was so; files, bytes: of all of it;
    copied_files, copied_bytes: what was not there before; verified: whether every byte of the copy was read again and
    found to be right; lost: values that are lost or damaged at the source, and were left out."""

    source: str
    destination: str
    store_id: str
    seq: int
    taken_at: datetime
    files: int
    bytes: int
    copied_files: int
    copied_bytes: int
    verified: bool
    lost: tuple[str, ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def backup(storage: str, destination: str, *, verify: bool, lost_values: bool, progress: Progress) -> BackedUp:
    """As `Store.backup`. Both as `resolve_storage` gave them."""
    began = time.monotonic()
    _check_apart(storage, destination)
    source, dest = place_of(storage), place_of(destination)
    taken = take(source)
    old = _room_for_backup(taken, dest)
    with notes.working(dest, BACKUP, taken.store_id, storage, taken.seq):
        for _ in range(_TRIES):
            try:
                copying = Copying(taken, dest, progress, lost_values)
                copied = copying.run(old)
                notes.write_note(dest, _note(taken, copied))
                failpoints.hit(failpoints.BACKUP_NOTED)
                copying.sweep()
                lost = _verified(source, dest, copied, lost_values, progress) if verify else copied.lost
            except GoneError:
                taken = take(source)
                continue
            return _told(taken, dest, copied, verify, lost, began)
    raise StorageError(storage, f"its files changed {_TRIES} times while they were copied. Try again later")


def restore(source: str, destination: str, *, verify: bool, progress: Progress) -> BackedUp:
    """As `wfstore.restore`. Both as `resolve_storage` gave them."""
    began = time.monotonic()
    _check_apart(source, destination)
    place, dest = place_of(source), place_of(destination)
    taken = _of_backup(place)
    _room_for_restore(taken, dest)
    with notes.working(dest, RESTORE, taken.store_id, source, taken.seq):
        try:
            copying = Copying(taken, dest, progress)
            copied = copying.run(None)
        except GoneError as error:
            reason = f"the backup changed while it was restored ({error} is gone). Begin again once it is finished"
            raise StorageError(source, reason) from None
        copying.sweep()
        lost = _verified(place, dest, copied, True, progress) if verify else []
    return _told(taken, dest, copied, verify, lost, began)


def _told(taken: Taken, dest: Place, copied: Copied, verified: bool, lost: list[str], began: float) -> BackedUp:
    return BackedUp(
        str(taken.place.storage),
        str(dest.storage),
        taken.store_id,
        taken.seq,
        datetime.fromtimestamp(taken.at / 1e6, UTC),
        copied.files,
        copied.bytes,
        copied.copied_files,
        copied.copied_bytes,
        verified,
        tuple(sorted(lost)),
        time.monotonic() - began,
    )


# -- what may be copied where -----------------------------------------------------------------------------------------


def _check_apart(storage: str, destination: str) -> None:
    """Neither in the other: a copy of itself would never end."""
    one, other = (path if is_uri(path) else os.path.realpath(path) for path in (storage, destination))
    if one == other:
        raise StorageError(destination, "this is the store itself. Name another place")
    for inner, outer in ((one, other), (other, one)):
        if inner.startswith(outer.rstrip("/") + "/"):
            raise StorageError(destination, f"{inner} lies inside {outer}. Name a place outside the store")


def _room_for_backup(taken: Taken, dest: Place) -> Note | None:
    """The older backup of the same store that is there, if there is one. Raises StorageError for all else that is."""
    used = dest.used()
    note = notes.read_note(dest)
    under_way = notes.unfinished(dest)
    if note is None and under_way is None:
        if used:
            raise _not_empty(dest, used, "a backup")
        return None
    known = note.store_id if note is not None else (under_way or {}).get("store_id")
    if known != taken.store_id or (note is None and (under_way or {}).get("what") != BACKUP):
        reason = f"a backup of another store is here ({known}; this one is {taken.store_id}). Name another place"
        raise StorageError(dest.storage, reason)
    _check_untouched(dest, note, under_way is not None)
    if note is not None:
        _check_older(taken, dest, note)
    return note


def _check_untouched(dest: Place, note: Note | None, under_way: bool) -> None:
    """Nobody has written to the backup as to a store of its own."""
    found = notes.witness_at(dest)
    lease = read_lease(dest.storage)
    if lease is not None and lease_alive(lease, now_us()):
        reason = f"a manager runs on this backup (process {lease.pid} on {lease.host}). Name another place"
        raise StorageError(dest.storage, reason)
    if found is None or (note is not None and asdict(found) == note.witness):
        return
    half_done = under_way and found.clean and found.restored_seq == found.next_seq - 1
    if not half_done:
        reason = f"this backup has been written to since, as a store of its own (epoch {found.epoch})"
        raise StorageError(dest.storage, f"{reason}. Name another place")


def _check_older(taken: Taken, dest: Place, note: Note) -> None:
    """The backup is an earlier state of the store, and of no other that has grown from it."""
    if note.seq > taken.seq:
        reason = f"the backup here goes up to event {note.seq}, and the store only up to {taken.seq}: it was restored"
        raise StorageError(dest.storage, f"{reason} from an older one. Name another place")
    seqs = [int(seq) for seq in note.proof]
    if seqs:
        rows = WholeLog.at(taken.place.storage).read_range(min(seqs), max(seqs))
        odd = list(notes.differ(note.proof, notes.proof_of(rows)))
        if odd:
            reason = f"the backup here has another event {odd[0]} than the store: one was restored, and went on alone"
            raise StorageError(dest.storage, f"{reason}. Name another place")


def _room_for_restore(taken: Taken, dest: Place) -> None:
    used = dest.used()
    under_way = notes.unfinished(dest)
    if under_way is None:
        if used:
            raise _not_empty(dest, used, "a restored store")
        return
    what, source, store_id, seq = (under_way.get(name) for name in ("what", "source", "store_id", "seq"))
    if (what, store_id, seq) != (RESTORE, taken.store_id, taken.seq):
        reason = f"something else was begun here: a {what} of {source}, up to event {seq}"
        raise StorageError(dest.storage, f"{reason}. Remove it, or name another place")


def _not_empty(dest: Place, used: list[str], what: str) -> StorageError:
    if WITNESS_FILE in used or "log" in used:
        reason = f"there is a store here, and {what} needs a place of its own. Name another one, or remove this store"
    else:
        shown = ", ".join(used[:3]) + (", ..." if len(used) > 3 else "")
        reason = f"this place is not empty (it has {shown}), and {what} needs one of its own. Name another"
    return StorageError(dest.storage, reason)


def _of_backup(place: Place) -> Taken:
    """What the backup at a place is; a copy that was made by other means is taken as the store that it is."""
    note = notes.read_note(place)
    under_way = notes.unfinished(place)
    if under_way is not None and (by := notes.at_work(under_way)) is not None:
        reason = f"a backup to this place is under way: process {by.pid} on {by.host}. Wait until it is done"
        raise StorageError(place.storage, reason)
    if note is not None:
        return note.taken(place)
    if under_way is not None:
        reason = f"the first {under_way.get('what')} to this place was never finished. Run it again to the end"
        raise StorageError(place.storage, reason)
    return take(place)


# -- what is said and checked at the end ------------------------------------------------------------------------------


def _note(taken: Taken, copied: Copied) -> Note:
    assert copied.witness is not None
    first = max(1, taken.seq - notes.PROOF_ROWS + 1)
    rows = WholeLog.at(taken.place.storage).read_range(first, taken.seq)
    return Note(
        taken.store_id,
        taken.created_at,
        taken.seq,
        taken.at,
        taken.place.storage,
        taken.manifest.number,
        taken.epoch,
        copied.pieces,
        asdict(copied.witness),
        copied.end,
        notes.proof_of(rows),
    )


def _verified(source: Place, dest: Place, copied: Copied, lost_values: bool, progress: Progress) -> list[str]:
    """Names of the values that are missing at the source, too. Raises DamageError for all else that is not right."""
    report: VerifyReport = verify_bytes(dest.storage, progress=progress)
    lost = list(copied.lost)
    for problem in report.problems:
        name = _lost(source, dest, problem, copied.lost)
        if name is None:
            reason = f"{problem.message}. Remove this file from the copy, and begin again: only that one is copied anew"
            raise DamageError(dest.storage, problem.path, problem.offset, reason)
        if name in copied.lost:
            continue
        if copied.vanished:
            raise GoneError(name)  # it went while others were copied; what is there now does without it
        if not lost_values:
            reason = "a value that an event names is missing: `wfstore verify` says who needs it, --lost-values goes on"
            raise DamageError(source.storage, name, 0, reason)
        lost.append(name)
    return lost


def _lost(source: Place, dest: Place, problem: Problem, left_out: list[str]) -> str | None:
    """The name of a value that neither of them has."""
    name = problem.path.removeprefix(dest.storage).lstrip("/")
    folder = name.rpartition("/")[0]
    missing = problem.kind == PAYLOAD and name not in dest.sizes(folder) and name not in source.sizes(folder)
    return name if missing or name in left_out else None
