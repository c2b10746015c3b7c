"""The bytes of a frame: building, checking, and telling a torn tail from damage. The format is on-disk-format.md.

Pure functions over buffers; no file is opened here, and nothing parses a body.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

HEADER_MAGIC, EVENT_MAGIC = b"\xf5WFH", b"\xf5WFE"
_MAGIC_PREFIX = b"\xf5WF"
_HEAD = struct.Struct("<4sIIIQI")
_CRCS = struct.Struct("<II")
CHECKED_BYTES = _HEAD.size
HEAD_BYTES = _HEAD.size + _CRCS.size
MAX_BODY_BYTES = 2**32 - 1
_SECTOR = 512
_ZEROS = bytes(_SECTOR)


class Frame(NamedTuple):
    """A verified frame. `start`, `body`, `end`: offsets in the scanned buffer; `crc` is the `previous` of the next."""

    header: bool
    epoch: int
    rows: int
    first_seq: int
    crc: int
    start: int
    body: int
    end: int


class Invalid(NamedTuple):
    """Why there is no valid frame at `offset`. `missing`: bytes a longer buffer might bring, 0 when all are here."""

    offset: int
    reason: str
    missing: int


def build(magic: bytes, body: bytes, epoch: int, rows: int, first_seq: int, previous: int) -> tuple[bytes, int]:
    """The whole frame, and its crc. Raises ValueError when the body exceeds `MAX_BODY_BYTES`."""
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"one commit holds at most {MAX_BODY_BYTES} bytes, this one has {len(body)}")
    head = _HEAD.pack(magic, len(body), epoch, rows, first_seq, previous)
    head_crc = zlib.crc32(head)
    crc = zlib.crc32(body, head_crc)
    return b"".join((head, _CRCS.pack(head_crc, crc), body)), crc


def parse(buffer: memoryview, offset: int, previous: int | None) -> Frame | Invalid:
    """The frame at `offset`. `previous`: the crc it must be chained to; None: any, for a search."""
    available = len(buffer) - offset
    if available < HEAD_BYTES:
        return Invalid(offset, "an incomplete frame head", HEAD_BYTES - available)
    magic, length, epoch, rows, first_seq, chained = _HEAD.unpack_from(buffer, offset)
    body = offset + HEAD_BYTES
    head_crc, crc = _CRCS.unpack_from(buffer, body - _CRCS.size)
    if zlib.crc32(buffer[offset : offset + CHECKED_BYTES]) != head_crc or magic not in (HEADER_MAGIC, EVENT_MAGIC):
        return Invalid(offset, "a frame head that fails its checksum", 0)
    if length > available - HEAD_BYTES:
        return Invalid(offset, "an incomplete frame", length - (available - HEAD_BYTES))
    if zlib.crc32(buffer[body : body + length], head_crc) != crc:
        return Invalid(offset, "a frame that fails its checksum", 0)
    if previous is not None and chained != previous:
        return Invalid(offset, "a frame that does not follow the one before it", 0)
    return Frame(magic == HEADER_MAGIC, epoch, rows, first_seq, crc, offset, body, body + length)


def is_torn(tail: memoryview, base: int, epoch: int, next_seq: int) -> bool:
    """Whether the bytes from the last valid frame to the end of the file are what one interrupted write leaves.

    tail: those bytes, whose first lies at offset `base` of the file. They must not begin with a valid frame. False
    means damage: all bytes of a frame are there and differ, or whole frames follow.
    """
    bad = parse(tail, 0, None)
    if isinstance(bad, Frame):
        return False
    if not bad.missing and not _has_empty_sector(tail, base):
        return False
    return not _frame_follows(tail, epoch, next_seq)


def _has_empty_sector(tail: memoryview, base: int) -> bool:
    """Whether some sector of the medium never got its bytes. The first and last may lie in `tail` only partly."""
    start = 0
    while start < len(tail):
        end = min(len(tail), start + _SECTOR - (base + start) % _SECTOR)
        if tail[start:end] == _ZEROS[: end - start]:
            return True
        start = end
    return False


def _frame_follows(tail: memoryview, epoch: int, next_seq: int) -> bool:
    data = bytes(tail)
    at = data.find(_MAGIC_PREFIX, 1)
    while at != -1:
        found = parse(tail, at, None)
        if isinstance(found, Frame) and found.epoch == epoch and found.first_seq >= next_seq:
            return True
        at = data.find(_MAGIC_PREFIX, at + 1)
    return False
