"""Removes payload files that nothing refers to. A writer that finds its value there already says so by touching the
file, and a file that was made or touched lately is never removed: the event that points to it may be under way.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection

_HASH = re.compile(r"^[0-9a-f]{64}$")
#: Nothing that was made or used so lately is removed. An attempt stores its output before its event is committed.
LATELY_S = 24 * 3600.0
_GONE = ".gone"


def unreferenced(root: str, kept: Collection[str], lately_s: float = LATELY_S) -> list[str]:
    """Paths of payload files below `root` whose hash is not in `kept`, and which nobody made or used lately."""
    return [path for path in _old(root, time.time() - lately_s) if os.path.basename(path) not in kept]


def remove_unreferenced(root: str, kept: Callable[[], Collection[str]], lately_s: float = LATELY_S) -> tuple[int, int]:
    """Remove them; returns how many files and bytes. `kept` is asked after the files were listed."""
    before = time.time() - lately_s
    old = _old(root, before)
    if not old:
        return 0, 0
    needed = kept()
    files = size = 0
    for path in old:
        if os.path.basename(path) not in needed and (freed := _remove(path, before)) is not None:
            files, size = files + 1, size + freed
    return files, size


def _old(root: str, before: float) -> list[str]:
    return [
        entry.path
        for folder in _entries(root)
        if folder.is_dir()
        for entry in _entries(folder.path)
        if _HASH.match(entry.name) and _modified(entry.path) < before
    ]


def _entries(path: str) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(path))
    except FileNotFoundError:
        return []


def _modified(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except FileNotFoundError:
        return float("inf")


def _remove(path: str, before: float) -> int | None:
    """None where somebody uses it again since it was listed."""
    aside = path + _GONE
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return None
    found = os.stat(aside)
    if found.st_mtime >= before:  # touched between the look and the rename: put it back
        os.rename(aside, path)
        return None
    os.unlink(aside)
    return found.st_size
