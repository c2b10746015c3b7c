"""Which workflows there are according to history files, and how each stands: held in memory, never changed. A newer one
is made of this one and of what was added since.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from wfstore.log.id_table import ID, IdTable, layered
from wfstore.model.statuses import RESUMABLE, WORKFLOW_STATUSES

#: Facts as history files have them.
WORKFLOW_FACTS = pa.schema(
    {
        ID: pa.large_string(),
        "decided": pa.string(),
        "submitted_seq": pa.int64(),
        "last_seq": pa.int64(),
        "runs": pa.int64(),
    }
)
DELETED_FACTS = pa.schema({ID: pa.large_string(), "seq": pa.int64(), "run": pa.int32(), "request_id": pa.string()})
_ENTRIES = pa.schema({ID: pa.large_string(), "submitted_seq": pa.int64(), "last_seq": pa.int64(), "code": pa.uint8()})
_STATUSES = pa.array(WORKFLOW_STATUSES, pa.string())
#: A status by its code: each comes twice, for workflows without and with a run.
_BY_CODE = [status for status in WORKFLOW_STATUSES for _ in (False, True)]


class Entry(NamedTuple):
    """One workflow as of its last event. first_seq: of its submission; started: a run of it has begun."""

    workflow_id: str
    status: str
    first_seq: int
    last_seq: int
    started: bool


class Gone(NamedTuple):
    """The last time that an id was deleted: when, its last run until then (None: it had none), and who asked."""

    seq: int
    run: int | None
    request_id: str | None


class Known(NamedTuple):
    """As of before the event `next_seq`; tables newest first: what a newer one says about an id replaces the older."""

    next_seq: int = 1
    workflows: tuple[IdTable, ...] = ()
    deleted: tuple[IdTable, ...] = ()

    def with_newer(self, next_seq: int, workflows: Iterable[pa.Table], deleted: Iterable[pa.Table]) -> Known:
        """With facts about later events added: tables of WORKFLOW_FACTS and of DELETED_FACTS, newest first."""
        encoded = (_encoded(facts) for facts in workflows)
        return Known(next_seq, layered(encoded, self.workflows), layered(deleted, self.deleted))

    def find(self, workflow_id: str) -> Entry | None:
        """How the workflow stands; None when there is none."""
        for table in self.workflows:
            row = table.find(workflow_id)
            if row is not None:
                entry = _entry({name: table.cell(row, name) for name in _ENTRIES.names})
                gone = self.gone(workflow_id)
                return entry if gone is None or gone.seq < entry.last_seq else None
        return None

    def gone(self, workflow_id: str) -> Gone | None:
        """The last time that the id was deleted."""
        for table in self.deleted:
            row = table.find(workflow_id)
            if row is not None:
                return Gone(table.cell(row, "seq"), table.cell(row, "run"), table.cell(row, "request_id"))
        return None

    def entries(self, statuses: Collection[str]) -> list[Entry]:
        """The workflows with such a status."""
        return [_entry(row) for table in self._select(statuses, ()) for row in table.to_pylist()]

    def listed(
        self, statuses: Collection[str] | None, others: Iterable[Entry], hidden: Collection[str]
    ) -> list[tuple[str, str]]:
        """(id, status) of all workflows, or of those with such a status, in the order of their submission; those that
        were interrupted before their first run come last.

        others: more workflows, to be listed among those here; hidden: ids here that are not to be listed.
        """
        found = pa.concat_tables([*self._select(statuses, hidden), _table_of(others, statuses)])
        waited = pc.equal(found["code"], _code(RESUMABLE, False)).cast(pa.uint8())
        order = pa.table([waited, found["submitted_seq"]], names=["waited", "submitted_seq"])
        found = found.take(pc.sort_indices(order, [("waited", "ascending"), ("submitted_seq", "ascending")]))
        return list(zip(found[ID].to_pylist(), [_BY_CODE[code] for code in found["code"].to_pylist()], strict=True))

    def _select(self, statuses: Collection[str] | None, hidden: Collection[str]) -> list[pa.Table]:
        """The rows that count, of workflows with such a status."""
        found = []
        for number, layer in enumerate(self.workflows):
            table = layer.table
            if statuses is not None:
                codes = [_code(status, started) for status in statuses for started in (False, True)]
                table = table.filter(pc.is_in(table["code"], value_set=pa.array(codes, pa.uint8())))
            for newer in self.workflows[:number]:
                table = _without(table, newer.table, "last_seq")
            for gone in self.deleted:
                table = _without(table, gone.table, "seq")
            if hidden and table.num_rows:
                among = pc.is_in(table[ID], value_set=pa.array(list(hidden), pa.large_string()))
                table = table.filter(pc.invert(among))
            found.append(table)
        return found


def _without(table: pa.Table, later: pa.Table, seq: str) -> pa.Table:
    """Without the rows about which `later` has one of a higher seq."""
    if not table.num_rows or not later.num_rows:
        return table
    if table.num_rows < later.num_rows:  # the smaller side is the one that is worth a hash table
        later = later.filter(pc.is_in(later[ID], value_set=table[ID].combine_chunks()))
    seqs = later[seq].combine_chunks().take(pc.index_in(table[ID], value_set=later[ID].combine_chunks()))
    return table.filter(pc.fill_null(pc.less(seqs, table["last_seq"]), True))


def _code(status: str, started: bool) -> int:
    return WORKFLOW_STATUSES.index(status) * 2 + started


def _encoded(facts: pa.Table) -> pa.Table:
    """The same in fewer bytes: millions of rows lie in memory."""
    status = pc.multiply(pc.index_in(facts["decided"], value_set=_STATUSES), 2)
    code = pc.add(status, pc.greater(facts["runs"], 0).cast(pa.int32())).cast(pa.uint8())
    return facts.drop(["decided", "runs"]).append_column("code", code)


def _entry(row: dict[str, Any]) -> Entry:
    code = row["code"]
    return Entry(row[ID], _BY_CODE[code], row["submitted_seq"], row["last_seq"], bool(code % 2))


def _table_of(entries: Iterable[Entry], statuses: Collection[str] | None) -> pa.Table:
    kept: Sequence[Entry] = [entry for entry in entries if statuses is None or entry.status in statuses]
    columns = (
        [entry.workflow_id for entry in kept],
        [entry.first_seq for entry in kept],
        [entry.last_seq for entry in kept],
        [_code(entry.status, entry.started) for entry in kept],
    )
    arrays = [pa.array(values, field.type) for values, field in zip(columns, _ENTRIES, strict=True)]
    return pa.table(arrays, schema=_ENTRIES)
