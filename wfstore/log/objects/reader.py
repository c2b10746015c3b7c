"""Reading a log on object storage: new objects are found by listing, fetched side by side, checked in order."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Collection, Iterator
from dataclasses import replace

import pyarrow as pa

from wfstore.errors import StorageError
from wfstore.log._files import no_store
from wfstore.log.cursor import Cursor
from wfstore.log.lease import Lease
from wfstore.log.objects import link
from wfstore.log.objects.claim import find_end
from wfstore.log.objects.files import read_floor, read_lease, read_witness
from wfstore.log.objects.link import End, Link, Place
from wfstore.log.reader import Extent
from wfstore.log.segment import LOG_DIRECTORY
from wfstore.log.storage import resolve_storage
from wfstore.log.witness import Witness
from wfstore.model.events import Event
from wfstore.objects import bucket_of
from wfstore.schema.rows import Block, table_of

#: Fetched at once: at most so many objects, and about so many bytes.
_BATCH, _BATCH_BYTES = 64, 16 << 20
_EXTENT_BYTES = 64 << 20
#: A seq is looked for so many events before itself, then further back.
_LOOK_BACK = (1_000, 100_000)


class ObjectLogReader:
    """`LogReader` of a log on object storage: same methods, same promises.

    Raises StorageNotFoundError, StorageVersionError or StorageError when there is no store one can read.
    """

    def __init__(self, storage: str) -> None:
        self.storage = resolve_storage(storage)
        self._bucket = bucket_of(self.storage)
        self._witness = read_witness(self._bucket)
        if self._witness is None and next(self._bucket.entries(LOG_DIRECTORY), None) is None:
            raise no_store(self.storage)
        self._lock = threading.Lock()
        # Places met so far, in order: where reading can begin without a search.
        self._met: list[Place] = []

    def read(self, cursor: Cursor | None = None, max_bytes: int | None = None) -> tuple[pa.Table, Cursor]:
        """As `LogReader.read`."""
        blocks, cursor = self.blocks(cursor, max_bytes)
        return table_of(blocks), cursor

    def blocks(self, cursor: Cursor | None = None, max_bytes: int | None = None) -> tuple[list[Block], Cursor]:
        """As `LogReader.blocks`."""
        cursor = cursor or Cursor()
        blocks: list[Block] = []
        left = max_bytes
        for found in self._walk(cursor, max_bytes):
            blocks += _block(found, cursor.next_seq)
            if found.end.place.first_seq < cursor.next_seq:
                continue  # on the way to a cursor that knows only its seq
            cursor = _cursor(found.end)
            if left is not None and (left := left - len(found.data)) <= 0:
                return blocks, replace(cursor, more=True)
        return blocks, replace(cursor, more=False)

    def events(self, cursor: Cursor | None = None, columns: Collection[str] | None = None) -> Iterator[Event]:
        """As `LogReader.events`."""
        cursor = cursor or Cursor()
        for found in self._walk(cursor):
            for block in _block(found, cursor.next_seq):
                yield from block.events(columns)

    def read_range(self, first_seq: int, last_seq: int, columns: Collection[str] | None = None) -> pa.Table:
        """As `LogReader.read_range`."""
        blocks: list[Block] = []
        first = max(1, first_seq)
        if first <= last_seq:
            for found in self._walk(Cursor(next_seq=first), last_seq=last_seq):
                blocks += _block(found, first, last_seq)
                if found.end.place.first_seq > last_seq:
                    break
        return table_of(blocks, columns)

    def lease(self) -> Lease | None:
        """As `LogReader.lease`."""
        return read_lease(self.storage)

    def end(self) -> Cursor:
        """Behind the last event committed so far. Reads the newest object, no more."""
        witness = read_witness(self._bucket) or Witness("", 0)
        return _cursor(find_end(self._bucket, witness))

    def sealed(self, next_seq: int) -> list[Extent]:
        """Pieces of the log, from the object that holds the event `next_seq` on, to which nothing will be added.

        That is every object there is; neighbours are taken together, as the segments of a disk are.
        """
        listed = list(self._listed(Cursor(next_seq)))
        if not listed:
            return []
        # Where the last one ends is in none of the names.
        newest = self._bucket.get(listed[-1][0].name)
        if newest is None:
            raise self._gap(listed[-1][0])
        last = link.read(self.storage, listed[-1][0], newest, None).end.place.first_seq
        found: list[Extent] = []
        for (place, size), following in zip(listed, [p.first_seq for p, _ in listed[1:]] + [last], strict=True):
            if following <= max(place.first_seq, next_seq):
                continue
            if found and found[-1].bytes < _EXTENT_BYTES and found[-1].last_seq + 1 == place.first_seq:
                before = found.pop()
                found.append(Extent(before.first_seq, following - 1, before.bytes + size))
            else:
                found.append(Extent(place.first_seq, following - 1, size))
        return found

    def unsealed_bytes(self) -> int:
        """Size of an object to which more may be added: there is none."""
        return 0

    def unsealed(self) -> bool:
        """Whether there are events to whose object more may be added: never."""
        return False

    def _walk(self, cursor: Cursor, max_bytes: int | None = None, last_seq: int = 2**62) -> Iterator[Link]:
        """Verified objects in the order of the chain; the first may begin before the cursor's event."""
        after = _end(cursor)
        next_seq = cursor.next_seq
        for batch in self._batches(cursor, max_bytes, last_seq):
            if after is None and batch[0].first_seq > cursor.next_seq:
                raise self._gap(Place(cursor.next_seq, max(1, batch[0].number - 1)))
            for place, data in zip(batch, self._bucket.get_all(place.name for place in batch), strict=True):
                if after is not None and after.place != place:
                    # A listing that is behind may leave out what is there.
                    for found in self._unlisted(after, place):
                        after = found.end
                        yield found
                if data is None:
                    raise self._gap(place)
                found = link.read(self.storage, place, data, after)
                after = found.end
                next_seq = after.place.first_seq
                self._remember(place)
                yield found
        # What lies behind `last_seq` was not looked for.
        if self._witness is not None and next_seq <= last_seq:
            self._witness.check_log(self.storage, next_seq)

    def _batches(self, cursor: Cursor, max_bytes: int | None, last_seq: int) -> Iterator[list[Place]]:
        """Places from the cursor's on, as they are listed, none that holds only events before it."""
        most = _BATCH_BYTES if max_bytes is None else min(max_bytes, _BATCH_BYTES)
        batch: list[Place] = []
        size = 0
        first = True
        for place, length in self._listed(cursor):
            if place.first_seq > last_seq and batch:
                break
            if first and batch and not cursor.epoch and place.first_seq <= cursor.next_seq:
                batch, size = [], 0
            elif batch and (len(batch) >= _BATCH or size >= most):
                yield batch
                batch, size, first = [], 0, False
            batch.append(place)
            size += length
        if batch:
            yield batch

    def _listed(self, cursor: Cursor) -> Iterator[tuple[Place, int]]:
        after = _end(cursor)
        start = after.place.stem if after is not None else self._locate(cursor.next_seq)
        for entry in self._bucket.entries(LOG_DIRECTORY, start):
            if (place := link.parse_name(entry.name)) is not None:
                yield place, entry.bytes

    def _locate(self, seq: int) -> str:
        """A name to list from that is not behind the object of the event `seq`."""
        with self._lock:
            index = bisect.bisect_right(self._met, seq, key=lambda place: place.first_seq) - 1
            met = self._met[index] if index >= 0 else None
        if met is not None and met.first_seq >= seq - _LOOK_BACK[0]:
            return met.stem
        for events in _LOOK_BACK:
            if seq <= events:
                break
            start = Place(seq - events, 0).stem
            listed = (link.parse_name(entry.name) for entry in self._bucket.entries(LOG_DIRECTORY, start))
            first = next((place for place in listed if place is not None), None)
            if first is not None and first.first_seq <= seq:
                return start
        return "" if met is None else met.stem

    def _remember(self, place: Place) -> None:
        with self._lock:
            index = bisect.bisect_left(self._met, place)
            if index and place.first_seq - self._met[index - 1].first_seq < _LOOK_BACK[0] // 2:
                return
            if index == len(self._met) or self._met[index] != place:
                self._met.insert(index, place)

    def _unlisted(self, after: End, until: Place) -> Iterator[Link]:
        """Objects between `after` and `until` that the listing did not show. Raises DamageError when one is missing."""
        while after.place != until:
            data = self._bucket.get(after.place.name)
            if data is None:
                raise self._gap(after.place)
            found = link.read(self.storage, after.place, data, after)
            after = found.end
            yield found

    def _gap(self, place: Place) -> StorageError:
        """What it means that the object at `place` is not there."""
        floor = read_floor(self._bucket)
        if place.first_seq < floor:
            reason = f"the events before seq {floor} are no longer in the log: they were moved into history files"
            return StorageError(self.storage, reason)
        return link.missing(self.storage, place)


def _block(found: Link, first: int, last: int = 2**62) -> list[Block]:
    """The rows `first`..`last` of an object, if it has any."""
    block = found.block()
    if block is None or found.end.place.first_seq <= first or block.first_seq > last:
        return []
    behind = max(0, block.first_seq + block.rows - 1 - last)
    return [block.trimmed(max(0, first - block.first_seq), behind)]


def _cursor(end: End) -> Cursor:
    return Cursor(end.place.first_seq, end.epoch, end.place.number, 0, end.crc)


def _end(cursor: Cursor) -> End | None:
    """Where a cursor stands in the chain; None when it knows only its seq."""
    return End(Place(cursor.next_seq, cursor.number), cursor.crc, cursor.epoch) if cursor.epoch else None
