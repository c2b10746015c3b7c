"""In-memory DuckDB databases with the views in them, and the one spot where DuckDB's errors become ours.

It knows neither the log's reader nor what is asked; it makes places that can be filled and queried.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from wfstore.errors import QueryError
from wfstore.index import catalog
from wfstore.schema.views import VIEWS

Connection = duckdb.DuckDBPyConnection
Relation = duckdb.DuckDBPyRelation

SCHEMA = "wfstore"
_FOLDS = ("visible", "standing", "run_facts", "task_facts")
_LIVE = ("live_workflows", "live_tasks")


@contextmanager
def translated() -> Iterator[None]:
    """Turns what DuckDB raises into QueryError, its words kept."""
    try:
        yield
    except duckdb.Error as error:
        raise QueryError(str(error)) from error


def create(*, replacements: bool, threads: int | None = None) -> Connection:
    """An empty database with every table and view. `replacements`: whether SQL sees Python variables as tables."""
    settings: dict[str, str | bool | int] = {"python_enable_replacements": replacements}
    if threads is not None:
        settings["threads"] = threads
    connection = duckdb.connect(":memory:", config=settings)
    connection.execute(f"CREATE SCHEMA {SCHEMA}")
    tables = catalog.folder("tables")
    connection.execute(tables["log"].sql)
    connection.execute(tables["lease"].sql)
    folds = catalog.folder("folds")
    for name in _FOLDS:
        connection.execute(f"CREATE VIEW {SCHEMA}.{name} AS {folds[name].sql}")
    views = catalog.folder("views")
    for name in VIEWS:
        if name in _LIVE:
            connection.execute(tables[name].sql)
        connection.execute(f"CREATE VIEW main.{name} AS {views[name].sql}")
    return connection


def comment(connection: Connection) -> None:
    """Put the declared sentences on every view and column."""
    views = catalog.folder("views")
    statements = []
    for view, columns in VIEWS.items():
        statements.append(f"COMMENT ON VIEW main.{view} IS {_quoted(views[view].summary)}")
        statements += [f'COMMENT ON COLUMN main.{view}."{c.name}" IS {_quoted(c.text)}' for c in columns]
    connection.execute(";".join(statements))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def append(connection: Connection, events: pa.Table) -> None:
    """Add rows to the log's table."""
    connection.register("arrived", events)
    try:
        connection.execute(catalog.folder("store")["append"].sql)
    finally:
        connection.unregister("arrived")
