"""Messages between a sandbox's process and its parent, over one socket: JSON, and Arrow IPC beside it. Never pickle.

A message is two lengths, a JSON object, and the bytes of its tables one after the other.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from wfstore import errors

_LENGTHS = struct.Struct("!IQ")
_CHUNK_BYTES = 1 << 20
#: How often who waits looks whether waiting still makes sense.
_LOOK_S = 0.1


class Message(NamedTuple):
    """`op` of `fields` says what it is about."""

    fields: dict[str, Any]
    tables: list[pa.Table]


class LimitExceededError(Exception):
    """A message is longer than the receiver wants to read."""


def send(channel: socket.socket, op: str, tables: Sequence[pa.Table] = (), **fields: Any) -> None:
    """Raises OSError where nobody listens any more."""
    bodies = [_packed(table) for table in tables]
    fields = {"op": op, **fields, "sizes": [len(body) for body in bodies]}
    head = json.dumps(fields).encode()
    channel.sendall(_LENGTHS.pack(len(head), sum(map(len, bodies))) + head)
    for body in bodies:
        channel.sendall(body)


def receive(
    channel: socket.socket,
    deadline: float | None = None,
    watch: Callable[[], None] | None = None,
    most_bytes: int = 2**62,
) -> Message:
    """The next message. deadline: of time.monotonic(); watch: called every now and then, and may raise.

    Raises EOFError where the other side is gone, TimeoutError, LimitExceededError, ValueError for what is no message.
    """
    waiting = _Waiting(channel, deadline, watch)
    head_bytes, body_bytes = _LENGTHS.unpack(waiting.take(_LENGTHS.size))
    if head_bytes + body_bytes > most_bytes:
        raise LimitExceededError(f"{head_bytes + body_bytes} bytes")
    fields = json.loads(waiting.take(head_bytes))
    body = memoryview(waiting.take(body_bytes))
    tables, begin = [], 0
    for size in fields.pop("sizes"):
        tables.append(_unpacked(body[begin : begin + size]))
        begin += size
    return Message(fields, tables)


class _Waiting:
    def __init__(self, channel: socket.socket, deadline: float | None, watch: Callable[[], None] | None) -> None:
        self._channel, self._deadline, self._watch = channel, deadline, watch

    def take(self, size: int) -> bytearray:
        data = bytearray(size)
        view, begin = memoryview(data), 0
        while begin < size:
            self._readable()
            try:
                count = self._channel.recv_into(view[begin : begin + _CHUNK_BYTES])
            except ConnectionError:
                count = 0
            if not count:
                raise EOFError("the other side is gone")
            begin += count
        return data

    def _readable(self) -> None:
        if self._deadline is None:
            return
        while True:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if select.select([self._channel], [], [], min(left, _LOOK_S))[0]:
                return
            if self._watch is not None:
                self._watch()


def _packed(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _unpacked(data: memoryview) -> pa.Table:
    """Checked through: what an answer's process has become by then is not known."""
    try:
        table = pa.ipc.open_stream(pa.py_buffer(data)).read_all()
        table.validate(full=True)
    except pa.ArrowException as error:
        raise ValueError(f"no Arrow stream: {error}") from error
    return table


def described(error: errors.WfstoreError) -> list[Any]:
    """An error as JSON."""
    return [type(error).__name__, list(error.args)]


def rebuilt(said: Sequence[Any]) -> errors.WfstoreError:
    """The error that was described. Raises ValueError for one that is none of `wfstore.errors`."""
    name, arguments = said
    found = getattr(errors, name, None)
    if not (isinstance(found, type) and issubclass(found, errors.WfstoreError)):
        raise ValueError(f"no error is called {name!r}")
    return found(*arguments)
