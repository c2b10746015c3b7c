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

_ACTOR_FACTS = "actor_facts"
_FOLDS = ("workflow_facts", "run_facts", "task_facts", "attempt_facts")
_ARRIVED, _LOG = "arrived_rows", "log_rows"
_ACTOR_KINDS = {ACTOR_CALLS, VIRTUAL_ACTORS}
#: There are none of both where no id went on and none was deleted.
_OF_ENDS = {SUPERSEDED, DELETED}


class _Source:
    """Stands where a table stands, whatever rows it holds at the moment. DuckDB knows no statistics of it, so a plan
    that reads nothing else holds for any rows; one that reads a table is made anew each time it runs."""

    def __init__(self, rows: pa.Table) -> None:
        self.rows = rows

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.rows.__arrow_c_stream__(requested_schema)


class Folder:
    """A small database that is given the rows of one range of ids at a time, and makes each plan once: planning takes
    longer than a fifth of a range."""

    def __init__(self, threads: int) -> None:
        self._connection = database.connect(replacements=False, threads=threads)
        self._sources: dict[str, _Source] = {}
        self._planned: set[str] = set()
        self._visible = ""

    def facts(self, rows: pa.Table, as_of: int, older: Callable[[], list[str]]) -> Iterator[tuple[str, pa.Table]]:
        """(kind, rows) of every kind of facts, sorted.

        rows: of EVENT_SCHEMA without payloads, whole workflows but for what older parts hold; as_of: last seq of the
        part; older: gives checked paths of the event files of older parts, where they are needed.
        """
        first = not self._sources
        self._hold(_ARRIVED, rows)
        if first:
            self._prepare()
        types = set(pc.unique(rows["type"]).to_pylist())
        went_on, recalled = self._recall(older, rows.schema)
        self._hold(_LOG, pa.concat_tables([rows, recalled]) if recalled.num_rows else rows)
        deleted = WORKFLOW_DELETED in types
        self._see("visible" if deleted or recalled.num_rows else "visible_all")
        actors = bool(recalled.num_rows) or not types.isdisjoint((ACTOR_CREATED, ACTOR_STATE_COMMITTED))
        self._fold((*_FOLDS, _ACTOR_FACTS) if actors or first else _FOLDS)
        if first:
            for name in VIEW_KINDS:
                database.run(self._connection, f"CREATE VIEW hot.{name} AS {folder('views')[name].sql}")
        # A statement takes time, whether or not there is anything for it to find.
        nothing = set() if actors and self._sources[_ACTOR_FACTS].rows.num_rows else _ACTOR_KINDS
        nothing = nothing if deleted or went_on else nothing | _OF_ENDS
        for kind in FACTS:
            if kind not in nothing:
                sql = f"{folder('facts')[kind].sql}\nORDER BY {', '.join(KINDS[kind].sort)}"
                yield kind, stamped(self._answer(kind, sql), as_of)
        for source in self._sources.values():
            source.rows = source.rows.schema.empty_table()

    def _hold(self, name: str, rows: pa.Table) -> None:
        if name in self._sources:
            self._sources[name].rows = rows
        else:
            self._sources[name] = _Source(rows)
            self._connection.register(name, self._sources[name])

    def _prepare(self) -> None:
        connection, tables, folds = self._connection, folder("tables"), folder("folds")
        database.run(connection, "CREATE SCHEMA hot")
        for name in ("tail", "recalled"):
            database.run(connection, tables[name].sql)
        for name, sql in (("lease", "nobody"), ("arrived", "arrived")):
            database.run(connection, f"CREATE VIEW wfstore.{name} AS {folds[sql].sql}")

    def _see(self, visible: str) -> None:
        """Which rows count: all, or all that nothing has deleted."""
        if not self._visible:
            database.run(self._connection, f"CREATE VIEW wfstore.log AS {folder('folds')['log_arrived'].sql}")
        if visible != self._visible:
            sql = folder("folds")[visible].sql
            database.run(self._connection, f"CREATE OR REPLACE VIEW wfstore.visible AS {sql}")
            self._visible = visible

    def _fold(self, names: Iterable[str]) -> None:
        for name in names:
            known = name in self._sources
            self._hold(name, self._answer(name, folder("folds")[name].sql))
            if not known:
                database.run(self._connection, f"CREATE VIEW wfstore.{name} AS SELECT * FROM {name}")

    def _answer(self, name: str, sql: str) -> pa.Table:
        # A plan has the views in it as they were.
        plan = f"{name}_{self._visible}"
        if plan not in self._planned:
            database.run(self._connection, f"PREPARE {plan} AS {sql}")
            self._planned.add(plan)
        return self._connection.sql(f"EXECUTE {plan}").to_arrow_table()

    def _recall(self, older: Callable[[], list[str]], schema: pa.Schema) -> tuple[bool, pa.Table]:
        """Whether some workflows went on with what older parts hold, and what those hold about them."""
        connection, store = self._connection, folder("store")
        ids = self._answer("to_recall", store["to_recall_arrived"].sql)["workflow_id"].to_pylist()
        paths = older() if ids else []
        if not paths:
            return bool(ids), schema.empty_table()
        database.run(connection, folder("fill")["forget_recalled"].sql)
        database.run(connection, folder("fill")["recalled"].sql, {"paths": paths, "ids": ids})
        recalled = connection.sql(store["recalled"].sql).to_arrow_table()
        return True, recalled.select(schema.names).cast(schema)


def stamped(facts: pa.Table, as_of: int) -> pa.Table:
    """Facts that are true as of that seq."""
    return facts.append_column(AS_OF, pa.repeat(pa.scalar(as_of, pa.int64()), facts.num_rows))
