"""Checks a whole store: every checksum, chain, seal and seq of the log, the witness, history files, and every payload
file that an event names.

It only reads, unless it is asked to repair, and then it cuts nothing but a torn tail and keeps a copy.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from wfstore.errors import DamageError
from wfstore.log._files import check_readable, datasync, no_store, sync_directory, translated
from wfstore.log.lease import lease_alive, read_lease
from wfstore.log.manifest import read_manifest
from wfstore.log.segment import Position, SegmentFile, log_path, parse_name
from wfstore.log.storage import now_us, resolve_storage
from wfstore.log.survey import Segment, Survey, list_names, take_survey
from wfstore.log.verify_group import Payloads, shared_files
from wfstore.log.verify_history import Found, check_history
from wfstore.log.witness import Witness, read_witness, witness_path
from wfstore.model.events import TASK_DEFINED
from wfstore.model.payload import payload_uri
from wfstore.schema.rows import Block

_COPY_BYTES = 1 << 20
_COLUMNS = ("ts", "type", "uri", "hash", "attributes")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, in which file and at which byte. repairable: `repair` can settle it without loss."""

    path: str
    offset: int
    message: str
    repairable: bool = False

    def __str__(self) -> str:
        return f"{self.path} at byte {self.offset}: {self.message}"


@dataclass(slots=True)
class VerifyReport:
    """What was looked at and what was found. repaired: problems that are settled now and no longer in `problems`.

    frames, events, segments, bytes: of the log; history_events: in history files; left_behind: files in the folder
    `history` that nobody needs, such as those of a compaction that was killed. A later one removes them.
    """

    problems: list[Problem] = field(default_factory=list)
    repaired: list[Problem] = field(default_factory=list)
    frames: int = 0
    events: int = 0
    segments: int = 0
    bytes: int = 0
    payloads: int = 0
    history_files: int = 0
    history_events: int = 0
    left_behind: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems


def verify(storage: str, *, repair: bool = False) -> VerifyReport:
    """Check the store. repair: cut a torn tail, after a copy of the segment was made beside it (`<name>.broken`).

    A torn tail is in order while a manager is alive, and then it is never cut. Raises StorageNotFoundError,
    StorageVersionError or StorageError when there is no store that can be read; damage is in the report.
    """
    storage = resolve_storage(storage)
    check_readable(storage)
    if not os.path.exists(witness_path(storage)) and not list_names(storage):
        raise no_store(storage)
    check = _Check(storage)
    check.run()
    if repair:
        for problem in [p for p in check.report.problems if p.repairable]:
            _cut(storage, problem)
            check.report.problems.remove(problem)
            check.report.repaired.append(problem)
    return check.report


class _Check:
    def __init__(self, storage: str) -> None:
        self.storage = storage
        self.report = VerifyReport()
        lease = read_lease(storage)
        self._managed = lease is not None and lease_alive(lease, now_us())
        self._payloads = Payloads()
        self._in_history = 1

    def run(self) -> None:
        witness = self._witness()
        before = self._taken_in()
        survey = take_survey(self.storage, report=self._damage)
        history = check_history(self.storage, None if witness is None else witness.store_id)
        self._note_history(history)
        after = None if history.manifest is None else history.manifest.next_seq
        self._in_history = after or 1
        if witness is not None:
            self._check_witness(witness, survey, after or 1)
        self._check_segments(survey, before, after)
        self._check_claims(survey)
        needed = self._payloads.needed
        for uri in sorted(needed | self._payloads.old):
            self._check_payload(uri, may_miss=uri not in needed)

    def _taken_in(self) -> int:
        """What the log goes on at; 1 where no manifest can be read."""
        try:
            return read_manifest(self.storage).next_seq
        except DamageError:
            return 1

    def _note_history(self, found: Found) -> None:
        for path, message in found.problems:
            self._problem(path, 0, message)
        self.report.history_files, self.report.history_events = found.files, found.events
        self.report.left_behind = found.left_behind
        self._payloads = found.payloads

    def _damage(self, error: DamageError) -> None:
        self._problem(error.path, error.offset, error.message.partition(f"at byte {error.offset}: ")[2])

    def _problem(self, path: str, offset: int, message: str, *, repairable: bool = False) -> None:
        self.report.problems.append(Problem(path, offset, message, repairable))

    def _witness(self) -> Witness | None:
        try:
            witness = read_witness(self.storage)
        except DamageError as error:
            self._damage(error)
            return None
        if witness is None:
            self._problem(witness_path(self.storage), 0, "the file is missing; the next manager writes it anew")
        return witness

    def _check_witness(self, witness: Witness, survey: Survey, taken_in: int) -> None:
        for segment in survey.segments:
            if segment.header.store_id != witness.store_id:
                path = log_path(self.storage, segment.name)
                self._problem(path, 0, f"the segment is of another store ({segment.header.store_id})")
        if not witness.segment:
            return
        path = log_path(self.storage, witness.segment)
        try:
            size = os.path.getsize(path)
        except FileNotFoundError:
            later = any(_key(segment.name) > _key(witness.segment) for segment in survey.segments)
            if not later or witness.next_seq > taken_in:
                self._problem(path, 0, "the segment is missing, and store.json counts on it")
            return
        if size < witness.sealed_length:
            self._problem(path, size, f"the file ends here, store.json counts on {witness.sealed_length} bytes")

    def _check_segments(self, survey: Survey, before: int, after: int | None) -> None:
        """before, after: what was in history files before the survey was taken, and after (None: not known)."""
        expected = after
        for number, segment in enumerate(survey.segments):
            start = segment.header.start.next_seq
            path = log_path(self.storage, segment.name)
            if expected is not None and (start > expected or (number and start != expected)):
                self._problem(path, 0, f"begins at seq {start}, {expected} was expected: a segment is missing")
            try:
                expected = self._check_segment(segment)
                self.report.segments += 1
            except DamageError as error:
                if self._removed(segment):
                    continue
                self._damage(error)
                expected = None
        if survey.segments and expected is not None and expected < before:
            path = log_path(self.storage, survey.segments[-1].name)
            self._problem(path, 0, f"the log ends before seq {expected}, and history files end before seq {before}")

    def _removed(self, segment: Segment) -> bool:
        """Whether the segment went away since the survey, because history files hold it by now."""
        there = os.path.exists(log_path(self.storage, segment.name))
        return not there and segment.seal is not None and segment.seal.next_seq <= self._taken_in()

    def _check_segment(self, segment: Segment) -> int:
        """Seq of the event after the segment. Raises DamageError."""
        at = segment.header.start
        self.report.frames += 1
        self.report.bytes += at.offset
        with SegmentFile(self.storage, segment.name) as file:
            while True:
                window = file.window(at, segment.limit)
                self._check_rows(file, at, window.block(segment.header.columns, segment.epoch))
                self.report.frames += len(window.frames)
                self.report.bytes += window.after.offset - at.offset
                at = window.after
                if window.ended:
                    break
            if segment.seal is not None and at != segment.seal.end:
                raise file.damage(at.offset, "the segment does not end as its seal says")
            if segment.seal is None:
                self._check_tail(file, at.offset, file.size())
        return at.next_seq

    def _check_tail(self, file: SegmentFile, end: int, size: int) -> None:
        if size > end and not self._managed:
            message = f"a torn tail of {size - end} bytes; no manager is alive, and the next one leaves it out"
            self._problem(file.path, end, message, repairable=True)

    def _check_claims(self, survey: Survey) -> None:
        """Segments that nobody sealed and that have no (whole) header: claims whose manager died."""
        counting = {segment.name for segment in survey.segments}
        reported = {problem.path for problem in self.report.problems}
        for name in survey.unsealed:
            if name not in counting and log_path(self.storage, name) not in reported:
                with SegmentFile(self.storage, name) as file:
                    self._check_tail(file, 0, file.size())

    def _check_rows(self, file: SegmentFile, at: Position, block: Block) -> None:
        try:
            values = block.values(_COLUMNS)
        except ValueError as error:
            raise file.damage(at.offset, f"rows that cannot be read: {error}") from error
        self.report.events += block.rows
        columns: list[Iterable[Any]] = [values.get(name, ()) for name in _COLUMNS]
        for seq, (ts, type_, uri, hash_, attributes) in enumerate(zip(*columns, strict=False), block.first_seq):
            if seq < self._in_history:
                continue  # what its history file needs counts: retention may have been there
            if uri:
                self._payloads.note(ts, [uri])
            if type_ == TASK_DEFINED:
                self._payloads.note(ts, payloads_of_task(hash_, attributes))

    def _check_payload(self, uri: str, may_miss: bool) -> None:
        path = os.path.join(self.storage, uri)
        digest = hashlib.sha256()
        self.report.payloads += 1
        name = os.path.basename(uri)
        if uri != payload_uri(name):
            self._problem(path, 0, "an event names a payload by a path that no payload has")
            return
        try:
            with open(path, "rb") as file:
                while chunk := file.read(_COPY_BYTES):
                    digest.update(chunk)
        except OSError as error:
            if may_miss and isinstance(error, FileNotFoundError):
                return
            self._problem(path, 0, f"a payload that an event names cannot be read: {error.strerror}")
            return
        if digest.hexdigest() != name:
            self._problem(path, 0, "the payload's bytes are not those its name stands for")


def _key(name: str) -> tuple[int, int]:
    return parse_name(name) or (0, 0)


def payloads_of_task(function_hash: str | None, attributes: str | None) -> Iterable[str]:
    """The function's body and the arguments it shares with other tasks; those inline in the event are no files."""
    if function_hash:
        yield payload_uri(function_hash)
    if attributes:
        yield from shared_files(attributes)


def _cut(storage: str, problem: Problem) -> None:
    """Cut the file at the problem's offset. The copy is durable before the cut."""
    with translated(storage, "repairing the log"):
        copy = f"{problem.path}.broken"
        shutil.copyfile(problem.path, copy)
        os.chmod(copy, 0o600)
        fd = os.open(copy, os.O_RDWR)
        try:
            datasync(fd)
        finally:
            os.close(fd)
        sync_directory(os.path.dirname(copy))
        fd = os.open(problem.path, os.O_WRONLY)
        try:
            os.ftruncate(fd, problem.offset)
            os.fsync(fd)
        finally:
            os.close(fd)
