"""Checks a whole store: every checksum, chain, seal and seq of the log, the witness, history files, and every payload
file that an event names.

It only reads, unless it is asked to repair, and then it cuts nothing but a torn tail and keeps a copy.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from dataclasses import replace
from typing import Any

from wfstore.errors import DamageError
from wfstore.log._files import check_readable, datasync, no_store, sync_directory, translated
from wfstore.log.claim import open_writer
from wfstore.log.lease import lease_alive, read_lease
from wfstore.log.manifest import read_manifest
from wfstore.log.segment import Position, SegmentFile, Window, log_path, parse_name
from wfstore.log.storage import now_us, resolve_storage
from wfstore.log.survey import CLAIM_GRACE_S, Segment, Survey, list_names, take_survey
from wfstore.log.verify_history import Found, check_history
from wfstore.log.verify_report import FOREIGN, LOG, PAYLOAD, TORN_TAIL, WITNESS, Problem, Progress, VerifyReport, silent
from wfstore.log.verify_rows import RowsCheck
from wfstore.log.witness import Witness, read_witness, witness_path
from wfstore.model.payload import payload_uri
from wfstore.schema.rows import Block

_COPY_BYTES = 1 << 20
_TOLD_EVERY = 64


def verify(storage: str, *, repair: bool = False, progress: Progress = silent) -> VerifyReport:
    """Check the store. repair: cut a torn tail, after a copy of the segment was made beside it (`<name>.broken`).

    A torn tail is in order while a manager is alive, and then it is never cut. Raises StorageNotFoundError,
    StorageVersionError or StorageError when there is no store that can be read; damage is in the report.
    """
    storage = resolve_storage(storage)
    check_readable(storage)
    if not os.path.exists(witness_path(storage)) and not list_names(storage):
        raise no_store(storage)
    check = _Check(storage, progress)
    check.run()
    if repair:
        _repair(storage, check.report)
    return check.report


class _Check:
    def __init__(self, storage: str, progress: Progress) -> None:
        self.storage, self._progress = storage, progress
        self.report = VerifyReport()
        lease = read_lease(storage)
        self._managed = lease is not None and lease_alive(lease, now_us())

    def run(self) -> None:
        witness = self._witness()
        # What was acknowledged by then is no trace of an interrupted write.
        self._counted_on = 1 if witness is None else witness.next_seq
        before = self._taken_in()
        survey = take_survey(self.storage, report=self._damage)
        history = check_history(self.storage, None if witness is None else witness.store_id, self._progress)
        self._note_history(history)
        after = None if history.manifest is None else history.manifest.next_seq
        self._rows = RowsCheck(history.payloads, after or 1)
        if witness is not None:
            self._check_witness(witness, survey, after or 1)
        self._check_segments(survey, before, after)
        self.report.events = self._rows.events
        self._check_claims(survey)
        needed = history.payloads.needed
        uris = sorted(needed | history.payloads.old)
        for number, uri in enumerate(uris):
            if number % _TOLD_EVERY == 0:
                self._progress("checking payloads", number, len(uris))
            self._check_payload(uri, may_miss=uri not in needed)

    def _taken_in(self) -> int:
        """What the log goes on at; 1 where no manifest can be read."""
        try:
            return read_manifest(self.storage).next_seq
        except DamageError:
            return 1

    def _note_history(self, found: Found) -> None:
        self.report.problems += found.problems
        self.report.history_files, self.report.history_events = found.files, found.events
        self.report.left_behind = found.left_behind

    def _damage(self, error: DamageError) -> None:
        self._damage_as(error)

    def _damage_as(self, error: DamageError, kind: str = LOG, since: int | None = None) -> None:
        message = error.message.partition(f"at byte {error.offset}: ")[2]
        found = Problem(error.path, error.offset, message, kind=kind)
        self.report.problems.append(found if since is None else replace(found, **self._from(since)))

    def _from(self, seq: int) -> dict[str, Any]:
        """What a hole in the log concerns."""
        last_us = self._rows.last_us
        return {"since_seq": seq, "since_us": last_us, "concerns": f"events from {seq} on; those before it are whole"}

    def _problem(self, path: str, offset: int, message: str, *, kind: str = LOG, repairable: bool = False) -> None:
        self.report.problems.append(Problem(path, offset, message, repairable, kind))

    def _witness(self) -> Witness | None:
        try:
            witness = read_witness(self.storage)
        except DamageError as error:
            self._damage_as(error, WITNESS)
            return None
        if witness is None:
            message = "the file is missing; the next manager writes it anew"
            self._problem(witness_path(self.storage), 0, message, kind=WITNESS)
        return witness

    def _check_witness(self, witness: Witness, survey: Survey, taken_in: int) -> None:
        for segment in survey.segments:
            if segment.header.store_id != witness.store_id:
                path = log_path(self.storage, segment.name)
                self._problem(path, 0, f"the segment is of another store ({segment.header.store_id})", kind=FOREIGN)
        if not witness.segment:
            return
        path = log_path(self.storage, witness.segment)
        try:
            size = os.path.getsize(path)
        except FileNotFoundError:
            later = any(_key(segment.name) > _key(witness.segment) for segment in survey.segments)
            if not later or witness.next_seq > taken_in:
                self._problem(path, 0, "the segment is missing, and store.json counts on it", kind=WITNESS)
            return
        if size < witness.sealed_length:
            message = f"the file ends here, store.json counts on {witness.sealed_length} bytes"
            self._problem(path, size, message, kind=WITNESS)

    def _check_segments(self, survey: Survey, before: int, after: int | None) -> None:
        """before, after: what was in history files before the survey was taken, and after (None: not known)."""
        expected = after
        for number, segment in enumerate(survey.segments):
            self._progress("checking the log", number, len(survey.segments))
            start = segment.header.start.next_seq
            path = log_path(self.storage, segment.name)
            if expected is not None and (start > expected or (number and start != expected)):
                message = f"begins at seq {start}, {expected} was expected: a segment is missing"
                self.report.problems.append(Problem(path, 0, message, **self._from(expected)))
            try:
                expected = self._check_segment(segment)
                self.report.segments += 1
            except DamageError as error:
                if self._removed(segment):
                    continue
                self._damage_as(error, since=self._reached)
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
        self._reached = at.next_seq
        with SegmentFile(self.storage, segment.name) as file:
            while True:
                try:
                    window = file.window(at, segment.limit)
                except DamageError as error:
                    if error.offset > at.offset:
                        self._take_in(file, segment, file.window(at, error.offset))
                    raise
                self._take_in(file, segment, window)
                at = window.after
                if window.ended:
                    break
            if segment.seal is not None and at != segment.seal.end:
                raise file.damage(at.offset, "the segment does not end as its seal says")
            if segment.seal is None:
                self._check_tail(file, at.offset, file.size(), at.next_seq)
        return at.next_seq

    def _take_in(self, file: SegmentFile, segment: Segment, window: Window) -> None:
        self._check_rows(file, window.at, window.block(segment.header.columns, segment.epoch))
        self.report.frames += len(window.frames)
        self.report.bytes += window.after.offset - window.at.offset
        self._reached = window.after.next_seq

    def _check_tail(self, file: SegmentFile, end: int, size: int, next_seq: int | None = None) -> None:
        """next_seq: of the event that is to come behind the valid frames; None: the segment holds none."""
        if size <= end:
            return
        if next_seq is not None and next_seq < self._counted_on:
            reason = f"{size - end} bytes that are no whole commit, and store.json counts on all before seq"
            self._damage_as(file.damage(end, f"{reason} {self._counted_on}: they were acknowledged"), since=next_seq)
        elif not self._managed:
            message = f"a torn tail of {size - end} bytes; no manager is alive, and the next one leaves it out"
            problem = Problem(file.path, end, message, True, TORN_TAIL, "nothing that was acknowledged")
            self.report.problems.append(problem)

    def _check_claims(self, survey: Survey) -> None:
        """Segments that nobody sealed and that have no (whole) header: claims whose manager died."""
        counting = {segment.name for segment in survey.segments}
        reported = {problem.path for problem in self.report.problems}
        for name in survey.unsealed:
            if name not in counting and log_path(self.storage, name) not in reported:
                with SegmentFile(self.storage, name) as file:
                    if file.age_s(time.time()) >= CLAIM_GRACE_S:
                        self._check_tail(file, 0, file.size())

    def _check_rows(self, file: SegmentFile, at: Position, block: Block) -> None:
        try:
            self._rows.check(block)
        except ValueError as error:
            raise file.damage(at.offset, f"rows that cannot be read: {error}") from error

    def _check_payload(self, uri: str, may_miss: bool) -> None:
        path = os.path.join(self.storage, uri)
        digest = hashlib.sha256()
        self.report.payloads += 1
        name = os.path.basename(uri)
        if uri != payload_uri(name):
            self._problem(path, 0, "an event names a payload by a path that no payload has", kind=PAYLOAD)
            return
        try:
            with open(path, "rb") as file:
                while chunk := file.read(_COPY_BYTES):
                    digest.update(chunk)
        except OSError as error:
            if not (may_miss and isinstance(error, FileNotFoundError)):
                reason = f"a payload that an event names cannot be read: {error.strerror}"
                self._problem(path, 0, reason, kind=PAYLOAD)
            return
        if digest.hexdigest() != name:
            self._problem(path, 0, "the payload's bytes are not those its name stands for", kind=PAYLOAD)


def _key(name: str) -> tuple[int, int]:
    return parse_name(name) or (0, 0)


def _repair(storage: str, report: VerifyReport) -> None:
    """Cut what is behind the valid frames. The log is claimed first, so that whoever might still write it is fenced,
    and what is cut is behind a seal. Raises StorageError."""
    torn = [problem for problem in report.problems if problem.repairable]
    if not torn:
        return
    try:
        open_writer(storage).close()
    except DamageError as error:
        reason = f"it cannot be cut before what is wrong with {error.path} is mended"
        for problem in torn:
            place = report.problems.index(problem)
            report.problems[place] = replace(problem, message=f"{problem.message}; {reason}", repairable=False)
        return
    ends = {segment.name: segment.seal.length for segment in take_survey(storage).segments if segment.seal is not None}
    for problem in torn:
        _cut(storage, problem.path, ends.get(os.path.basename(problem.path), 0))
        report.problems.remove(problem)
        report.repaired.append(problem)


def _cut(storage: str, path: str, end: int) -> None:
    """Cut the file at `end`. The copy is durable before the cut."""
    with translated(storage, "repairing the log"):
        copy = f"{path}.broken"
        shutil.copyfile(path, copy)
        os.chmod(copy, 0o600)
        fd = os.open(copy, os.O_RDWR)
        try:
            datasync(fd)
        finally:
            os.close(fd)
        sync_directory(os.path.dirname(copy))
        fd = os.open(path, os.O_WRONLY)
        try:
            os.ftruncate(fd, end)
            os.fsync(fd)
        finally:
            os.close(fd)
