"""Puts the simulation where wfstore's modules have the operating system: `os`, `time`, `threading`, queues, files.

The modules are the product's, unchanged; what they call as `os.pwrite` or `time.monotonic` is ours for as long as
`installed` lasts. Paths outside the simulated disk still lead to the real one.
"""

from __future__ import annotations

import builtins
import contextlib
import gc
import io
import os
import secrets
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from types import SimpleNamespace
from typing import Any

from tests.fault.simulation.disk import _FIRST_FD, ROOT, Disk
from tests.fault.simulation.world import Killed, Thread, World


class Machine:
    """What the modules see now: the world and the disk of the seed that runs."""

    world: World
    disk: Disk


MACHINE = Machine()


def _is_ours(path: object) -> bool:
    return isinstance(path, str) and path.startswith(ROOT)


class _Path:
    """os.path; here are the functions that ask the system."""

    def exists(self, path: str) -> bool:
        if not _is_ours(path):
            return os.path.exists(path)
        return self._mode(path) is not None

    lexists = exists

    def isdir(self, path: str) -> bool:
        return (self._mode(path) == "d") if _is_ours(path) else os.path.isdir(path)

    def isfile(self, path: str) -> bool:
        return (self._mode(path) == "f") if _is_ours(path) else os.path.isfile(path)

    def getsize(self, path: str) -> int:
        return int(MACHINE.disk.stat(path).st_size) if _is_ours(path) else os.path.getsize(path)

    def realpath(self, path: str) -> str:
        return path if _is_ours(path) else os.path.realpath(path)

    @staticmethod
    def _mode(path: str) -> str | None:
        try:
            return "d" if MACHINE.disk.stat(path).st_mode & 0o040000 else "f"
        except OSError:
            return None


class _Os:
    """os; here are the functions that wfstore uses on files."""

    path = _Path()

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        return MACHINE.disk.open(path, flags, mode) if _is_ours(path) else os.open(path, flags, mode)

    def close(self, fd: int) -> None:
        MACHINE.disk.close(fd) if fd >= _FIRST_FD else os.close(fd)

    def pwrite(self, fd: int, data: Any, offset: int) -> int:
        return MACHINE.disk.pwrite(fd, data, offset) if fd >= _FIRST_FD else os.pwrite(fd, data, offset)

    def write(self, fd: int, data: Any) -> int:
        return MACHINE.disk.write(fd, data) if fd >= _FIRST_FD else os.write(fd, data)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        return MACHINE.disk.pread(fd, size, offset) if fd >= _FIRST_FD else os.pread(fd, size, offset)

    def fsync(self, fd: int) -> None:
        MACHINE.disk.sync(fd) if fd >= _FIRST_FD else os.fsync(fd)

    def fdatasync(self, fd: int) -> None:
        MACHINE.disk.sync(fd) if fd >= _FIRST_FD else os.fdatasync(fd)

    def posix_fadvise(self, fd: int, offset: int, length: int, advice: int) -> None:
        MACHINE.disk.advise(fd) if fd >= _FIRST_FD else os.posix_fadvise(fd, offset, length, advice)

    def fstat(self, fd: int) -> Any:
        return MACHINE.disk.fstat(fd) if fd >= _FIRST_FD else os.fstat(fd)

    def stat(self, path: Any) -> Any:
        return MACHINE.disk.stat(path) if _is_ours(path) else os.stat(path)

    def listdir(self, path: str) -> list[str]:
        return MACHINE.disk.listdir(path) if _is_ours(path) else os.listdir(path)

    def scandir(self, path: str) -> Any:
        if not _is_ours(path):
            return os.scandir(path)
        return iter([_Entry(path, name) for name in MACHINE.disk.listdir(path)])

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        MACHINE.disk.mkdir(path, mode) if _is_ours(path) else os.mkdir(path, mode)

    def makedirs(self, path: str, mode: int = 0o777, exist_ok: bool = False) -> None:
        if not _is_ours(path):
            os.makedirs(path, mode, exist_ok)
        elif not (self.path.isdir(path) and exist_ok):
            if not self.path.isdir(os.path.dirname(path)):
                self.makedirs(os.path.dirname(path), mode, True)
            try:
                MACHINE.disk.mkdir(path, mode)
            except FileExistsError:
                if not exist_ok:
                    raise

    def link(self, source: str, target: str) -> None:
        MACHINE.disk.link(source, target) if _is_ours(target) else os.link(source, target)

    def rename(self, source: str, target: str) -> None:
        MACHINE.disk.rename(source, target) if _is_ours(target) else os.rename(source, target)

    replace = rename

    def unlink(self, path: str) -> None:
        MACHINE.disk.unlink(path) if _is_ours(path) else os.unlink(path)

    def utime(self, path: Any) -> None:
        MACHINE.disk.touch(path) if _is_ours(path) else os.utime(path)

    def access(self, path: str, mode: int) -> bool:
        return True if _is_ours(path) else os.access(path, mode)

    def getpid(self) -> int:
        """The same in every run of a seed."""
        return 4242

    def _exit(self, code: int) -> None:
        thread = MACHINE.world.thread
        assert thread is not None, "the simulation itself was told to exit"
        thread.process.die()
        raise Killed


for _module, _ours in ((os.path, _Path), (os, _Os)):
    for _name in dir(_module):
        if not _name.startswith("__") and _name not in vars(_ours):
            _theirs = getattr(_module, _name)
            setattr(_ours, _name, staticmethod(_theirs) if callable(_theirs) else _theirs)


class _Entry:
    def __init__(self, folder: str, name: str) -> None:
        self.name, self.path = name, f"{folder}/{name}"

    def stat(self) -> Any:
        return MACHINE.disk.stat(self.path)

    def is_dir(self) -> bool:
        return bool(MACHINE.disk.stat(self.path).st_mode & 0o040000)


class _OpenFile(io.BytesIO):
    """A file opened for reading."""

    def __init__(self, path: str) -> None:
        disk = MACHINE.disk
        self._fd = disk.open(path, os.O_RDONLY)
        super().__init__(disk.read_file(path))

    def fileno(self) -> int:
        return self._fd

    def readall(self) -> bytes:
        return self.read()

    def close(self) -> None:
        MACHINE.disk.close(self._fd)
        super().close()


def _open(path: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
    if not _is_ours(path):
        return builtins.open(path, mode, *args, **kwargs)
    assert mode == "rb", mode
    return _OpenFile(path)


class _SimPath:
    """What wfstore uses of pathlib on a store's files."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return self._path

    def __str__(self) -> str:
        return self._path

    def read_bytes(self) -> bytes:
        return MACHINE.disk.read_file(self._path)

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            MACHINE.disk.unlink(self._path)
        except FileNotFoundError:
            if not missing_ok:
                raise


def _path(*parts: Any) -> Any:
    whole = os.path.join(*(str(part) for part in parts)) if parts else "."
    return _SimPath(whole) if whole.startswith(ROOT) else Path(*parts)


class _Time:
    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def time(self) -> float:
        return MACHINE.world.now_us() / 1e6

    def time_ns(self) -> int:
        return MACHINE.world.now_us() * 1000

    def monotonic(self) -> float:
        world = MACHINE.world
        return world.now if world.thread is not None else world.now + world.looked_s

    perf_counter = monotonic

    def sleep(self, seconds: float) -> None:
        MACHINE.world.wait(seconds)


class _Lock:
    """A lock among greenlets. Reentrant only as `_RLock`."""

    def __init__(self) -> None:
        self._holder: Thread | None = None
        self._held = False
        self._waiting: deque[Thread] = deque()

    def acquire(self, blocking: bool = True) -> bool:
        world = MACHINE.world
        while self._held:
            if not blocking:
                return False
            assert world.thread is not None and world.thread is not self._holder, "a thread waits for itself"
            self._waiting.append(world.thread)
            world.give_way()
        self._held, self._holder = True, world.thread
        return True

    def release(self) -> None:
        self._held, self._holder = False, None
        while self._waiting:
            MACHINE.world.at(MACHINE.world.now, self._waiting.popleft().resume)

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *exc: object) -> None:
        self.release()


class _Thread:
    def __init__(self, target: Any, name: str = "", daemon: bool = False) -> None:
        self._target, self._name = target, name.removeprefix("wfstore-")
        self._over = False
        self._joining: list[Thread] = []

    def start(self) -> None:
        running = MACHINE.world.thread
        assert running is not None
        running.process.spawn(self._name, self._run)

    def _run(self) -> None:
        self._target()
        self._over = True
        for thread in self._joining:
            MACHINE.world.at(MACHINE.world.now, thread.resume)

    def join(self) -> None:
        while not self._over:
            thread = MACHINE.world.thread
            assert thread is not None
            self._joining.append(thread)
            MACHINE.world.give_way()


class _Threading:
    Thread, Lock = _Thread, _Lock

    def __getattr__(self, name: str) -> Any:
        return getattr(threading, name)


class _SimpleQueue:
    """Blocks the greenlet that waits."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._waiting: Thread | None = None

    def put(self, item: Any) -> None:
        self._items.append(item)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            world = MACHINE.world
            world.at(world.now + world.rng.random() * 0.0001, waiting.resume)

    def get(self, timeout: float | None = None) -> Any:
        if timeout is not None:
            return self.get_nowait()
        while not self._items:
            self._waiting = MACHINE.world.thread
            MACHINE.world.give_way()
        return self._items.popleft()

    def get_nowait(self) -> Any:
        if not self._items:
            raise Empty
        return self._items.popleft()


_SECRETS = SimpleNamespace(token_hex=lambda count: f"{MACHINE.world.rng.getrandbits(8 * count):0{2 * count}x}")
_UUID = SimpleNamespace(uuid4=lambda: uuid.UUID(int=MACHINE.world.rng.getrandbits(128), version=4))
#: The collector would run the ends of dead tasks at moments that no seed decides.
_GC = SimpleNamespace(
    disable=lambda: None,
    enable=lambda: None,
    isenabled=lambda: False,
    collect=lambda: 0,
    freeze=lambda: None,
    unfreeze=lambda: None,
    set_threshold=lambda *counts: None,
)

_REPLACED: tuple[tuple[str, Any, Any], ...] = (
    ("os", os, _Os()),
    ("time", time, _Time()),
    ("threading", threading, _Threading()),
    ("secrets", secrets, _SECRETS),
    ("uuid", uuid, _UUID),
    ("gc", gc, _GC),
    ("Path", Path, _path),
)
_PACKAGES = ("wfstore.log", "wfstore.payloads", "wfstore.engine", "wfstore.schema", "wfstore._garbage")


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Inside, wfstore's modules that are loaded by now run on `MACHINE`."""
    changed: list[tuple[Any, str, Any]] = []

    def put(module: Any, name: str, value: Any) -> None:
        changed.append((module, name, module.__dict__.get(name, changed)))
        setattr(module, name, value)

    for name, module in list(sys.modules.items()):
        if not name.startswith(_PACKAGES):
            continue
        for attribute, real, ours in _REPLACED:
            if module.__dict__.get(attribute) is real:
                put(module, attribute, ours)
        put(module, "open", _open)
    put(sys.modules["wfstore.log.group"], "SimpleQueue", _SimpleQueue)
    try:
        yield
    finally:
        for module, name, value in reversed(changed):
            if value is changed:
                delattr(module, name)
            else:
                setattr(module, name, value)
