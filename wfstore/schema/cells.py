"""Where the values of many packed rows are, found for thousands of rows at once, one column after the other.

It knows the msgpack that `wfstore.schema.rows.pack` makes and declines everything else. Whatever the bytes are, no
place outside them is read, and what is answered is proven: each row begins where the one before it ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Bytes: TypeAlias = npt.NDArray[np.uint8]
Ints: TypeAlias = npt.NDArray[np.int64]

NIL = 0xC0
#: Type byte of an integer that has bytes of its own -> their type.
WIDE_INTS = {0xCC: ">u1", 0xCD: ">u2", 0xCE: ">u4", 0xCF: ">u8", 0xD0: ">i1", 0xD1: ">i2", 0xD2: ">i4", 0xD3: ">i8"}
#: Type byte of a text or binary value whose length has more than one byte -> how many.
_LONG_WIDTHS = {0xC5: 2, 0xC6: 4, 0xDA: 2, 0xDB: 4}
#: Sizes that lead out of any bytes: of a value this module does not know, and of one whose length is yet to be read.
_UNKNOWN, _LONG = 1 << 40, 1 << 41

#: Bytes of rows taken at a time: numpy's cost per call is spread over many rows, and they stay in the caches.
_SLICE_BYTES = 2 << 20
#: Places besides the rows' own that look like the start of one, as a payload may be full of; more are not worth it.
_FALSE_STARTS = 1024


class Declined(Exception):
    """These bytes are not for this module: decode them row by row."""


class Kind(NamedTuple):
    """What a column may hold.

    size: type byte -> bytes of the value, without those that a length of one byte counts; head: type byte -> bytes
    before those of the text or binary value itself; counted: whether there are values with a length
    """

    size: Ints
    head: Ints
    counted: bool


def _kind(*, ints: bool = False, text: bool = False, binary: bool = False, others: bool = False) -> Kind:
    size, head = np.full(256, _UNKNOWN, np.int64), np.ones(256, np.int64)
    size[NIL] = 1
    if ints:
        size[:0x80] = size[0xE0:] = 1
        for code, type_ in WIDE_INTS.items():
            size[code] = 1 + np.dtype(type_).itemsize
    if text:
        size[0xA0:0xC0] = np.arange(1, 33)
        size[0xD9] = head[0xD9] = 2
    if binary:
        size[0xC4] = head[0xC4] = 2
    for code, width in _LONG_WIDTHS.items():
        if binary if code < NIL + 16 else text:
            size[code], head[code] = _LONG, 1 + width
    if others:  # booleans and floating point numbers
        size[0xC2], size[0xC3], size[0xCA], size[0xCB] = 1, 1, 5, 9
    return Kind(size, head, text or binary)


INTEGER, TEXT, BINARY = _kind(ints=True), _kind(text=True), _kind(binary=True)
#: Of a column that nobody wants.
ANY = _kind(ints=True, text=True, binary=True, others=True)
#: Keeps a byte that is a length, and makes any other 0.
_LENGTHS = np.zeros(256, np.uint8)
_LENGTHS[[0xC4, 0xD9]] = 0xFF


class Cells(NamedTuple):
    """The values of one column, one per row. at: place of their type bytes; code: those bytes; end: of the values."""

    at: Ints
    code: Bytes
    end: Ints

    def part(self, start: int, stop: int) -> Cells:
        return Cells(self.at[start:stop], self.code[start:stop], self.end[start:stop])


class Places:
    """The cells of packed rows, some thousands of rows at a time."""

    def __init__(self, data: bytes, rows: int, kinds: Sequence[Kind]) -> None:
        """kinds: of each value of a row. Raises Declined where rows cannot have so many."""
        count = len(kinds)
        if not 0 < count <= 0xFFFF:
            raise Declined
        self._bytes = np.frombuffer(data, np.uint8)
        self._rows, self._kinds = rows, kinds
        self._header = bytes([0x90 | count]) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
        self._spare = rows + _FALSE_STARTS

    def __iter__(self) -> Iterator[list[Cells]]:
        """The cells of each column, for consecutive runs of rows. Raises Declined, perhaps after some runs, where there
        are not exactly the rows that were promised, or values that this module does not know."""
        at, left, size = 0, self._rows, len(self._bytes)
        while at < size:
            cells = self._run(at, min(at + _SLICE_BYTES, size))
            left -= len(cells[0].at)
            at = int(cells[-1].end[-1])
            if at > size:
                raise Declined
            yield cells
        if left:
            raise Declined

    def _run(self, first: int, limit: int) -> list[Cells]:
        """Of the rows that start at `first` or after it, below `limit`."""
        starts = self._candidates(first, limit)
        if not len(starts) or starts[0] != first:
            raise Declined
        cells = self._walk(starts)
        ends = cells[-1].end
        if ends[-1] < limit or not np.array_equal(ends[:-1], starts[1:]):
            cells = self._walk(starts[_chain(starts, ends, limit)])
        return cells

    def _candidates(self, first: int, limit: int) -> Ints:
        """All places that look like the start of a row."""
        found: Ints = np.flatnonzero(self._bytes[first:limit] == self._header[0]) + first
        for distance, byte in enumerate(self._header[1:], 1):
            found = found[self._bytes.take(found + distance, mode="clip") == byte]
        self._spare -= len(found)
        if self._spare < 0:
            raise Declined
        return found

    def _walk(self, starts: Ints) -> list[Cells]:
        """The cells of rows at these places. Where there is no row, they end beyond all bytes or anywhere."""
        cells = []
        at = starts + len(self._header)
        for kind in self._kinds:
            code = self._bytes.take(at, mode="clip")
            end = at + self._sizes(kind, at, code)
            cells.append(Cells(at, code, end))
            at = end
        return cells

    def _sizes(self, kind: Kind, at: Ints, code: Bytes) -> Ints | np.int64:
        highest = code.max()
        counted = kind.counted and highest > NIL
        if not counted and highest == code.min():
            return np.int64(kind.size[highest])
        size = kind.size.take(code)
        if counted:
            size += self._bytes.take(at + 1, mode="clip") & _LENGTHS.take(code)
        if size.max() >= _LONG:
            for long, width in _LONG_WIDTHS.items():
                chosen = np.flatnonzero((code == long) & (size == _LONG))
                length = np.zeros(len(chosen), np.int64)
                for distance in range(1, width + 1):
                    length = length << 8 | self._bytes.take(at[chosen] + distance, mode="clip")
                size[chosen] = length + (1 + width)
        return size


def _chain(starts: Ints, ends: Ints, limit: int) -> list[int]:
    """Which of the places that look like the start of a row are: the first, and where a row ends the next."""
    following, known, after = np.searchsorted(starts, ends).tolist(), starts.tolist(), ends.tolist()
    places, place = [], 0
    while True:
        places.append(place)
        end, place = after[place], following[place]
        if place == len(known):
            if end < limit:
                raise Declined
            return places
        if known[place] != end:
            raise Declined
