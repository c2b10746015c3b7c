"""Damaged segments, in memory, read by the log's own reader: what it takes is what was written, or it names the damage.

A world is one segment. Its first cases cut it at every byte and flip every bit of it; the others are any other damage.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from tests.fault._damage_bytes import damaged, first_difference, flipped
from wfstore.errors import DamageError
from wfstore.log import frame, reader
from wfstore.log.segment import Seal, SegmentFile, Window, build_header, log_path, parse_name, segment_name
from wfstore.log.survey import Segment
from wfstore.model.events import Event
from wfstore.schema.rows import pack

#: More than are needed for every cut and every flip of a world.
WORLD_CASES = 25_000
_MOST_BYTES = (WORLD_CASES - 1) // 9 - 1
_NAME = segment_name(3, 2)


@dataclass(frozen=True)
class World:
    """A segment; `bounds`: where its event frames begin and the last one ends; window: bytes a reader takes at once."""

    data: bytes
    bounds: tuple[int, ...]
    seal: Seal
    sealed: bool
    window: int


@functools.lru_cache(maxsize=4)
def world(number: int) -> World:
    """That of a number. Of each two neighbours, one is read as a sealed segment."""
    chance = random.Random(f"world {number}")
    epoch, part = parse_name(_NAME) or (0, 0)
    first = next_seq = chance.choice((1, 1000))
    data, header = build_header(f"{number:032x}", epoch, part, 1_700_000_000_000_000, (), first)
    crc, bounds = header.start.crc, [len(data)]
    for _ in range(chance.randint(1, 10)):
        events = [_event(chance) for _ in range(chance.choice((1, 1, 2, 4)))]
        body = pack(events).data
        built, following = frame.build(frame.EVENT_MAGIC, body, epoch, len(events), next_seq, crc)
        if len(data) + len(built) > _MOST_BYTES:
            break
        data, crc, next_seq = data + built, following, next_seq + len(events)
        bounds.append(len(data))
    seal = Seal(_NAME, len(data), crc, next_seq)
    return World(data, tuple(bounds), seal, number % 2 == 1, chance.choice((40, 200, 1 << 20)))


def _event(chance: random.Random) -> Event:
    payload = chance.choice((b"", chance.randbytes(20), chance.randbytes(150), bytes(40), bytes(700), b"\xf5WFE" * 9))
    return Event(
        ts=1_700_000_000_000_000 + chance.randrange(10**9),
        type=chance.choice(("task.reset", "attempt.succeeded", "workflow.metadata_set")),
        workflow_id=f"w{chance.randrange(9)}",
        task_id=chance.choice((None, "add_1", "Zürich 🌍")),
        payload=payload or None,
    )


def case_bytes(case: int) -> tuple[World, bytes, str]:
    """What the case reads, and in a word what was done to it."""
    number, index = divmod(case, WORLD_CASES)
    made = world(number)
    size = len(made.data)
    if index <= size:
        return made, made.data[:index], "cut"
    if index <= 9 * size:
        return made, flipped(made.data, index - size - 1), "flip"
    other = world(number ^ 1).data
    return made, damaged(made.data, random.Random(case), made.bounds, other), "any"


class MemorySegment(SegmentFile):
    """A segment whose bytes are given: no file is opened, all else is the product's."""

    def __init__(self, data: bytes, window: int) -> None:
        self.storage, self.name = "/memory", _NAME
        self.epoch, self.number = parse_name(_NAME) or (0, 0)
        self.path = log_path(self.storage, self.name)
        self._data, self._window = data, window

    def __exit__(self, *exc: object) -> None:
        """There is nothing to close."""

    def size(self) -> int:
        return len(self._data)

    def read(self, offset: int, size: int) -> bytes:
        return self._data[offset : offset + size]

    def window(self, at: Any, limit: int | None, max_bytes: int = 0) -> Window:
        return super().window(at, limit, self._window)


class Scanner:
    """The reader's walk through one segment, over bytes instead of files."""

    def __init__(self) -> None:
        self._reader = reader.LogReader.__new__(reader.LogReader)
        self._reader.storage = "/memory"
        self._file: MemorySegment | None = None

    @contextmanager
    def ready(self, off: str | None = None) -> Iterator[Scanner]:
        """Within it, segments are read from memory. off: `CRC_CHECK` to believe every frame."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reader, "SegmentFile", lambda storage, name: self._file)
            if off is not None:
                patch.setattr(frame, "parse", believing)
            yield self

    def scan(self, data: bytes, made: World, sealed: bool) -> int:
        """Up to which byte frames were taken; 0 without a header. Raises DamageError."""
        self._file = MemorySegment(data, made.window)
        header = self._file.header()
        seal = made.seal if sealed else None
        if header is None:
            # What the survey says of it.
            if sealed:
                raise self._file.damage(0, "a sealed segment without a header")
            return 0
        end = header.start.offset
        for window in self._reader._windows(Segment(_NAME, self._file.epoch, header, seal), header.start):
            assert window.at.offset == end, "bytes were left out"
            end = window.after.offset
        return end


def believing(buffer: memoryview, offset: int, previous: int | None) -> frame.Frame | frame.Invalid:
    """`frame.parse` without its checksums: what the negative control reads with."""
    available = len(buffer) - offset
    if available < frame.HEAD_BYTES:
        return frame.Invalid(offset, "an incomplete frame head", frame.HEAD_BYTES - available)
    magic, length, epoch, rows, first_seq, _ = frame._HEAD.unpack_from(buffer, offset)
    body = offset + frame.HEAD_BYTES
    _, crc = frame._CRCS.unpack_from(buffer, body - frame._CRCS.size)
    if magic not in (frame.HEADER_MAGIC, frame.EVENT_MAGIC):
        return frame.Invalid(offset, "no frame", 0)
    if length > available - frame.HEAD_BYTES:
        return frame.Invalid(offset, "an incomplete frame", length - (available - frame.HEAD_BYTES))
    return frame.Frame(magic == frame.HEADER_MAGIC, epoch, rows, first_seq, crc, offset, body, body + length)


def judged(scanner: Scanner, made: World, data: bytes) -> str:
    """What came of reading `data`, in a word. Raises AssertionError for what must not be."""
    same = first_difference(made.data, data)
    said: DamageError | None = None
    try:
        end = scanner.scan(data, made, made.sealed)
    except DamageError as error:
        said = error
    if said is not None:
        assert said.path == log_path("/memory", _NAME), f"another file is named: {said.path}"
        # Whoever is too short is said to end where it does.
        most = same if len(data) >= len(made.data) else max(same, len(data))
        assert 0 <= said.offset <= most, f"damage from byte {same} on is said to be at {said.offset}"
        return "named"
    assert end == 0 or (end in made.bounds and data[:end] == made.data[:end]), f"wrong rows before byte {end}"
    whole = max((bound for bound in made.bounds if bound <= same), default=0)
    assert end >= whole, f"frames up to {whole} were whole, and only those up to {end} were taken"
    if end == len(made.data):
        return "whole"
    assert not made.sealed, f"a sealed segment was read up to {end} only, and nothing was said"
    _check_torn(made, data, end)
    try:
        scanner.scan(data, made, True)
    except DamageError:
        return "boundary_found_by_seal" if end == len(data) else "torn_found_by_seal"
    raise AssertionError(f"what is missing from byte {end} on is not found by the seal")


def _check_torn(made: World, data: bytes, end: int) -> None:
    """What is not read and not named must look like the end of one interrupted write."""
    for start, stop in pairwise((0, *made.bounds)):
        if start >= end:
            assert made.data[start:stop] not in data[end:], f"the frame from {start} is there, and was skipped"
    tail = data[end:]
    length = int.from_bytes(tail[4:8], "little") + frame.HEAD_BYTES
    missing = len(tail) < max(frame.HEAD_BYTES, length)
    assert missing or _has_zeros(tail, end), f"all bytes from {end} on are there and differ, and nothing was said"


def _has_zeros(tail: bytes, base: int) -> bool:
    cuts = [0, *range(-base % 512 or 512, len(tail), 512), len(tail)]
    return any(not any(tail[start:stop]) for start, stop in pairwise(cuts))
