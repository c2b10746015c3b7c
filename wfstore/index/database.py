"""In-memory DuckDB databases with the views in them, and the one spot where DuckDB's errors become ours.

It knows neither the log's reader nor what is asked; it makes places that can be filled and queried.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from wfstore.errors import QueryError
from wfstore.index import catalog
from wfstore.schema.views import VIEWS

Connection = duckdb.DuckDBPyConnection
Relation = duckdb.DuckDBPyRelation

_FOLDS = ("visible", "workflow_facts", "run_facts", "task_facts", "attempt_facts", "actor_facts")
_MACROS = {"holds": "metadata, wanted", "shown": "status, alive"}
_LIVE = ("live_workflows", "live_tasks")


@contextmanager
def translated() -> Iterator[None]:
    """Turns what DuckDB raises into QueryError, its words kept."""
    try:
        yield
    except duckdb.Error as error:
        raise QueryError(str(error)) from error


def run(connection: Connection, sql: str, params: Mapping[str, Any] | None = None) -> None:
    """Execute to the end. A result left half read would block whatever comes next on the connection."""
    connection.execute(sql, params).complete()


@contextmanager
def transaction(connection: Connection, *, read_only: bool) -> Iterator[None]:
    """All or nothing. A read-only one also refuses the INSERT that a WITH can hide, which types as SELECT."""
    run(connection, "BEGIN TRANSACTION READ ONLY" if read_only else "BEGIN TRANSACTION")
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def connect(*, replacements: bool, threads: int | None = None) -> Connection:
    """A database with nothing in it but the macros. `replacements`: whether SQL sees Python variables as tables."""
    settings: dict[str, str | bool | int | float | list[str]] = {"python_enable_replacements": replacements}
    if threads is not None:
        settings["threads"] = threads
    connection = duckdb.connect(":memory:", config=settings)
    # now() and dates compare with our UTC columns as UTC, wherever the process runs.
    run(connection, "SET GLOBAL TimeZone = 'UTC'")
    run(connection, "CREATE SCHEMA wfstore")
    for name, parameters in _MACROS.items():
        run(connection, f"CREATE MACRO wfstore.{name}({parameters}) AS {catalog.folder('folds')[name].sql}")
    return connection


def create(*, replacements: bool) -> Connection:
    """An empty database with every table and view."""
    connection = connect(replacements=replacements)
    tables, folds, views = (catalog.folder(name) for name in ("tables", "folds", "views"))
    run(connection, tables["log"].sql)
    run(connection, tables["lease"].sql)
    for name in _FOLDS:
        run(connection, f"CREATE VIEW wfstore.{name} AS {folds[name].sql}")
    for name in VIEWS:
        if name in _LIVE:
            run(connection, tables[name].sql)
        run(connection, f"CREATE VIEW main.{name} AS {views[name].sql}")
    _comment(connection)
    return connection


def _comment(connection: Connection) -> None:
    views = catalog.folder("views")
    statements = []
    for view, columns in VIEWS.items():
        statements.append(f"COMMENT ON VIEW main.{view} IS {_quoted(views[view].summary)}")
        statements += [f'COMMENT ON COLUMN main.{view}."{c.name}" IS {_quoted(c.text)}' for c in columns]
    run(connection, ";".join(statements))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def fill(connection: Connection, name: str, rows: pa.Table) -> None:
    """Run one of `queries/fill/` over `rows`, which it finds as `arrived`."""
    connection.register("arrived", rows)
    try:
        run(connection, catalog.folder("fill")[name].sql)
    finally:
        connection.unregister("arrived")
