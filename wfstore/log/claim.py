"""Claiming the next epoch: the only way to become the writer of a log. The steps are numbered in on-disk-format.md."""

from __future__ import annotations

import math
import os
from collections.abc import Callable

from wfstore.errors import DamageError, FencedError, StorageError
from wfstore.log import failpoints
from wfstore.log._files import FILE_MODE, clock_of, datasync, sync_directory, translated, write_at
from wfstore.log.manifest import HISTORY_DIRECTORY, Manifest, manifest_name, read_manifest
from wfstore.log.segment import (
    Position,
    Seal,
    SegmentFile,
    SegmentHeader,
    build_header,
    log_path,
    parse_name,
    segment_name,
)
from wfstore.log.storage import now_us, resolve_storage
from wfstore.log.survey import CLAIM_LIMIT_S, MISSING_START, Survey, is_superseded, list_names, take_survey
from wfstore.log.witness import Witness, advanced, ensure_store, read_witness, write_witness
from wfstore.log.writer import DEFAULT_SEGMENT_BYTES, LogWriter, OpenSegment

#: A claim is made so often before it is given up as too slow.
_CLAIMS = 3


def open_writer(
    storage: str, *, clock: Callable[[], int] = now_us, segment_bytes: int = DEFAULT_SEGMENT_BYTES
) -> LogWriter:
    """Claim the next epoch of the log at `storage` and return its writer; the store is created when it is absent.

    Older writers are fenced from here on. segment_bytes: a segment that has reached it gets no further frame.
    Raises StorageError, StorageFullError, StorageVersionError, DamageError (an older segment is damaged: nothing was
    claimed) and FencedError (somebody claimed a still newer epoch meanwhile).
    """
    storage = resolve_storage(storage)
    created_at = clock()
    witness = ensure_store(storage, created_at, _id_in_log(storage))
    headers: dict[str, SegmentHeader] = {}
    # Before the claim, so that a damaged log is not littered with claims, and the second look is short.
    _, ends, next_seq = _look(storage, witness.store_id, headers, {})
    witness.check_log(storage, next_seq, {name: end.offset for name, end in ends.items()})
    with translated(storage, "claiming the log"):
        segment = _claim(storage, witness, created_at, headers, ends)
        try:
            length, next_seq = segment.end.offset, segment.end.next_seq
            claimed = advanced(witness, segment.epoch, segment.name, length, next_seq, clean=False)
            write_witness(storage, claimed)
        except BaseException:
            os.close(segment.fd)
            raise
    return LogWriter(storage, claimed, segment, clock=clock, segment_bytes=segment_bytes)


def newest_age_s(storage: str) -> float:
    """Seconds since somebody wrote to the newest segment; infinite without one."""
    names = list_names(storage)
    with translated(storage, "looking at the newest segment"):
        try:
            written_at = os.stat(log_path(storage, names[-1])).st_mtime if names else -math.inf
        except FileNotFoundError:
            return math.inf
        return max(0.0, clock_of(log_path(storage)) - written_at)


def _id_in_log(storage: str) -> str | None:
    """The store id that the log itself carries, or its history files, when store.json is lost."""
    if not os.path.isdir(log_path(storage)) or read_witness(storage) is not None:
        return None
    segments = take_survey(storage).segments
    return segments[-1].header.store_id if segments else read_manifest(storage).store_id or None


def _claim(
    storage: str,
    witness: Witness,
    created_at: int,
    headers: dict[str, SegmentHeader],
    ends: dict[str, Position],
) -> OpenSegment:
    """The first segment of the next epoch, begun. One that took too long is left behind as if its manager had died."""
    for _ in range(_CLAIMS):
        epoch, fd = _create(storage, witness.epoch)
        begun = None
        try:
            sync_directory(log_path(storage))
            failpoints.hit(failpoints.CLAIM_CREATED)
            begun = _begin(storage, epoch, fd, witness.store_id, created_at, headers, ends)
        finally:
            if begun is None:
                os.close(fd)
        if begun is not None:
            return begun
    reason = f"claiming the log took longer than {CLAIM_LIMIT_S:g} s, {_CLAIMS} times: the disk is too slow"
    raise StorageError(storage, f"{reason}, or this machine too busy. Try again later")


def _create(storage: str, at_least: int) -> tuple[int, int]:
    """Create the first segment of the next epoch; (epoch, its descriptor)."""
    while True:
        epochs = [key[0] for name in list_names(storage) if (key := parse_name(name)) is not None]
        epoch = max([at_least, *epochs]) + 1
        path = log_path(storage, segment_name(epoch, 1))
        try:
            return epoch, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        except FileExistsError:
            continue


def _ends(storage: str, survey: Survey, known: dict[str, Position]) -> dict[str, Position]:
    """Where every open segment's valid frames end, durably; `known`: ends found before, to go on from."""
    ends = {}
    for segment in survey.segments:
        if segment.seal is None:
            with SegmentFile(storage, segment.name) as file:
                # What the dead left in memory alone must not be counted by a seal: it would be gone after a power loss.
                file.forget_cached()
                ends[segment.name] = file.end(known.get(segment.name, segment.header.start), None)
                file.sync()
    return ends


def _begin(
    storage: str,
    epoch: int,
    fd: int,
    store_id: str,
    created_at: int,
    headers: dict[str, SegmentHeader],
    ends: dict[str, Position],
) -> OpenSegment | None:
    """Seal what older epochs left open, and make the header that says so durable. None: it is too late for that."""
    survey, ends, next_seq = _look(storage, store_id, headers, ends)
    mine = segment_name(epoch, 1)
    older = [name for name in survey.unsealed if name != mine]
    seals = tuple(Seal(name, *ends.get(name, Position(0, 0, next_seq))) for name in older)
    failpoints.hit(failpoints.CLAIM_SCANNED)
    if survey.top_epoch > epoch:
        raise FencedError(storage, f"epoch {survey.top_epoch} was claimed while epoch {epoch} was being opened")
    data, header = build_header(store_id, epoch, 1, created_at, seals, next_seq)
    # Readers go on without a claim that is older, and may by now have seen what the seals would take back. They allow
    # it some more, for a process that is stopped right here and for a reader's clock that is ahead.
    if clock_of(log_path(storage)) - os.fstat(fd).st_mtime > CLAIM_LIMIT_S:
        return None
    write_at(fd, data, 0)
    datasync(fd)
    failpoints.hit(failpoints.CLAIM_SYNCED)
    if is_superseded(storage, epoch, mine):
        raise FencedError(storage, f"epoch {epoch + 1} was claimed while epoch {epoch} was being opened")
    return OpenSegment(fd, mine, epoch, 1, header.start)


def _look(
    storage: str, store_id: str, headers: dict[str, SegmentHeader], known: dict[str, Position]
) -> tuple[Survey, dict[str, Position], int]:
    """The log as it is, where its open segments end, and the seq of the event to come.

    Raises DamageError where a segment does not go on where what comes before it ended: another one, or history files.
    """
    before = _manifest(storage, store_id)
    survey = take_survey(storage, headers)
    ends = _ends(storage, survey, known)
    # Segments go away once history files hold them: of what is missing now, the manifest of now has to know.
    next_seq = _manifest(storage, store_id).next_seq
    for number, segment in enumerate(survey.segments):
        start = segment.header.start.next_seq
        if start > next_seq or (number and start != next_seq):
            where = "a segment is missing" if number or next_seq > 1 else MISSING_START
            reason = f"begins at seq {start}, {next_seq} was expected: {where}"
            raise DamageError(storage, log_path(storage, segment.name), 0, reason)
        next_seq = (ends[segment.name] if segment.seal is None else segment.seal.end).next_seq
    if next_seq < before.next_seq:
        reason = f"the log ends before seq {next_seq}, and history files end before seq {before.next_seq}"
        path = log_path(storage, survey.segments[-1].name)
        raise DamageError(storage, path, 0, f"{reason}: the newest segments are missing. Restore them from a backup")
    return survey, ends, next_seq


def _manifest(storage: str, store_id: str) -> Manifest:
    manifest = read_manifest(storage)
    if manifest.number and manifest.store_id != store_id:
        path = os.path.join(storage, HISTORY_DIRECTORY, manifest_name(manifest.number))
        raise DamageError(storage, path, 0, f"the history files are those of another store ({manifest.store_id})")
    return manifest
