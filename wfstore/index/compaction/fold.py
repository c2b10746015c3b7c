"""Works out the facts about some workflows by the SQL that the views are made of, once instead of at each query."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from wfstore.index import database
from wfstore.index.catalog import folder
from wfstore.index.compaction.output import AS_OF
from wfstore.model.events import ACTOR_CREATED, ACTOR_STATE_COMMITTED, WORKFLOW_DELETED
from wfstore.schema.history import ACTOR_CALLS, DELETED, FACTS, KINDS, SUPERSEDED, VIEW_KINDS, VIRTUAL_ACTORS

_OF_ALL, _OF_ACTORS = ("workflow_facts", "run_facts", "task_facts", "attempt_facts"), ("actor_facts",)
_ROWS = "arrived_rows"
_ACTOR_KINDS = {ACTOR_CALLS, VIRTUAL_ACTORS}
#: There are none of both where no id went on and none was deleted.
_OF_ENDS = {SUPERSEDED, DELETED}


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
        types = set(pc.unique(rows["type"]).to_pylist())
        went_on, recalled = self._recall(older)
        deleted = WORKFLOW_DELETED in types
        visible = "visible" if deleted or recalled else "visible_all"
        database.run(connection, f"CREATE OR REPLACE VIEW wfstore.visible AS {folder('folds')[visible].sql}")
        actors = recalled or not types.isdisjoint((ACTOR_CREATED, ACTOR_STATE_COMMITTED))
        self._fold((*_OF_ALL, *_OF_ACTORS) if actors or not self._ready else _OF_ALL)
        # A statement takes milliseconds, whether or not there is anything for it to find.
        nothing = set() if actors and self._has_actors() else _ACTOR_KINDS
        nothing = nothing if deleted or went_on else nothing | _OF_ENDS
        for kind in FACTS:
            if kind not in nothing:
                order = ", ".join(KINDS[kind].sort)
                facts = connection.sql(f"{folder('facts')[kind].sql}\nORDER BY {order}").to_arrow_table()
                yield kind, stamped(facts, as_of)
        connection.unregister(_ROWS)

    def _fold(self, names: Iterable[str]) -> None:
        for name in names:
            database.run(self._connection, f"CREATE OR REPLACE TABLE wfstore.{name} AS {folder('folds')[name].sql}")
        if not self._ready:
            for name in VIEW_KINDS:
                database.run(self._connection, f"CREATE VIEW hot.{name} AS {folder('views')[name].sql}")
            self._ready = True

    def _has_actors(self) -> bool:
        ((found,),) = self._connection.execute(folder("store")["has_actors"].sql).fetchall()
        return bool(found)

    def _prepare(self) -> None:
        connection, tables = self._connection, folder("tables")
        database.run(connection, "CREATE SCHEMA hot")
        for name in ("tail", "recalled", "lease"):
            database.run(connection, tables[name].sql)
        database.run(connection, f"CREATE VIEW wfstore.arrived AS {folder('folds')['arrived'].sql}")
        database.run(connection, f"CREATE VIEW wfstore.log AS {folder('folds')['log_arrived'].sql}")

    def _recall(self, older: Callable[[], list[str]]) -> tuple[bool, bool]:
        """Fetch what older parts hold about workflows that went on. Whether some did; whether there was anything."""
        connection = self._connection
        database.run(connection, folder("fill")["forget_recalled"].sql)
        ids = [row[0] for row in connection.execute(folder("store")["to_recall_arrived"].sql).fetchall()]
        if not ids:
            return False, False
        paths = older()
        if paths:
            database.run(connection, folder("fill")["recalled"].sql, {"paths": paths, "ids": ids})
        return True, bool(paths)


def stamped(facts: pa.Table, as_of: int) -> pa.Table:
    """Facts that are true as of that seq."""
    return facts.append_column(AS_OF, pa.repeat(pa.scalar(as_of, pa.int64()), facts.num_rows))
