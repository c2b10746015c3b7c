"""Statements of ours with an order and a limit, made so that the first rows are found without reading all there are."""

from __future__ import annotations

from collections.abc import Sequence

#: So many of the last events hold the newest rows more often than not; a question that they do not answer is asked
#: again over everything.
_LEAST_EVENTS, _EVENTS_EACH = 10_000, 200


def ordered(sql: str, order: Sequence[str], limit: int | None, key: str | None, offset: int = 0) -> str:
    """`order`: column names, a leading minus means descending; NULLs come last. With a key, a column that tells rows
    apart, the first rows are found by few columns, and read then."""
    terms = _terms(order)
    if limit is None and not offset:
        return f"SELECT * FROM ({sql}){terms}" if terms else sql
    window = _window(limit, offset)
    if key is None or not terms:
        return f"SELECT * FROM ({sql}){terms}{window}"
    first = f"SELECT {key} FROM chosen{terms}{window}"
    rows = f"SELECT * FROM chosen WHERE {key} IN ({first}){terms}"
    return f"WITH chosen AS NOT MATERIALIZED ({sql}) {rows}" + ("" if limit is None else f" LIMIT {limit}")


def newest(
    sql: str, order: Sequence[str], limit: int | None, key: str | None, offset: int, last_seq: int
) -> str | None:
    """The same over what the last events brought, where the newest come first: whatever has `limit` rows has the right
    ones. Files say between which seqs their rows are, so that few are read. key: the seq of an event, too. None where
    another order is asked for, or that is as good as everything."""
    if not limit or key is None or tuple(order[:1]) != (f"-{key}",):
        return None
    since = last_seq - max(_LEAST_EVENTS, _EVENTS_EACH * (limit + offset))
    if since <= 0:
        return None
    return f"SELECT * FROM ({sql}) WHERE {key} > {since}{_terms(order)}{_window(limit, offset)}"


def _window(limit: int | None, offset: int) -> str:
    return (f" LIMIT {limit}" if limit is not None else "") + (f" OFFSET {offset}" if offset else "")


def _terms(order: Sequence[str]) -> str:
    return f" ORDER BY {', '.join(map(_term, order))}" if order else ""


def _term(name: str) -> str:
    column = name.removeprefix("-")
    return f'"{column}" {"DESC" if name.startswith("-") else "ASC"} NULLS LAST'
