"""Following the log: new rows as they are committed, in order, none twice and none left out.

What counts is always read from the log itself, from the last position on. A notification of the file system only says
when to look; where there is none, or none one can trust, the log is looked at by the clock. It writes nothing, starts
no thread of Python's, and does not know what the rows are about.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from typing import Protocol, TypeVar

import pyarrow as pa

from wfstore.errors import StorageError
from wfstore.log.cursor import Cursor
from wfstore.log.places import Reader
from wfstore.log.segment import log_path
from wfstore.log.survey import CLAIM_GRACE_S, take_survey
from wfstore.objects import is_uri

_READ_BYTES = 4 << 20
#: Changes are gathered for so long: step while they go on, at most debounce.
_STEP_MS, _DEBOUNCE_MS = 5, 20
#: The log is looked at this often even if nothing is announced, so that a lost notification costs no more.
_SWEEP_MS = 100
#: File systems of Linux whose notifications tell of every writer. A network's tell of this machine's only.
_LOCAL = frozenset(
    ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "tmpfs", "ramfs", "overlay")
)
_CLAIM_PAUSE_S = 0.01

_log = logging.getLogger(__name__)
_Seen = TypeVar("_Seen")


class Waiter(Protocol):
    """Waits until there may be something new."""

    def wait(self, quiet_s: float) -> bool:
        """Returns when the log should be looked at; False: the waiting is over. quiet_s: since something last came."""

    def close(self) -> None:
        """Give back what it holds. Safe to call again."""


class EventReader(Protocol):
    """What is followed: `LogReader`, or what also knows the events in history files."""

    storage: str

    def read(self, cursor: Cursor | None = None, max_bytes: int | None = None) -> tuple[pa.Table, Cursor]:
        """New rows since `cursor`, and where to go on."""


class Polling:
    """Looks by the clock: every `shortest` seconds while something comes, ever less often, down to `longest`."""

    def __init__(self, stop: threading.Event, shortest: float, longest: float) -> None:
        self._stop, self._shortest, self._longest = stop, shortest, longest

    def wait(self, quiet_s: float) -> bool:
        return not self._stop.wait(min(self._longest, max(self._shortest, quiet_s / 4)))

    def close(self) -> None:
        return


class Watching:
    """Looks when the system says that a file of the log has changed, and now and then without being told."""

    def __init__(self, storage: str, stop: threading.Event) -> None:
        self._stop = stop
        self._hints = _hints(log_path(storage), stop)
        self._instead: Polling | None = None

    def wait(self, quiet_s: float) -> bool:
        if self._instead is not None:
            return self._instead.wait(quiet_s)
        try:
            next(self._hints)
        except StopIteration:
            return False
        except (OSError, RuntimeError) as error:
            # No more watches or instances to be had, or the directory went away: reading will tell which.
            _log.info("no notifications (%s); the log is looked at by the clock", error)
            self._instead = local_polling(self._stop)
            return self._instead.wait(quiet_s)
        return True

    def close(self) -> None:
        self._hints.close()


def _hints(path: str, stop: threading.Event) -> Generator[None, None, None]:
    from watchfiles import watch

    changes = watch(
        path,
        watch_filter=None,
        step=_STEP_MS,
        debounce=_DEBOUNCE_MS,
        stop_event=stop,
        rust_timeout=_SWEEP_MS,
        yield_on_timeout=True,
        force_polling=False,
        recursive=False,
    )
    try:
        for _ in changes:
            yield
    finally:
        changes.close()


def local_polling(stop: threading.Event) -> Polling:
    return Polling(stop, 0.01, 0.1)


def waiter_for(storage: str, stop: threading.Event) -> Waiter:
    """The one that suits the place where the store lies."""
    if is_uri(storage):
        return Polling(stop, 0.25, 2.0)
    if sys.platform != "linux":
        return local_polling(stop)
    if _filesystem(log_path(storage)) in _LOCAL:
        return Watching(storage, stop)
    return Polling(stop, 0.25, 2.0)


def _load() -> None:
    """What waiting needs, before there is something to wait for: a Ctrl-C while Python imports may get lost."""
    import psutil  # noqa: F401
    import watchfiles  # noqa: F401


def _filesystem(path: str) -> str:
    """Type of the file system that holds `path`, as the system names it; "" where it cannot be told."""
    import psutil

    path = os.path.realpath(path)
    # Of mounts at one place the last one counts, and max() would take the first.
    mounts = [mount for mount in reversed(psutil.disk_partitions(all=True)) if _holds(mount.mountpoint, path)]
    return max(mounts, key=lambda mount: len(mount.mountpoint)).fstype if mounts else ""


def _holds(mountpoint: str, path: str) -> bool:
    return path == mountpoint or path.startswith(mountpoint.rstrip("/") + "/")


def follow(reader: EventReader, cursor: Cursor, stop: threading.Event) -> Generator[pa.Table, None, None]:
    """Tables of EVENT_SCHEMA, never empty, with the rows since `cursor` and then those that come, until `stop` is set.

    Raises what `LogReader.read` raises; StorageNotFoundError when the store went away.
    """
    waiter: Waiter | None = None
    last = time.monotonic()
    if not is_uri(reader.storage):
        _load()
    try:
        while not stop.is_set():
            table, cursor = reader.read(cursor, max_bytes=_READ_BYTES)
            if table.num_rows:
                yield table
                last = time.monotonic()
                continue
            waiter = waiter or waiter_for(reader.storage, stop)
            if not waiter.wait(time.monotonic() - last):
                return
    finally:
        if waiter is not None:
            waiter.close()


def end_of(reader: Reader) -> Cursor:
    """Behind the last event committed so far. Reads the newest segment or object, no more."""
    if is_uri(reader.storage):
        from wfstore.log.objects.reader import ObjectLogReader

        return ObjectLogReader(reader.storage).end()

    def look() -> Cursor:
        segments = take_survey(reader.storage).segments
        cursor = Cursor(segments[-1].header.start.next_seq) if segments else Cursor()
        while (cursor := reader.blocks(cursor, max_bytes=_READ_BYTES)[1]).more:
            continue
        return cursor

    return undisturbed(reader.storage, look)


def undisturbed(storage: str, look: Callable[[], _Seen]) -> _Seen:
    """What `look` finds while no manager is between its claim and its header, when nobody can say where the log ends.

    On object storage a claim is one object, and there is no between. Raises StorageError when one takes longer than a
    claim may, and what `look` raises.
    """
    if is_uri(storage):
        return look()
    while True:
        epoch = _settled_epoch(storage)
        seen = look()
        if _settled_epoch(storage) == epoch:
            return seen


def _settled_epoch(storage: str) -> int:
    deadline = time.monotonic() + 2 * CLAIM_GRACE_S
    survey = take_survey(storage)
    while any(segment.held for segment in survey.segments):
        if time.monotonic() > deadline:
            raise StorageError(storage, "a manager has claimed the log and does not begin; its clock may be wrong")
        time.sleep(_CLAIM_PAUSE_S)
        survey = take_survey(storage)
    return survey.top_epoch
