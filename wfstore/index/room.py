"""How much memory a database may hold of a store's history: no more than its questions need, as a reader runs beside
those who work. What does not fit goes to disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from wfstore.index import database
from wfstore.index.database import Connection

#: Joins ask for several times what they need, and one refused holds more: over 10 M events `where_time_goes` took 370
#: of 900 MB, but all of 340 or of 700, and twice the time.
_BASE_BYTES, _BYTES_PER_TAIL_ROW = 1_000_000_000, 1_000
#: For each event in history files. The other: for statements with the view `_WIDE`, which joins every attempt with its
#: workflow. Over 100 M events `where_time_goes` took 0.8 of 3.5 GB and 10 s, but all of 1.8 or 1.2 GB, and 12 or 24 s.
_BYTES_PER_EVENT, _BYTES_PER_EVENT_WIDE = 2, 25
_WIDE = "time_spent"


class Room:
    """The memory limit of one database with history files. Any thread may use it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = database.cursor(connection)
        self._lock = threading.Lock()
        self._usual = self._wide = 0
        self._limit, self._running = 1, 0

    def settle(self, events: int, tail_rows: int) -> None:
        """So many events are in history files, and rows in the tail. Without files DuckDB's own limit stays."""
        if not events:
            return
        with self._lock:
            base = _BASE_BYTES + _BYTES_PER_TAIL_ROW * tail_rows
            self._usual, self._wide = base + _BYTES_PER_EVENT * events, base + _BYTES_PER_EVENT_WIDE * events
            self._set()

    @contextmanager
    def of(self, query: str) -> Iterator[None]:
        """While a statement runs that has been prepared."""
        if _WIDE not in query.lower():
            yield
            return
        self._run(1)
        try:
            yield
        finally:
            self._run(-1)

    def _run(self, more: int) -> None:
        with self._lock:
            self._running += more
            if self._usual:
                self._set()

    def _set(self) -> None:
        limit = max(self._usual, min(self._wide, _half())) if self._running else self._usual
        if 0.8 < limit / self._limit < 1.2:
            return
        try:
            database.run(self._connection, f"SET memory_limit = '{limit // 1_000_000}MB'")
        except duckdb.OutOfMemoryException:
            return  # others hold more than that at this moment; the next refresh tries again
        self._limit = limit


def _half() -> int:
    """Of the machine's memory, bytes."""
    import psutil  # of a command that asks something else it would be a tenth of the time

    return int(psutil.virtual_memory().total) // 2
