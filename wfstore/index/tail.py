"""The log's rows in an in-memory DuckDB, brought up to date before each query by reading new bytes only.

One `Index` serves any number of threads. It writes nothing to the store and keeps no file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from wfstore.errors import StorageError
from wfstore.index import database, live
from wfstore.index.catalog import Query, folder
from wfstore.index.database import Connection, Relation, translated
from wfstore.index.gate import check
from wfstore.log import Cursor, Lease, lease_alive, now_us
from wfstore.model.events import WORKFLOW_DELETED

#: Rows of the manager's memory: (workflows, tasks), dictionaries by column name, times in microseconds or datetimes.
LiveSource: TypeAlias = Callable[[], tuple[list[dict[str, Any]], list[dict[str, Any]]]]
Params: TypeAlias = Mapping[str, Any] | Sequence[Any] | None

_READ_BYTES = 64 * 1024 * 1024


class EventSource(Protocol):
    """What `LogReader` and its twin in memory have in common."""

    def read(self, cursor: Cursor | None = None, max_bytes: int | None = None) -> tuple[pa.Table, Cursor]:
        """New rows since `cursor`, as a table of EVENT_SCHEMA, and where to go on."""

    def lease(self) -> Lease | None:
        """Who last said that it manages the store."""


class Scan(NamedTuple):
    """The rows about one id, in the columns of the `events` view: all, and those of the workflow that exists now.
    `alive`: whether a manager held the store when they were read."""

    events: pa.Table
    visible: pa.Table
    alive: bool


class Index:
    """Views over one log. Every query sees what was in the log when it was asked."""

    def __init__(self, source: EventSource, live_source: LiveSource | None = None) -> None:
        self._source = source
        self._live_source = live_source
        self._lock = threading.Lock()
        self._reset()

    def sql(self, query: str, params: Params = None) -> Relation:
        """Run one SELECT once; the answer keeps its own rows. Raises QueryError."""
        cursor = self._cursor_now(live_too="live_" in query.lower())
        check(cursor, query)
        with translated(), database.transaction(cursor, read_only=True):
            return cursor.sql(query, params=params).materialize()

    def run(
        self, query: Query, params: Mapping[str, Any], order: Sequence[str] = (), limit: int | None = None
    ) -> Relation:
        """One of our own queries. `order`: column names, a leading minus means descending; NULLs come last."""
        cursor = self._cursor_now()
        with translated(), database.transaction(cursor, read_only=True):
            relation = cursor.sql(query.sql, params=dict(params))
            if order:
                relation = relation.order(", ".join(map(_order_term, order)))
            if limit is not None:
                relation = relation.limit(limit)
            return relation.materialize()

    def scan(self, workflow_id: str) -> Scan:
        """What there is about one id, in one pass; in two where the id was deleted before."""
        with self._lock:
            self._refresh()
            cursor, alive = self._connection.cursor(), self._alive
        params = {"workflow_id": workflow_id}
        with translated(), database.transaction(cursor, read_only=True):
            rows = cursor.sql(folder("store")["scan"].sql, params=params).to_arrow_table()
            if not pc.any(pc.equal(rows.column("type"), WORKFLOW_DELETED)).as_py():
                return Scan(rows, rows, alive)
            return Scan(rows, cursor.sql(folder("store")["scan_visible"].sql, params=params).to_arrow_table(), alive)

    def detach(self) -> Connection:
        """A database of the caller's own with the rows and views of this moment."""
        with self._lock:
            self._refresh()
            self._refresh_live()
            cursor, alive = self._connection.cursor(), self._alive
        own = database.create(replacements=True)
        with translated(), database.transaction(cursor, read_only=True):
            database.fill(own, "log", cursor.sql(folder("store")["everything"].sql).to_arrow_table())
            for name in live.COLUMNS:
                database.fill(own, name, cursor.view(f"main.{name}").to_arrow_table())
        _set_lease(own, alive)
        return own

    def _cursor_now(self, live_too: bool = False) -> Connection:
        with self._lock:
            self._refresh()
            if live_too:
                self._refresh_live()
            return self._connection.cursor()

    def _reset(self) -> None:
        self._connection = database.create(replacements=False)
        self._position: Cursor | None = None
        self._alive = False

    def _refresh(self) -> None:
        try:
            self._read()
        except StorageError:
            if self._position is None:
                raise
            # What was read may have turned out never to have been acknowledged: then only a new start is right.
            self._reset()
            self._read()
        lease = self._source.lease()
        alive = lease is not None and lease_alive(lease, now_us())
        if alive != self._alive:
            _set_lease(self._connection, alive)
            self._alive = alive

    def _read(self) -> None:
        while True:
            rows, position = self._source.read(self._position, max_bytes=_READ_BYTES)
            if rows.num_rows:
                database.fill(self._connection, "log", rows)
            self._position = position
            if not rows.num_rows:
                return

    def _refresh_live(self) -> None:
        if self._live_source is None:
            return
        said = dict(zip(live.COLUMNS, self._live_source(), strict=True))
        with translated(), database.transaction(self._connection, read_only=False):
            for name, rows in said.items():
                database.run(self._connection, folder("fill")[f"forget_{name}"].sql)
                database.fill(self._connection, name, live.to_arrow(name, rows))


def _set_lease(connection: Connection, alive: bool) -> None:
    database.run(connection, folder("fill")["lease"].sql, {"alive": alive})


def _order_term(name: str) -> str:
    column = name.removeprefix("-")
    return f'"{column}" {"DESC" if name.startswith("-") else "ASC"} NULLS LAST'
