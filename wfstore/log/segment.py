"""One segment file: its name, its header, and walking its frames from a position. It opens files and writes nothing."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from wfstore.errors import DamageError, StorageVersionError
from wfstore.log import frame
from wfstore.log._files import datasync, read_at, translated
from wfstore.schema.rows import STORED_COLUMNS, Block

FORMAT = 1
LOG_DIRECTORY = "log"
WINDOW_BYTES = 1 << 20
_NAME = re.compile(r"^seg-(\d{8,10})-(\d{6,10})\.wfl$")


def segment_name(epoch: int, number: int) -> str:
    return f"seg-{epoch:08d}-{number:06d}.wfl"


def parse_name(name: str) -> tuple[int, int] | None:
    """(epoch, number) of a segment's file name; None for any other file."""
    match = _NAME.match(name)
    return (int(match[1]), int(match[2])) if match else None


def log_path(storage: str, name: str = "") -> str:
    return os.path.join(storage, LOG_DIRECTORY, name) if name else os.path.join(storage, LOG_DIRECTORY)


class Position(NamedTuple):
    """Between two frames of a segment: byte offset, crc of the frame before it, seq of the event to come."""

    offset: int
    crc: int
    next_seq: int


@dataclass(frozen=True, slots=True)
class Seal:
    """How many bytes of a segment count, the crc of the last frame in them, and the seq that comes after."""

    segment: str
    length: int
    crc: int
    next_seq: int

    @property
    def end(self) -> Position:
        return Position(self.length, self.crc, self.next_seq)


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What the first frame of a segment says, and where the second begins."""

    store_id: str
    columns: tuple[str, ...]
    sealed: tuple[Seal, ...]
    start: Position


def build_header(
    store_id: str, epoch: int, number: int, created_at: int, sealed: tuple[Seal, ...], next_seq: int
) -> tuple[bytes, SegmentHeader]:
    """The header frame of a new segment, and what it says."""
    body = {
        "format": FORMAT,
        "store_id": store_id,
        "epoch": epoch,
        "segment": number,
        "created_at": created_at,
        "columns": STORED_COLUMNS,
        "sealed": [asdict(seal) for seal in sealed],
    }
    data, crc = frame.build(frame.HEADER_MAGIC, json.dumps(body).encode(), epoch, 0, next_seq, 0)
    return data, SegmentHeader(store_id, STORED_COLUMNS, sealed, Position(len(data), crc, next_seq))


class SegmentFile:
    """An open segment; nothing of it is remembered between calls."""

    def __init__(self, storage: str, name: str) -> None:
        parsed = parse_name(name)
        if parsed is None:
            raise ValueError(f"not a segment: {name}")
        self.storage, self.name = storage, name
        self.epoch, self.number = parsed
        self.path = log_path(storage, name)
        try:
            with translated(storage, "reading the log"):
                self._fd = os.open(self.path, os.O_RDONLY)
        except Exception as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise self.damage(0, "the segment is missing") from error
            raise

    def __enter__(self) -> SegmentFile:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._fd)

    def damage(self, offset: int, reason: str) -> DamageError:
        return DamageError(self.storage, self.path, offset, reason)

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def age_s(self, now_s: float) -> float:
        """Seconds since the file was last written."""
        return now_s - os.fstat(self._fd).st_mtime

    def forget_cached(self) -> None:
        """Read from the medium what is not waiting to be written; after a failed write the cache shows what is lost."""
        if sys.platform != "darwin":
            with translated(self.storage, f"reading {self.name}"):
                os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def sync(self) -> None:
        """Returns when all bytes of the file, whoever wrote them, are on the medium."""
        with translated(self.storage, f"making {self.name} durable"):
            datasync(self._fd)

    def read(self, offset: int, size: int) -> bytes:
        with translated(self.storage, f"reading {self.name}"):
            return read_at(self._fd, offset, size)

    def header(self) -> SegmentHeader | None:
        """The header; None when the segment has none (yet). Raises DamageError, StorageVersionError."""
        data = self.read(0, 1 << 16)
        found = frame.parse(memoryview(data), 0, 0)
        if isinstance(found, frame.Invalid):
            # Read once more, so that one and the same bytes are judged: they may have become whole.
            data = self.read(0, self.size())
            found = frame.parse(memoryview(data), 0, 0)
        if isinstance(found, frame.Invalid):
            if frame.is_torn(memoryview(data), 0, self.epoch, 0):
                return None
            raise self.damage(0, f"{found.reason} where the segment's header belongs")
        if not found.header or found.epoch != self.epoch:
            raise self.damage(0, "this is not the header of a segment of that name")
        try:
            return self._read_header(json.loads(data[found.body : found.end]), found)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self.damage(0, f"a segment's header that says something else: {error!r}") from error

    def _read_header(self, body: dict[str, Any], found: frame.Frame) -> SegmentHeader:
        if body["format"] > FORMAT:
            raise newer_format(self.storage, body["format"])
        if (body["epoch"], body["segment"]) != (self.epoch, self.number):
            raise self.damage(0, f"the header is that of {segment_name(body['epoch'], body['segment'])}")
        seals = tuple(Seal(s["segment"], s["length"], s["crc"], s["next_seq"]) for s in body["sealed"])
        if not all(isinstance(number, int) for seal in seals for number in seal.end):
            raise ValueError("a seal without numbers")
        start = Position(found.end, found.crc, found.first_seq)
        return SegmentHeader(str(body["store_id"]), tuple(map(str, body["columns"])), seals, start)

    def window(self, at: Position, limit: int | None, max_bytes: int = WINDOW_BYTES) -> Window:
        """The valid frames from `at`, about `max_bytes` of them (at least one) and none beyond `limit`.

        Ends early, and says `ended`, where no further valid frame can be had now. Raises DamageError for anything but a
        torn tail, and `limit` (a sealed length) that the file does not reach.
        """
        size = self.size()
        end = size if limit is None else limit
        if size < max(end, at.offset):
            raise self.damage(size, f"the file ends here, {max(end, at.offset)} bytes were written")
        want = min(max_bytes, end - at.offset)
        while True:
            data = self.read(at.offset, want)
            if len(data) < want:
                raise self.damage(at.offset + len(data), "the file was cut while it was read")
            frames, after, bad = self._walk(memoryview(data), at)
            rest = end - at.offset - len(data)
            if bad is None or not bad.missing or not rest or frames:
                break
            want = min(len(data) + max(bad.missing, max_bytes), end - at.offset)
        if bad is not None and (not bad.missing or not rest):
            self._refuse_damage(after, bad, limit)
            return Window(data, frames, at, after, True)
        return Window(data, frames, at, after, after.offset == end)

    def _walk(self, view: memoryview, at: Position) -> tuple[list[frame.Frame], Position, frame.Invalid | None]:
        frames: list[frame.Frame] = []
        offset, crc, next_seq = 0, at.crc, at.next_seq
        bad: frame.Invalid | None = None
        while offset < len(view):
            found = frame.parse(view, offset, crc)
            if isinstance(found, frame.Invalid):
                bad = found
                break
            if found.header or found.epoch != self.epoch or found.first_seq != next_seq:
                raise self.damage(at.offset + offset, f"a frame out of order: seq {next_seq} belongs here")
            frames.append(found)
            offset, crc, next_seq = found.end, found.crc, next_seq + found.rows
        return frames, Position(at.offset + offset, crc, next_seq), bad

    def _refuse_damage(self, after: Position, bad: frame.Invalid, limit: int | None) -> None:
        if limit is not None:
            raise self.damage(after.offset, f"{bad.reason}, in a sealed segment")
        tail = memoryview(self.read(after.offset, self.size() - after.offset))
        # The frame may have become whole since it was read; only what stays wrong is damage.
        again = frame.parse(tail, 0, after.crc)
        if isinstance(again, frame.Invalid) and not frame.is_torn(tail, after.offset, self.epoch, after.next_seq):
            raise self.damage(after.offset, again.reason)

    def end(self, at: Position, limit: int | None) -> Position:
        """Where the valid frames from `at` on end. Raises DamageError as `window` does."""
        while True:
            found = self.window(at, limit)
            if found.ended:
                return found.after
            at = found.after


class Window(NamedTuple):
    """Verified frames of a segment. Their offsets count from `at.offset`; `after` is where to go on."""

    data: bytes
    frames: list[frame.Frame]
    at: Position
    after: Position
    ended: bool

    def block(self, columns: tuple[str, ...], epoch: int, first_seq: int = 0, last_seq: int = 2**63) -> Block:
        """The rows of the frames that touch `first_seq`..`last_seq`."""
        kept = [f for f in self.frames if f.first_seq + f.rows > first_seq and f.first_seq <= last_seq]
        view = memoryview(self.data)
        body = b"".join([view[f.body : f.end] for f in kept])
        return Block(columns, epoch, kept[0].first_seq if kept else first_seq, sum(f.rows for f in kept), body)


def newer_format(storage: str, found: object) -> StorageVersionError:
    return StorageVersionError(
        storage, f"the store has format {found}, this wfstore reads up to {FORMAT}. Install a newer wfstore to use it"
    )
