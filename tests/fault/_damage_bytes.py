"""What happens to bytes on a medium: flips, cuts, zeros, garbage, and pieces that were lost, repeated or moved.

Pure functions of their arguments. Nothing here knows what the bytes mean, but for where the pieces of a file begin.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

SECTOR = 512
_HEAD_BYTES = 64


def flipped(data: bytes, bit: int) -> bytes:
    """With one bit changed."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def damaged(data: bytes, chance: random.Random, bounds: Sequence[int] = (), other: bytes = b"") -> bytes:
    """The bytes after some damage, which may happen to leave them as they were.

    bounds: where pieces (frames) begin and, last, end; other: bytes of another file of the kind.
    """
    kinds = [_flips, _zeros, _zero_sectors, _garbage, _cut, _garbage_behind, _zeros_behind, _lost, _inserted, _moved]
    if len(bounds) > 2:
        kinds += [_pieces] * 3
    if other:
        kinds.append(_misplaced)
    kind = kinds[chance.randrange(len(kinds))]
    if kind is _pieces:
        return _pieces(data, chance, bounds)
    if kind is _misplaced:
        return _misplaced(data, chance, other)
    return kind(data, chance)  # type: ignore[operator, no-any-return]


def _flips(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3, 16)) if changed else 0):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _place(data: bytes, chance: random.Random) -> int:
    return chance.randrange(len(data) + 1)


def _zeros(data: bytes, chance: random.Random) -> bytes:
    at, size = _place(data, chance), chance.choice((1, 4, 36, 64, 512, 1024))
    return data[:at] + bytes(len(data[at : at + size])) + data[at + size :]


def _zero_sectors(data: bytes, chance: random.Random) -> bytes:
    at = _place(data, chance) // SECTOR * SECTOR
    size = SECTOR * chance.randint(1, 3)
    return data[:at] + bytes(len(data[at : at + size])) + data[at + size :]


def _garbage(data: bytes, chance: random.Random) -> bytes:
    at, size = _place(data, chance), chance.choice((1, 4, 36, 200))
    return data[:at] + chance.randbytes(len(data[at : at + size])) + data[at + size :]


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: _place(data, chance)]


def _garbage_behind(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.choice((len(data), _place(data, chance)))] + chance.randbytes(chance.randint(1, 600))


def _zeros_behind(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.choice((len(data), _place(data, chance)))] + bytes(chance.randint(1, 2000))


def _lost(data: bytes, chance: random.Random) -> bytes:
    at = _place(data, chance)
    return data[:at] + data[at + chance.choice((1, 2, 8, 36, 300)) :]


def _inserted(data: bytes, chance: random.Random) -> bytes:
    at = _place(data, chance)
    return data[:at] + chance.randbytes(chance.choice((1, 2, 8, 36, 300))) + data[at:]


def _moved(data: bytes, chance: random.Random) -> bytes:
    """A sector's worth of bytes appears where other bytes were: a misdirected write."""
    size = chance.choice((16, 64, SECTOR))
    to, source = _place(data, chance), _place(data, chance)
    piece = data[source : source + size]
    return data[:to] + piece + data[to + len(piece) :]


def _misplaced(data: bytes, chance: random.Random, other: bytes) -> bytes:
    """Behind some byte the other file's. The first bytes stay: another whole file is not damaged bytes."""
    at = max(_HEAD_BYTES, _place(data, chance))
    return data[:at] + other[at:]


def _pieces(data: bytes, chance: random.Random, bounds: Sequence[int]) -> bytes:
    """Whole pieces lost, repeated, exchanged or in another order."""
    head, tail = data[: bounds[0]], data[bounds[-1] :]
    pieces = [data[start:end] for start, end in pairwise(bounds)]
    one, two = chance.randrange(len(pieces)), chance.randrange(len(pieces))
    match chance.randrange(5):
        case 0:
            del pieces[one]
        case 1:
            pieces.insert(two, pieces[one])
        case 2:
            pieces[one], pieces[two] = pieces[two], pieces[one]
        case 3:
            pieces[one] = pieces[two]
        case 4:
            chance.shuffle(pieces)
    return head + b"".join(pieces) + tail


def first_difference(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low
