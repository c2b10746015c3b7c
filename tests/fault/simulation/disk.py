"""A disk in memory, as unkind as POSIX allows: what was not synced may be lost or torn, and any call may fail.

Every call of a living process passes `_enter`: there it takes its time (so that others go on in between), and there it
fails, or its process dies before it, after it, or in the middle of it. The simulation's own calls pass untouched.
"""

from __future__ import annotations

import errno
import functools
import os
import random
import stat as modes
from collections.abc import Callable
from types import SimpleNamespace

from tests.fault.simulation.world import Killed, Process, World

ROOT = "/sim"
_SECTOR = 512
_FIRST_FD = 1_000_000

#: What may happen at a call: the process dies before or after it, or half way through a write; the machine loses its
#: power likewise; the system reports an error.
CALL_FAULTS = ("die before", "die after", "die within", "power before", "power after", "power within", "EIO", "ENOSPC")


class File:
    """data: what a reader sees; durable: what outlives a loss of power; dirty: ranges that differ."""

    def __init__(self) -> None:
        self.data, self.durable = bytearray(), bytearray()
        self.dirty: list[tuple[int, int]] = []
        self.mtime_us = 0

    def write(self, data: bytes | memoryview, offset: int) -> None:
        _put(self.data, offset, data)
        self.dirty.append((offset, len(data)))

    def sync(self) -> None:
        for offset, length in self.dirty:
            _put(self.durable, offset, self.data[offset : offset + length])
        self.dirty.clear()

    def forget(self) -> None:
        """As a kernel does after a failed sync: it takes the pages for clean, and the next sync reports no error."""
        self.dirty.clear()

    def evict(self) -> None:
        """What the kernel takes for clean is read from the medium again."""
        seen, self.data = self.data, bytearray(self.durable)
        for offset, length in self.dirty:
            _put(self.data, offset, seen[offset : offset + length])

    def lose_power(self, rng: random.Random) -> None:
        for offset, length in self.dirty:
            chance = rng.choice((0.0, 0.0, 0.5, 1.0))
            if not chance:
                continue
            end = offset + (length if rng.random() < 0.5 else rng.randint(0, length))
            start = offset
            while start < end:
                stop = min(end, start - start % _SECTOR + _SECTOR)
                kept = rng.random() < chance
                _put(self.durable, start, self.data[start:stop] if kept else bytes(stop - start), over=kept)
                start = stop
        self.dirty.clear()
        self.data = bytearray(self.durable)


def _put(into: bytearray, offset: int, data: bytes | bytearray | memoryview, over: bool = True) -> None:
    """`over`: replace what is there; else only fill what lies behind the end."""
    if len(into) < offset:
        into.extend(bytes(offset - len(into)))
    if over:
        into[offset : offset + len(data)] = data
    else:
        into.extend(data[max(0, len(into) - offset) :])


class Directory:
    """pending: changes of names since the last sync, each a set of names that change at once (None: gone)."""

    def __init__(self) -> None:
        self.names: dict[str, Node] = {}
        self.durable: dict[str, Node] = {}
        self.pending: list[dict[str, Node | None]] = []
        self.mtime_us = 0

    def rename(self, changes: dict[str, Node | None]) -> None:
        _rename(self.names, changes)
        self.pending.append(changes)

    def sync(self) -> None:
        for changes in self.pending:
            _rename(self.durable, changes)
        self.pending.clear()

    def forget(self) -> None:
        self.pending.clear()

    def lose_power(self, rng: random.Random) -> None:
        for changes in self.pending[: rng.randint(0, len(self.pending))]:
            _rename(self.durable, changes)
        self.pending.clear()
        self.names = dict(self.durable)
        for node in self.names.values():
            node.lose_power(rng)


Node = File | Directory


@functools.lru_cache(maxsize=4096)
def _names(path: str) -> tuple[str, ...]:
    """Of folders and file, below `ROOT`."""
    return tuple(name for name in path[len(ROOT) :].split("/") if name)


def _rename(names: dict[str, Node], changes: dict[str, Node | None]) -> None:
    for name, node in changes.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class Disk:
    """The files below `ROOT`. slow: how many times longer calls take; full: no byte fits any more; syncs: False in
    the control in which a sync does nothing."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.root = Directory()
        self.slow = 1.0
        self.full = False
        self.syncs = True
        self.failed_syncs = 0
        self.on_power_lost: Callable[[], None] = lambda: None
        self._open: dict[int, Node] = {}
        self._fd = _FIRST_FD

    # -- faults -------------------------------------------------------------------------------------------------------

    def _enter(self, call: str, path: object, takes_s: float = 0.00005, changes: bool = True) -> str | None:
        world = self.world
        thread = world.thread
        if thread is None:
            return None
        process = thread.process
        if process.dead:
            raise Killed
        process.calls += 1
        fault = process.faults.get(process.calls)
        if world.tracing:
            world.note(call, path, fault or "")
        world.wait(takes_s * self.slow * (0.5 + world.rng.random()))
        if fault is None:
            return None
        if fault.endswith("before") or (not changes and fault.endswith(("after", "within"))):
            self._crash(fault, process)
        if fault == "EIO" and "sync" not in call and call != "pwrite":
            raise OSError(errno.EIO, "Input/output error", str(path))
        return fault

    def _leave(self, fault: str | None) -> None:
        if fault is not None and fault.endswith(("after", "within")):
            assert self.world.thread is not None
            self._crash(fault, self.world.thread.process)

    def _crash(self, fault: str, process: Process) -> None:
        if fault.startswith("power"):
            self.lose_power()
        process.die()
        raise Killed

    def lose_power(self) -> None:
        """Every process that uses this disk dies, and what was not synced may be gone."""
        self.world.note("POWER LOST")
        for process in self.world.processes:
            if process.on_machine:
                process.die()
        self.root.lose_power(self.world.rng)
        self._open.clear()
        self.on_power_lost()

    # -- names --------------------------------------------------------------------------------------------------------

    def find(self, path: str) -> Node:
        """Raises FileNotFoundError, NotADirectoryError."""
        node: Node = self.root
        for name in _names(path):
            if isinstance(node, File):
                raise NotADirectoryError(errno.ENOTDIR, "Not a directory", path)
            found = node.names.get(name)
            if found is None:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
            node = found
        return node

    def _parent(self, path: str) -> tuple[Directory, str]:
        above, _, name = path.rstrip("/").rpartition("/")
        node = self.find(above)
        if isinstance(node, File):
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", path)
        return node, name

    def _check_room(self, path: object) -> None:
        if self.full and self.world.thread is not None:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        creating = bool(flags & os.O_CREAT)
        fault = self._enter("create" if creating else "open", path)
        if creating:
            parent, name = self._parent(path)
            found = parent.names.get(name)
            if found is not None and flags & os.O_EXCL:
                raise FileExistsError(errno.EEXIST, "File exists", path)
            if found is None:
                if fault == "ENOSPC":
                    raise OSError(errno.ENOSPC, "No space left on device", path)
                self._check_room(path)
                found = File()
                found.mtime_us = self.world.now_us()
                parent.rename({name: found})
        else:
            found = self.find(path)
        if flags & os.O_TRUNC and isinstance(found, File):
            found.data, found.durable = bytearray(), bytearray()
            found.dirty.clear()
        if flags & os.O_DIRECTORY and isinstance(found, File):
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", path)
        self._fd += 1
        self._open[self._fd] = found
        self._leave(fault)
        return self._fd

    def node(self, fd: int) -> Node:
        found = self._open.get(fd)
        if found is None:
            if self.world.thread is not None and self.world.thread.process.dead:
                raise Killed
            raise OSError(errno.EBADF, "Bad file descriptor")
        return found

    def close(self, fd: int) -> None:
        self._open.pop(fd, None)

    # -- bytes --------------------------------------------------------------------------------------------------------

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        fault = self._enter("pwrite", f"{fd} {len(data)}@{offset}")
        file = self.node(fd)
        assert isinstance(file, File)
        length = len(data)
        if fault in ("EIO", "ENOSPC") or (fault is not None and fault.endswith("within")):
            length = self.world.rng.randint(0, length)
        elif self.full and self.world.thread is not None:
            length = 0
        if length:
            file.write(data[:length], offset)
            file.mtime_us = self.world.now_us()
        if length < len(data) and fault is None:
            self._check_room(fd)
        if fault == "EIO":
            raise OSError(errno.EIO, "Input/output error")
        if fault == "ENOSPC":
            self.full = True
        self._leave(fault)
        if fault == "ENOSPC" and not length:
            self._check_room(fd)
        return length

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Files that are written in this way are new, and written from their start to their end."""
        file = self.node(fd)
        assert isinstance(file, File)
        return self.pwrite(fd, data, len(file.data))

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        self._enter("pread", f"{fd} {size}@{offset}", changes=False)
        file = self.node(fd)
        assert isinstance(file, File)
        return bytes(file.data[offset : offset + size])

    def advise(self, fd: int) -> None:
        """Whoever asks for it gets what the medium holds."""
        self._enter("fadvise", fd, changes=False)
        node = self.node(fd)
        if isinstance(node, File):
            node.evict()

    def read_file(self, path: str) -> bytes:
        self._enter("read", path, changes=False)
        node = self.find(path)
        if isinstance(node, Directory):
            raise IsADirectoryError(errno.EISDIR, "Is a directory", path)
        return bytes(node.data)

    def sync(self, fd: int) -> None:
        fault = self._enter("sync", fd, 0.001)
        node = self.node(fd)
        if fault in ("EIO", "ENOSPC"):
            node.forget()
            self.failed_syncs += 1
            raise OSError(getattr(errno, fault), f"injected {fault}")
        if fault is not None and fault.endswith("within"):
            self._leave(fault)
        if self.syncs:
            node.sync()
        self._leave(fault)

    # -- the rest -----------------------------------------------------------------------------------------------------

    def stat(self, path: str) -> SimpleNamespace:
        self._enter("stat", path, changes=False)
        return self._about(self.find(path))

    def fstat(self, fd: int) -> SimpleNamespace:
        return self._about(self.node(fd))

    @staticmethod
    def _about(node: Node) -> SimpleNamespace:
        directory = isinstance(node, Directory)
        size = 0 if isinstance(node, Directory) else len(node.data)
        mode = (modes.S_IFDIR | 0o700) if directory else (modes.S_IFREG | 0o600)
        times = {"st_mtime": node.mtime_us / 1e6, "st_ctime": node.mtime_us / 1e6, "st_mtime_ns": node.mtime_us * 1000}
        return SimpleNamespace(st_size=size, st_mode=mode, st_dev=1, st_uid=0, st_nlink=1, **times)

    def listdir(self, path: str) -> list[str]:
        self._enter("listdir", path, changes=False)
        node = self.find(path)
        if isinstance(node, File):
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", path)
        return list(node.names)

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        fault = self._enter("mkdir", path)
        parent, name = self._parent(path)
        if name in parent.names:
            raise FileExistsError(errno.EEXIST, "File exists", path)
        self._check_room(path)
        parent.rename({name: Directory()})
        self._leave(fault)

    def link(self, source: str, target: str) -> None:
        fault = self._enter("link", target)
        parent, name = self._parent(target)
        node = self.find(source)
        if name in parent.names:
            raise FileExistsError(errno.EEXIST, "File exists", target)
        parent.rename({name: node})
        self._leave(fault)

    def rename(self, source: str, target: str) -> None:
        fault = self._enter("rename", target)
        parent, name = self._parent(target)
        beside, old = self._parent(source)
        node = self.find(source)
        if parent is beside:
            parent.rename({old: None, name: node})
        else:
            parent.rename({name: node})
            beside.rename({old: None})
        self._leave(fault)

    def unlink(self, path: str) -> None:
        fault = self._enter("unlink", path)
        parent, name = self._parent(path)
        if name not in parent.names:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        parent.rename({name: None})
        self._leave(fault)

    def touch(self, path: str) -> None:
        self._enter("utime", path, changes=False)
        self.find(path).mtime_us = self.world.now_us()
