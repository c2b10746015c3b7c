"""One object of the log's chain: its name, building it, and checking it before anything in it is parsed.

An object is a small segment: a header frame, and a frame of events unless it is a claim. No request is sent here.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from wfstore.errors import DamageError
from wfstore.log import frame
from wfstore.log.segment import FORMAT, LOG_DIRECTORY, newer_format
from wfstore.schema.rows import STORED_COLUMNS, Block, Rows

_NAME = re.compile(rf"^{LOG_DIRECTORY}/(\d{{16}})-(\d{{12}})\.wfo$")


class Place(NamedTuple):
    """Where an object stands: seq of its first event (a claim: of the next to come), and its number in the chain."""

    first_seq: int
    number: int

    @property
    def name(self) -> str:
        return f"{self.stem}.wfo"

    @property
    def stem(self) -> str:
        """Sorts behind every earlier object and before this one."""
        return f"{LOG_DIRECTORY}/{self.first_seq:016d}-{self.number:012d}"


def parse_name(name: str) -> Place | None:
    """None for a name that no object of the log has."""
    match = _NAME.match(name)
    return Place(int(match[1]), int(match[2])) if match else None


@dataclass(frozen=True, slots=True)
class Header:
    """What every object of an epoch begins with, the same bytes each time. claim: nobody else's."""

    store_id: str
    epoch: int
    claim: str
    columns: tuple[str, ...]


class End(NamedTuple):
    """Behind an object: the place of the next one, the crc it is chained to, the epoch so far."""

    place: Place
    crc: int
    epoch: int


START = End(Place(1, 1), 0, 0)


class Link(NamedTuple):
    """A verified object. `data`: all of it; `events`: its frame of events, None in a claim."""

    place: Place
    header: Header
    data: bytes
    events: frame.Frame | None
    end: End

    def block(self) -> Block | None:
        """Its rows; None of a claim."""
        found = self.events
        if found is None:
            return None
        return Block(self.header.columns, found.epoch, found.first_seq, found.rows, self.data[found.body : found.end])


def header_body(store_id: str, epoch: int, claim: str, created_at: int) -> bytes:
    """The body of the header frames of an epoch."""
    body = {
        "format": FORMAT,
        "store_id": store_id,
        "epoch": epoch,
        "claim": claim,
        "created_at": created_at,
        "columns": STORED_COLUMNS,
    }
    return json.dumps(body).encode()


def build(header: bytes, epoch: int, rows: Rows | None, after: End) -> tuple[bytes, End]:
    """The object that follows `after` (rows None: a claim), and where it ends. Raises ValueError when too large."""
    first = after.place.first_seq
    head, crc = frame.build(frame.HEADER_MAGIC, header, epoch, 0, first, after.crc)
    if rows is None:
        return head, End(Place(first, after.place.number + 1), crc, epoch)
    body, crc = frame.build(frame.EVENT_MAGIC, rows.data, epoch, rows.rows, first, crc)
    return head + body, End(Place(first + rows.rows, after.place.number + 1), crc, epoch)


def read(storage: str, place: Place, data: bytes, after: End | None) -> Link:
    """Check an object. after: of the object before it, None when that is not known.

    Raises DamageError, StorageVersionError.
    """
    view = memoryview(data)
    head = frame.parse(view, 0, None if after is None else after.crc)
    if isinstance(head, frame.Invalid):
        raise _damage(storage, place, 0, head.reason)
    if not head.header or head.first_seq != place.first_seq:
        raise _damage(storage, place, 0, "this is not the header of an object of that name")
    header = _header(storage, place, data[head.body : head.end])
    if header.epoch != head.epoch:
        raise _damage(storage, place, 0, f"the header is that of epoch {header.epoch}, its frame of {head.epoch}")
    events = None
    crc, rows = head.crc, 0
    if head.end < len(data):
        events = _events(storage, place, view, head)
        crc, rows = events.crc, events.rows
    if after is not None and not (head.epoch == after.epoch if rows else head.epoch > after.epoch):
        reason = f"epoch {head.epoch} after epoch {after.epoch}, without a claim between them"
        raise _damage(storage, place, 0, reason)
    end = End(Place(place.first_seq + rows, place.number + 1), crc, head.epoch)
    return Link(place, header, data, events, end)


def _events(storage: str, place: Place, view: memoryview, head: frame.Frame) -> frame.Frame:
    found = frame.parse(view, head.end, head.crc)
    if isinstance(found, frame.Invalid):
        raise _damage(storage, place, head.end, found.reason)
    if found.header or found.epoch != head.epoch or found.first_seq != place.first_seq or not found.rows:
        raise _damage(storage, place, head.end, f"a frame out of order: seq {place.first_seq} belongs here")
    if found.end != len(view):
        raise _damage(storage, place, found.end, "bytes behind the last frame")
    return found


def _header(storage: str, place: Place, body: bytes) -> Header:
    try:
        values = _parsed(body)
        if values["format"] > FORMAT:
            raise newer_format(storage, values["format"])
        return Header(values["store_id"], values["epoch"], values["claim"], tuple(values["columns"]))
    except (ValueError, KeyError, TypeError) as error:
        raise _damage(storage, place, 0, f"a header that cannot be read: {error}") from error


@functools.lru_cache(maxsize=64)
def _parsed(body: bytes) -> dict[str, Any]:
    """An epoch's objects all carry the same header."""
    values: dict[str, Any] = json.loads(body)
    return values


def _damage(storage: str, place: Place, offset: int, reason: str) -> DamageError:
    return DamageError(storage, place.name, offset, reason)


def missing(storage: str, place: Place) -> DamageError:
    """The object is not there, and a later one counts on it."""
    return _damage(storage, place, 0, "the object is missing, and a later one counts on it")
