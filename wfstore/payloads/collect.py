"""Removes payload files that nothing refers to. A writer that finds its value there already says so by touching the
file, and a file that was made or touched lately is never removed: the event that points to it may be under way.

A file goes by way of another name. Whoever touched it in the last moment is seen then, and it comes back; whoever wants
to read it meanwhile finds it there (`aside`).
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterator

_HASH = re.compile(r"^[0-9a-f]{64}$")
#: Nothing that was made or used so lately is removed. An attempt stores its output before its event is committed.
LATELY_S = 24 * 3600.0
_GONE, _UNFINISHED = ".gone", ".tmp"


def unreferenced(root: str, kept: Collection[str], lately_s: float = LATELY_S) -> list[str]:
    """Paths of payload files below `root` whose hash is not in `kept`, and which nobody made or used lately."""
    return [path for path in _old(root, time.time() - lately_s) if os.path.basename(path) not in kept]


def remove_unreferenced(root: str, kept: Callable[[], Collection[str]], lately_s: float = LATELY_S) -> tuple[int, int]:
    """Remove them; returns how many files and bytes. `kept` is asked after the files were listed."""
    before = time.time() - lately_s
    _tidy(root)
    old = _old(root, before)
    if not old:
        return 0, 0
    needed = kept()
    files = size = 0
    for path in old:
        if os.path.basename(path) not in needed and (freed := _remove(path, before)) is not None:
            files, size = files + 1, size + freed
    return files, size


def aside(path: str) -> list[str]:
    """Other names under which the file that belongs at `path` may be found for a moment."""
    start = os.path.basename(path) + "."
    return [
        entry.path
        for entry in _entries(os.path.dirname(path))
        if entry.name.startswith(start) and entry.name.endswith(_GONE)
    ]


def _files(root: str) -> Iterator[os.DirEntry[str]]:
    return (entry for folder in _entries(root) if folder.is_dir() for entry in _entries(folder.path))


def _old(root: str, before: float) -> list[str]:
    return [entry.path for entry in _files(root) if _HASH.match(entry.name) and _modified(entry.path) < before]


def _tidy(root: str) -> None:
    """What was left behind by those who were killed: half a file goes, one that was on its way comes back."""
    before = time.time() - LATELY_S
    for entry in _files(root):
        try:
            if entry.name.endswith(_UNFINISHED) and entry.stat().st_mtime < before:
                os.unlink(entry.path)
            elif entry.name.endswith(_GONE) and entry.stat().st_ctime < before:
                os.rename(entry.path, os.path.join(os.path.dirname(entry.path), entry.name.partition(".")[0]))
        except FileNotFoundError:
            continue  # somebody else tidies up, too


def _entries(path: str) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _modified(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except FileNotFoundError:
        return float("inf")


def _remove(path: str, before: float) -> int | None:
    """None where somebody uses it again since it was listed."""
    if _modified(path) >= before:
        return None
    # A name of its own: another one who removes must not find this file in place of the one that it put there.
    going = f"{path}.{secrets.token_hex(4)}{_GONE}"
    try:
        os.rename(path, going)
    except FileNotFoundError:
        return None
    found = os.stat(going)
    if found.st_mtime >= before:  # touched between the look and the rename: put it back
        os.rename(going, path)
        return None
    os.unlink(going)
    return found.st_size
