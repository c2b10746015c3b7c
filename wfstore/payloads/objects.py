"""Payloads on object storage: put once, put again when they have become old, and removed when nothing refers to them.

Whoever removes spares what was put lately: the event that points to it may be under way. A writer that finds its value
there therefore puts it again unless it is young.

Object storage cannot remove on a condition. Whoever removes looks at each object immediately before: only a writer that
puts a value, which nobody used for a day, again in the few milliseconds between the two could still lose it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

from wfstore.objects import Bucket, Entry

FOLDER = "payloads"
#: Nothing that was put so lately is removed.
LATELY_S = 24 * 3600.0
_AT_ONCE = 16


def keep(bucket: Bucket, uri: str, data: bytes, now_s: float | None = None) -> None:
    """There, and young, when this returns. An object is there whole or not at all, and always of the same bytes."""
    found = bucket.find(uri)
    young = (time.time() if now_s is None else now_s) - LATELY_S / 2
    if found is None or found.bytes != len(data) or found.modified_us < young * 1e6:
        bucket.put(uri, data)


def unreferenced(bucket: Bucket, kept: Collection[str], lately_s: float = LATELY_S) -> list[str]:
    """Names of payloads whose hash is not in `kept`, and which nobody put lately."""
    return [entry.name for entry in _old(bucket, lately_s) if PurePosixPath(entry.name).name not in kept]


def remove_unreferenced(
    bucket: Bucket, kept: Callable[[], Collection[str]], lately_s: float = LATELY_S
) -> tuple[int, int]:
    """Remove them; returns how many objects and bytes. `kept` is asked after the payloads were listed."""
    old = list(_old(bucket, lately_s))
    if not old:
        return 0, 0
    needed = kept()
    going = [entry for entry in old if PurePosixPath(entry.name).name not in needed]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        freed = [size for size in threads.map(lambda entry: _remove(bucket, entry), going) if size is not None]
    return len(freed), sum(freed)


def _remove(bucket: Bucket, entry: Entry) -> int | None:
    """None where somebody has put it again, or removed it, since it was listed."""
    if bucket.find(entry.name) != entry:
        return None
    bucket.remove([entry.name])
    return entry.bytes


def _old(bucket: Bucket, lately_s: float) -> Iterator[Entry]:
    before = (time.time() - lately_s) * 1e6
    return (entry for entry in bucket.entries(FOLDER) if entry.modified_us < before)
