"""Which segments count, and how far: seals, fenced epochs and claims put together from names and headers.

The rules are those of on-disk-format.md ("Epochs and fencing"). Bytes behind a header are not looked at here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from wfstore.errors import DamageError
from wfstore.log._files import check_readable, translated
from wfstore.log.segment import Seal, SegmentFile, SegmentHeader, log_path, parse_name, segment_name

#: A claim without a header that is older than this has lost its manager.
CLAIM_GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment that counts. `seal`: None while its end is open. `held`: a claim is under way, show nothing new of it."""

    name: str
    epoch: int
    header: SegmentHeader
    seal: Seal | None
    held: bool = False

    @property
    def limit(self) -> int | None:
        return None if self.seal is None else self.seal.length


@dataclass(frozen=True, slots=True)
class Survey:
    """segments: those that count, in order. unsealed: names whose end nobody has recorded, those without a header too.

    top_epoch: highest epoch ever claimed (0: none). settled: nothing can change without a new file name.
    """

    names: tuple[str, ...] = ()
    segments: tuple[Segment, ...] = ()
    unsealed: tuple[str, ...] = ()
    top_epoch: int = 0
    settled: bool = False

    def index_of(self, name: str) -> int | None:
        """Position of the segment among `segments`."""
        return next((i for i, segment in enumerate(self.segments) if segment.name == name), None)


def list_names(storage: str) -> tuple[str, ...]:
    """Segment files in log order. Raises StorageNotFoundError, StorageError."""
    try:
        entries = os.listdir(log_path(storage))
    except FileNotFoundError:
        check_readable(storage)
        return ()
    except OSError:
        check_readable(storage)
        with translated(storage, "listing the log"):
            entries = os.listdir(log_path(storage))
    keyed = [(key, name) for name in entries if (key := parse_name(name)) is not None]
    return tuple(name for _, name in sorted(keyed))


def next_claim_exists(storage: str, epoch: int) -> bool:
    """Whether somebody has claimed the epoch after `epoch`. Raises OSError when that cannot be told."""
    try:
        os.stat(log_path(storage, segment_name(epoch + 1, 1)))
    except FileNotFoundError:
        return False
    return True


def _raise(error: DamageError) -> None:
    raise error


def take_survey(
    storage: str,
    headers: dict[str, SegmentHeader] | None = None,
    report: Callable[[DamageError], None] = _raise,
) -> Survey:
    """Survey the log. headers: cache by name, filled here. report: what to do about damage; raise it by default."""
    names = list_names(storage)
    headers = {} if headers is None else headers
    seals: dict[str, Seal] = {}
    counting: list[tuple[str, int, SegmentHeader]] = []
    unsealed: list[str] = []
    closed_below, newest_has_header, held = 0, True, False
    for name in reversed(names):
        epoch, number = parse_name(name) or (0, 0)
        seal = seals.get(name)
        if (seal is None and epoch < closed_below) or (seal is not None and seal.length == 0):
            continue
        if seal is None:
            unsealed.append(name)
        header, young = _header(storage, name, headers, report)
        if header is None:
            if name == names[-1]:
                newest_has_header, held = False, young and number == 1
            if seal is not None:
                report(DamageError(storage, log_path(storage, name), 0, "a sealed segment without a header"))
            continue
        for found in header.sealed:
            seals.setdefault(found.segment, found)
        if number == 1:
            closed_below = max(closed_below, epoch)
        counting.append((name, epoch, header))
    for seal in seals.values():
        if seal.length and seal.segment not in names:
            path = log_path(storage, seal.segment)
            report(DamageError(storage, path, 0, "the segment is missing, and a later one counts on it"))
    top_epoch = (parse_name(names[-1]) or (0, 0))[0] if names else 0
    segments = tuple(
        Segment(name, epoch, header, seals.get(name), held and epoch < top_epoch and name not in seals)
        for name, epoch, header in reversed(counting)
    )
    return Survey(names, segments, tuple(reversed(unsealed)), top_epoch, newest_has_header)


def _header(
    storage: str, name: str, headers: dict[str, SegmentHeader], report: Callable[[DamageError], None]
) -> tuple[SegmentHeader | None, bool]:
    """The header, and whether a file without one is young enough for a manager to be at work on it."""
    if (known := headers.get(name)) is not None:
        return known, False
    try:
        with SegmentFile(storage, name) as file:
            header = file.header()
            young = header is None and file.age_s(time.time()) < CLAIM_GRACE_S
    except DamageError as error:
        report(error)
        return None, False
    if header is not None:
        headers[name] = header
    return header, young
