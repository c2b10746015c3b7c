"""One process of a sandbox as its parent sees it: started, asked, served with what it may read, killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import psutil
import pyarrow as pa

from wfstore.errors import QueryError, WfstoreError
from wfstore.index import live
from wfstore.index.sandbox import wire
from wfstore.index.sandbox.answer import Answer, Limits, QueryTimeoutError
from wfstore.index.sandbox.kinds import READABLE
from wfstore.index.tail import EventSource, LiveSource
from wfstore.log import Cursor, lease_alive, now_us
from wfstore.log.history import HistoryFiles
from wfstore.log.manifest import Manifest, history_blobs
from wfstore.objects import is_uri

#: How long taking in the log may take before a query begins; and how long after its time a process may say so itself.
_LOAD_S, _GRACE_S = 120.0, 1.0
_MESSAGE_BYTES = 16 << 20
_UNCOUNTED_BYTES = 512 << 20


_Serve: TypeAlias = Callable[..., tuple[dict[str, Any], list[pa.Table]]]


class WornError(Exception):
    """The process ended, or is of no use any more, before it began with the query: another one has to answer."""


class Broker:
    """What a sandbox's process may read of the store, and nothing else: rows without payloads, names of files."""

    def __init__(self, storage: str, source: EventSource, live_source: LiveSource | None) -> None:
        self._source, self._live_source = source, live_source
        self._history = HistoryFiles(storage)
        self.directory = _directory(storage)

    def serve(self, channel: socket.socket, message: wire.Message) -> None:
        """Answer one question. Errors of the store are answers, too."""
        asked = dict(message.fields)
        op = asked.pop("op")
        serves: dict[str, _Serve] = {
            "read": self._read,
            "alive": self._alive,
            "live": self._live,
            "manifest": self._manifest,
            "newest": self._newest,
            "checked": self._checked,
        }
        if (serve := serves.get(op)) is None:
            raise RuntimeError(f"a process of the SQL sandbox asked for {op!r}")
        try:
            fields, tables = serve(**asked)
        except WfstoreError as error:
            wire.send(channel, op, error=wire.described(error))
        else:
            wire.send(channel, op, tables, **fields)

    def _read(self, cursor: str | None, max_bytes: int | None) -> tuple[dict[str, Any], list[pa.Table]]:
        rows, position = self._source.read(None if cursor is None else Cursor.parse(cursor), max_bytes)
        return {"cursor": str(position), "more": position.more}, [rows.drop_columns(["payload"])]

    def _alive(self) -> tuple[dict[str, Any], list[pa.Table]]:
        lease = self._source.lease()
        return {"alive": lease is not None and lease_alive(lease, now_us())}, []

    def _live(self) -> tuple[dict[str, Any], list[pa.Table]]:
        said: tuple[list[dict[str, Any]], ...] = ([], []) if self._live_source is None else self._live_source()
        return {}, [live.to_arrow(name, rows) for name, rows in zip(live.COLUMNS, said, strict=True)]

    def _manifest(self, known: int) -> tuple[dict[str, Any], list[pa.Table]]:
        self._history.refresh()
        manifest: Manifest = self._history.manifest
        if manifest.number and not self.directory:
            raise WornError("there are history files now")
        return {"manifest": None if manifest.number == known else asdict(manifest)}, []

    def _newest(self) -> tuple[dict[str, Any], list[pa.Table]]:
        return {"number": self._history.newest()}, []

    def _checked(self, names: list[str]) -> tuple[dict[str, Any], list[pa.Table]]:
        files = {file.name: file for file in self._history.manifest.files if file.kind in READABLE}
        paths = self._history.checked(files[name] for name in names)
        if any(os.path.dirname(path) != self.directory for path in paths):
            raise WornError("history files lie elsewhere by now")
        return {}, []


def _directory(storage: str) -> str:
    """Where the history files of a store lie on this machine; "" while there are none."""
    directory = os.path.dirname(os.path.abspath(history_blobs(storage).planned("x")))
    if is_uri(storage):
        os.makedirs(directory, mode=0o700, exist_ok=True)
    return directory if os.path.isdir(directory) else ""


class Process:
    """A process that answers one query at a time. It is imported and limited before the first one comes."""

    def __init__(self, broker: Broker, limits: Limits) -> None:
        self._broker, self._limits = broker, limits
        self._channel, theirs = socket.socketpair()
        package = str(Path(__file__).resolve().parents[3])
        setup = [broker.directory, package, limits.memory_bytes, max(1, round(limits.timeout_s * 1000))]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "wfstore.index.sandbox.child", str(theirs.fileno()), json.dumps(setup)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # In a session of its own: Ctrl-C at the parent is none of its business.
                start_new_session=True,
                cwd="/",
                env=_environment(package),
            )
        self.usable, self._begun, self._deadline = True, False, 0.0

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, query: str, most_rows: int) -> Answer:
        """Raises QueryError, and what reading the store raises; WornError where the query was not begun.

        Afterwards it can be asked again only where it is `usable`.
        """
        self.usable = self._begun = False
        self._deadline = time.monotonic() + _LOAD_S
        try:
            with contextlib.suppress(BrokenPipeError):  # what it said before it ended can still be read
                wire.send(self._channel, "query", query=query, most_rows=most_rows, most_bytes=self._limits.most_bytes)
            message = self._last()
        except (EOFError, ConnectionError):
            raise self._ended() if self._begun else WornError("it ended before it began") from None
        except TimeoutError:
            raise self._slow() if self._begun else QueryError("the store could not be taken in in time") from None
        except wire.LimitExceededError as error:
            raise QueryError(f"the answer is too large to be handed over: {error}") from None
        except _TooLargeError:
            raise QueryError(self._limits.memory_words) from None
        fields = message.fields
        if fields["op"] == "failed":
            raise self._failed(fields)
        self.usable = True
        (table,) = message.tables
        return Answer(table, fields["truncated"], fields["elapsed_s"], fields["total"], fields["types"])

    def kill(self) -> None:
        """End it; whoever waits for it is told. It may have ended before."""
        self._process.kill()
        self._process.wait()

    def release(self) -> None:
        """Nobody asks it any more."""
        self._channel.close()

    def _last(self) -> wire.Message:
        """What it says at the end, after it was served with what it asked for."""
        most = _MESSAGE_BYTES + 2 * self._limits.most_bytes
        most_resident = 0

        def watch() -> None:
            if self._begun and self._resident() > most_resident:
                raise _TooLargeError

        while True:
            message = wire.receive(self._channel, self._deadline, watch, most)
            match message.fields["op"]:
                case "running":
                    self._begun = True
                    self._deadline = time.monotonic() + self._limits.timeout_s + _GRACE_S
                    most_resident = self._resident() + self._limits.memory_bytes + _UNCOUNTED_BYTES
                case "answer" | "failed":
                    return message
                case "crashed":
                    raise RuntimeError(f"a process of the SQL sandbox failed:\n{message.fields['traceback']}")
                case _:
                    self._broker.serve(self._channel, message)

    def _resident(self) -> int:
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def _failed(self, fields: dict[str, Any]) -> WfstoreError:
        # What it could not allocate may have left it with less than the next query needs.
        self.usable = not fields["large"]
        if fields["slow"]:
            return self._slow()
        error = wire.rebuilt(fields["error"])
        if fields["large"]:
            return QueryError(f"{self._limits.memory_words}: {str(error).partition(chr(10))[0]}")
        return error

    def _slow(self) -> QueryError:
        return QueryTimeoutError(f"the query took longer than {self._limits.timeout_s:g} s and was stopped")

    def _ended(self) -> QueryError:
        code = self._process.wait()
        if code in (-signal.SIGKILL, -signal.SIGABRT):
            return QueryError(f"{self._limits.memory_words}, or its process was killed")
        return QueryError(f"the query ended its process (code {code})")


class _TooLargeError(Exception):
    """The process has grown beyond what it may."""


def _environment(package: str) -> dict[str, str]:
    """No credentials, no settings: only where modules are."""
    folders = [os.path.abspath(folder) for folder in [package, *sys.path] if folder]
    return {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(folders)),
        "LANG": "C.UTF-8",
        "HOME": "/nonexistent",
        # What is mapped counts: small pools, few arenas, no threads that nobody needs.
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "2",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
