"""In-memory DuckDB databases with the views in them, and the one spot where DuckDB's errors become ours.

It knows neither the log's reader nor what is asked; it makes places that can be filled and queried.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import duckdb
import pyarrow as pa

from wfstore.errors import QueryError
from wfstore.index import catalog
from wfstore.schema.history import ACTOR_CALLS, EVENTS, VIEW_KINDS, VIRTUAL_ACTORS
from wfstore.schema.views import VIEWS, Column

Connection = duckdb.DuckDBPyConnection
Relation = duckdb.DuckDBPyRelation

_FOLDS = ("log", "visible", "workflow_facts", "run_facts", "task_facts", "attempt_facts", "actor_facts")
_TABLES = ("tail", "recalled", "touched", "hidden", "lease")
_MACROS = {
    "holds": "metadata, wanted",
    "shown": "status, alive",
    "fingerprint": "message",
    "spent_on": "attempt_status, flow_canceled, succeeded_again, attempt",
}
_LIVE = ("live_workflows", "live_tasks")
#: What most statements do without, and more than half of the time that it takes to make a database: views that no other
#: is made of, those of virtual actors, which only time_spent is made of, and the comments.
COMMENTS, TIME_SPENT = "comments", "time_spent"
ACTORS = frozenset({ACTOR_CALLS, VIRTUAL_ACTORS})
LATE = ACTORS | {"task_stats", TIME_SPENT, COMMENTS}
#: Words with which a statement may ask for what it does not name.
_INDIRECT = re.compile(r"\bquery(_table)?\b|\bexecute\b")
_CATALOG = re.compile(r"\b(duckdb_|pragma_|pg_|sqlite_|information_schema\b|show\b|pragma\b|describe\b|summarize\b)")
#: Where a statement takes seconds, DuckDB draws on stdout; only a connection can be told not to.
_NO_BAR = "SET enable_progress_bar = false"
#: kind of history file -> paths
Paths = Mapping[str, Sequence[str]]


@contextmanager
def translated() -> Iterator[None]:
    """Turns what DuckDB raises into QueryError, its words kept; and what it makes of Ctrl-C into that again."""
    try:
        yield
    except duckdb.Error as error:
        raise QueryError(str(error)) from error
    except RuntimeError as error:
        if str(error) == "Query interrupted":
            raise KeyboardInterrupt from error
        raise


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
    settings: dict[str, str | bool | int | float | list[str]] = {
        "python_enable_replacements": replacements,
        # Sorting and joining what does not fit goes to disk, in a folder that comes to be when that is needed.
        "temp_directory": os.path.join(tempfile.gettempdir(), f"wfstore-{os.getpid()}"),
    }
    if threads is not None:
        settings["threads"] = threads
    connection = duckdb.connect(":memory:", config=settings)
    # now() and dates compare with our UTC columns as UTC, wherever the process runs.
    run(connection, "SET GLOBAL TimeZone = 'UTC'")
    # History files are never changed, and their footers are asked again and again.
    run(connection, "SET GLOBAL parquet_metadata_cache = true")
    run(connection, _NO_BAR)
    run(connection, "CREATE SCHEMA wfstore")
    for name, parameters in _MACROS.items():
        run(connection, f"CREATE MACRO wfstore.{name}({parameters}) AS {catalog.folder('folds')[name].sql}")
    return connection


def cursor(connection: Connection) -> Connection:
    """Another way into the same database, for one statement or a few."""
    found = connection.cursor()
    run(found, _NO_BAR)
    return found


def filler(connection: Connection) -> Connection:
    """Another way into the same database, for rows that arrive. How to insert them needs no optimiser, which takes
    longer than the insertion of a few."""
    found = cursor(connection)
    run(found, "PRAGMA disable_optimizer")
    return found


def reads_indirectly(query: str) -> bool:
    """It may read views that it does not name. query: in lower case."""
    return _INDIRECT.search(query) is not None


def late_parts(query: str) -> frozenset[str]:
    """Those of `LATE` that a statement may need."""
    text = query.lower()
    if reads_indirectly(text) or _CATALOG.search(text):
        return LATE
    named = frozenset(name for name in LATE - {COMMENTS} if name in text)
    return named | ACTORS if named & {*ACTORS, TIME_SPENT} else named


def add(connection: Connection, parts: Collection[str]) -> None:
    """Make some of `LATE`. What the views among them read must be there, files too; those of `ACTORS`, which are made
    together, cover the tail until `attach` is told of files. Whenever it makes views anew, their comments are gone."""
    views = catalog.folder("views")
    for name in VIEW_KINDS:
        if name in ACTORS and name in parts:
            run(connection, f"CREATE OR REPLACE VIEW hot.{name} AS {views[name].sql}")
            run(connection, f"CREATE OR REPLACE VIEW main.{name} AS SELECT {_columns(VIEWS[name])} FROM hot.{name}")
    for name in VIEWS:
        if name in parts and name not in ACTORS:
            run(connection, f"CREATE OR REPLACE VIEW main.{name} AS {views[name].sql}")
    if COMMENTS in parts:
        _comment(connection)


def create(*, replacements: bool, threads: int | None = None) -> Connection:
    """An empty database with every table and view but the `LATE` ones."""
    connection = connect(replacements=replacements, threads=threads)
    for schema in ("hot", "files", "cold"):
        run(connection, f"CREATE SCHEMA {schema}")
    tables, folds, views = (catalog.folder(name) for name in ("tables", "folds", "views"))
    for name in _TABLES:
        run(connection, tables[name].sql)
    for name in _FOLDS:
        run(connection, f"CREATE VIEW wfstore.{name} AS {folds[name].sql}")
    for name in VIEW_KINDS:
        if name not in LATE:
            run(connection, f"CREATE VIEW hot.{name} AS {views[name].sql}")
    attach(connection, {}, hot=True, hidden=False)
    for name in VIEWS:
        if name in _LIVE:
            run(connection, tables[name].sql)
        if name not in (*VIEW_KINDS, EVENTS, *LATE):
            run(connection, f"CREATE VIEW main.{name} AS {views[name].sql}")
    return connection


def attach(connection: Connection, paths: Paths, *, hot: bool, hidden: bool, older: bool = False) -> None:
    """Let the views cover the history files at `paths`, and no others. Those of `ACTORS` stay as they are, or are not
    there, where `paths` does not name them.

    hot: whether some workflows have rows in the tail; hidden: whether some facts do not count any more. Without either
    a statement over the views is planned and runs several times as fast. older: whether files of another version may
    lack columns, which read as NULL then.
    """
    tables = catalog.folder("tables")
    for name in VIEW_KINDS:
        if name in ACTORS and name not in paths:
            continue
        columns = VIEWS[name]
        parts = []
        if hot or not paths.get(name):
            parts.append(f"SELECT {_columns(columns)} FROM hot.{name}")
        if paths.get(name):
            source = tables["facts_that_count" if hidden else "facts"].sql
            source = source.replace("($paths)", "($paths, union_by_name = true)") if older else source
            _over_files(connection, name, source, paths[name])
            run(connection, f"CREATE OR REPLACE VIEW cold.{name} AS {catalog.folder('cold')[name].sql}")
            there = _present(connection, name) if older else None
            parts.append(f"SELECT {_columns(columns, typed=True, there=there)} FROM cold.{name}")
        run(connection, f"CREATE OR REPLACE VIEW main.{name} AS {' UNION ALL '.join(parts)}")
    parts = [catalog.folder("views")[EVENTS].sql]
    if paths.get(EVENTS):
        _over_files(connection, EVENTS, tables["events"].sql, paths[EVENTS])
        parts.insert(0, f"SELECT {_columns(VIEWS[EVENTS], typed=True)} FROM files.{EVENTS}")
    run(connection, f"CREATE OR REPLACE VIEW main.{EVENTS} AS {' UNION ALL '.join(parts)}")


def _columns(columns: Sequence[Column], *, typed: bool = False, there: Collection[str] | None = None) -> str:
    """typed: JSON is text in files. there: columns that can be had; None: all."""
    return ", ".join(_column(column, typed, there is None or column.name in there) for column in columns)


def _column(column: Column, typed: bool, there: bool) -> str:
    if not there:
        return f'NULL::{column.type} AS "{column.name}"'
    return f'"{column.name}"::JSON AS "{column.name}"' if typed and column.type == "JSON" else f'"{column.name}"'


def _present(connection: Connection, name: str) -> set[str]:
    return set(connection.view(f"cold.{name}").columns)


def _over_files(connection: Connection, name: str, sql: str, paths: Sequence[str]) -> None:
    listed = ", ".join(map(quoted, paths))
    run(connection, f"CREATE OR REPLACE VIEW files.{name} AS {sql.replace('$paths', f'[{listed}]')}")


def _comment(connection: Connection) -> None:
    views = catalog.folder("views")
    statements = []
    for view, columns in VIEWS.items():
        statements.append(f"COMMENT ON VIEW main.{view} IS {quoted(views[view].summary)}")
        statements += [f'COMMENT ON COLUMN main.{view}."{c.name}" IS {quoted(c.text)}' for c in columns]
    run(connection, ";".join(statements))


def quoted(text: str) -> str:
    """As a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def fill(connection: Connection, name: str, rows: pa.Table) -> list[tuple[Any, ...]]:
    """Run one of `queries/fill/` over `rows`, which it finds as `arrived`; what it returns, where it returns rows."""
    connection.register("arrived", rows)
    try:
        return connection.execute(catalog.folder("fill")[name].sql).fetchall()
    finally:
        with suppress(duckdb.TransactionException):  # it was aborted: why is what the caller hears
            connection.unregister("arrived")
