"""History files into history files: those of several parts into one, and what was deleted left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import pyarrow as pa

from wfstore.index import database
from wfstore.index.catalog import folder
from wfstore.index.compaction.fold import stamped
from wfstore.log.manifest import HistoryFile
from wfstore.schema.history import DELETED, EVENTS, EVENTS_SCHEMA, KINDS, PACKS, PACKS_SCHEMA, SUPERSEDED

_SCHEMAS = {EVENTS: EVENTS_SCHEMA, PACKS: PACKS_SCHEMA}
_OWN_STATEMENT = (EVENTS, PACKS, SUPERSEDED, DELETED)


class Rewriter:
    """The rows of some files of neighbouring parts, one range of ids at a time, as the files of one part hold them."""

    def __init__(
        self,
        files: Sequence[HistoryFile],
        checked: Callable[[Iterable[HistoryFile]], list[str]],
        dead: Sequence[tuple[str, int]],
        no_payloads: Sequence[str],
    ) -> None:
        self._files, self._checked = files, checked
        self._connection = connection = database.connect(replacements=False, threads=1)
        tables = folder("tables")
        for name in ("superseded", "dead", "no_payloads"):
            database.run(connection, tables[name].sql)
        superseded = checked(file for file in files if file.kind == SUPERSEDED)
        if superseded:
            database.run(connection, folder("fill")["superseded"].sql, {"paths": superseded})
        if dead:
            ids, seqs = [list(values) for values in zip(*dead, strict=True)]
            database.run(connection, folder("fill")["dead"].sql, {"ids": ids, "seqs": seqs})
        if no_payloads:
            database.run(connection, folder("fill")["no_payloads"].sql, {"ids": list(no_payloads)})

    def rows(self, low: str | None, high: str | None, as_of: int) -> Iterator[tuple[str, pa.Table]]:
        """(kind, rows) of the ids from `low` to below `high`, sorted. Rows about no workflow come where low is None."""
        for kind, entry in KINDS.items():
            paths = self._checked(file for file in self._files if file.kind == kind and meets(file, low, high))
            if not paths:
                continue
            statement = kind if kind in _OWN_STATEMENT else "facts"
            params = {"paths": paths, "low": low, "high": high}
            relation = self._connection.sql(folder("rewrite")[statement].sql, params=params)
            table = relation.order(", ".join(f"{name} NULLS FIRST" for name in entry.sort)).to_arrow_table()
            if kind in _SCHEMAS:
                yield kind, table.select(_SCHEMAS[kind].names).cast(_SCHEMAS[kind])
            else:
                yield kind, stamped(table, as_of)


def meets(file: HistoryFile, low: str | None, high: str | None) -> bool:
    """Whether rows of the ids from `low` to below `high` may be in the file; rows about none come where low is None."""
    if file.min_id is None or file.max_id is None:
        return low is None
    if low is None and file.kind in _SCHEMAS:
        return True  # its range does not tell of rows about no workflow
    return (low is None or file.max_id >= low) and (high is None or file.min_id < high)
