"""The last bytes that an attempt wrote to stdout and stderr, taken from the files into which Ray redirects a worker.

Ray's files go with the cluster; what a failed attempt said should not. Text counts that reached the file descriptors 1
and 2, from Python, C or a child process; not what user code sent elsewhere. Nothing here raises: a tail that cannot be
had is an empty string. It does not capture, copy or rotate anything, and does not reach other nodes.

The only file of its own is one line per worker process in Ray's session directory, which says where in those files the
attempt began that runs now. A worker killed without warning leaves it behind for the manager.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import os
import re
import stat
import sys
import termios
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import ray._private.worker as ray_worker

TAIL_BYTES = 65_536

_FDS = (1, 2)
_SUFFIXES = (".out", ".err")
_MAGIC = re.compile(rb"^(?::(?:job_id|task_name|actor_name):|__ray_tqdm_magic_token__).*\n?", re.MULTILINE)
_TASK_BEGINS = re.compile(rb"^:task_name:.*\n", re.MULTILINE)
_PIPE_DRAINED_WITHIN_S = 0.2
_MOST_ROTATED = 100


class _Position(NamedTuple):
    """A place in a file. `rotates`: Ray copies a pipe into it, and renames it when it has grown."""

    device: int
    inode: int
    size: int
    rotates: bool = False

    def is_in(self, found: os.stat_result) -> bool:
        return (found.st_dev, found.st_ino) == (self.device, self.inode)


_NOWHERE = _Position(0, 0, 0)


class Mark(NamedTuple):
    """Where stdout and stderr stood."""

    stdout: _Position
    stderr: _Position

    def read(self, limit_bytes: int = TAIL_BYTES) -> tuple[str, str]:
        """(stdout, stderr) written by this process since the mark: the last `limit_bytes` of each, Ray's own lines
        removed. A file that other processes write too (a container's log) holds theirs as well."""
        _flush()
        _flush_c()
        return _text(_since(1, self.stdout, limit_bytes)), _text(_since(2, self.stderr, limit_bytes))


def mark(label: str | None = None) -> Mark:
    """Where stdout and stderr of this process stand now. `label` names the attempt that begins here, so that
    `of_dead_attempt` can find what it wrote if this process is killed."""
    _flush()
    made = Mark(_position(1), _position(2))
    if label is not None:
        _note(made, label)
    return made


def of_dead_worker(pid: int, limit_bytes: int = TAIL_BYTES) -> tuple[str, str]:
    """(stdout, stderr) of a worker process of this node, from its last mark on, else from the beginning of its last Ray
    task; empty when it ran elsewhere."""
    with contextlib.suppress(OSError, ValueError):
        return _of_dead(pid, _noted(_notes() / str(pid)), limit_bytes)
    return "", ""


def of_dead_attempt(label: str, limit_bytes: int = TAIL_BYTES) -> tuple[str, str]:
    """(stdout, stderr) of the attempt that a worker process of this node had marked with `label` when it died; empty
    when it ran elsewhere. A look into one small file per worker process of the session."""
    with contextlib.suppress(OSError, ValueError):
        for path in _notes().iterdir():
            noted = _noted(path)
            if noted is not None and noted[0] == _one_line(label):
                return _of_dead(int(path.name), noted, limit_bytes)
    return "", ""


# -- marks ------------------------------------------------------------------------------------------------------------


def _position(fd: int) -> _Position:
    try:
        found = os.fstat(fd)
        if stat.S_ISREG(found.st_mode):
            return _Position(found.st_dev, found.st_ino, found.st_size)
        if stat.S_ISFIFO(found.st_mode):
            found = os.stat(_ray_path(fd))
            return _Position(found.st_dev, found.st_ino, found.st_size, True)
    except OSError:  # closed by user code, or Ray has no file for it
        return _NOWHERE
    return _NOWHERE


def _ray_path(fd: int) -> str:
    worker = ray_worker.global_worker
    path: str = worker.get_out_file_path() if fd == 1 else worker.get_err_file_path()
    return path


def _node() -> Any:
    """What Ray knows of the node that this process runs on; None in a client of Ray Client, or without Ray."""
    return ray_worker._global_node


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if stream is not None:
            # User code may have put anything in its place, even closed.
            with contextlib.suppress(Exception):
                stream.flush()


def _flush_c() -> None:
    """C's own buffers. Not ``fflush(NULL)``: it would wait for a thread that reads stdin."""
    names = ("__stdoutp", "__stderrp") if sys.platform == "darwin" else ("stdout", "stderr")
    with contextlib.suppress(OSError, ValueError, AttributeError):
        libc = ctypes.CDLL(None)
        for name in names:
            libc.fflush(ctypes.c_void_p.in_dll(libc, name))


# -- notes: one line per worker process -------------------------------------------------------------------------------


def _notes() -> Path:
    """The folder of the notes of this session. Raises OSError without a node."""
    node = _node()
    if node is None:
        raise FileNotFoundError("this process belongs to no Ray node")
    return Path(node.get_session_dir_path()) / "wfstore"


@lru_cache(maxsize=1)
def _own_note(pid: int) -> tuple[int, int] | None:
    """(descriptor, inode) of this process's note; None where it cannot be written."""
    try:
        folder = _notes()
        folder.mkdir(mode=0o700, exist_ok=True)
        fd = os.open(folder / str(pid), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        return fd, os.fstat(fd).st_ino
    except OSError:
        return None


def _one_line(label: str) -> bytes:
    return label.encode("utf-8", "backslashreplace").replace(b"\n", b" ")


def _note(made: Mark, label: str) -> None:
    own = _own_note(os.getpid())
    if own is None:
        return
    fd, inode = own
    line = b"%d %d %d %d %d %d %d %d " % (*made.stdout, *made.stderr) + _one_line(label) + b"\n"
    with contextlib.suppress(OSError):  # a full disk
        # User code that closes descriptors by number may have given this one to a file of its own.
        if os.fstat(fd).st_ino == inode:
            os.pwrite(fd, line, 0)


def _noted(path: Path) -> tuple[bytes, Mark] | None:
    """(label, mark) of a note. A longer one before it may show behind its first line."""
    try:
        line, end, _ = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    *numbers, label = line.split(b" ", 8)
    if not end or len(numbers) != 8:
        return None
    return label, Mark(_noted_position(numbers[:4]), _noted_position(numbers[4:]))


def _noted_position(numbers: list[bytes]) -> _Position:
    device, inode, size, rotates = (int(number) for number in numbers)
    return _Position(device, inode, size, rotates == 1)


# -- reading ----------------------------------------------------------------------------------------------------------


def _since(fd: int, position: _Position, limit: int) -> bytes:
    if not position.inode:
        return b""
    with contextlib.suppress(OSError):
        if position.rotates:
            _drained(fd)
            return _tail(_ray_path(fd), position, limit)
        for path in (f"/proc/self/fd/{fd}", _path_of(fd), _ray_path(fd)):
            # User code may have put another file in the descriptor's place meanwhile.
            if path and os.path.exists(path) and position.is_in(os.stat(path)):
                return _tail(path, position, limit)
    return b""


def _path_of(fd: int) -> str:
    """macOS has no /proc, but tells a descriptor's path."""
    command: int | None = getattr(fcntl, "F_GETPATH", None)
    return "" if command is None else os.fsdecode(fcntl.fcntl(fd, command, bytes(1024)).rstrip(b"\0"))


def _drained(fd: int) -> None:
    """Wait until Ray's thread has taken everything out of the pipe; it writes a moment later."""
    waiting = array.array("i", [1])
    deadline = time.monotonic() + _PIPE_DRAINED_WITHIN_S
    while waiting[0] and time.monotonic() < deadline:
        fcntl.ioctl(fd, termios.FIONREAD, waiting)
        time.sleep(0.005)


def _tail(path: str, position: _Position, limit: int) -> bytes:
    """The last `limit` bytes behind `position`, over the files into which `path` was rotated since."""
    data, cut = b"", False
    for generation in _generations(path) if position.rotates else iter((path,)):
        with open(generation, "rb") as file:
            found = os.fstat(file.fileno())
            same = position.is_in(found)
            begin = position.size if same and position.size <= found.st_size else 0
            start = max(begin, found.st_size - (limit - len(data)))
            file.seek(start)
            data = file.read(found.st_size - start) + data
        cut = start > begin
        if same or len(data) >= limit:
            break
    return _whole_characters(data) if cut else data


def _generations(path: str) -> Iterator[str]:
    yield path
    for number in range(1, _MOST_ROTATED):
        if not os.path.exists(f"{path}.{number}"):
            return
        yield f"{path}.{number}"


def _whole_characters(data: bytes) -> bytes:
    """Without the rest of a UTF-8 character that the cut went through."""
    rest = 0
    while rest < min(3, len(data)) and data[rest] & 0xC0 == 0x80:
        rest += 1
    return data[rest:]


def _text(data: bytes) -> str:
    return _MAGIC.sub(b"", data).decode("utf-8", "replace")


def _of_dead(pid: int, noted: tuple[bytes, Mark] | None, limit: int) -> tuple[str, str]:
    found = []
    for position, suffix in zip(_NO_MARK if noted is None else noted[1], _SUFFIXES, strict=True):
        path = _file_of(pid, suffix)
        if path is None:
            found.append(b"")
        elif position.inode and (position.rotates or position.is_in(os.stat(path))):
            found.append(_tail(path, position, limit))
        else:
            found.append(_of_last_task(path, limit))
    return _text(found[0]), _text(found[1])


_NO_MARK = Mark(_NOWHERE, _NOWHERE)


def _file_of(pid: int, suffix: str) -> str | None:
    """The file of the youngest worker with this pid: pids come again."""
    node = _node()
    if node is None:
        return None
    files = list(Path(node.get_logs_dir_path()).glob(f"worker-*-{pid}{suffix}"))
    return str(max(files, key=os.path.getmtime)) if files else None


def _of_last_task(path: str, limit: int) -> bytes:
    """A worker says in its files which Ray task begins; what came before belongs to others."""
    found = os.stat(path)
    data = _tail(path, _Position(found.st_dev, found.st_ino, 0), limit)
    begins = [match.end() for match in _TASK_BEGINS.finditer(data)]
    return data[begins[-1] :] if begins else data
