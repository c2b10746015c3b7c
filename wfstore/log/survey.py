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

#: What it means that a log does not begin with the first event.
MISSING_START = "its first segment is missing, or the folder `history` is. Restore it from a backup"
#: A claim without a header that is older than this has lost its manager.
CLAIM_GRACE_S = 10.0
#: A manager that has got no further by then gives the claim up, while readers still wait for it.
CLAIM_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment that counts. `seal`: None while its end is open. `held`: a claim is under way, nothing new counts."""

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
    """Whether the claim of the epoch after `epoch` is there. Raises OSError when that cannot be told."""
    return _exists(log_path(storage, segment_name(epoch + 1, 1)))


def is_superseded(storage: str, epoch: int, name: str) -> bool:
    """Whether somebody has claimed the epoch after `epoch`, `name` being its newest segment. Raises OSError.

    Segments leave the log in their order: where that claim has come and gone again, the segment has gone before it.
    """
    return next_claim_exists(storage, epoch) or not _exists(log_path(storage, name))


def _exists(path: str) -> bool:
    try:
        os.stat(path)
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
    headers = {} if headers is None else headers
    while True:
        found: list[DamageError] = []
        names = list_names(storage)
        walk = _Walk(storage, names, headers, found.append)
        # A listing made while files are created may show a segment and not the one before it: list again.
        if any(os.path.exists(log_path(storage, name)) for name in walk.missing):
            continue
        # So may one of files that were removed since, as history files hold them.
        if found and not set(names) <= set(list_names(storage)):
            continue
        for error in found:
            report(error)
        for name in walk.missing:
            path = log_path(storage, name)
            report(DamageError(storage, path, 0, "the segment is missing, and a later one counts on it"))
        return walk.survey()


class _Walk:
    """One pass over a listing, from the newest segment to the oldest, so that seals are known before their segments."""

    def __init__(
        self,
        storage: str,
        names: tuple[str, ...],
        headers: dict[str, SegmentHeader],
        report: Callable[[DamageError], None],
    ) -> None:
        self._storage, self._names, self._headers, self._report = storage, names, headers, report
        self._seals: dict[str, Seal] = {}
        self._counting: list[tuple[str, int, SegmentHeader]] = []
        self._unsealed: list[str] = []
        self._closed_below = 0
        self._settled, self._claim_under_way = True, False
        for name in reversed(names):
            self._visit(name)
        listed = set(names)
        # Those before the oldest one were removed once history files held them; whether they do, the manifest says.
        oldest = min((name for name, _, _ in self._counting), key=_key, default="")
        self.missing = [
            seal.segment
            for seal in self._seals.values()
            if seal.length and seal.segment not in listed and _key(seal.segment) > _key(oldest)
        ]

    def _visit(self, name: str) -> None:
        epoch, number = parse_name(name) or (0, 0)
        seal = self._seals.get(name)
        if (seal is None and epoch < self._closed_below) or (seal is not None and seal.length == 0):
            return
        if seal is None:
            self._unsealed.append(name)
        header, young = _header(self._storage, name, self._headers, self._report)
        if header is None:
            if name == self._names[-1]:
                self._settled, self._claim_under_way = False, young and number == 1
            if seal is not None:
                path = log_path(self._storage, name)
                self._report(DamageError(self._storage, path, 0, "a sealed segment without a header"))
            return
        for found in header.sealed:
            self._seals.setdefault(found.segment, found)
        # Any header of an epoch follows that of its claim, which may be gone since: history files hold what was in it.
        self._closed_below = max(self._closed_below, epoch)
        self._counting.append((name, epoch, header))

    def survey(self) -> Survey:
        top_epoch = (parse_name(self._names[-1]) or (0, 0))[0] if self._names else 0
        segments = []
        for name, epoch, header in reversed(self._counting):
            seal = self._seals.get(name)
            held = self._claim_under_way and seal is None and epoch < top_epoch
            segments.append(Segment(name, epoch, header, seal, held))
        return Survey(self._names, tuple(segments), tuple(reversed(self._unsealed)), top_epoch, self._settled)


def _key(name: str) -> tuple[int, int]:
    return parse_name(name) or (0, 0)


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
