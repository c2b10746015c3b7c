"""A filesystem in memory that knows what a power loss would leave of it. Pure; _fusedisk.py mounts it.

It keeps to what POSIX promises and to nothing more: bytes of a file are durable after fsync or fdatasync of the file,
names after fsync of their folder. Of everything else a power loss leaves nothing, or any part, sector by sector.
"""

from __future__ import annotations

import errno
import os
import random
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

SECTOR = 512


def refused(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@dataclass(eq=False)
class File:
    """`data`: what processes see. `durable`: what is on the medium. `pending`: writes since, and lengths cut to."""

    mode: int
    data: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes] | int] = field(default_factory=list)
    mtime: float = field(default_factory=time.time)
    links: int = 1

    def write(self, offset: int, data: bytes) -> None:
        _apply(self.data, (offset, data))
        self.pending.append((offset, data))
        self.mtime = time.time()

    def truncate(self, length: int) -> None:
        _apply(self.data, length)
        self.pending.append(length)

    def sync(self) -> None:
        for change in self.pending:
            _apply(self.durable, change)
        self.pending.clear()

    def lose(self, keep: random.Random | None) -> None:
        """Power loss; `keep` decides which sectors of what is pending happened to be written. None: none."""
        if keep is not None:
            share = keep.choice((0.0, 0.3, 0.7, 1.0))
            for change in self.pending:
                for part in _sectors(change):
                    if keep.random() < share:
                        _apply(self.durable, part)
        self.pending.clear()
        self.data = bytearray(self.durable)


@dataclass(eq=False)
class Folder:
    """Names, and what became of them since the last fsync; renames within one folder are all or nothing."""

    mode: int
    names: dict[str, File | Folder] = field(default_factory=dict)
    durable: dict[str, File | Folder] = field(default_factory=dict)
    pending: list[dict[str, File | Folder | None]] = field(default_factory=list)
    mtime: float = field(default_factory=time.time)

    def change(self, names: dict[str, File | Folder | None]) -> None:
        _enter(self.names, names)
        self.pending.append(names)
        self.mtime = time.time()

    def sync(self) -> None:
        for names in self.pending:
            _enter(self.durable, names)
        self.pending.clear()

    def sync_all(self) -> None:
        self.sync()
        for node in self.names.values():
            node.sync_all() if isinstance(node, Folder) else node.sync()

    def lose(self, keep: random.Random | None) -> None:
        """Power loss: a journal keeps the first so many changes."""
        kept = 0 if keep is None else keep.randint(0, len(self.pending))
        for names in self.pending[:kept]:
            _enter(self.durable, names)
        self.pending.clear()
        self.names = dict(self.durable)
        for node in self.names.values():
            node.lose(keep)


def _apply(data: bytearray, change: tuple[int, bytes] | int) -> None:
    if isinstance(change, int):
        del data[change:]
        data.extend(bytes(change - len(data)))
        return
    offset, new = change
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    data[offset : offset + len(new)] = new


def _sectors(change: tuple[int, bytes] | int) -> Iterator[tuple[int, bytes] | int]:
    if isinstance(change, int):
        yield change
        return
    offset, data = change
    start = 0
    while start < len(data):
        end = min(len(data), start + SECTOR - (offset + start) % SECTOR)
        yield offset + start, data[start:end]
        start = end


def _enter(names: dict[str, File | Folder], changes: dict[str, File | Folder | None]) -> None:
    for name, node in changes.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class Disk:
    """The tree. Every change counts as a call; from the one that was named on, the machine is without power."""

    def __init__(self) -> None:
        self.root = Folder(stat.S_IFDIR | 0o755)
        self.calls = 0
        self.power_off_at = 0
        self.fail_sync_at = 0
        self.syncs = 0
        self.short_at = 0
        self.refusing = 0
        self.writes = 0
        self._last: tuple[File | None, int] = (None, 0)

    def find(self, path: str) -> File | Folder:
        node: File | Folder = self.root
        for name in path.split("/"):
            if not name:
                continue
            if not isinstance(node, Folder):
                raise refused(errno.ENOTDIR)
            if name not in node.names:
                raise refused(errno.ENOENT)
            node = node.names[name]
        return node

    def folder(self, path: str) -> tuple[Folder, str]:
        """The folder that holds the last name of `path`, and that name."""
        above, _, name = path.rpartition("/")
        found = self.find(above)
        if not isinstance(found, Folder):
            raise refused(errno.ENOTDIR)
        return found, name

    def changing(self, written: File | None = None) -> bool:
        """Counts a call that changes something; False when it is the one at which the power goes, or comes later.

        Of writes to one file with nothing else in between only the first and every twelfth counts: they do not differ.
        """
        row = self._last[1] + 1 if written is not None and self._last[0] is written else 0
        self._last = written, row
        self.calls += row % 12 == 0
        return not self.power_off_at or self.calls < self.power_off_at

    def taken(self, data: bytes) -> bytes:
        """What a write takes: the one that was told to takes a part, as on a disk that is nearly full."""
        self.writes += 1
        if self.refusing:
            self.refusing -= 1
            raise refused(errno.EIO)
        return data[: max(1, len(data) // 2)] if self.writes == self.short_at else data

    def sync(self, node: File | Folder) -> None:
        """fsync. One that was told to fail does what Linux does: the bytes are lost, and the next fsync succeeds.

        They can be read for as long as the cache holds them, which here is no time at all.
        """
        self.syncs += 1
        if self.syncs == self.fail_sync_at and isinstance(node, File):
            node.lose(None)
            raise refused(errno.EIO)
        node.sync()

    def power_loss(self, keep: random.Random | None) -> None:
        """All that was not durable is gone, or a part of it (`keep`); then there is power again."""
        self.root.lose(keep)
        self.power_off_at = self.fail_sync_at = self.short_at = 0
