"""In-memory DuckDB databases with the views in them, and the one spot where DuckDB's errors become ours.

It knows neither the log's reader nor what is asked; it makes places that can be filled and queried.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from wfstore.errors import QueryError
from wfstore.index import catalog
from wfstore.schema.history import EVENTS, VIEW_KINDS
from wfstore.schema.views import VIEWS

Connection = duckdb.DuckDBPyConnection
Relation = duckdb.DuckDBPyRelation

_FOLDS = ("log", "hidden", "visible", "workflow_facts", "run_facts", "task_facts", "attempt_facts", "actor_facts")
_TABLES = ("tail", "recalled", "touched", "superseded", "lease")
_MACROS = {"holds": "metadata, wanted", "shown": "status, alive"}
_LIVE = ("live_workflows", "live_tasks")
#: kind of history file -> paths
Paths = Mapping[str, Sequence[str]]


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


def create(*, replacements: bool, threads: int | None = None) -> Connection:
    """An empty database with every table and view."""
    connection = connect(replacements=replacements, threads=threads)
    for schema in ("hot", "cold", "files"):
        run(connection, f"CREATE SCHEMA {schema}")
    tables, folds, views = (catalog.folder(name) for name in ("tables", "folds", "views"))
    for name in _TABLES:
        run(connection, tables[name].sql)
    for name in _FOLDS:
        run(connection, f"CREATE VIEW wfstore.{name} AS {folds[name].sql}")
    for name in VIEW_KINDS:
        run(connection, f"CREATE VIEW hot.{name} AS {views[name].sql}")
    attach(connection, {})
    for name in VIEWS:
        if name in _LIVE:
            run(connection, tables[name].sql)
        if name not in (*VIEW_KINDS, EVENTS):
            run(connection, f"CREATE VIEW main.{name} AS {views[name].sql}")
    comment(connection, VIEWS)
    return connection


def attach(connection: Connection, paths: Paths) -> None:
    """Let the views cover the history files at `paths`, and no others."""
    tables = catalog.folder("tables")
    for name in VIEW_KINDS:
        columns = ", ".join(f'"{column.name}"' for column in VIEWS[name])
        parts = [f"SELECT {columns} FROM hot.{name}"]
        if paths.get(name):
            _over_files(connection, name, tables["facts_files"].sql, paths[name])
            run(connection, f"CREATE OR REPLACE VIEW cold.{name} AS {catalog.folder('cold')[name].sql}")
            parts.append(f"SELECT {columns} FROM cold.{name}")
        run(connection, f"CREATE OR REPLACE VIEW main.{name} AS {' UNION ALL '.join(parts)}")
    parts = [catalog.folder("views")[EVENTS].sql]
    if paths.get(EVENTS):
        _over_files(connection, EVENTS, tables["events_files"].sql, paths[EVENTS])
        parts.insert(0, parts[0].replace("wfstore.tail", "files.events"))
    run(connection, f"CREATE OR REPLACE VIEW main.{EVENTS} AS {' UNION ALL '.join(parts)}")


def _over_files(connection: Connection, name: str, sql: str, paths: Sequence[str]) -> None:
    listed = ", ".join(map(quoted, paths))
    run(connection, f"CREATE OR REPLACE VIEW files.{name} AS {sql.replace('$paths', f'[{listed}]')}")


def comment(connection: Connection, names: Iterable[str]) -> None:
    """Give the views of these names, and their columns, their sentences; a view that is replaced loses them."""
    views = catalog.folder("views")
    statements = []
    for view in names:
        statements.append(f"COMMENT ON VIEW main.{view} IS {quoted(views[view].summary)}")
        statements += [f'COMMENT ON COLUMN main.{view}."{c.name}" IS {quoted(c.text)}' for c in VIEWS[view]]
    run(connection, ";".join(statements))


def quoted(text: str) -> str:
    """As a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def fill(connection: Connection, name: str, rows: pa.Table) -> None:
    """Run one of `queries/fill/` over `rows`, which it finds as `arrived`."""
    connection.register("arrived", rows)
    try:
        run(connection, catalog.folder("fill")[name].sql)
    finally:
        connection.unregister("arrived")
