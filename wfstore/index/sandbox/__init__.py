"""SQL of people whom the process's owner need not trust: over HTTP. See docs/explanation/sql-sandbox.md.

A query runs in a process of its own kind, which holds the views of the store in a locked in-memory database. It is kept
between queries, so that one costs milliseconds, and replaced when a query was too much for it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from wfstore.errors import QueryError
from wfstore.index.sandbox.answer import Answer, Limits, QueryTimeoutError, SandboxBusyError
from wfstore.index.sandbox.process import Broker, Process, WornError
from wfstore.index.tail import LiveSource
from wfstore.log import open_reader, resolve_storage

__all__ = ["Answer", "QueryTimeoutError", "Sandbox", "SandboxBusyError"]

#: How often a query moves on to another process that has not begun with it.
_TRIES = 3


class Sandbox:
    """Answers SELECTs over the views of a store, whatever else they try. For any number of threads.

    live_source: as of an `Index`; without it `live_workflows` and `live_tasks` are empty. The others: `Limits`.
    Raises ValueError for a limit that is none, and what opening a store raises.
    """

    def __init__(
        self,
        storage: str,
        *,
        memory_bytes: int = 512_000_000,
        timeout_s: float = 10.0,
        most_rows: int = 100_000,
        most_bytes: int = 64_000_000,
        processes: int = 2,
        patience_s: float = 1.0,
        live_source: LiveSource | None = None,
    ) -> None:
        self.limits = Limits(memory_bytes, timeout_s, most_rows, most_bytes, processes, patience_s)
        self.storage = resolve_storage(storage)
        self._source = open_reader(self.storage)
        self._live_source = live_source
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(processes)
        self._idle: list[Process] = []
        self._all: set[Process] = set()
        self._closed = False
        # The first query finds a process that has imported everything.
        self._idle.append(self._start())

    def query(self, sql: str, *, most_rows: int | None = None) -> Answer:
        """Run one SELECT on what is in the store now. most_rows: fewer than the sandbox allows.

        Raises QueryError with DuckDB's words; QueryTimeoutError and SandboxBusyError, which are QueryErrors;
        DamageError and StorageError where the store cannot be read.
        """
        rows = self.limits.most_rows if most_rows is None else max(0, min(most_rows, self.limits.most_rows))
        if not self._free.acquire(timeout=self.limits.patience_s):
            raise SandboxBusyError(f"{self.limits.processes} queries are running already; try again in a moment")
        try:
            for _ in range(_TRIES):
                with contextlib.suppress(WornError), self._process() as process:
                    return process.ask(sql, rows)
        finally:
            self._free.release()
        raise QueryError("the processes for queries end before they begin; the server's log may say why")

    def close(self) -> None:
        """End all processes, and with them the queries they are at."""
        with self._lock:
            self._closed = True
            for process in self._all:
                process.kill()
            while self._idle:
                self._idle.pop().release()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _process(self) -> Iterator[Process]:
        with self._lock:
            process = self._idle.pop() if self._idle else self._start()
        try:
            yield process
        finally:
            with self._lock:
                if process.usable and not self._closed:
                    self._idle.append(process)
                else:
                    self._replace(process)

    def _start(self) -> Process:
        if self._closed:
            raise QueryError("the sandbox is closed")
        process = Process(Broker(self.storage, self._source, self._live_source), self.limits)
        self._all.add(process)
        return process

    def _replace(self, process: Process) -> None:
        process.kill()
        process.release()
        self._all.discard(process)
        if not self._closed:
            # At once: the next query should not wait for it.
            self._idle.append(self._start())
