"""Writes commits as the log of a place: segments on a disk, a chain of objects elsewhere. Events keep seq and epoch.

A backup that has the earlier commits already goes on behind them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import chain
from typing import Any, NamedTuple

from wfstore._backup.logs import Done, Run, runs
from wfstore._backup.notes import Note
from wfstore._backup.places import Place
from wfstore._backup.taking import Piece, Taken
from wfstore.log import frame
from wfstore.log.objects import link
from wfstore.log.objects.link import START, End
from wfstore.log.segment import FORMAT, LOG_DIRECTORY, Seal, parse_name, segment_name
from wfstore.log.writer import DEFAULT_SEGMENT_BYTES
from wfstore.schema.rows import STORED_COLUMNS, Rows

#: Commits that follow each other become one object of about this size.
_OBJECT_BYTES = 1 << 20
_CLAIM = "backup"


class Written(NamedTuple):
    """The files of the log, and where it goes on: see `Note.end`."""

    pieces: tuple[Piece, ...]
    end: dict[str, int]


def write_log(taken: Taken, dest: Place, old: Note | None, done: Done) -> Written:
    """The log of `taken` in the form of `dest`, which is of the other kind. Raises DamageError, GoneError."""
    kept, going_on = _kept(taken, old)
    begin = old.seq + 1 if old is not None and going_on else 0
    commits: Iterator[Run] = (run for run in runs(taken) if run.first_seq >= begin)
    first = next(commits, None)
    if going_on and first is not None and first.first_seq != begin:
        kept, going_on = (), False
        commits = runs(taken)
    elif first is not None:
        commits = chain([first], commits)
    known = {piece.name for piece in kept}
    dest.remove(name for name in dest.sizes(LOG_DIRECTORY) if name not in known and not _listed(old, name))
    log = _Log(taken, dest, done, hold=not going_on)
    end = _chain(log, commits, old, going_on) if taken.on_disk else _segments(log, commits, old, going_on)
    log.finish()
    return Written((*kept, *log.pieces), end)


def _kept(taken: Taken, old: Note | None) -> tuple[tuple[Piece, ...], bool]:
    """What of an older backup's log still counts, and whether the rest can follow it."""
    if old is None or old.end is None or not old.log or taken.manifest.next_seq > old.seq + 1:
        return (), False
    if taken.pieces and taken.pieces[0].first_seq > old.seq + 1:
        return (), False
    begin = taken.manifest.next_seq
    # A claim holds no event; one that stands where the log begins is part of the chain.
    still = [piece for piece in old.log[:-1] if piece.next_seq > begin or piece.first_seq >= begin]
    return (*still, old.log[-1]), True


def _listed(old: Note | None, name: str) -> bool:
    """Whether an older backup, which counts until this one is done, needs it."""
    return old is not None and any(piece.name == name for piece in old.log)


class _Log:
    """Files that are put, in order; with `hold`, the first of them only when all others are there."""

    def __init__(self, taken: Taken, dest: Place, done: Done, hold: bool) -> None:
        self.taken, self.pieces = taken, list[Piece]()
        self._dest, self._done, self._hold = dest, done, hold
        self._held: tuple[str, bytes] | None = None

    def put(self, piece: Piece, data: bytes) -> None:
        if self._hold and not self.pieces:
            self._held = piece.name, data
        else:
            self._dest.put(piece.name, data)
        self.pieces.append(piece)
        self._done(piece.bytes)

    def finish(self) -> None:
        if self._held is not None:
            self._dest.put(*self._held)


# -- a chain of objects -----------------------------------------------------------------------------------------------


def _chain(log: _Log, commits: Iterable[Run], old: Note | None, going_on: bool) -> dict[str, int]:
    end = _start(log.taken, old, going_on)
    claimed = going_on
    for run in _merged(commits):
        header = _header(log.taken, run.epoch, run.columns, claim=_CLAIM)
        if not claimed:
            end = End(end.place._replace(first_seq=run.first_seq), end.crc, end.epoch)
        if run.epoch > end.epoch or not claimed:
            end = _put(log, header, run.epoch, None, end)
            claimed = True
        end = _put(log, header, run.epoch, Rows(run.body, run.rows), end)
    if not claimed:
        # Without an object nobody would know at which seq the log goes on.
        end = End(end.place._replace(first_seq=log.taken.seq + 1), end.crc, end.epoch)
        epoch = max(log.taken.epoch, end.epoch + 1)
        end = _put(log, _header(log.taken, epoch, STORED_COLUMNS, claim=_CLAIM), epoch, None, end)
    return {"first_seq": end.place.first_seq, "number": end.place.number, "crc": end.crc, "epoch": end.epoch}


def _start(taken: Taken, old: Note | None, going_on: bool) -> End:
    if old is None or old.end is None:
        return START
    said = old.end
    if going_on:
        return End(link.Place(said["first_seq"], said["number"]), said["crc"], said["epoch"])
    # Numbers of their own, and one left out: nothing of this follows anything of the older chain.
    return End(link.Place(1, said["number"] + 1), 0, 0)


def _put(log: _Log, header: bytes, epoch: int, rows: Rows | None, after: End) -> End:
    data, end = link.build(header, epoch, rows, after)
    place = after.place
    log.put(Piece(place.name, len(data), place.first_seq, end.place.first_seq, epoch), data)
    return end


def _merged(commits: Iterable[Run]) -> Iterator[Run]:
    """Commits of one epoch that follow each other, taken together up to a size."""
    waiting: list[Run] = []
    size = 0
    for run in commits:
        same = bool(waiting) and (waiting[0].epoch, waiting[0].columns) == (run.epoch, run.columns)
        if waiting and (not same or size + len(run.body) > _OBJECT_BYTES):
            yield _joined(waiting)
            waiting, size = [], 0
        waiting.append(run)
        size += len(run.body)
    if waiting:
        yield _joined(waiting)


def _joined(some: list[Run]) -> Run:
    return some[0]._replace(rows=sum(run.rows for run in some), body=b"".join(run.body for run in some))


# -- segments ---------------------------------------------------------------------------------------------------------


def _segments(log: _Log, commits: Iterable[Run], old: Note | None, going_on: bool) -> dict[str, int]:
    numbers = _numbers(old)
    seal: Seal | None = None
    if old is not None and old.end is not None and going_on:
        last = old.log[-1]
        seal = Seal(_bare(last.name), last.bytes, old.end["crc"], last.next_seq)
    open_: _Segment | None = None
    for run in commits:
        if open_ is None or not open_.takes(run):
            seal = open_.put(log) if open_ is not None else seal
            number = numbers[run.epoch] = numbers.get(run.epoch, 0) + 1
            open_ = _Segment(log.taken, run, number, seal)
        open_.add(run)
    if open_ is not None:
        seal = open_.put(log)
    return {"crc": 0 if seal is None else seal.crc}


class _Segment:
    """A segment in the making."""

    def __init__(self, taken: Taken, run: Run, number: int, sealed: Seal | None) -> None:
        self._epoch, self._columns = run.epoch, run.columns
        self._name = segment_name(run.epoch, number)
        self._first = self._next = run.first_seq
        seals = [] if sealed is None else [asdict(sealed)]
        header = _header(taken, run.epoch, run.columns, segment=number, sealed=seals)
        data, self._crc = frame.build(frame.HEADER_MAGIC, header, run.epoch, 0, run.first_seq, 0)
        self._data = bytearray(data)

    def takes(self, run: Run) -> bool:
        return (run.epoch, run.columns) == (self._epoch, self._columns) and len(self._data) < DEFAULT_SEGMENT_BYTES

    def add(self, run: Run) -> None:
        data, self._crc = frame.build(frame.EVENT_MAGIC, run.body, run.epoch, run.rows, run.first_seq, self._crc)
        self._data += data
        self._next += run.rows

    def put(self, log: _Log) -> Seal:
        piece = Piece(f"{LOG_DIRECTORY}/{self._name}", len(self._data), self._first, self._next, self._epoch)
        log.put(piece, bytes(self._data))
        return Seal(self._name, len(self._data), self._crc, self._next)


def _numbers(old: Note | None) -> dict[int, int]:
    """epoch -> the highest number of a segment that an older backup has."""
    found: dict[int, int] = {}
    for piece in () if old is None else old.log:
        epoch, number = parse_name(_bare(piece.name)) or (0, 0)
        found[epoch] = max(number, found.get(epoch, 0))
    return found


def _bare(name: str) -> str:
    return name.removeprefix(f"{LOG_DIRECTORY}/")


def _header(taken: Taken, epoch: int, columns: Iterable[str], **more: Any) -> bytes:
    body = {"format": FORMAT, "store_id": taken.store_id, "epoch": epoch, "created_at": taken.created_at}
    return json.dumps({**body, "columns": list(columns), **more}).encode()
