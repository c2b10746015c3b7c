"""The store as a sandbox's process has it: whatever it reads, it asks its parent for."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pyarrow as pa

from wfstore.index.sandbox import wire
from wfstore.log import Cursor, Lease, own_lease
from wfstore.log.history import HistoryFiles
from wfstore.log.manifest import HistoryFile, Manifest, Part
from wfstore.schema.codec import conform


class Parent:
    """Asks the parent process."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel

    def ask(self, op: str, **fields: Any) -> wire.Message:
        """The answer to a question. Raises what the parent's read raised."""
        self.tell(op, **fields)
        answer = wire.receive(self.channel)
        if "error" in answer.fields:
            raise wire.rebuilt(answer.fields["error"])
        return answer

    def tell(self, op: str, tables: Iterable[pa.Table] = (), **fields: Any) -> None:
        wire.send(self.channel, op, list(tables), **fields)


class LogRows:
    """The log, as far as an index reads it."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent

    def read(self, cursor: Cursor | None = None, max_bytes: int | None = None) -> tuple[pa.Table, Cursor]:
        """As `LogReader.read`, without payloads."""
        answer = self._parent.ask("read", cursor=None if cursor is None else str(cursor), max_bytes=max_bytes)
        (table,) = answer.tables
        return conform(table), replace(Cursor.parse(answer.fields["cursor"]), more=answer.fields["more"])

    def lease(self) -> Lease | None:
        """Some living manager's; None where none lives."""
        return own_lease(time.time_ns() // 1000, None, 1) if self._parent.ask("alive").fields["alive"] else None

    def live(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """As `LiveSource`."""
        workflows, tasks = (table.to_pylist() for table in self._parent.ask("live").tables)
        return workflows, tasks


class Files(HistoryFiles):
    """History files by their bare names, which are paths in the folder that this process is in."""

    def __init__(self, parent: Parent) -> None:
        super().__init__(".")
        self._parent = parent

    def refresh(self) -> bool:
        known = self.manifest.number
        said = self._parent.ask("manifest", known=known).fields["manifest"]
        if said is not None:
            self.manifest = _manifest(said)
        return self.manifest.number != known

    def newest(self) -> int:
        found: int = self._parent.ask("newest").fields["number"]
        return found

    def path(self, file: HistoryFile) -> str:
        return file.name

    def checked(self, files: Iterable[HistoryFile]) -> list[str]:
        names = [file.name for file in files]
        if names:
            self._parent.ask("checked", names=names)
        return names


def _manifest(said: dict[str, Any]) -> Manifest:
    parts = (Part(**{**part, "files": tuple(HistoryFile(**file) for file in part["files"])}) for part in said["parts"])
    return Manifest(**{**said, "parts": tuple(parts)})
