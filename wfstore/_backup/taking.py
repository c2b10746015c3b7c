"""What a store is at one moment: which of its files, and how much of each, make a whole of all events up to one seq.

Nothing is locked for it. The history files of the newest manifest end where the log goes on; a segment that is being
written counts up to its last whole frame; and what compaction replaces stays for its time of grace.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

from wfstore._backup.places import GoneError, Place
from wfstore.errors import DamageError, StorageError, StorageNotFoundError
from wfstore.log import now_us
from wfstore.log._files import no_store
from wfstore.log.manifest import HISTORY_DIRECTORY, Manifest, manifest_name, parse_manifest, read_manifest
from wfstore.log.objects import link
from wfstore.log.segment import LOG_DIRECTORY, Position, SegmentFile, log_path
from wfstore.log.survey import CLAIM_GRACE_S, Segment, Survey, is_superseded, take_survey
from wfstore.log.witness import WITNESS_FILE, Witness, decoded

_PAUSE_S = 0.05


class Piece(NamedTuple):
    """A file of the log, of which `bytes` count; they hold the events from first_seq to before next_seq."""

    name: str
    bytes: int
    first_seq: int
    next_seq: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Taken:
    """A store up to and with the event `seq`, as it was at `at` (microseconds UTC). pieces: what of the log is in no
    history file, in order; epoch: the highest that was claimed."""

    place: Place
    store_id: str
    created_at: int
    seq: int
    at: int
    manifest: Manifest
    pieces: tuple[Piece, ...]
    epoch: int

    @property
    def on_disk(self) -> bool:
        """Whether its log is segments; else it is a chain of objects."""
        return self.place.on_disk

    def manifest_data(self) -> bytes | None:
        """As it lies there; None where nothing was compacted yet. Raises GoneError."""
        if not self.manifest.number:
            return None
        data = self.place.read(f"{HISTORY_DIRECTORY}/{manifest_name(self.manifest.number)}")
        if data is None:
            raise GoneError("manifest")
        return data

    def witness(self, pieces: tuple[Piece, ...], on_disk: bool) -> Witness:
        """`store.json` of a copy whose log is `pieces`: complete, and in nobody's hands."""
        name, size = (pieces[-1].name, pieces[-1].bytes) if pieces else ("", 0)
        name = name.removeprefix(f"{LOG_DIRECTORY}/") if on_disk else name
        return Witness(
            self.store_id,
            self.created_at,
            epoch=self.epoch,
            segment=name,
            sealed_length=size,
            next_seq=self.seq + 1,
            restored_seq=self.seq,
        )


def take(place: Place) -> Taken:
    """The store as it is now, which may be written and compacted meanwhile.

    Raises StorageNotFoundError, StorageVersionError, DamageError, StorageError.
    """
    data = place.read(WITNESS_FILE)
    if data is None:
        raise _without_witness(place)
    witness = decoded(place.storage, WITNESS_FILE, data)
    deadline = time.monotonic() + 2 * CLAIM_GRACE_S
    while True:
        manifest = read_manifest(place.storage)
        found = _segments(place.storage, manifest) if place.on_disk else _objects(place, manifest)
        if found is not None:
            break
        if time.monotonic() > deadline:
            raise StorageError(place.storage, "one manager after the other claims the log. Try again later")
        time.sleep(_PAUSE_S)
    pieces, next_seq, epoch = found
    if next_seq < witness.next_seq:
        witness.check_log(place.storage, next_seq)
    return Taken(
        place, witness.store_id, witness.created_at, next_seq - 1, now_us(), manifest, pieces, max(epoch, witness.epoch)
    )


def _without_witness(place: Place) -> StorageError:
    if place.sizes(LOG_DIRECTORY):
        reason = "store.json is missing: start a manager, which writes it anew, before the store is copied"
        return StorageError(place.storage, reason)
    found: StorageNotFoundError = no_store(place.storage)
    return found


def manifest_of(place: Place, number: int) -> Manifest:
    """That manifest, whether or not it is the newest. Raises DamageError."""
    if not number:
        return Manifest()
    name = f"{HISTORY_DIRECTORY}/{manifest_name(number)}"
    data = place.read(name)
    if data is None:
        raise DamageError(place.storage, name, 0, "the manifest is missing, and the backup counts on it")
    return parse_manifest(place.storage, number, data)


# -- on a disk --------------------------------------------------------------------------------------------------------


def _segments(storage: str, manifest: Manifest) -> tuple[tuple[Piece, ...], int, int] | None:
    """(pieces, seq of the event to come, epoch); None where somebody is about to claim the log, or it has changed."""
    survey = take_survey(storage)
    if any(segment.held for segment in survey.segments):
        return None
    pieces: list[Piece] = []
    next_seq = manifest.next_seq
    for number, segment in enumerate(survey.segments):
        start = segment.header.start.next_seq
        if start > next_seq or (number and start != next_seq):
            if manifest.number != read_manifest(storage).number:
                return None  # a compaction has let go of what it has taken in
            reason = f"begins at seq {start}, {next_seq} was expected: a segment is missing"
            raise DamageError(storage, log_path(storage, segment.name), 0, reason)
        end = _end(storage, segment)
        if end is None:
            return None
        pieces.append(Piece(f"{LOG_DIRECTORY}/{segment.name}", end.offset, start, end.next_seq, segment.epoch))
        next_seq = end.next_seq
    if _changed(storage, survey):
        return None
    if next_seq < manifest.next_seq:
        path = log_path(storage, survey.segments[-1].name)
        reason = f"the log ends before seq {next_seq}, and history files end before seq {manifest.next_seq}"
        raise DamageError(storage, path, 0, reason)
    return _behind(pieces, manifest.next_seq), next_seq, survey.top_epoch


def _end(storage: str, segment: Segment) -> Position | None:
    """Where its whole frames end; None where it went away. Raises DamageError."""
    try:
        with SegmentFile(storage, segment.name) as file:
            end = file.end(segment.header.start, segment.limit)
            if segment.seal is not None and end != segment.seal.end:
                raise file.damage(end.offset, "the segment does not end as its seal says")
            return end
    except DamageError:
        if segment.name not in take_survey(storage).names:
            return None
        raise


def _changed(storage: str, survey: Survey) -> bool:
    """Whether somebody has claimed the log since: what was read may lie behind a seal then."""
    return bool(survey.segments) and is_superseded(storage, survey.top_epoch, survey.names[-1])


def _behind(pieces: list[Piece], next_seq: int) -> tuple[Piece, ...]:
    """Those that hold events from `next_seq` on, and the newest one, whatever it holds."""
    return tuple(piece for piece in pieces[:-1] if piece.next_seq > next_seq) + tuple(pieces[-1:])


# -- on object storage ------------------------------------------------------------------------------------------------


def _objects(place: Place, manifest: Manifest) -> tuple[tuple[Piece, ...], int, int] | None:
    """As `_segments`. A chain only grows, and what is removed of it is in history files."""
    sizes = sorted(place.sizes(LOG_DIRECTORY).items())
    listed = [(found, size) for name, size in sizes if (found := link.parse_name(name)) is not None]
    if not listed:
        return (), manifest.next_seq, 0
    last = listed[-1][0]
    data = place.read(last.name)
    if data is None:
        return None
    end = link.read(place.storage, last, data, None).end
    following = [found.first_seq for found, _ in listed[1:]] + [end.place.first_seq]
    pieces = [
        Piece(found.name, size, found.first_seq, after, end.epoch)
        for (found, size), after in zip(listed, following, strict=True)
    ]
    start = max((n for n, (found, _) in enumerate(listed) if found.first_seq <= manifest.next_seq), default=0)
    if manifest.next_seq == 1:
        start = 0  # a chain without history files is whole from its first object on
    for number in range(start + 1, len(listed)):
        if listed[number][0].number != listed[number - 1][0].number + 1:
            if manifest.number != read_manifest(place.storage).number:
                return None
            raise link.missing(place.storage, listed[number - 1][0]._replace(number=listed[number][0].number - 1))
    if listed[start][0].first_seq > manifest.next_seq:
        if manifest.number != read_manifest(place.storage).number:
            return None
        raise link.missing(place.storage, listed[start][0]._replace(first_seq=manifest.next_seq))
    return tuple(pieces[start:]), end.place.first_seq, end.epoch
