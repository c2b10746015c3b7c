"""A warm process that forks the children of a campaign: hundreds of kills a minute, each of a process of its own.

A child is asked for by the name of a function, `module:function`, that takes a `Channel` and what else is given. It
does not begin before it is told to, so that somebody can attach to it first.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from wfstore.errors import WfstoreError

ROOT = Path(__file__).parents[2]
#: Nothing here takes a second on an idle machine; now and then this one is frozen for a minute, and time goes on.
_PATIENCE_S = 180.0


class Channel:
    """The child's side: lines to whoever started it. A line that was sent is an acknowledgement somebody relies on."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def say(self, line: str) -> None:
        os.write(self._fd, f"{line}\n".encode())


class Child:
    """A forked process; `lines`: what it has said so far, half a line excluded."""

    def __init__(self, pid: int, said: int, go: int) -> None:
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._said, self._go = said, go
        self._data = b""

    @property
    def lines(self) -> list[str]:
        return self._data.decode().split("\n")[:-1]

    def begin(self) -> None:
        """Let it run."""
        os.write(self._go, b"g")
        os.close(self._go)
        self._go = -1

    def wait_lines(self, count: int, timeout_s: float = _PATIENCE_S) -> bool:
        """Whether it has said so many lines; False when it ended before. Raises TimeoutError."""
        until = time.monotonic() + timeout_s
        while self._data.count(b"\n") < count:
            if not select.select([self._said], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError(f"process {self.pid} said {self.lines[-3:]} and then nothing")
            more = os.read(self._said, 1 << 16)
            if not more:
                return False
            self._data += more
        return True

    def kill(self) -> None:
        """kill -9. It may have ended before."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def ended(self, timeout_s: float = _PATIENCE_S) -> list[str]:
        """All it ever said, once it is gone: its end of the pipe closes after its last system call."""
        try:
            self.wait_lines(1 << 60, timeout_s)
        finally:
            for fd in (self._said, self._pidfd, self._go):
                if fd >= 0:
                    os.close(fd)
        return self.lines


def check_lines(lines: list[str]) -> None:
    """Raises AssertionError for a child that wfstore refused, RuntimeError for one that broke."""
    for line in lines:
        assert not line.startswith("refused"), line
        if line.startswith("broke"):
            raise RuntimeError(line)


class Zygote:
    """The warm process. `warm`: modules imported before the first fork; `environment`: beside one's own."""

    def __init__(self, *warm: str, environment: dict[str, str] | None = None) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        self._asking = threading.Lock()
        command = [sys.executable, "-m", "tests.fault._zygote", str(theirs.fileno()), *warm]
        settings = os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {})
        self._process = subprocess.Popen(command, cwd=ROOT, env=settings, pass_fds=[theirs.fileno()])
        theirs.close()

    def fork(self, target: str, *arguments: Any) -> Child:
        """A child that will run `target(channel, *arguments)` once it is told to begin; arguments travel as JSON."""
        said, say = os.pipe()
        wait, go = os.pipe()
        with self._asking:
            socket.send_fds(self._socket, [json.dumps([target, arguments]).encode()], [say, wait])
            pid = int(self._socket.recv(64))
        os.close(say)
        os.close(wait)
        return Child(pid, said, go)

    def run(self, target: str, *arguments: Any) -> list[str]:
        """What a child that is left alone says."""
        child = self.fork(target, *arguments)
        child.begin()
        return child.ended()

    def close(self) -> None:
        self._socket.close()
        self._process.wait(timeout=30)

    def __enter__(self) -> Zygote:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _serve(control: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        request, (say, wait), _, _ = _received(control)
        if not request:
            return
        pid = os.fork()
        if not pid:
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _run(request, Channel(say), wait)
        os.close(say)
        os.close(wait)
        control.send(str(pid).encode())


def _received(control: socket.socket) -> tuple[bytes, tuple[int, int], int, Any]:
    data, fds, flags, address = socket.recv_fds(control, 1 << 20, 2)
    return data, (fds[0], fds[1]) if fds else (-1, -1), flags, address


def _run(request: bytes, channel: Channel, wait: int) -> None:
    """Never returns."""
    status = 1
    try:
        if os.read(wait, 1):
            target, arguments = json.loads(request)
            module, _, function = target.partition(":")
            getattr(importlib.import_module(module), function)(channel, *arguments)
            status = 0
    except BaseException as error:
        with contextlib.suppress(OSError):
            expected = isinstance(error, WfstoreError)
            channel.say(f"{'refused' if expected else 'broke'} {error!r}".replace("\n", " "))
            if not expected:
                traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    for name in sys.argv[2:]:
        importlib.import_module(name)
    _serve(socket.socket(fileno=int(sys.argv[1])))
