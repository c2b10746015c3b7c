"""Removing from a log on object storage what history files hold by now."""

from __future__ import annotations

from collections.abc import Iterator

from wfstore.log.objects import link
from wfstore.log.objects.files import read_floor, write_floor
from wfstore.log.segment import LOG_DIRECTORY
from wfstore.log.trim import Trimmed
from wfstore.objects import Bucket, Entry, bucket_of

_AT_ONCE = 1000


def trim(storage: str, next_seq: int) -> Trimmed:
    """Remove the objects that hold only events before `next_seq`, but for the newest one, and for every claim.

    A claim's name is what keeps older writers out, as late as they may wake up. From here on the log has a floor: who
    asks it for an earlier event is told so. Safe to repeat after a crash. Raises StorageError.
    """
    bucket = bucket_of(storage)
    files = size = 0
    waiting: list[Entry] = []
    if next_seq > read_floor(bucket):
        write_floor(bucket, next_seq)
    for entry in _below(bucket, next_seq):
        waiting.append(entry)
        files, size = files + 1, size + entry.bytes
        if len(waiting) == _AT_ONCE:
            bucket.remove(entry.name for entry in waiting)
            waiting = []
    bucket.remove(entry.name for entry in waiting)
    return Trimmed(files, size)


def _below(bucket: Bucket, next_seq: int) -> Iterator[Entry]:
    """Objects of events whose successor begins at `next_seq` or before; a claim's begins where the claim does."""
    last: tuple[link.Place, Entry] | None = None
    for entry in bucket.entries(LOG_DIRECTORY):
        place = link.parse_name(entry.name)
        if place is None:
            continue
        if place.first_seq > next_seq:
            return
        if last is not None and place.first_seq != last[0].first_seq and place.number == last[0].number + 1:
            yield last[1]
        last = place, entry
