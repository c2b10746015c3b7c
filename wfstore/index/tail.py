"""The views of a store in an in-memory DuckDB: over its history files, and over the rows of the log that are in none
yet, brought up to date before each query by reading new bytes only.

One `Index` serves any number of threads. It writes nothing to the store and keeps no file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wfstore.errors import QueryError, StorageError, WfstoreError
from wfstore.index import database, live, ordering
from wfstore.index.catalog import Query, folder
from wfstore.index.cold import ColdViews, kinds_read
from wfstore.index.database import Connection, Relation, translated
from wfstore.index.gate import check
from wfstore.index.interrupting import interruptible
from wfstore.index.room import Room
from wfstore.log import Cursor, Lease, lease_alive, now_us
from wfstore.log.history import HistoryFiles
from wfstore.model.events import WORKFLOW_DELETED
from wfstore.schema.history import EVENTS, PACKS
from wfstore.schema.views import VIEWS

#: Rows of the manager's memory: (workflows, tasks), dictionaries by column name, times in microseconds or datetimes.
LiveSource: TypeAlias = Callable[[], tuple[list[dict[str, Any]], list[dict[str, Any]]]]
Params: TypeAlias = Mapping[str, Any] | Sequence[Any] | None

_READ_BYTES = 64 * 1024 * 1024
_Answer = TypeVar("_Answer")
_Prepared = TypeVar("_Prepared")


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


class Between(NamedTuple):
    """What there is about a range of ids, on one snapshot: events, each id's in log order; view -> its rows, in the
    order of their keys; alive: whether a manager held the store."""

    events: pa.Table
    views: dict[str, pa.Table]
    alive: bool


class Index:
    """Views over one log. Every query sees what was in the log when it was asked."""

    def __init__(
        self, source: EventSource, live_source: LiveSource | None = None, history: HistoryFiles | None = None
    ) -> None:
        self._source = source
        self._live_source = live_source
        self._cold = None if history is None else self._views(history)
        self._lock = threading.Lock()
        self._reset()

    def sql(self, query: str, params: Params = None) -> Relation:
        """Run one SELECT once; the answer keeps its own rows. Raises QueryError."""

        def answer(cursor: Connection, _: None) -> Relation:
            check(cursor, query)
            with self._room.of(query):
                return cursor.sql(query, params=params).materialize()

        return self._asked(query, answer)

    def run(
        self,
        query: Query,
        params: Mapping[str, Any],
        order: Sequence[str] = (),
        limit: int | None = None,
        key: str | None = None,
        offset: int = 0,
    ) -> Relation:
        """One of our own queries. `order`: column names, a leading minus means descending; NULLs come last. `key`: a
        column that tells rows apart and is never NULL, the seq of an event; with it, a limit reads whole rows only of
        those it leaves. offset: so many of the first rows are left out."""

        def prepare() -> int:
            self._checked(query.sql)
            return self.as_of_seq

        def answer(cursor: Connection, last_seq: int) -> Relation:
            recent = ordering.newest(query.sql, order, limit, key, offset, last_seq)
            if recent is not None:
                found = cursor.sql(recent, params=dict(params)).materialize()
                if len(found) == limit:
                    return found
            statement = ordering.ordered(query.sql, order, limit, key, offset)
            with self._room.of(query.sql):
                return cursor.sql(statement, params=dict(params)).materialize()

        return self._reading(answer, prepare)

    def total(self, query: Query, params: Mapping[str, Any]) -> int:
        """How many rows one of our own queries has."""
        statement = f"SELECT count(*) FROM ({query.sql})"

        def answer(cursor: Connection, _: None) -> int:
            (row,) = cursor.execute(statement, dict(params)).fetchall()
            return int(row[0])

        return self._reading(answer, lambda: self._checked(query.sql))

    @property
    def as_of_seq(self) -> int:
        """The last event that the newest answer knows of."""
        return 0 if self._position is None else self._position.next_seq - 1

    def refresh(self) -> tuple[int, bool]:
        """Take in what is new; returns `as_of_seq`, and whether a manager holds the store."""
        with self._lock:
            self._refresh()
            return self.as_of_seq, self._alive

    def scan(self, workflow_id: str) -> Scan:
        """What there is about one id, in one pass."""

        def places() -> dict[str, list[str]]:
            paths = [] if self._cold is None else self._cold.paths_of(EVENTS, workflow_id)
            found = {"scan_files": paths} if paths else {}
            # Rows that were read of the log may lie in history files by now; where none were read there is no tail.
            return found | {"scan_tail": []} if self._tail_rows or not paths else found

        def answer(cursor: Connection, places: dict[str, list[str]]) -> Scan:
            # The tail comes after all files. One statement over both takes longer to plan than these two.
            rows = pa.concat_tables([_rows_of(cursor, query, workflow_id, places[query]) for query in places])
            return Scan(rows, visible(rows), self._alive)

        return self._reading(answer, places)

    def events_of(self, workflow_ids: Collection[str]) -> dict[str, pa.Table]:
        """For each id the rows of `scan`, all on one snapshot; those that are in no history file by one statement."""

        def places() -> dict[str, list[str]]:
            return {one: [] if self._cold is None else self._cold.paths_of(EVENTS, one) for one in workflow_ids}

        def answer(cursor: Connection, places: dict[str, list[str]]) -> dict[str, pa.Table]:
            tails = _selected(cursor, "scan_tails", {"workflow_ids": list(places)})
            found = {}
            for one, paths in places.items():
                rows = tails.filter(pc.equal(tails["workflow_id"], one))
                found[one] = pa.concat_tables([_rows_of(cursor, "scan_files", one, paths), rows]) if paths else rows
            return found

        return self._reading(answer, places)

    def between(self, low: str, high: str, views: Sequence[str]) -> Between:
        """Events and rows of `views` about the ids from `low` to below `high`."""
        queries = folder("verify")

        def paths() -> list[str]:
            self._complete(views, database.late_parts(" ".join(views)))
            return [] if self._cold is None else self._cold.paths_between(EVENTS, low, high)

        def answer(cursor: Connection, paths: list[str]) -> Between:
            about = {"low": low, "high": high}
            source, params = ("range_files", {**about, "paths": paths}) if paths else ("range_tail", about)
            events = cursor.sql(queries[source].sql, params=params).to_arrow_table()
            rows = {name: cursor.sql(queries[name].sql, params=about).to_arrow_table() for name in views}
            (alive,) = cursor.execute(queries["manager"].sql).fetchall()[0]
            return Between(events, rows, alive)

        return self._reading(answer, paths)

    @property
    def older(self) -> bool:
        """Whether some history files are of a version that did not know all columns of today."""
        return self._cold is not None and self._cold.older

    def payload(self, workflow_id: str, seq: int) -> bytes | None:
        """The payload of an event in a history file; None where it had none, or it is no longer kept."""

        def paths() -> list[str]:
            return [] if self._cold is None else self._cold.paths_of(PACKS, workflow_id)

        def answer(cursor: Connection, paths: list[str]) -> bytes | None:
            if not paths:
                return None
            params = {"workflow_id": workflow_id, "seq": seq, "paths": paths}
            found = cursor.execute(folder("store")["payload"].sql, params).fetchone()
            return None if found is None else found[0]

        return self._reading(answer, paths)

    def detach(self) -> Connection:
        """A database of the caller's own with the rows and views of this moment.

        It reads history files as they are; compaction removes replaced ones after its time of grace.
        """
        own = database.create(replacements=True)
        database.add(own, database.FIRST)
        with self._lock:
            self._refresh()
            self._refresh_live()
            cursor, alive = database.cursor(self._connection), self._alive
            with translated(), database.transaction(cursor, read_only=True):
                database.fill(own, "tail", cursor.sql(folder("store")["everything"].sql).to_arrow_table())
                for name in live.COLUMNS:
                    database.fill(own, name, cursor.table(f"wfstore.{name}").to_arrow_table())
            if self._cold is not None:
                self._complete(kinds_read("query"), database.FIRST)
                with translated():
                    self._cold.again().attach(own)
            database.add(own, database.LATE - database.FIRST)
        database.set_lease(own, alive)
        return own

    def _views(self, history: HistoryFiles) -> ColdViews:
        return ColdViews(history)

    def _asked(self, query: str, answer: Callable[[Connection, None], _Answer]) -> _Answer:
        """`answer` to somebody's own statement."""
        live_too = "live_" in query.lower()
        try:
            return self._reading(answer, lambda: self._checked(query), live_too)
        except QueryError as error:
            if not isinstance(error.__cause__, duckdb.CatalogException):
                raise
        # A name there is not: DuckDB suggests one of those that are there.
        names = database.LATE - {database.COMMENTS}
        return self._reading(answer, lambda: self._complete(kinds_read(query), names), live_too)

    def _reading(
        self,
        answer: Callable[[Connection, _Prepared], _Answer],
        prepare: Callable[[], _Prepared],
        live_too: bool = False,
    ) -> _Answer:
        """`answer` of a cursor on a snapshot of this moment, and of what `prepare` says about the files behind it.

        A file that went away, as its grace is over, is no error where a newer manifest does without it.
        """
        while True:
            try:
                with self._snapshot(prepare, live_too) as (cursor, prepared):
                    return interruptible(cursor, partial(answer, cursor, prepared))
            except WfstoreError:
                if self._cold is None or not self._cold.newer():
                    raise

    @contextmanager
    def _snapshot(self, prepare: Callable[[], _Prepared], live_too: bool) -> Iterator[tuple[Connection, _Prepared]]:
        with ExitStack() as stack:
            with self._lock:
                self._refresh()
                if live_too:
                    self._refresh_live()
                prepared = prepare()
                cursor = database.cursor(self._connection)
                stack.enter_context(translated())
                stack.enter_context(database.transaction(cursor, read_only=True))
                # A transaction sees the database as it was when it first looked.
                database.run(cursor, folder("store")["look"].sql)
            yield cursor, prepared

    def _checked(self, query: str) -> None:
        self._complete(kinds_read(query), database.late_parts(query))

    def _complete(self, kinds: Collection[str], parts: Collection[str]) -> None:
        """Let the views cover what they have to, and be there."""
        missing = self._missing.intersection(parts)
        self._add(missing & database.FIRST)
        if self._cold is not None:
            self._cold.check(kinds)
        self._add(missing - database.FIRST)

    def _add(self, parts: frozenset[str]) -> None:
        if parts:
            with translated(), database.transaction(self._connection, read_only=False):
                database.add(self._connection, parts)
            self._missing -= parts - {database.COMMENTS}

    def _reset(self) -> None:
        self._connection, self._missing = database.create(replacements=False), database.LATE
        self._filler = database.filler(self._connection)
        self._position: Cursor | None = None
        self._alive = False
        self._room, self._tail_rows = Room(self._connection), 0
        while self._cold is not None:
            try:
                self._cold.refresh()
                self._attach()
                return
            except WfstoreError:
                if not self._cold.newer():
                    raise

    def _attach(self) -> None:
        assert self._cold is not None
        with translated(), database.transaction(self._connection, read_only=False):
            self._cold.attach(self._connection)
        if self._position is None or self._position.next_seq < self._cold.next_seq:
            self._position = Cursor(self._cold.next_seq) if self._cold.next_seq > 1 else None

    def _refresh(self) -> None:
        if self._cold is not None and self._cold.refresh():
            self._attach()
        try:
            begun = self._read()
        except StorageError:
            # The log may begin later by now; or what was read turned out never to have been acknowledged.
            if self._position is None and not (self._cold is not None and self._cold.newer()):
                raise
            self._reset()
            begun = self._read()
        if self._cold is not None and not self._cold.settles(begun):
            with translated(), database.transaction(self._connection, read_only=False):
                self._cold.settle(self._connection)
        if self._cold is not None:
            self._limit_memory(self._cold.events)
        lease = self._source.lease()
        alive = lease is not None and lease_alive(lease, now_us())
        if alive != self._alive:
            database.set_lease(self._connection, alive)
            self._alive = alive

    def _limit_memory(self, events: int) -> None:
        self._room.settle(events, self._tail_rows)

    def _read(self) -> set[str]:
        """Types of the first rows of workflows that had none in the tail before."""
        begun: set[str] = set()
        while True:
            rows, position = self._source.read(self._position, max_bytes=_READ_BYTES)
            self._tail_rows += rows.num_rows
            if rows.num_rows:
                with translated(), database.transaction(self._filler, read_only=False):
                    database.fill(self._filler, "tail", rows.drop_columns(["payload"]))
                    if self._cold is not None:
                        begun.update(first for (first,) in database.fill(self._filler, "touched", _firsts(rows)))
            self._position = position
            # Rows come as fast as they are read, at times: an answer needs those that were there when it was asked.
            if not position.more:
                return begun

    def _refresh_live(self) -> None:
        if self._live_source is None:
            return
        said = dict(zip(live.COLUMNS, self._live_source(), strict=True))
        with translated(), database.transaction(self._connection, read_only=False):
            for name, rows in said.items():
                database.run(self._connection, folder("fill")[f"forget_{name}"].sql)
                database.fill(self._connection, name, live.to_arrow(name, rows))


def _firsts(rows: pa.Table) -> pa.Table:
    """Id and type of the first row about each workflow."""
    about = rows.select(["workflow_id", "type"])
    about = about.filter(pc.is_valid(about["workflow_id"]))
    codes = about["workflow_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    return about.take(np.unique(codes, return_index=True)[1])


def _rows_of(cursor: Connection, query: str, workflow_id: str, paths: list[str]) -> pa.Table:
    return _selected(cursor, query, {"workflow_id": workflow_id} | ({"paths": paths} if paths else {}))


def _selected(cursor: Connection, query: str, params: dict[str, Any]) -> pa.Table:
    rows = cursor.sql(folder("store")[query].sql, params=params)
    return rows.to_arrow_table().select([column.name for column in VIEWS["events"]])


def visible(rows: pa.Table) -> pa.Table:
    """Those about the workflow that has the id now: what came before it was deleted is left out."""
    deleted = pc.equal(rows.column("type"), WORKFLOW_DELETED)
    if not pc.any(deleted).as_py():
        return rows
    last = pc.max(rows.column("seq").filter(deleted)).as_py()
    return rows.filter(pc.greater(rows.column("seq"), last))
