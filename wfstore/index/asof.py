"""The views of a store as they stood after an earlier event: only what was logged up to it exists.

What the log holds behind the history files is read up to that event and no further. Of the parts of the history, those
that end by then count whole, and those that begin later not at all. In the one part that goes on after it, facts hold
about workflows that nothing happened to later; what was under way is folded anew from its events up to there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wfstore.index import database
from wfstore.index.catalog import Query, folder
from wfstore.index.cold import ColdViews
from wfstore.index.database import Connection, quoted
from wfstore.index.tail import EventSource, Index, Scan, visible
from wfstore.log import Cursor, Lease, own_lease
from wfstore.log.history import HistoryFiles
from wfstore.log.manifest import HistoryFile, Part
from wfstore.schema.columns import EVENT_SCHEMA
from wfstore.schema.history import ACTOR_CALLS, ATTEMPTS, DELETED, EVENTS, TASKS, WORKFLOWS

#: kind -> the seq of the first event that a row is about. What began by the moment counts, unless its workflow went on
#: after it; few did at any moment, so that telling takes next to no time.
_BEGAN = {TASKS: "defined_seq", ATTEMPTS: "submitted_seq", ACTOR_CALLS: "call_seq"}
#: So many ids are looked for in history files by one statement.
_IDS = 2_000
#: Later than any clock says: what held in the past does not become old while somebody looks at it.
_NEVER_OLD_US = 1 << 62


class Until:
    """A log that ends after `seq`. held: whether a manager held it then."""

    def __init__(self, source: EventSource, seq: int, held: bool) -> None:
        self._source, self._seq, self._held = source, seq, held

    def read(self, cursor: Cursor | None = None, max_bytes: int | None = None) -> tuple[pa.Table, Cursor]:
        """As `EventSource.read`."""
        begins = cursor or Cursor()
        if begins.next_seq > self._seq:
            return EVENT_SCHEMA.empty_table(), Cursor(begins.next_seq)
        rows, position = self._source.read(cursor, max_bytes)
        if position.next_seq <= self._seq + 1:
            return rows, position
        return rows.filter(pc.less_equal(rows.column("seq"), self._seq)), Cursor.after(self._seq)

    def lease(self) -> Lease | None:
        """One that stays alive, where a manager held the log."""
        return own_lease(_NEVER_OLD_US, None, 0) if self._held else None


class PastViews(ColdViews):
    """History files of which what came after `seq` does not count."""

    def __init__(self, files: HistoryFiles, seq: int) -> None:
        super().__init__(files)
        self._seq = seq
        self._folded = False

    def again(self) -> ColdViews:
        """As `ColdViews.again`."""
        return PastViews(self.files, self._seq)

    def attach(self, connection: Connection) -> None:
        """As `ColdViews.attach`."""
        self._folded = False
        queries = folder("asof")
        database.run(connection, queries["gone_table"].sql)
        database.run(connection, queries["forget_gone"].sql)
        super().attach(connection)

    def _divided(self) -> Part | None:
        """The part that goes on after `seq`."""
        return next((part for part in self._parts() if part.last_seq > self._seq), None)

    def _parts(self) -> list[Part]:
        return [part for part in self.files.manifest.parts if part.first_seq <= self._seq]

    def _files_of(self, kind: str) -> list[HistoryFile]:
        return [file for part in self._parts() for file in part.of(kind) if file.rows]

    def _holding(self, kind: str, ids: Sequence[str]) -> list[HistoryFile]:
        return [file for file in self._files_of(kind) if file.may_hold_between(ids[0], ids[-1])]

    def _recall(self, connection: Connection) -> None:
        super()._recall(connection)
        part = self._divided()
        if part is None or self._folded:
            return
        self._note_gone(connection, part)
        flows = self.files.checked(_filled(part, WORKFLOWS))
        asked = {"paths": flows, "seq": self._seq}
        rows = connection.execute(folder("asof")["open"].sql, asked).fetchall() if flows else []
        ids = sorted(workflow_id for (workflow_id,) in rows)
        for start in range(0, len(ids), _IDS):
            some = ids[start : start + _IDS]
            paths = self.files.checked(self._holding(EVENTS, some))
            database.run(connection, folder("asof")["recalled"].sql, {"paths": paths, "ids": some, "seq": self._seq})
        self._folded = True

    def _note_gone(self, connection: Connection, divided: Part) -> None:
        """What was deleted within the divided part lost its earlier rows there when that was written; what was deleted
        in a later one, when it was purged."""
        manifest = self.files.manifest
        for part in manifest.parts:
            partly = part == divided
            if (partly or self._seq < part.first_seq <= manifest.purged_to) and (files := _filled(part, DELETED)):
                asked = {"paths": self.files.checked(files), "seq": self._seq, "partly": partly}
                database.run(connection, folder("asof")["note_gone"].sql, asked)

    def _cover(self, connection: Connection, kinds: Iterable[str]) -> None:
        kinds = set(kinds)
        super()._cover(connection, kinds)
        divided = self._divided()
        if divided is None:
            return
        assert self._shape is not None
        for kind in kinds:
            if files := _filled(divided, kind):
                whole = [file for file in self._files_of(kind) if file not in files]
                sql = self._over(kind, whole, files, _filled(divided, WORKFLOWS), hidden=self._shape[1])
                database.run(connection, f"CREATE OR REPLACE VIEW files.{kind} AS {sql}")

    def _over(
        self,
        kind: str,
        whole: Sequence[HistoryFile],
        files: Sequence[HistoryFile],
        flows: Sequence[HistoryFile],
        *,
        hidden: bool,
    ) -> str:
        """What counts of one kind: of parts that are whole, and of the divided one."""
        tables, asof = folder("tables"), folder("asof")
        if kind == EVENTS:
            return self._said(asof["events"], [*whole, *files], flows)
        count = asof[WORKFLOWS if kind == WORKFLOWS else "by_seq" if kind in _BEGAN else "by_flow"]
        parts = [self._said(count, files, flows).replace("fact.began", f"fact.{_BEGAN.get(kind)}")]
        if whole:
            parts.insert(0, self._said(tables["facts_that_count" if hidden else "facts"], whole, flows))
        return " UNION ALL BY NAME ".join(parts)

    def _said(self, query: Query, files: Iterable[HistoryFile], flows: Iterable[HistoryFile]) -> str:
        """A statement for a view, which takes no parameters."""
        sql = query.sql.replace("$seq", str(self._seq)).replace("$flows", self._listed(flows))
        sql = sql.replace("($paths)", "($paths, union_by_name = true)") if self.older else sql
        return sql.replace("$paths", self._listed(files))

    def _listed(self, files: Iterable[HistoryFile]) -> str:
        return f"[{', '.join(quoted(self.files.path(file)) for file in files)}]"


def _filled(part: Part, kind: str) -> list[HistoryFile]:
    return [file for file in part.of(kind) if file.rows]


class PastIndex(Index):
    """`Index` as it would have answered when `seq` was the last event. held: whether a manager held the store then."""

    def __init__(
        self, source: EventSource, seq: int, history: HistoryFiles | None = None, *, held: bool = True
    ) -> None:
        self._seq = seq
        super().__init__(Until(source, seq, held), None, history)

    def _views(self, history: HistoryFiles) -> ColdViews:
        return PastViews(history, self._seq)

    @property
    def as_of_seq(self) -> int:
        """The last event that counts."""
        return self._seq

    def scan(self, workflow_id: str) -> Scan:
        """As `Index.scan`. Nothing of a workflow of which some rows are lost."""
        found = super().scan(workflow_id)
        gone = self.gone_at(workflow_id)
        last = 0 if gone is not None and gone[1] else self._seq
        events = found.events.filter(pc.less_equal(found.events.column("seq"), last))
        return Scan(events, visible(events), found.alive)

    def gone_at(self, workflow_id: str) -> tuple[int, bool] | None:
        """Seq at which an id was deleted later, and whether rows may be left that tell too little; None where it was
        not, or all of it is still kept."""
        found = self._gone("gone_at", {"workflow_id": workflow_id})
        return None if found is None else (found[0], found[1])

    def gone(self) -> int:
        """How many ids were deleted later, and what they were at the time is not kept. Some of them may not have been
        there yet."""
        found = self._gone("gone", {})
        return 0 if found is None else int(found[0])

    def _gone(self, name: str, params: dict[str, str]) -> tuple[Any, ...] | None:
        if self._cold is None:
            return None
        sql = folder("asof")[name].sql

        def answer(cursor: Connection, _: None) -> tuple[Any, ...] | None:
            return cursor.execute(sql, params).fetchone()

        return self._reading(answer, lambda: self._checked(sql))
