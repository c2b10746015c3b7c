"""One workflow's frames, all of them by one statement over its own rows; a virtual actor's row by another.

The statement is the folds and views of `queries/` as CTEs, so that a frame is what SQL would say. Planning costs more
than running it on a few rows; so it is planned once, in a small database that holds one workflow at a time. The folds
say CASE within an aggregate: DuckDB gives every FILTER room for the arguments of all aggregates beside it, which takes
longer than a few rows do.
"""

from __future__ import annotations

import threading
from functools import cache
from operator import itemgetter
from typing import Any

import polars as pl
import pyarrow as pa

from wfstore.index import database
from wfstore.index.catalog import folder
from wfstore.index.database import Connection, Relation, translated
from wfstore.index.tail import Scan
from wfstore.schema.views import VIEWS

#: frame -> the columns that put its rows in the order in which they came to be.
_ORDER = {
    "workflows": ("workflow_id",),
    "runs": ("run",),
    "tasks": ("defined_seq",),
    "attempts": ("submitted_seq",),
    "edges": ("upstream_task_id", "task_id", "kind"),
}
FRAMES = tuple(_ORDER)
_POLARS: dict[str, pl.DataType | type[pl.DataType]] = {
    "VARCHAR": pl.String,
    "JSON": pl.String,
    "VARCHAR[]": pl.List(pl.String),
    "BIGINT": pl.Int64,
    "INTEGER": pl.Int32,
    "DOUBLE": pl.Float64,
    "BOOLEAN": pl.Boolean,
    "TIMESTAMP": pl.Datetime("us"),
}
_SCHEMAS = {name: {column.name: _POLARS[column.type] for column in VIEWS[name]} for name in (*FRAMES, "time_spent")}
#: Of at most so many events, plain values cost less than the way through Arrow; of thousands ten times as much, during
#: which no other thread of the process goes on.
_FEW = 400
#: statement -> the folds and views that it is made of, in the order in which they need each other.
_PARTS = {
    "history": (
        ("workflow_facts", "run_facts", "task_facts", "attempt_facts"),
        ("attempts", "tasks", "runs", "workflows", "edges"),
    ),
    "actor": (
        ("workflow_facts", "task_facts", "attempt_facts", "actor_facts"),
        ("tasks", "actor_calls", "virtual_actors"),
    ),
    "time_spent": (
        ("workflow_facts", "run_facts", "task_facts", "attempt_facts", "actor_facts"),
        ("attempts", "tasks", "runs", "workflows", "actor_calls", "time_spent"),
    ),
    "output": (("workflow_facts", "task_facts", "actor_facts"), ()),
}


class HistoryDatabase:
    """Turns scans into frames. One thread at a time is inside; a call takes milliseconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection = _create()
        self._alive = False
        self._prepared: set[str] = set()

    def frames(self, scan: Scan) -> dict[str, pl.DataFrame]:
        """`FRAMES` of the scanned workflow, by name: columns as in the views, rows in the order they came to be."""
        if scan.visible.num_rows > _FEW:
            answer = self._table("history", scan)
            return {name: _unnested(answer.column(name)).sort(*_ORDER[name]) for name in FRAMES}
        (lists,) = self._run("history", scan)
        return {
            name: pl.DataFrame(sorted(rows, key=itemgetter(*_ORDER[name])), schema=_SCHEMAS[name])
            for name, rows in zip(FRAMES, lists, strict=True)
        }

    def actor(self, scan: Scan) -> dict[str, Any] | None:
        """The row of `virtual_actors`, where the scanned workflow is one."""
        rows = self._run("actor", scan)
        return dict(zip((column.name for column in VIEWS["virtual_actors"]), rows[0], strict=True)) if rows else None

    def time_spent(self, scan: Scan) -> pl.DataFrame:
        """The rows of `time_spent` of the scanned workflow, in the order in which attempts were submitted."""
        if scan.visible.num_rows > _FEW:
            return _polars(self._table("time_spent", scan))
        return pl.DataFrame(self._run("time_spent", scan), schema=_SCHEMAS["time_spent"], orient="row")

    def output(self, scan: Scan, task_id: str | None) -> dict[str, Any] | None:
        """Where the output of a task, or of the scanned workflow, lies; None when there is no such workflow."""
        with self._lock, translated():
            self._take_in(scan)
            asked = self._connection.execute(_sql("output"), {"task_id": task_id})
            names = [column[0] for column in asked.description]
            found = asked.fetchall()
        return dict(zip(names, found[0], strict=True)) if found else None

    def _run(self, statement: str, scan: Scan) -> list[tuple[Any, ...]]:
        with self._lock, translated():
            self._prepare(statement, scan)
            return self._connection.execute(f"EXECUTE {statement}").fetchall()

    def _table(self, statement: str, scan: Scan) -> pa.Table:
        with self._lock, translated():
            self._prepare(statement, scan)
            return self._connection.sql(f"EXECUTE {statement}").to_arrow_table()

    def _prepare(self, statement: str, scan: Scan) -> None:
        if statement not in self._prepared:
            database.run(self._connection, f"PREPARE {statement} AS {_sql(statement)}")
            self._prepared.add(statement)
        self._take_in(scan)

    def _take_in(self, scan: Scan) -> None:
        # No transaction: whoever comes after a failure in here begins by forgetting, and nobody else looks.
        database.run(self._connection, folder("fill")["forget_visible"].sql)
        database.fill(self._connection, "visible", scan.visible)
        if scan.alive != self._alive:
            database.run(self._connection, folder("fill")["lease"].sql, {"alive": scan.alive})
            self._alive = scan.alive


@cache
def shared() -> HistoryDatabase:
    """The one of this process: it remembers nothing between calls that a store could see."""
    return HistoryDatabase()


def events_frame(scan: Scan) -> pl.DataFrame:
    """The rows of the scan in the columns of the `events` view."""
    return _polars(scan.events)


def to_polars(relation: Relation) -> pl.DataFrame:
    """A relation's rows; the only road from DuckDB to polars."""
    return _polars(relation.to_arrow_table())


def _create() -> Connection:
    connection = database.connect(replacements=False, threads=1)
    # Without statistics a plan stays good when the rows change; DuckDB then does not plan again at each EXECUTE.
    database.run(connection, "PRAGMA disable_optimizer")
    tables = folder("tables")
    database.run(connection, tables["tail"].sql.replace("wfstore.tail", "wfstore.visible"))
    database.run(connection, tables["lease"].sql)
    return connection


def _sql(statement: str) -> str:
    folds, views = _PARTS[statement]
    parts = [(name, folder("folds")[name].sql) for name in folds]
    parts += [(name, folder("views")[name].sql) for name in views]
    # A CTE has no schema, so references to one lose theirs; tables keep it.
    for name, _ in parts:
        parts = [(n, _within(sql, name)) for n, sql in parts]
    ctes = ", ".join(f"{name} AS MATERIALIZED ({sql})" for name, sql in parts)
    statement_sql = folder("store")[statement].sql
    for name, _ in parts:
        statement_sql = statement_sql.replace(f"wfstore.{name}", name)
    head, recursive, tail = statement_sql.partition("WITH RECURSIVE ")
    return f"WITH RECURSIVE {ctes}, {tail}" if recursive and not head else f"WITH {ctes} {statement_sql}"


def _within(sql: str, name: str) -> str:
    for schema in ("wfstore", "hot", "main"):
        sql = sql.replace(f"{schema}.{name}", name)
    return sql


def _unnested(lists: pa.ChunkedArray) -> pl.DataFrame:
    """The rows of a column of lists of them."""
    return _polars(pa.Table.from_struct_array(lists.combine_chunks().flatten()))


def _polars(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
