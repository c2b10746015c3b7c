"""In-memory DuckDB databases with the views in them, and the one spot where DuckDB's errors become ours.

It knows neither the log's reader nor what is asked; it makes places that can be filled and queried.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa

from wfstore.errors import QueryError
from wfstore.index import catalog
from wfstore.schema.history import EVENTS, VIEW_KINDS
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
#: What a statement needs few of, and most of the time that it takes to make a database: folds, views and the comments.
COMMENTS = "comments"
LATE = frozenset({*_FOLDS, *VIEWS, COMMENTS})
#: Those that are made of rows, and of which the others are.
FIRST = frozenset({*_FOLDS, *VIEW_KINDS, EVENTS})
_HOT = re.compile(r"\bhot\.(\w+)")
_NAMED = re.compile(r"\b(?:wfstore|hot|main)\.(\w+)")
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
    return frozenset().union(*(_with_needs(name) for name in LATE - {COMMENTS} if name in text))


@cache
def _with_needs(part: str) -> frozenset[str]:
    """One of `LATE` and those that it is made of."""
    made = catalog.folder("folds" if part in _FOLDS else "views")[part]
    needs = LATE.intersection(_NAMED.findall(made.sql)) - {part}
    return frozenset({part}).union(*map(_with_needs, needs))


def add(connection: Connection, parts: Collection[str]) -> None:
    """Make some of `LATE`. What they are made of must be among them or be there, files too; kinds of facts cover the
    tail until `attach` is told of files. Whenever it makes views anew, their comments are gone."""
    folds, views = catalog.folder("folds"), catalog.folder("views")
    for name in _FOLDS:
        if name in parts:
            run(connection, f"CREATE OR REPLACE VIEW wfstore.{name} AS {folds[name].sql}")
    attach(connection, {kind: () for kind in (*VIEW_KINDS, EVENTS) if kind in parts}, hot=True, hidden=False)
    for name in VIEWS:
        if name in parts and name not in FIRST:
            run(connection, f"CREATE OR REPLACE VIEW main.{name} AS {views[name].sql}")
    if COMMENTS in parts:
        _comment(connection)


def create(*, replacements: bool, threads: int | None = None) -> Connection:
    """An empty database with every table, and nothing of what is `LATE`."""
    connection = connect(replacements=replacements, threads=threads)
    for schema in ("hot", "files", "cold"):
        run(connection, f"CREATE SCHEMA {schema}")
    for name in _TABLES:
        run(connection, catalog.folder("tables")[name].sql)
    for name in _LIVE:
        columns = ", ".join(f'"{column.name}" {column.type}' for column in VIEWS[name])
        run(connection, f"CREATE TABLE wfstore.{name} ({columns})")
    return connection


def whole(*, replacements: bool) -> Connection:
    """An empty database with every table and view."""
    connection = create(replacements=replacements)
    add(connection, LATE)
    return connection


def attach(connection: Connection, paths: Paths, *, hot: bool, hidden: bool, older: bool = False) -> None:
    """Let the views of the kinds that `paths` names, which are there, cover the history files listed for them, and no
    others.

    hot: whether some workflows have rows in the tail; hidden: whether some facts do not count any more. Without either
    a statement over the views is planned and runs several times as fast. older: whether files of another version may
    lack columns, which read as NULL then.
    """
    for name in VIEW_KINDS:
        if name in paths:
            parts = _parts_of(connection, name, paths[name], hot=hot, hidden=hidden, older=older)
            run(connection, f"CREATE OR REPLACE VIEW main.{name} AS {' UNION ALL '.join(parts)}")
    if EVENTS in paths:
        parts = [catalog.folder("views")[EVENTS].sql]
        if paths[EVENTS]:
            _over_files(connection, EVENTS, catalog.folder("tables")["events"].sql, paths[EVENTS])
            parts.insert(0, f"SELECT {_columns(VIEWS[EVENTS], typed=True)} FROM files.{EVENTS}")
        run(connection, f"CREATE OR REPLACE VIEW main.{EVENTS} AS {' UNION ALL '.join(parts)}")


def _parts_of(
    connection: Connection, name: str, paths: Sequence[str], *, hot: bool, hidden: bool, older: bool
) -> list[str]:
    """What the view of one kind of facts is the union of."""
    if not paths:
        _hot_below(connection, name)
        return [catalog.folder("views")[name].sql]
    parts = []
    if hot:
        _hot(connection, name)
        parts.append(f"SELECT {_columns(VIEWS[name])} FROM hot.{name}")
    source = catalog.folder("tables")["facts_that_count" if hidden else "facts"].sql
    source = source.replace("($paths)", "($paths, union_by_name = true)") if older else source
    _over_files(connection, name, source, paths)
    run(connection, f"CREATE OR REPLACE VIEW cold.{name} AS {catalog.folder('cold')[name].sql}")
    there = _present(connection, name) if older else None
    return [*parts, f"SELECT {_columns(VIEWS[name], typed=True, there=there)} FROM cold.{name}"]


def _hot(connection: Connection, name: str) -> None:
    """What the tail says of one kind, apart from what files say."""
    _hot_below(connection, name)
    run(connection, f"CREATE VIEW IF NOT EXISTS hot.{name} AS {catalog.folder('views')[name].sql}")


def _hot_below(connection: Connection, name: str) -> None:
    for below in _HOT.findall(catalog.folder("views")[name].sql):
        _hot(connection, below)


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


def set_lease(connection: Connection, alive: bool) -> None:
    """Note whether a manager holds the store."""
    run(connection, catalog.folder("fill")["lease"].sql, {"alive": alive})
