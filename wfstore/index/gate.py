"""What `sql()` lets through: exactly one statement, and one that only reads.

It guards against accidents, not against the process's owner, who can do anything anyway; over HTTP comes a sandbox.
"""

from __future__ import annotations

import duckdb

from wfstore.errors import QueryError
from wfstore.index.database import Connection, translated

_ALLOWED = (
    "allowed is exactly one SELECT (also spelled WITH, FROM, VALUES, DESCRIBE, SUMMARIZE or SHOW). "
    "For anything else take Store.connect(): a database of your own with the same views."
)


def check(connection: Connection, query: str) -> None:
    """Raises QueryError for what does not parse, is not one statement, or is not a SELECT."""
    with translated():
        statements = connection.extract_statements(query)
    if len(statements) != 1:
        raise QueryError(f"{len(statements)} statements were given; {_ALLOWED}")
    try:
        kind = statements[0].type
    except ValueError:  # a kind that DuckDB's Python side has no name for, such as UPDATE EXTENSIONS
        raise QueryError(f"statements of this kind are refused; {_ALLOWED}") from None
    if kind == duckdb.StatementType.MULTI:
        raise QueryError(f"a PIVOT has to name its values (PIVOT ... ON column IN (...)); {_ALLOWED}")
    if kind != duckdb.StatementType.SELECT:
        raise QueryError(f"{kind.name} is refused; {_ALLOWED}")
