"""Managers and readers in processes of their own, for the takeover campaigns: they live for many takeovers.

A manager is told to reign (claim the log, then append without end). It notes what it tries and what was acknowledged in
a file, where it outlives the process, and says by its pipe how a reign came out. A reader takes what there is until
somebody's event of the workflow `LAST` comes by.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import struct
import time
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import NamedTuple

import psutil

import wfstore
from wfstore.errors import WfstoreError
from wfstore.index.compaction import compact
from wfstore.index.wholelog import WholeLog
from wfstore.log import Cursor, Reader, failpoints, open_reader, open_writer, survey, trim, writer
from wfstore.log import reader as reader_module
from wfstore.log.manifest import read_manifest
from wfstore.log.objects import writer as object_writer
from wfstore.log.writer import LogWriter
from wfstore.model.events import Event
from wfstore.objects import Bucket

LAST = "last"
#: Kind, rows, epoch, number of the first event within the reign, its seq, the monotonic clock in ns before and after.
_NOTE = struct.Struct("<BxHIqqqq")
TRIED, ACKNOWLEDGED, CLAIMED = 1, 2, 3
#: The protections that can be switched off.
FENCE, FENCE_GONE = "fence check", "fence check when claim and segment are gone"
PUT_IF_ABSENT, SECOND_LOOK = "put-if-absent", "readers' second look"
Seen = tuple[int, int, str, int]


class Note(NamedTuple):
    """One line of what a reign did; `rows` events from its event `number` on, at `first_seq` if acknowledged."""

    kind: int
    rows: int
    epoch: int
    number: int
    first_seq: int
    began_ns: int
    ended_ns: int


class Reign(NamedTuple):
    """What a manager is told. stop_at: a point of the claim at which it stops itself; events: None for no end."""

    storage: str
    name: str
    notes: str
    segment_bytes: int
    pause_s: float
    seed: int
    stop_at: str | None = None
    events: int | None = None


def read_notes(path: str) -> list[Note]:
    """What a reign noted; nothing where it never got to claim."""
    if not os.path.exists(path):
        return []
    with open(path, "rb") as file:
        data = file.read()
    whole = len(data) - len(data) % _NOTE.size
    return [Note(*values) for values in _NOTE.iter_unpack(data[:whole])]


def commits_noted(path: str) -> int:
    """How many commits of a reign were acknowledged so far, without reading the file."""
    try:
        return max(0, os.stat(path).st_size // _NOTE.size - 1) // 2
    except FileNotFoundError:
        return 0


def guard(pipe: Connection) -> None:
    """Kill the processes whose ids were sent, if they are still there, once the other end of the pipe is closed."""
    watched: set[int] = set()
    try:
        while True:
            watched.add(pipe.recv())
    except EOFError:
        for process in psutil.Process(os.getppid()).children():
            if process.pid in watched:
                process.kill()


# -- managers ---------------------------------------------------------------------------------------------------------


def manage(pipe: Connection, off: str | None) -> None:
    """Reign as often as told to, until the pipe's other end is closed."""
    _switch_off(off)
    # One that never pauses is asked to stop by an object; the campaign has no second for that.
    object_writer.SUMMONS_EVERY_S = 0.1
    try:
        while True:
            order = pipe.recv()
            # What was meant for the reign before came when that had just ended.
            if isinstance(order, Reign):
                _reign(pipe, order)
    except EOFError:
        return
    except BaseException:
        pipe.send(("broken", 0, traceback.format_exc()))


def _switch_off(off: str | None) -> None:
    if off == FENCE:
        LogWriter._check_fence = lambda self: None  # type: ignore[method-assign]
    elif off == FENCE_GONE:
        writer.is_superseded = lambda storage, epoch, name: survey.next_claim_exists(storage, epoch)
    elif off == PUT_IF_ABSENT:
        Bucket.create = lambda self, name, data: self.put(name, data) is None  # type: ignore[method-assign]
    elif off == SECOND_LOOK:
        survey.CLAIM_GRACE_S = -1.0
        reader_module.LogReader._claimed_since = lambda self, survey: False  # type: ignore[method-assign]


def _reign(pipe: Connection, reign: Reign) -> None:
    failpoints.disarm()
    if reign.stop_at is not None:
        _interrupt_at(reign.stop_at, 1, signal.SIGSTOP)
    try:
        log = open_writer(reign.storage, segment_bytes=reign.segment_bytes)
    except WfstoreError as error:
        pipe.send(("refused", 0, f"{type(error).__name__}: {error}"))
        return
    notes = os.open(reign.notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(notes, _NOTE.pack(CLAIMED, 0, log.epoch, 0, 0, 0, time.monotonic_ns()))
    pipe.send(("claimed", log.epoch, ""))
    chance, number = random.Random(reign.seed), 0
    try:
        while reign.events is None or number < reign.events:
            if pipe.poll():
                order = pipe.recv()
                if order is None:
                    break
                _interrupt_at(*order)
            rows = chance.randrange(1, 4) if reign.events is None else reign.events
            events = [_event(reign.name, number + row) for row in range(rows)]
            began = time.monotonic_ns()
            os.write(notes, _NOTE.pack(TRIED, rows, log.epoch, number, 0, began, 0))
            first, _ = log.append(events)
            ended = time.monotonic_ns()
            os.write(notes, _NOTE.pack(ACKNOWLEDGED, rows, log.epoch, number, first, began, ended))
            number += rows
            if reign.pause_s:
                time.sleep(chance.random() * reign.pause_s)
        log.close()
        pipe.send(("closed", log.epoch, ""))
    except WfstoreError as error:
        log.close()
        pipe.send(("ended", log.epoch, f"{type(error).__name__}: {error}"))
    finally:
        os.close(notes)


def _event(name: str, number: int) -> Event:
    return Event(ts=1_000_000 + number, type="task.reset", workflow_id=name, task_id=str(number))


def _interrupt_at(point: str, count: int, how: signal.Signals) -> None:
    """Stop or kill this process when it comes by `point` for the `count`-th time."""
    left = count

    def action() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), how)

    failpoints.arm(point, action)


# -- readers ----------------------------------------------------------------------------------------------------------


def read_on(pipe: Connection, storage: str, how: str, pause_s: float, whole: bool, off: str | None) -> None:
    """Read in one of the ways of `WAYS` until the last event has come by, and send what was seen."""
    _switch_off(off)
    try:
        pipe.send((WAYS[how](storage, pause_s, whole), None))
    except WfstoreError as error:
        pipe.send(([], f"a reader ({how}) ended with {type(error).__name__}: {error}"))
    except BaseException:
        pipe.send(([], f"broken: {traceback.format_exc()}"))


def open_log(storage: str, whole: bool) -> WholeLog | Reader:
    """What reads the log; whole: with what history files hold of it."""
    return WholeLog.at(storage) if whole else open_reader(storage)


def read_new(log: WholeLog | Reader, cursor: Cursor) -> tuple[list[Seen], Cursor]:
    """All events since `cursor`, and where to go on."""
    seen: list[Seen] = []
    while True:
        table, cursor = log.read(cursor)
        if not table.num_rows:
            return seen, cursor
        rows = table.select(["seq", "epoch", "workflow_id", "task_id"]).to_pylist()
        seen += [(row["seq"], row["epoch"], row["workflow_id"], int(row["task_id"])) for row in rows]


def _by_cursor(storage: str, pause_s: float, whole: bool) -> list[Seen]:
    """A reader of the log that goes on from its last position, as an index does."""
    seen: list[Seen] = []
    log, cursor = open_log(storage, whole), Cursor()
    while not (seen and seen[-1][2] == LAST):
        more, cursor = read_new(log, cursor)
        seen += more
        time.sleep(pause_s)
    return seen


def _by_follow(storage: str, pause_s: float, whole: bool) -> list[Seen]:
    """`Store.follow`, from the first event on; now and then a new one from the last event's cursor."""
    seen: list[Seen] = []
    cursor: str | None = None
    while True:
        with wfstore.open(storage, live=False).follow(since=cursor) as events:
            for event in events:
                seen.append((event["seq"], event["epoch"], event["workflow_id"], int(event["task_id"])))
                if seen[-1][2] == LAST:
                    return seen
                if len(seen) % 200 == 0:
                    cursor = event.cursor
                    break


def _afresh(storage: str, pause_s: float, whole: bool) -> list[tuple[int, int, str]]:
    """The whole log, again and again, by a reader that knows nothing yet: when it began, how many events, and which."""
    found = []
    last = ""
    while last != LAST:
        began = time.monotonic_ns()
        rows, _ = read_new(open_log(storage, whole), Cursor())
        digests = list(prefixes(rows))
        found.append((began, len(rows), digests[-1] if digests else ""))
        last = rows[-1][2] if rows else ""
        time.sleep(pause_s)
    return found


def prefixes(rows: list[Seen]) -> Iterator[str]:
    """A digest of the first event, of the first two, and so on."""
    digest = hashlib.blake2b(digest_size=12)
    for row in rows:
        digest.update(repr(row).encode())
        yield digest.hexdigest()


WAYS = {"by cursor": _by_cursor, "by follow": _by_follow, "afresh": _afresh}


def compact_away(storage: str) -> None:
    """Take what is sealed into history files, and all of that out of the log at once, without a time of grace."""
    compact(storage, grace_s=3600, workers=1)
    trim(storage, read_manifest(storage).next_seq)
