"""verify finds what is wrong with history files whose checksums are right: rows that lie, or are not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.compaction.damage import copy, largest, make, manifest, path_of, rewritten, say, say_of_file
from tests.compaction.stores import Pair, sound
from wfstore.log import verify
from wfstore.log.manifest import HistoryFile
from wfstore.log.verify_history import VALUES_DROPPED
from wfstore.model.events import WORKFLOW_DELETED
from wfstore.schema.history import (
    ACTOR_CALLS,
    ATTEMPTS,
    DELETED,
    EDGES,
    EVENTS,
    PACKS,
    RUNS,
    SUPERSEDED,
    TASKS,
    VIRTUAL_ACTORS,
    WORKFLOWS,
)


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make(tmp_path_factory.mktemp("stock") / "pair")


@pytest.fixture
def pair(stock: Pair, tmp_path: Path) -> Pair:
    return copy(stock, tmp_path)


def found(pair: Pair, *, but: str = "never said") -> list[tuple[str, str]]:
    """(name of the file, message) of the problems."""
    problems = [problem.partition(" at byte 0: ") for problem in sound(pair)]
    return [(Path(path).name, message) for path, _, message in problems if but not in message]


def the_one(pair: Pair, file: HistoryFile, **ignoring: str) -> str:
    """The message of the only problem, which is about that file."""
    ((name, message),) = found(pair, **ignoring)
    assert name == file.name
    return message


def at(table: pa.Table, place: int, column: str, value: object) -> pa.Table:
    """The table with another value in one cell."""
    cells = table[column].to_pylist()
    cells[place] = value
    index = table.column_names.index(column)
    return table.set_column(index, table.schema.field(column), pa.array(cells, table.schema.field(column).type))


def swapped(table: pa.Table) -> pa.Table:
    return table.take([*range(table.num_rows - 2), table.num_rows - 1, table.num_rows - 2])


def test_rows_in_another_order(pair: Pair) -> None:
    file = largest(pair, EVENTS)
    rewritten(pair, file, swapped)
    assert dict(found(pair, but="value at seq"))[file.name] == "its rows are not sorted by (workflow_id, seq)"


def test_events_of_other_seqs(pair: Pair) -> None:
    file = largest(pair, EVENTS)
    part = next(part for part in manifest(pair).parts if file in part.files)
    rewritten(pair, file, lambda table: at(table, table.num_rows - 1, "seq", part.last_seq + 1000))
    assert f"to {part.last_seq + 1000}, and its part is" in dict(found(pair, but="value at seq"))[file.name]


def test_an_event_that_is_there_twice(pair: Pair) -> None:
    """In files of two ranges of ids, so that neither of them can tell."""
    parts = manifest(pair).parts
    one, other = next(files for part in parts if len(files := part.of(EVENTS)) > 1)[:2]
    part = next(part for part in parts if one in part.files)
    seq = pc.max(pa.parquet.read_table(path_of(pair, one))["seq"]).as_py()  # type: ignore[attr-defined]
    rewritten(pair, other, lambda table: at(table, table.num_rows - 1, "seq", seq))
    messages = [message for _, message in found(pair)]
    assert f"the event {seq} is more than once in the part {part.first_seq} to {part.last_seq}" in messages


def test_events_that_are_missing_though_nothing_was_deleted(pair: Pair) -> None:
    parts = tuple(replace(p, files=tuple(f for f in p.files if f.kind != DELETED)) for p in manifest(pair).parts)
    say(pair, parts=parts)
    rewritten(pair, largest(pair, EVENTS), lambda table: table.slice(0, table.num_rows - 1))
    assert any("and nothing was deleted" in message for _, message in found(pair))


def test_counts_that_differ(pair: Pair) -> None:
    first, *others = manifest(pair).parts
    say(pair, parts=(replace(first, events=first.events + 1), *others))
    ((_, message),) = found(pair)
    assert f"it counts {first.events + 1}, and its files {first.events}" in message


@pytest.mark.parametrize("kind", [EVENTS, TASKS, PACKS])
def test_a_number_of_rows_that_differs(pair: Pair, kind: str) -> None:
    file = largest(pair, kind)
    say_of_file(pair, file, rows=file.rows + 1)
    assert f"it has {file.rows} rows, the manifest says {file.rows + 1}" in dict(found(pair))[file.name]


@pytest.mark.parametrize("changes", [{"min_id": "a"}, {"max_id": "zz"}, {"min_ts": 5}, {"max_ts": 2**60}])
def test_ranges_that_differ(pair: Pair, changes: dict[str, object]) -> None:
    file = largest(pair, EVENTS)
    say_of_file(pair, file, **changes)
    assert "manifest says" in the_one(pair, file)


def test_ids_that_facts_do_not_have(pair: Pair) -> None:
    file = largest(pair, TASKS)
    say_of_file(pair, file, max_id="zz")
    assert "the manifest says that its ids go from" in the_one(pair, file)


def test_a_workflow_that_nothing_tells_about(pair: Pair) -> None:
    file = largest(pair, WORKFLOWS)
    rewritten(pair, file, lambda table: table.slice(0, table.num_rows - 1))
    assert f"it does not tell about workflow '{file.max_id}'" in dict(reversed(found(pair)))[file.name]


def test_a_workflow_of_which_there_are_no_events(pair: Pair) -> None:
    file = largest(pair, WORKFLOWS)
    rewritten(pair, file, lambda table: at(table, table.num_rows - 1, "workflow_id", "zz"))
    assert ("there are no events of workflow 'zz'") in [message for _, message in found(pair)]


def test_a_workflow_that_is_told_about_twice(pair: Pair) -> None:
    file = largest(pair, WORKFLOWS)
    rewritten(pair, file, lambda table: table.take([0, *range(table.num_rows)]))
    assert the_one(pair, file) == "it tells about an id more than once"


@pytest.mark.parametrize("kind", [RUNS, TASKS, ATTEMPTS, EDGES, ACTOR_CALLS, VIRTUAL_ACTORS])
def test_facts_about_a_workflow_that_does_not_exist(pair: Pair, kind: str) -> None:
    file = largest(pair, kind)
    rewritten(pair, file, lambda table: at(table, table.num_rows - 1, "workflow_id", "zz"))
    say_of_file(pair, file, max_id="zz", **({"min_id": "zz"} if file.rows == 1 else {}))
    assert "there is no workflow for its rows about workflow 'zz'" in dict(found(pair))[file.name]


@pytest.mark.parametrize("kind", [WORKFLOWS, TASKS, SUPERSEDED])
def test_facts_as_of_another_moment(pair: Pair, kind: str) -> None:
    file = largest(pair, kind)
    rewritten(pair, file, lambda table: at(table, 0, "as_of", 1))
    assert "its rows are not as of seq" in the_one(pair, file)


@pytest.mark.parametrize("kind", [SUPERSEDED, DELETED])
def test_an_id_that_should_be_named(pair: Pair, kind: str) -> None:
    file = next(file for file in manifest(pair).of(kind) if needed(pair, file))
    (name, *_) = needed(pair, file)

    def other(table: pa.Table) -> pa.Table:
        return at(table, table["workflow_id"].to_pylist().index(name), "workflow_id", f"{name} ")

    rewritten(pair, file, other)
    assert f"it does not name workflow '{name}'" in [message for _, message in found(pair)]


def needed(pair: Pair, file: HistoryFile) -> list[str]:
    """Ids that the file has to name, because of events of its part."""
    part = next(part for part in manifest(pair).parts if file in part.files)
    rows = pa.concat_tables(
        pa.parquet.read_table(path_of(pair, each))  # type: ignore[attr-defined]
        for each in part.of(EVENTS)
        if each.group == file.group
    )
    if file.kind == DELETED:
        names: list[str] = rows.filter(pc.equal(rows["type"], WORKFLOW_DELETED))["workflow_id"].to_pylist()
        return names
    firsts: dict[str, str] = {}
    for name, type_ in zip(rows["workflow_id"].to_pylist(), rows["type"].to_pylist(), strict=True):
        if name is not None:
            firsts.setdefault(name, type_)
    return [name for name, type_ in firsts.items() if type_ not in (WORKFLOW_DELETED, "workflow.submitted")]


def test_a_value_of_another_size_than_its_event_says(pair: Pair) -> None:
    file = largest(pair, PACKS)
    rewritten(pair, file, lambda table: at(table, 0, "payload", b"other" * 9))
    assert the_one(pair, file) == "a value in it has another size than its event says"


def test_a_value_without_an_event(pair: Pair) -> None:
    file = largest(pair, PACKS)
    rewritten(pair, file, lambda table: at(table, 1, "seq", 10**9))
    assert the_one(pair, file) == "there is no event for the value at seq 1000000000"


def test_a_file_that_is_no_parquet_file_or_lacks_a_column(pair: Pair) -> None:
    file = largest(pair, PACKS)
    rewritten(pair, file, lambda table: table.drop(["payload"]))
    assert the_one(pair, file) == "it has no column payload"
    path_of(pair, file).write_bytes(b"no")
    say_of_file(pair, file, bytes=2, crc=0x4BD7D9D1)
    (problem,) = [message for name, message in found(pair) if name == file.name]
    assert "checksum" in problem or "not a Parquet file" in problem


def in_history(pair: Pair) -> Path:
    """A payload file that an event in a history file names."""
    uris = [event.uri for event in pair.events if event.uri and (event.seq or 0) < manifest(pair).next_seq]
    return pair.path / uris[0]


def test_payload_files_that_history_names(pair: Pair) -> None:
    path = in_history(pair)
    path.write_bytes(b"other")
    assert found(pair) == [(path.name, "the payload's bytes are not those its name stands for")]
    path.unlink()
    ((name, message),) = found(pair)
    assert name == path.name
    assert "a payload that an event names cannot be read" in message


def test_payload_files_that_retention_has_removed(pair: Pair) -> None:
    path = in_history(pair)
    path.unlink()
    last = max(event.ts for event in pair.events)
    say(pair, settings={VALUES_DROPPED: {"ended_before": last + 1, "next_seq": 10**6}})
    assert [name for name, _ in found(pair)] in ([], [path.name])
    uris = {event.uri for event in pair.events if (event.seq or 0) >= manifest(pair).next_seq}
    assert (found(pair) == []) == (f"payloads/{path.parent.name}/{path.name}" not in uris)
    say(pair, settings={VALUES_DROPPED: {"ended_before": 1, "next_seq": 10**6}})
    assert [name for name, _ in found(pair)] == [path.name]


def test_repair_leaves_history_files_alone(pair: Pair) -> None:
    path_of(pair, largest(pair, TASKS)).unlink()
    report = verify(str(pair.path), repair=True)
    assert not report.ok
    assert report.repaired == []
