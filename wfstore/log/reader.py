"""Reading the log: whole, valid, counting frames since a cursor. No lock, no mapping, and only new bytes are read."""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import NamedTuple

import pyarrow as pa

from wfstore.errors import DamageError, StorageError
from wfstore.log._files import check_readable, no_store, translated
from wfstore.log.cursor import Cursor
from wfstore.log.lease import Lease, read_lease
from wfstore.log.manifest import read_manifest
from wfstore.log.segment import (
    Position,
    SegmentFile,
    SegmentHeader,
    Window,
    log_path,
    parse_name,
    segment_name,
)
from wfstore.log.storage import resolve_storage
from wfstore.log.survey import CLAIM_GRACE_S, MISSING_START, Segment, Survey, is_superseded, list_names, take_survey
from wfstore.log.witness import read_witness
from wfstore.model.events import Event
from wfstore.schema.rows import Block, table_of

_INDEX_BYTES = 256 << 10
#: What decoding rows raises.
_UNREADABLE = (ValueError, TypeError, OverflowError, pa.ArrowException)
#: How long a read waits for a manager that has claimed the log and not yet said where its predecessor ended. A claim
#: takes milliseconds; one whose manager was killed in it hides nothing any more after CLAIM_GRACE_S.
_CLAIM_PATIENCE_S, _CLAIM_PAUSE_S = CLAIM_GRACE_S + 2.0, 0.002


class Extent(NamedTuple):
    """A file of the log: first and last seq in it, and how many bytes it has."""

    first_seq: int
    last_seq: int
    bytes: int


class LogReader:
    """Reads the log at `storage`, which may be written meanwhile. Any number of readers and threads may.

    Raises StorageNotFoundError, StorageVersionError or StorageError when there is no store one can read.
    """

    def __init__(self, storage: str) -> None:
        self.storage = resolve_storage(storage)
        check_readable(self.storage)
        self._witness = read_witness(self.storage)
        if self._witness is None and not list_names(self.storage):
            raise no_store(self.storage)
        self._headers: dict[str, SegmentHeader] = {}
        self._survey = Survey()
        self._lock = threading.Lock()
        # (seq to come, segment, position): where reading can begin without walking a segment from its start.
        self._index: list[tuple[int, str, Position]] = []

    def read(self, cursor: Cursor | None = None, max_bytes: int | None = None) -> tuple[pa.Table, Cursor]:
        """All events since `cursor` (None: the beginning) as a table of EVENT_SCHEMA, and the cursor to go on from.

        max_bytes: stop once about so many bytes were read; at least one frame is. Raises DamageError where bytes are
        not what was written; a torn tail is "not there yet".
        """
        blocks, cursor = self.blocks(cursor, max_bytes)
        return self._table(blocks), cursor

    def blocks(self, cursor: Cursor | None = None, max_bytes: int | None = None) -> tuple[list[Block], Cursor]:
        """`read` before the rows are decoded."""
        cursor = cursor or Cursor()
        blocks: list[Block] = []
        left = max_bytes
        for segment, window in self._walk(cursor):
            blocks += self._block(segment, window, cursor.next_seq)
            if window.after.next_seq < cursor.next_seq:
                continue  # on the way to a cursor that knows only its seq
            cursor = _cursor(segment, window.after)
            if left is not None and (left := left - len(window.data)) <= 0:
                return blocks, replace(cursor, more=True)
        return blocks, replace(cursor, more=False)

    def events(self, cursor: Cursor | None = None, columns: Collection[str] | None = None) -> Iterator[Event]:
        """All events since `cursor`, decoded as they are taken. Columns not in `columns` keep their field's default."""
        cursor = cursor or Cursor()
        for segment, window in self._walk(cursor):
            for block in self._block(segment, window, cursor.next_seq):
                try:
                    yield from block.events(columns)
                except _UNREADABLE as error:
                    raise self._unreadable([block], error) from error

    def read_range(self, first_seq: int, last_seq: int, columns: Collection[str] | None = None) -> pa.Table:
        """The events `first_seq`..`last_seq`, both included, if they exist. Columns not in `columns` are null."""
        blocks: list[Block] = []
        if first_seq <= last_seq:
            for segment, window in self._walk(Cursor(next_seq=max(1, first_seq))):
                blocks += self._block(segment, window, max(1, first_seq), last_seq)
                if window.after.next_seq > last_seq:
                    break
        return self._table(blocks, columns)

    def _table(self, blocks: list[Block], columns: Collection[str] | None = None) -> pa.Table:
        try:
            return table_of(blocks, columns)
        except _UNREADABLE as error:
            raise self._unreadable(blocks, error) from error

    def _unreadable(self, blocks: list[Block], error: Exception) -> DamageError:
        """Their checksums are right, so no medium has changed them: somebody else than a wfstore wrote the rows."""
        for block in blocks[:-1]:
            try:
                table_of([block])
            except _UNREADABLE as found:
                return self._unreadable([block], found)
        survey = self._current_survey()
        index, at = self._locate(survey, Cursor(blocks[-1].first_seq)) or (0, Position(0, 0, 0))
        path = log_path(self.storage, survey.segments[index].name)
        return DamageError(self.storage, path, at.offset, f"rows that cannot be read: {error}")

    def sealed(self, next_seq: int) -> list[Extent]:
        """The files of the log, from the one that holds the event `next_seq` on, to which nothing will be added."""
        segments = self._current_survey().segments
        return [
            Extent(segment.header.start.next_seq, segment.seal.next_seq - 1, segment.seal.length)
            for segment in segments
            if segment.seal is not None and segment.seal.next_seq > max(next_seq, segment.header.start.next_seq)
        ]

    def unsealed(self) -> bool:
        """Whether there are events to whose file more may be added."""
        return self.unsealed_bytes() > 0

    def unsealed_bytes(self) -> int:
        """Size so far of the file to which more may be added; 0 where it holds no event."""
        segments = self._current_survey().segments
        last = segments[-1] if segments else None
        if last is None or last.seal is not None:
            return 0
        with SegmentFile(self.storage, last.name) as file:
            end = file.end(last.header.start, None)
        return end.offset if end.next_seq > last.header.start.next_seq else 0

    def lease(self) -> Lease | None:
        """Who last said that it manages this store; `lease_alive` tells whether it still does."""
        return read_lease(self.storage)

    def _block(self, segment: Segment, window: Window, first: int, last: int = 2**62) -> list[Block]:
        block = window.block(segment.header.columns, segment.epoch, first, last)
        if not block.rows:
            return []
        behind = max(0, block.first_seq + block.rows - 1 - last)
        return [block.trimmed(max(0, first - block.first_seq), behind)]

    def _walk(self, cursor: Cursor) -> Iterator[tuple[Segment, Window]]:
        """Windows of verified frames in seq order; the first may begin before the cursor's event."""
        survey = self._current_survey()
        place = self._locate(survey, cursor)
        next_seq, ends = cursor.next_seq, {}
        patient_until = time.monotonic() + _CLAIM_PATIENCE_S
        while place is not None:
            index, at = place
            segment = survey.segments[index]
            if segment.held:
                # What was acknowledged before the claim counts, and only the claim's header says where that ends.
                if time.monotonic() > patient_until:
                    reason = "a manager has claimed the log and does not begin; its clock, or this one, may be wrong"
                    raise StorageError(self.storage, reason)
                time.sleep(_CLAIM_PAUSE_S)
                survey = self._current_survey()
                place = self._locate(survey, _cursor(segment, at))
                continue
            for window in self._windows(segment, at):
                if segment.seal is None and self._claimed_since(survey):
                    # What was read may lie behind the seal that is being written: forget it and look again.
                    survey = self._current_survey()
                    place = self._locate(survey, _cursor(segment, at))
                    break
                self._remember(segment, window.at)
                at = window.after
                next_seq, ends = at.next_seq, {segment.name: at.offset}
                yield segment, window
            else:
                place = self._next_segment(survey, index, at)
        if self._witness is not None:
            self._witness.check_log(self.storage, next_seq, ends)

    def _windows(self, segment: Segment, at: Position) -> Iterator[Window]:
        limit = segment.limit
        if limit is not None and at.offset > limit:
            raise StorageError(
                self.storage,
                "what this cursor has read was never acknowledged and does not count; read from the beginning",
            )
        with SegmentFile(self.storage, segment.name) as file:
            while True:
                window = file.window(at, limit)
                yield window
                at = window.after
                if window.ended:
                    break
            if segment.seal is not None and at != segment.seal.end:
                raise file.damage(at.offset, "the segment does not end as its seal says")

    def _next_segment(self, survey: Survey, index: int, at: Position) -> tuple[int, Position] | None:
        if survey.segments[index].seal is None or index + 1 == len(survey.segments):
            return None
        start = survey.segments[index + 1].header.start
        if start.next_seq != at.next_seq:
            with SegmentFile(self.storage, survey.segments[index + 1].name) as file:
                reason = f"begins at seq {start.next_seq}, {at.next_seq} was expected: a segment is missing"
                raise file.damage(0, reason)
        return index + 1, start

    def _current_survey(self) -> Survey:
        survey = self._survey
        if not survey.settled or list_names(self.storage) != survey.names:
            survey = self._survey = take_survey(self.storage, self._headers)
        return survey

    def _claimed_since(self, survey: Survey) -> bool:
        with translated(self.storage, "looking for a newer manager"):
            return is_superseded(self.storage, survey.top_epoch, survey.segments[-1].name)

    def _locate(self, survey: Survey, cursor: Cursor) -> tuple[int, Position] | None:
        """Segment and position at or before the cursor's event. None: there is nothing to read."""
        if cursor.epoch:
            index = survey.index_of(segment_name(cursor.epoch, cursor.number))
            if index is not None:
                return index, Position(cursor.offset, cursor.crc, cursor.next_seq)
        starts = [segment.header.start.next_seq for segment in survey.segments]
        if not starts:
            return None
        if starts[0] > cursor.next_seq:
            raise self._begins_later(survey.segments[0], cursor)
        # The rightmost of equal starts is wrong only for empty segments, which hold nothing to miss.
        index = bisect.bisect_right(starts, cursor.next_seq) - 1
        segment = survey.segments[index]
        with self._lock:
            found = bisect.bisect_right(self._index, cursor.next_seq, key=lambda point: point[0]) - 1
            point = self._index[found] if found >= 0 else None
        if point is not None:
            _, name, position = point
            if name == segment.name and (segment.limit is None or position.offset <= segment.limit):
                return index, position
        return index, segment.header.start

    def _begins_later(self, segment: Segment, cursor: Cursor) -> StorageError:
        start = segment.header.start.next_seq
        reason = f"begins at seq {start}, and was asked for seq {cursor.next_seq}"
        if read_manifest(self.storage).next_seq >= start:
            return StorageError(self.storage, f"the log {reason}: that is in history files by now")
        return DamageError(self.storage, log_path(self.storage, segment.name), 0, f"{reason}: {MISSING_START}")

    def _remember(self, segment: Segment, at: Position) -> None:
        with self._lock:
            index = self._index
            place = bisect.bisect_left(index, at.next_seq, key=lambda point: point[0])
            if place < len(index) and index[place][0] == at.next_seq:
                return
            # A reader that polls would otherwise add a point for every few events.
            if place and index[place - 1][1] == segment.name and at.offset - index[place - 1][2].offset < _INDEX_BYTES:
                return
            index.insert(place, (at.next_seq, segment.name, at))


def _cursor(segment: Segment, at: Position) -> Cursor:
    epoch, number = parse_name(segment.name) or (0, 0)
    return Cursor(at.next_seq, epoch, number, at.offset, at.crc)
