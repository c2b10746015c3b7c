"""Works out the facts about some workflows by the SQL that the views are made of, once instead of at each query."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from wfstore.index import database
from wfstore.index.catalog import folder
from wfstore.index.compaction.output import AS_OF
from wfstore.model.events import WORKFLOW_DELETED
from wfstore.schema.history import ACTOR_CALLS, FACTS, KINDS, VIEW_KINDS, VIRTUAL_ACTORS

_FOLDS = ("workflow_facts", "run_facts", "task_facts", "attempt_facts", "actor_facts")
_ROWS = "arrived_rows"
_OF_ACTORS = (ACTOR_CALLS, VIRTUAL_ACTORS)


class Folder:
    """A small database that holds the rows of one range of ids at a time."""

    def __init__(self, threads: int) -> None:
        self._connection = database.connect(replacements=False, threads=threads)
        self._ready = False

    def facts(self, rows: pa.Table, as_of: int, older: Callable[[], list[str]]) -> Iterator[tuple[str, pa.Table]]:
        """(kind, rows) of every kind of facts, sorted.

        rows: of EVENT_SCHEMA without payloads, whole workflows but for what older parts hold; as_of: last seq of the
        part; older: gives checked paths of the event files of older parts, where they are needed.
        """
        connection = self._connection
        connection.register(_ROWS, rows)
        if not self._ready:
            self._prepare()
        recalled = self._recall(older)
        deleted = pc.any(pc.equal(rows["type"], WORKFLOW_DELETED)).as_py()
        visible = "visible" if deleted or recalled else "visible_all"
        database.run(connection, f"CREATE OR REPLACE VIEW wfstore.visible AS {folder('folds')[visible].sql}")
        for name in _FOLDS:
            database.run(connection, f"CREATE OR REPLACE TABLE wfstore.{name} AS {folder('folds')[name].sql}")
        if not self._ready:
            for name in VIEW_KINDS:
                database.run(connection, f"CREATE VIEW hot.{name} AS {folder('views')[name].sql}")
            self._ready = True
        ((actors,),) = connection.execute(folder("store")["has_actors"].sql).fetchall()
        for kind in FACTS:
            if kind in _OF_ACTORS and not actors:
                continue
            relation = connection.sql(folder("facts")[kind].sql).order(", ".join(KINDS[kind].sort))
            yield kind, stamped(relation.to_arrow_table(), as_of)
        connection.unregister(_ROWS)

    def _prepare(self) -> None:
        connection, tables = self._connection, folder("tables")
        database.run(connection, "CREATE SCHEMA hot")
        for name in ("tail", "recalled", "lease"):
            database.run(connection, tables[name].sql)
        database.run(connection, f"CREATE VIEW wfstore.arrived AS {folder('folds')['arrived'].sql}")
        database.run(connection, f"CREATE VIEW wfstore.log AS {folder('folds')['log_arrived'].sql}")

    def _recall(self, older: Callable[[], list[str]]) -> bool:
        """Fetch what older parts hold about workflows that went on."""
        connection = self._connection
        database.run(connection, folder("fill")["forget_recalled"].sql)
        ids = [row[0] for row in connection.execute(folder("store")["to_recall_arrived"].sql).fetchall()]
        if not ids:
            return False
        paths = older()
        if paths:
            database.run(connection, folder("fill")["recalled"].sql, {"paths": paths, "ids": ids})
        return bool(paths)


def stamped(facts: pa.Table, as_of: int) -> pa.Table:
    """Facts that are true as of that seq."""
    return facts.append_column(AS_OF, pa.repeat(pa.scalar(as_of, pa.int64()), facts.num_rows))
