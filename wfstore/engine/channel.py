"""A short way to the manager for processes on its node: requests over a Unix socket instead of calls of a Ray actor.

A call of an async actor costs 1 ms and about as much processor time on both sides; over a socket it is a tenth of that.
Nothing depends on it: whatever goes wrong here is `ChannelLostError`, and the caller goes by Ray, with the same request
id. References to Ray objects never travel this way; their reply says to ask by Ray.

A message is its length (4 bytes, little endian) and a pickle. The socket lies in Ray's own folder of sockets, which is
open to every user of the machine; both ends take nothing from another user, as a pickle can run code.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import pickle
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import ray._private.worker as ray_worker

_LENGTH = struct.Struct("<I")
#: Process, user and group at the other end of a Linux socket.
_CREDENTIALS = struct.Struct("3i")
_MOST_BYTES = 1 << 30
#: Longest path that every system takes for a socket.
_LONGEST_PATH = 100
_DONE, _RAISED, _BY_RAY = 0, 1, 2

#: The manager's methods that may be asked for here.
SERVED = frozenset(
    {
        "handle",
        "send_event",
        "run",
        "call_actor",
        "wait",
        "exchange",
        "status",
        "actor",
        "log_lines",
        "live",
        "changes",
        "report_progress",
        "describe",
    }
)

Serve = Callable[[str, tuple[Any, ...]], Coroutine[Any, Any, Any]]


class ChannelLostError(Exception):
    """There is no manager at the other end, or the answer has to be asked for by Ray."""


class ByRay(Exception):
    """Raised by a server for an answer that holds Ray objects."""


def path_for(name: str, namespace: str) -> str | None:
    """Where the manager of this cluster listens on this node; None where no socket can be."""
    node: Any = ray_worker._global_node
    if node is None:
        return None
    tag = hashlib.sha256(f"{namespace}\0{name}".encode()).hexdigest()[:12]
    path = os.path.join(node.get_sockets_dir_path(), f"wfstore-{tag}")
    return path if len(os.fsencode(path)) <= _LONGEST_PATH else None


# -- the manager's side -----------------------------------------------------------------------------------------------


async def listen(path: str, serve: Serve) -> asyncio.Server:
    """Answer requests on the running loop. A socket that an earlier manager left there is replaced.

    Raises OSError where no socket can be. It gets its place only when it is closed to other users and listened to.
    """
    new = f"{path}~"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(new)
        os.chmod(new, 0o600)
        server = await asyncio.get_running_loop().create_unix_server(lambda: _Connection(serve), sock=listener)
        os.rename(new, path)
    except OSError:
        listener.close()
        raise
    return server


class _Connection(asyncio.Protocol):
    """One client. Its requests are answered one after the other, as it sends them."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._buffer = bytearray()
        self._transport: asyncio.WriteTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            message = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            # Never taken back: a request that is being committed has to be acted upon, whoever asked.
            task = asyncio.get_running_loop().create_task(self._answer(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: bytes) -> None:
        reply: tuple[int, Any]
        try:
            reply = _DONE, await self._serve(*pickle.loads(message))
        except ByRay:
            reply = _BY_RAY, None
        except Exception as error:  # it is the caller's
            reply = _RAISED, error
        except asyncio.CancelledError:  # the manager is leaving: nobody may wait for what never comes
            if self._transport is not None:
                self._transport.abort()
            raise
        try:
            data = pickle.dumps(reply, 5)
        except Exception:  # an answer that does not pickle alone
            data = b""
        if not 0 < len(data) <= _MOST_BYTES:
            data = pickle.dumps((_BY_RAY, None), 5)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_LENGTH.pack(len(data)) + data)


# -- the other side ---------------------------------------------------------------------------------------------------


class Channel:
    """Requests of one process. Every thread has a connection of its own."""

    def __init__(self, path: str, patience_s: float | None = None) -> None:
        """patience_s: how long one answer may take; None: for ever, as the manager's end closes the connection."""
        self._path, self._patience_s = path, patience_s
        self._local = threading.local()

    def exists(self) -> bool:
        """Some manager of this cluster has listened on this node."""
        return os.path.exists(self._path)

    def call(self, method: str, *args: Any) -> Any:
        """What the manager's method returns or raises. Raises ChannelLostError."""
        message = pickle.dumps((method, args), 5)
        if len(message) > _MOST_BYTES:
            raise ChannelLostError("too large")
        kind, value = self._ask(message)
        if kind == _RAISED:
            raise value
        if kind == _BY_RAY:
            raise ChannelLostError("the answer holds Ray objects")
        return value

    def _ask(self, message: bytes) -> Any:
        """A connection is out of its place while it is used: a signal handler or a finalizer may call in the middle of
        this, and would read the other's reply. After an error it is not used again. A fork leaves it to the parent."""
        place, process = vars(self._local), str(os.getpid())
        connection: socket.socket | None = place.pop(process, None)
        try:
            if connection is None:
                connection = _connected(self._path, self._patience_s)
            connection.sendall(_LENGTH.pack(len(message)) + message)
            reply = pickle.loads(_read(connection))
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, Exception):  # of the connection, or a class that does not load here
                raise ChannelLostError(str(error)) from error
            raise
        if place.setdefault(process, connection) is not connection:
            connection.close()
        return reply


def _connected(path: str, patience_s: float | None) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(patience_s)
    try:
        connection.connect(path)
        if _owner(connection, path) != os.geteuid():
            raise PermissionError(f"{path} is another user's")
    except OSError:
        connection.close()
        raise
    return connection


def _owner(connection: socket.socket, path: str) -> int:
    """User id of whoever listens there."""
    if not hasattr(socket, "SO_PEERCRED"):
        return os.lstat(path).st_uid
    _, user, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(user)


def _read(connection: socket.socket) -> bytes:
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    return _exactly(connection, length)


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = connection.recv(length)
    if len(data) == length:
        return data
    parts = [data]
    missing = length - len(data)
    while missing:
        data = connection.recv(min(missing, 1 << 20))
        if not data:
            raise EOFError("the manager closed the connection")
        parts.append(data)
        missing -= len(data)
    return b"".join(parts)
