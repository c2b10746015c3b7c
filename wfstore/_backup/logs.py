"""Copies the log of a store: byte by byte between two disks or two object storages, and from one to the other commit by
commit (`wfstore._backup.reframing`), as the rows are the same and only what frames them is not.

The first file comes last: a log that was copied half-way begins too late, and nobody takes it for a whole one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from wfstore._backup.places import GoneError, Place
from wfstore._backup.taking import Piece, Taken
from wfstore.errors import DamageError
from wfstore.log import frame
from wfstore.log.objects import link
from wfstore.log.objects.link import START, End
from wfstore.log.segment import SegmentFile

#: Told how many bytes of the log were copied.
Done = Callable[[int], None]
_AT_ONCE = 32


class Run(NamedTuple):
    """The rows of one commit, packed, and the columns that they have."""

    epoch: int
    columns: tuple[str, ...]
    first_seq: int
    rows: int
    body: bytes


def copy_pieces(taken: Taken, dest: Place, done: Done) -> None:
    """Between places of the same kind. Files that are there, and as long, stay. Raises DamageError, GoneError."""
    have = dest.sizes("log")
    lacking = [piece for piece in taken.pieces if have.get(piece.name) != piece.bytes]
    first = taken.pieces[0] if taken.pieces else None
    last: bytes | None = None
    for piece, data in _checked(taken, lacking):
        if piece == first:
            last = data
        else:
            dest.put(piece.name, data)
        done(piece.bytes)
    if first is not None and last is not None:
        dest.put(first.name, last)


def _checked(taken: Taken, pieces: list[Piece]) -> Iterator[tuple[Piece, bytes]]:
    if taken.on_disk:
        for piece in pieces:
            yield piece, _segment(taken.place, piece)
    else:
        for found, piece in _links(taken.place, pieces):
            yield piece, found.data


def _segment(place: Place, piece: Piece) -> bytes:
    """What counts of a segment, each frame of it checked."""
    with place.local(piece.name) as path, open(path, "rb") as file:
        data = file.read(piece.bytes)
    view, offset, crc, next_seq = memoryview(data), 0, 0, piece.first_seq
    while offset < piece.bytes:
        found = frame.parse(view, offset, crc)
        if isinstance(found, frame.Invalid):
            raise DamageError(place.storage, path, offset, found.reason)
        if found.first_seq != next_seq:
            raise DamageError(place.storage, path, offset, f"a frame out of order: seq {next_seq} belongs here")
        offset, crc, next_seq = found.end, found.crc, next_seq + found.rows
    if next_seq != piece.next_seq:
        raise DamageError(place.storage, path, offset, f"it ends before seq {next_seq}, not before {piece.next_seq}")
    return data


def _links(place: Place, pieces: list[Piece]) -> Iterator[tuple[link.Link, Piece]]:
    """Objects, fetched side by side and each checked behind the one before it."""
    after: End | None = START if pieces and pieces[0].name == START.place.name else None
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for start in range(0, len(pieces), _AT_ONCE):
            some = pieces[start : start + _AT_ONCE]
            for piece, data in zip(some, threads.map(place.read, [each.name for each in some]), strict=True):
                at = link.parse_name(piece.name)
                if data is None or at is None:
                    raise GoneError(piece.name)
                found = link.read(place.storage, at, data, after if after is not None and after.place == at else None)
                after = found.end
                yield found, piece


def runs(taken: Taken) -> Iterator[Run]:
    """The commits in its log, in order. Raises DamageError, GoneError."""
    if not taken.on_disk:
        for found, _ in _links(taken.place, list(taken.pieces)):
            if (block := found.block()) is not None:
                yield Run(block.epoch, block.columns, block.first_seq, block.rows, block.data)
        return
    for piece in taken.pieces:
        with _opened(taken.place.storage, piece) as file:
            header = file.header()
            if header is None:
                raise file.damage(0, "the segment has no header")
            at = header.start
            while at.offset < piece.bytes:
                window = file.window(at, piece.bytes)
                for commit in window.frames:
                    body = window.data[commit.body : commit.end]
                    yield Run(commit.epoch, header.columns, commit.first_seq, commit.rows, body)
                at = window.after


@contextmanager
def _opened(storage: str, piece: Piece) -> Iterator[SegmentFile]:
    try:
        file = SegmentFile(storage, os.path.basename(piece.name))
    except DamageError as error:
        raise GoneError(piece.name) from error
    with file:
        yield file
