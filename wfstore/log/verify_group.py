"""Checks the rows of one group of history files: their order, their ranges, and whether the files agree.

It reads a row group at a time; what it holds are the ids of one group of files.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wfstore.log.manifest import HistoryFile, Part
from wfstore.model.events import TASK_DEFINED, WORKFLOW_DELETED, WORKFLOW_SUBMITTED
from wfstore.model.payload import payload_uri
from wfstore.schema.history import DELETED, EVENTS, FACTS, PACKS, SUPERSEDED, WORKFLOWS

EVENT_COLUMNS = ("workflow_id", "seq", "ts", "type", "uri", "hash", "bytes", "attributes")
PACK_COLUMNS = ("seq", "payload", "attributes")
#: Values are up to 32 KiB each.
_EVENT_ROWS, _PACK_ROWS = 20_480, 1024
SHARED = '"shared"'
_AS_OF = "as_of"
_NAMED = 3
Problem = Callable[[HistoryFile, str], None]


def batches(path: str, columns: Iterable[str], rows: int = _EVENT_ROWS) -> Iterator[pa.Table]:
    """The columns of a Parquet file, a few rows at a time."""
    with pq.ParquetFile(path, buffer_size=1 << 20) as file:
        for batch in file.iter_batches(rows, columns=list(columns)):
            yield pa.Table.from_batches([batch])


class Payloads:
    """Names of payload files that events need. dropped_before: values of workflows that ended before it (microseconds
    UTC) may be gone, so that only what later events name has to be there; what those before it name is `old`."""

    def __init__(self, dropped_before: int = 0) -> None:
        self.needed: set[str] = set()
        self.old: set[str] = set()
        self.dropped_before = dropped_before

    def note(self, ts: int, names: Iterable[str]) -> None:
        """What the event at `ts` names."""
        (self.old if ts < self.dropped_before else self.needed).update(names)


class GroupCheck:
    """The files of one range of ids of a part. files: kind -> the file and where it lies, those whose bytes are right.

    payloads: gets the names of payload files that events here need; damaged: kinds whose bytes are not right.
    """

    def __init__(
        self,
        part: Part,
        files: Mapping[str, tuple[HistoryFile, str]],
        problem: Problem,
        payloads: Payloads,
        damaged: Collection[str] = (),
    ) -> None:
        self._part, self._files, self._problem, self._payloads = part, files, problem, payloads
        self._damaged = damaged
        self._visible: list[pa.Array] = []
        self._begun: list[pa.Array] = []
        self._deleted: list[pa.Array] = []

    def run(self) -> None:
        if EVENTS in self._files:
            self._check_events(*self._files[EVENTS])
        known = self._check_workflows()
        for kind in FACTS:
            if kind in self._files:
                self._check_facts(kind, *self._files[kind], known)

    def _check_events(self, file: HistoryFile, path: str) -> None:
        packs = _Packs(*self._files[PACKS], self._problem) if PACKS in self._files else None
        last: pa.Table | None = None
        ranges = _Ranges()
        for rows in batches(path, EVENT_COLUMNS):
            ranges.add(rows)
            whole = rows if last is None else pa.concat_tables([last, rows]).combine_chunks()
            same, ordered = _compared(whole)
            if not ordered:
                self._problem(file, "its rows are not sorted by (workflow_id, seq)")
                return
            self._note_ids(whole, same, is_first=last is None)
            self._note_payloads(rows, None if packs is None else packs.of(rows))
            last = rows.slice(rows.num_rows - 1)
        if last is not None:
            self._note_ends(last)
        if packs is not None:
            packs.end()
        for message in ranges.differences(file, self._part):
            self._problem(file, message)

    def _note_ids(self, rows: pa.Table, same: pa.Array, is_first: bool) -> None:
        changes = pc.invert(same)
        self._note_ends(rows.slice(0, rows.num_rows - 1).filter(changes))
        starts = rows.slice(1).filter(changes)
        if is_first:
            starts = pa.concat_tables([rows.slice(0, 1), starts])
        known = pc.is_in(starts["type"], value_set=pa.array([WORKFLOW_SUBMITTED, WORKFLOW_DELETED]))
        self._begun.append(starts.filter(pc.invert(known))["workflow_id"].drop_null())
        self._deleted.append(rows.filter(pc.equal(rows["type"], WORKFLOW_DELETED))["workflow_id"])

    def _note_ends(self, rows: pa.Table) -> None:
        """The last row of an id: unless it says that the workflow is deleted, there are facts about it."""
        self._visible.append(rows.filter(pc.not_equal(rows["type"], WORKFLOW_DELETED))["workflow_id"].drop_null())

    def _note_payloads(self, rows: pa.Table, packed: pa.Table | None) -> None:
        if packed is not None:
            with_text = packed.filter(pc.is_valid(packed["attributes"]))
            for text in with_text["attributes"].to_pylist():
                self._payloads.needed.update(shared_files(text))
                if not all(shared_values(text)):
                    self._problem(self._files[PACKS][0], "an argument in it is not the one that its hash stands for")
            whole = pc.is_in(rows["seq"], value_set=with_text["seq"].combine_chunks())
            rows = _with_attributes(rows, pc.if_else(whole, None, rows["attributes"]))
        is_old = pc.less(rows["ts"].cast(pa.int64()), self._payloads.dropped_before)
        for some, names in (
            (rows.filter(pc.invert(is_old)), self._payloads.needed),
            (rows.filter(is_old), self._payloads.old),
        ):
            names.update(pc.unique(some["uri"].drop_null()).to_pylist())
            defined = some.filter(pc.equal(some["type"], TASK_DEFINED))
            names.update(payload_uri(hash_) for hash_ in pc.unique(defined["hash"]).to_pylist() if hash_)
            sharing = pc.fill_null(pc.match_substring(defined["attributes"], SHARED), False)
            for text in defined.filter(sharing)["attributes"].to_pylist():
                names.update(shared_files(text))

    def _check_workflows(self) -> pa.Array:
        """The ids there are facts about; they have to be those whose last event does not delete them."""
        expected = _joined(self._visible)
        if WORKFLOWS not in self._files:
            if len(expected) and WORKFLOWS not in self._damaged:
                self._problem(self._files[EVENTS][0], f"no history file tells about {_named(expected)}")
            return expected
        file, path = self._files[WORKFLOWS]
        known = _joined([rows["workflow_id"] for rows in batches(path, ["workflow_id"])])
        if EVENTS in self._files and not known.equals(expected):
            missing = expected.filter(pc.invert(pc.is_in(expected, value_set=known)))
            added = known.filter(pc.invert(pc.is_in(known, value_set=expected)))
            for ids, message in ((missing, "it does not tell about"), (added, "there are no events of")):
                if len(ids):
                    self._problem(file, f"{message} {_named(ids)}")
            if not len(missing) and not len(added):
                self._problem(file, "it tells about an id more than once")
        return known

    def _check_facts(self, kind: str, file: HistoryFile, path: str, known: pa.Array) -> None:
        names = pq.read_schema(path).names
        columns = ["workflow_id", *([_AS_OF] if _AS_OF in names else [])]
        ids = []
        for rows in batches(path, columns):
            ids.append(rows["workflow_id"])
            if _AS_OF in columns and not pc.all(pc.equal(rows[_AS_OF], self._part.last_seq)).as_py():
                self._problem(file, f"its rows are not as of seq {self._part.last_seq}")
                break
        found = _joined(ids)
        if len(found) > 1 and not pc.all(pc.less_equal(found[:-1], found[1:])).as_py():
            self._problem(file, "its rows are not sorted by workflow_id")
        if len(found) and (found[0].as_py(), found[-1].as_py()) != (file.min_id, file.max_id):
            self._problem(file, f"the manifest says that its ids go from {file.min_id!r} to {file.max_id!r}")
        if kind in (SUPERSEDED, DELETED):
            needed = _joined(self._begun if kind == SUPERSEDED else self._deleted)
            left = needed.filter(pc.invert(pc.is_in(needed, value_set=found)))
            message = "it does not name"
        else:
            left = found.filter(pc.invert(pc.is_in(found, value_set=known)))
            message = "there is no workflow for its rows about"
        if len(left):
            self._problem(file, f"{message} {_named(left)}")


class _Ranges:
    """Lowest and highest of some columns, over all rows."""

    def __init__(self) -> None:
        self._found: dict[str, list[Any]] = {"workflow_id": [], "seq": [], "ts": []}

    def add(self, rows: pa.Table) -> None:
        for name, found in self._found.items():
            column = rows[name].cast(pa.int64()) if name == "ts" else rows[name]
            extent = pc.min_max(column).as_py()
            found += [value for value in extent.values() if value is not None]

    def differences(self, file: HistoryFile, part: Part) -> Iterator[str]:
        extents = {name: (min(found), max(found)) if found else None for name, found in self._found.items()}
        ids, seqs, times = (extents[name] or (None, None) for name in ("workflow_id", "seq", "ts"))
        if ids != (file.min_id, file.max_id):
            yield f"its ids go from {ids[0]!r} to {ids[1]!r}, the manifest says {file.min_id!r} to {file.max_id!r}"
        if times != (file.min_ts, file.max_ts):
            yield "the manifest says other times than those of its events"
        if any(not part.first_seq <= seq <= part.last_seq for seq in self._found["seq"]):
            yield f"it holds seqs {seqs[0]} to {seqs[1]}, and its part is {part.first_seq} to {part.last_seq}"


class _Packs:
    """Rows of a pack file beside the events that they belong to; both have the same order."""

    def __init__(self, file: HistoryFile, path: str, problem: Problem) -> None:
        self._file, self._problem = file, problem
        self._source = self._sized(path)
        self._held = next(self._source, None)
        self._wrong = False

    def _sized(self, path: str) -> Iterator[pa.Table]:
        for rows in batches(path, PACK_COLUMNS, _PACK_ROWS):
            size = pc.binary_length(rows["payload"]).cast(pa.int64())
            yield rows.drop(["payload"]).append_column("size", size)

    def of(self, events: pa.Table) -> pa.Table:
        """The rows of these events, which come next. A value has to be as large as its event says."""
        taken = []
        seqs = events["seq"].combine_chunks()
        while self._held is not None:
            there = pc.is_in(self._held["seq"], value_set=seqs)
            count = pc.index(there, False).as_py()
            taken.append(self._held if count < 0 else self._held.slice(0, count))
            if count >= 0:
                self._held = self._held.slice(count)
                break
            self._held = next(self._source, None)
        if not taken:
            return pa.table({"seq": pa.array([], pa.int64()), "attributes": pa.array([], pa.string())})
        rows = pa.concat_tables(taken)
        said = events["bytes"].take(pc.index_in(rows["seq"], value_set=seqs))
        if not self._wrong and pc.any(pc.not_equal(said, rows["size"])).as_py():
            self._wrong = True
            self._problem(self._file, "a value in it has another size than its event says")
        return rows

    def end(self) -> None:
        if self._held is not None and self._held.num_rows:
            self._problem(self._file, f"there is no event for the value at seq {self._held['seq'][0].as_py()}")


def _compared(rows: pa.Table) -> tuple[pa.Array, bool]:
    """Which row is about the same id as the one before it, for all but the first; and whether all are in order."""
    ids, seqs = rows["workflow_id"].combine_chunks(), rows["seq"].combine_chunks()
    above, below = ids[:-1], ids[1:]
    nobodys = pc.is_null(above)
    same = pc.or_(pc.fill_null(pc.equal(above, below), False), pc.and_(nobodys, pc.is_null(below)))
    rises = pc.or_(pc.fill_null(pc.less(above, below), False), pc.and_(nobodys, pc.is_valid(below)))
    ordered = pc.or_(rises, pc.and_(same, pc.less(seqs[:-1], seqs[1:])))
    return same, pc.all(ordered, min_count=0).as_py()


def _joined(arrays: Iterable[pa.Array | pa.ChunkedArray]) -> pa.Array:
    chunks = [chunk for array in arrays for chunk in (array.chunks if isinstance(array, pa.ChunkedArray) else [array])]
    return pa.concat_arrays(chunks) if chunks else pa.array([], pa.string())


def _named(ids: pa.Array) -> str:
    some = ", ".join(repr(value) for value in ids[:_NAMED].to_pylist())
    return f"workflow {some}" + (f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else "")


def _with_attributes(rows: pa.Table, values: pa.ChunkedArray) -> pa.Table:
    return rows.set_column(rows.column_names.index("attributes"), "attributes", values)


def shared_files(attributes: str) -> Iterator[str]:
    """Files of the arguments that a task shares with others; those inline are no files."""
    if SHARED in attributes:
        for shared in json.loads(attributes).get("shared", ()):
            if isinstance(shared, dict) and shared.get("data") is None:
                yield payload_uri(shared["hash"])


def shared_values(attributes: str) -> Iterator[bool]:
    """Whether the arguments that stand in the attributes of a task are those that their hashes stand for."""
    if SHARED in attributes:
        for shared in json.loads(attributes).get("shared", ()):
            if isinstance(shared, dict) and shared.get("data") is not None:
                try:
                    data = base64.b64decode(shared["data"], validate=True)
                except binascii.Error:
                    yield False
                else:
                    yield hashlib.sha256(data).hexdigest() == shared["hash"]
