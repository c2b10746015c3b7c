"""Two stores with the same log, one of which is compacted; and what has to be the same in both."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import importlib
import json
import pickle
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import wfstore
from tests.index.worlds import lease
from tests.model import dags, histories
from wfstore.errors import WfstoreError
from wfstore.index.compaction import Compacted, compact, output, plan
from wfstore.log import LogReader, open_writer, remove_lease, verify, write_lease
from wfstore.log.manifest import HISTORY_DIRECTORY, read_manifest
from wfstore.model.commands import Cancel, Delete
from wfstore.model.events import WORKFLOW_DELETED, Event
from wfstore.model.payload import PayloadRef
from wfstore.payloads import PayloadStore
from wfstore.schema.history import EVENTS, PACKS
from wfstore.schema.packing import _ARGUMENTS, _VALUE
from wfstore.schema.views import VIEWS

_BODIES = {"ab", "cd", "ac", "00"}
#: Of the manager's memory, not of the store.
_LIVE = ("live_workflows", "live_tasks")
#: Users' values in `attributes` go to pack files, and so does the hash of a value that is not a file.
_STRIPPED = rf"regexp_replace(regexp_replace(attributes, '{_VALUE}', '\1', 'g'), '{_ARGUMENTS}', '')"
_EVENTS = f"* EXCLUDE (hash) REPLACE ({_STRIPPED}::JSON AS attributes)"
COLUMNS = {name: _EVENTS if name == "events" else "*" for name in VIEWS if name not in _LIVE}


@contextmanager
def small_plan(rng: random.Random) -> Iterator[None]:
    """A plan as for a large history, with few rows."""
    with (
        planned(
            range_events=rng.choice([20, 60, 250_000]),
            group_events=rng.choice([30, 100, 1_000_000]),
            fan_out=rng.choice([2, 3]),
            small_events=rng.choice([0, 40, 400_000]),
            part_events=rng.choice([30, 16_000_000]),
        ),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(plan, "MAX_GROUPS", rng.choice([2, 8]))
        patch.setattr(plan, "_TIER_EVENTS", rng.choice([8, 50, 1000]))
        patch.setattr(plan, "_SAMPLE_ROWS", rng.choice([5, 4_000]))
        patch.setattr(output, "_ROW_GROUP_ROWS", rng.choice([4, 16, 20_480]))
        yield


@contextmanager
def planned(
    *, range_events: int, group_events: int, fan_out: int, small_events: int = 0, part_events: int = 16_000_000
) -> Iterator[None]:
    """A plan with these numbers; `wfstore.index.compaction.plan` says what they mean."""
    module = importlib.import_module("wfstore.index.compaction.compact")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "RANGE_EVENTS", range_events)
        patch.setattr(plan, "_GROUP_EVENTS", group_events)
        patch.setattr(plan, "FAN_OUT", fan_out)
        patch.setattr(module, "_SMALL_EVENTS", small_events)
        patch.setattr(module, "_PART_EVENTS", part_events)
        yield


@contextmanager
def real_payloads(path: Path) -> Iterator[None]:
    """Values that can be unpickled, in random histories; some of them are files, which lie in the store at `path`."""

    def ref(text: str = "x") -> PayloadRef:
        data = pickle.dumps(text)
        if text == "b" or hashlib.sha256(data).digest()[0] < 60:
            return PayloadStore(str(path)).put_file(data)
        return PayloadRef(hashlib.sha256(data).hexdigest(), len(data), data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dags, "ref", ref)
        patch.setattr(histories, "ref", ref)
        yield


class Pair:
    """`path` is to be compacted, `plain` is left alone; both hold the same events of the same epochs."""

    def __init__(self, root: Path, segment_bytes: int) -> None:
        self.path, self.plain = root / "store", root / "plain"
        self._segment_bytes = segment_bytes
        self._writers = self._open()
        self.events: list[Event] = []
        self.expected: dict[str, pa.Table] = {}
        (self.path / "payloads").mkdir(exist_ok=True)
        (self.plain / "payloads").symlink_to(self.path / "payloads")

    def _open(self) -> list[Any]:
        return [
            open_writer(str(self.path), segment_bytes=self._segment_bytes),
            open_writer(str(self.plain)),
        ]

    def append(self, events: Sequence[Event]) -> None:
        first, _ = {writer.append(events) for writer in self._writers}.pop()
        self.events += [event._replace(seq=seq) for seq, event in enumerate(events, first)]

    def reopen(self) -> None:
        """Another manager takes over: whatever was written is sealed."""
        for writer in self._writers:
            writer.close()
        self._writers = self._open()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()

    def managed(self, alive: bool) -> None:
        for path in (self.path, self.plain):
            if alive:
                write_lease(str(path), lease())
            else:
                remove_lease(str(path))

    def at(self, path: Path) -> Pair:
        """The same with another compacted store, a copy of this one's. Nobody writes to it."""
        other = copy.copy(self)
        other.path, other._writers = path, []
        return other

    def compact(self, purge: bool = True) -> Compacted:
        return compact(str(self.path), grace_s=0, workers=1, purge=purge)

    def dead(self, up_to: int | None = None) -> set[int]:
        """Seqs of the rows that a deletion hides, of those deletions with a seq of at most `up_to`."""
        ends = {
            event.workflow_id: event.seq or 0
            for event in self.events
            if event.type == WORKFLOW_DELETED and (up_to is None or (event.seq or 0) <= up_to)
        }
        return {event.seq or 0 for event in self.events if (event.seq or 0) < ends.get(event.workflow_id, 0)}


def views(store: wfstore.Store, names: Iterable[str] = tuple(COLUMNS)) -> dict[str, pa.Table]:
    """Every view's rows in an order of their own, or those of some views."""
    return {name: store.sql(f"SELECT {COLUMNS[name]} FROM {name} ORDER BY ALL").to_arrow_table() for name in names}


def without(table: pa.Table, seqs: set[int]) -> pa.Table:
    return table.filter(pa.array([seq not in seqs for seq in table["seq"].to_pylist()], pa.bool_()))


def check_same(pair: Pair, plain: wfstore.Store | None, *stores: wfstore.Store) -> None:
    """Every view of the stores over the compacted log says what it says over the plain one. None: as it once said."""
    expected = pair.expected if plain is None else views(plain)
    hidden = pair.dead()
    for store in stores:
        for name, table in views(store).items():
            wanted = expected[name]
            if name == "events":
                gone = set(wanted["seq"].to_pylist()) - set(table["seq"].to_pylist())
                assert gone <= hidden
                wanted = without(wanted, gone)
            assert table.schema.equals(wanted.schema), name
            assert table.equals(wanted), difference(name, table, wanted)


def difference(name: str, found: pa.Table, wanted: pa.Table) -> str:
    if found.num_rows == wanted.num_rows:
        pairs = zip(found.to_pylist(), wanted.to_pylist(), strict=True)
        cells = [
            (row.get("seq", row), name, row[name], other[name])
            for row, other in pairs
            for name in row
            if row[name] != other[name]
        ]
        return f"{name}: {len(cells)} cells differ: {cells[:3]}"
    rows, others = found.to_pylist(), wanted.to_pylist()
    extra = [row for row in rows if row not in others]
    missing = [row for row in others if row not in rows]
    return f"{name}: {len(rows)} rows, {len(others)} expected; too much: {extra[:3]}; missing: {missing[:3]}"


def check_histories(pair: Pair, store: wfstore.Store, plain: wfstore.Store) -> None:
    """`Store.history` and `Store.output` of every id and task say the same in a store over each log."""
    hidden = pair.dead()
    for (workflow_id,) in plain.sql("SELECT DISTINCT workflow_id FROM events WHERE workflow_id IS NOT NULL").fetchall():
        found, wanted = (_history(each, workflow_id, hidden) for each in (store, plain))
        assert found == wanted, workflow_id
        tasks = [task["task_id"] for task in wanted["tasks"]] if isinstance(wanted, dict) else []
        for task_id in (None, *tasks):
            outputs = [_output(each, workflow_id, task_id) for each in (store, plain)]
            assert outputs[0] == outputs[1], (workflow_id, task_id)
    for event in pair.events:
        if event.payload is not None and event.seq not in hidden:
            assert event.workflow_id is not None and event.seq is not None
            assert store._payload(event.workflow_id, event.seq) == event.payload


def _history(store: wfstore.Store, workflow_id: str, hidden: set[int]) -> dict[str, Any] | str:
    try:
        found = store.history(workflow_id)
    except WfstoreError as error:
        return repr(error)
    rows = found.to_dict()
    rows["events"] = [
        {**row, "hash": None, "attributes": _stripped(row)} for row in rows["events"] if row["seq"] not in hidden
    ]
    return {**rows, "text": str(found), "actor": found.actor, "summary": found.summary}


def _stripped(row: dict[str, Any]) -> object:
    text = json.dumps(row["attributes"], separators=(",", ":"), ensure_ascii=False)
    return re.sub(_ARGUMENTS, "", re.sub(_VALUE, r"\1", text))


def _output(store: wfstore.Store, workflow_id: str, task_id: str | None) -> object:
    try:
        return store.output(workflow_id, task_id)
    except WfstoreError as error:
        return type(error).__name__, str(error).replace(store.storage, "")


def sound(pair: Pair) -> list[str]:
    """What `verify` finds, but for function bodies, which random histories only name."""
    report = verify(str(pair.path))
    return [str(problem) for problem in report.problems if Path(problem.path).name not in _BODIES]


def check_purged(pair: Pair, orphans: bool = False) -> None:
    """No file holds anything of what was deleted, as far as history files reach; and there are no others, unless
    `orphans` of a compaction that was killed."""
    manifest = read_manifest(str(pair.path))
    gone = pair.dead(manifest.next_seq - 1)
    named = {file.name for file in manifest.files}
    folder = pair.path / HISTORY_DIRECTORY
    there = {path.name for path in folder.iterdir()} if folder.exists() else set()
    assert named <= there
    assert orphans or len(there - named) == (1 if manifest.number else 0)
    for file in (file for kind in (EVENTS, PACKS) for file in manifest.of(kind)):
        assert not gone & set(pq.read_table(folder / file.name, columns=["seq"])["seq"].to_pylist()), file.name
    begins = LogReader(str(pair.path))._current_survey().segments[0].header.start.next_seq
    assert begins <= manifest.next_seq
    first = [event.seq for event in pair.events if (event.seq or 0) >= manifest.next_seq]
    assert not first or begins <= first[0]  # type: ignore[operator]


def stir(simulation: histories.Simulation, steps: int) -> None:
    """Random steps, in which workflows end and are deleted more often than they would by themselves."""
    rng = simulation.rng
    for number in range(steps):
        simulation.step()
        if rng.random() < 0.15:
            workflow_id = rng.choice(["w0", "w1", "w2", "w3", "a0", "a1"])
            simulation.submitted += 1
            for command in (Cancel, Delete)[rng.randint(0, 1) :]:
                with contextlib.suppress(WfstoreError):
                    simulation.do(command(workflow_id, f"stir{number}-{simulation.submitted}"))


def go_on(simulation: histories.Simulation, pair: Pair, rng: random.Random, written: int) -> int:
    """More of a random history, in appends of random sizes; now and then the writer begins anew. Returns how many
    events of it are in the store."""
    stir(simulation, rng.randint(1, 25))
    while written < len(simulation.log):
        count = rng.randint(1, 12)
        pair.append(simulation.log[written : written + count])
        written = min(written + count, len(simulation.log))
    if rng.random() < 0.3:
        pair.reopen()
    return written


def play(root: Path, seed: int, steps: int) -> None:
    """A random history, compacted at random moments; after each, everything is as in the plain log."""
    rng = random.Random(seed)
    root.mkdir(exist_ok=True)
    with small_plan(rng), real_payloads(root / "store"):
        simulation = histories.random_history(seed, 0)
        pair = Pair(root, rng.choice([1, 800, 4000]))
        before, plain = wfstore.open(pair.path), wfstore.open(pair.plain)
        written = 0
        for step in range(steps):
            written = go_on(simulation, pair, rng, written)
            # Nobody manages the store in the end; what the plain log says does not change after the last of them.
            pair.managed(step + 1 < steps and rng.random() < 0.5)
            if rng.random() < 0.5:
                # A reader of before the compaction, which has asked for some.
                views(before, rng.sample(sorted(COLUMNS), 2))
            for _ in range(rng.randint(0, 2)):
                pair.compact(purge=rng.random() < 0.4)
            pair.expected = views(plain)
            check_same(pair, None, before)
        pair.close()
        pair.reopen()
        pair.close()
        pair.compact()
        fresh = wfstore.open(pair.path)
        check_same(pair, None, before, fresh)
        check_histories(pair, fresh, plain)
        check_purged(pair)
        assert sound(pair) == []
