"""Which SELECT may run in a sandbox: one that takes its rows from views and tables, and from functions that make them
up. It is read from DuckDB's own syntax tree, so that no spelling gets around it.

The wall is the locked database behind it; this comes before, tells a user what is the matter, and keeps even history
files, whose rows need not count any more, and the server's settings out of sight.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from wfstore.errors import QueryError
from wfstore.index import gate
from wfstore.index.catalog import folder
from wfstore.index.database import Connection, translated

MOST_CHARACTERS = 200_000
#: Table functions that read nothing but the database's own catalog, or nothing at all.
TABLE_FUNCTIONS = frozenset(
    (
        "range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree", "summary",
        "test_all_types", "duckdb_columns", "duckdb_functions", "duckdb_keywords",
        "duckdb_schemas", "duckdb_tables", "duckdb_types", "duckdb_views", "pragma_version", "pragma_table_info",
        "pg_timezone_names", "icu_calendar_names",
    )
)  # fmt: skip
_REFUSED_FUNCTIONS = frozenset(("current_setting", "write_log", "json_execute_serialized_sql", "which_secret"))
_REFUSED_TABLES = frozenset(("pg_settings",))
#: What DuckDB would take for a file or an address.
_FILE = re.compile(
    r"[/\\*?]|://|\.(parquet|csv|tsv|json|ndjson|jsonl|txt|db|duckdb|gz|zst|arrow|xlsx?)$", re.IGNORECASE
)


def check(connection: Connection, query: str) -> None:
    """Raises QueryError for whatever is not a single SELECT of that kind."""
    if len(query) > MOST_CHARACTERS:
        raise QueryError(f"the statement has {len(query):,} characters; {MOST_CHARACTERS:,} are allowed")
    gate.check(connection, query)
    with translated():
        row = connection.execute(folder("store")["syntax_tree"].sql, {"query": query}).fetchone()
    assert row is not None
    try:
        tree = json.loads(row[0])
    except RecursionError:
        raise QueryError("the statement is nested too deeply") from None
    if tree["error"]:
        raise QueryError(f"this statement cannot be checked here: {tree.get('error_message')}")
    for node in _nodes(tree["statements"]):
        _check_node(node)


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    left = [tree]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            yield item
            left.extend(item.values())
        elif isinstance(item, list):
            left.extend(item)


def _check_node(node: dict[str, Any]) -> None:
    if node.get("type") == "TABLE_FUNCTION":
        name = _function(node.get("function"))
        if name not in TABLE_FUNCTIONS:
            raise QueryError(
                f"the table function {name} is not available here; there are the views (SHOW TABLES) and "
                f"{', '.join(sorted(TABLE_FUNCTIONS))}"
            )
    elif node.get("class") == "FUNCTION" and _function(node) in _REFUSED_FUNCTIONS:
        raise QueryError(f"the function {_function(node)} is not available here")
    if node.get("type") in ("BASE_TABLE", "SHOW_REF"):
        _check_table((node.get("qualified_name") or {}).get("path") or [str(node.get("table_name") or "")])


def _check_table(path: list[str]) -> None:
    # Without quotes, DuckDB takes the dots of a file's name for those between catalog, schema and table.
    name = ".".join(path)
    if path[-1].lower() in _REFUSED_TABLES or _FILE.search(name):
        raise QueryError(f"{name!r} is not available here: files and settings of the server cannot be read")


def _function(node: Any) -> str:
    return str(node.get("function_name")).lower() if isinstance(node, dict) else "?"
