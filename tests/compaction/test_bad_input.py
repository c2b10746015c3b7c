"""Damaged, missing and lying history files: the error names the file, and whoever does not need it gets an answer."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

import wfstore
from tests.compaction.damage import copy, largest, make, manifest, manifest_path, path_of, say, say_of_file
from tests.compaction.stores import COLUMNS, Pair, sound, without
from wfstore.errors import DamageError, StorageError, StorageVersionError, WfstoreError
from wfstore.index.cold import kinds_read
from wfstore.index.compaction import compact
from wfstore.log import Cursor, LogReader, open_writer, verify
from wfstore.log.manifest import HISTORY_DIRECTORY, history_blobs, manifest_name, publish_manifest
from wfstore.schema.history import DELETED, EVENTS, KINDS, PACKS, SUPERSEDED, VIEW_KINDS


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make(tmp_path_factory.mktemp("stock") / "pair")


@pytest.fixture
def pair(stock: Pair, tmp_path: Path) -> Pair:
    return copy(stock, tmp_path)


def test_the_stock_is_sound(pair: Pair) -> None:
    assert sound(pair) == []
    assert len(manifest(pair).parts) > 1
    assert len({file.group for file in manifest(pair).of(EVENTS)}) > 1
    report = verify(str(pair.path))
    assert report.history_files == sum(1 for _ in manifest(pair).files)
    assert report.history_events == sum(file.rows for file in manifest(pair).of(EVENTS))
    assert report.left_behind == []


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[random.Random(len(data)).randrange(len(data))] ^= 8
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


DAMAGES = {"missing": Path.unlink, "cut": cut, "flipped": flip}


def needs(view: str, kind: str) -> bool:
    """Whether rows of the view come out of files of that kind."""
    return kind in kinds_read(view) or (kind == SUPERSEDED and bool(kinds_read(view) & set(VIEW_KINDS)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_file_is_named_by_those_who_need_it(pair: Pair, kind: str) -> None:
    named_by_those_who_need_it(pair, kind, "missing")


@pytest.mark.parametrize(("kind", "damage"), [(EVENTS, "cut"), ("tasks", "flipped"), (SUPERSEDED, "flipped")])
def test_a_damaged_file_is_named_by_those_who_need_it(pair: Pair, kind: str, damage: str) -> None:
    named_by_those_who_need_it(pair, kind, damage)


@pytest.mark.fault
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_any_damage_of_any_file_is_named_by_those_who_need_it(pair: Pair, kind: str, damage: str) -> None:
    named_by_those_who_need_it(pair, kind, damage, every=True)


def named_by_those_who_need_it(pair: Pair, kind: str, damage: str, every: bool = False) -> None:
    """Those who do not need it get their answers: `every` view, or two of them."""
    path = path_of(pair, largest(pair, kind))
    DAMAGES[damage](path)
    answered = 0
    (problem,) = [p for p in verify(str(pair.path)).problems if HISTORY_DIRECTORY in p.path]
    assert Path(problem.path) == path
    store = wfstore.open(pair.path)
    for view, columns in COLUMNS.items():
        query = f"SELECT {columns} FROM {view} ORDER BY ALL"
        # A workflow that went on needs its older events, for what the views say about it.
        if kind == EVENTS and view != "events":
            continue
        if needs(view, kind):
            with pytest.raises(DamageError, match="history file") as raised:
                store.sql(query)
            assert (Path(raised.value.path), "Restore it" in str(raised.value)) == (path, True)
        elif every or answered < 2:
            answered += 1
            found, expected = store.sql(query).to_arrow_table(), pair.expected[view]
            if view == "events":
                expected = without(expected, set(expected["seq"].to_pylist()) - set(found["seq"].to_pylist()))
            assert found.equals(expected), view


@pytest.mark.parametrize("kind", [EVENTS, PACKS])
def test_histories_and_values_of_workflows_in_other_files(pair: Pair, kind: str) -> None:
    file = largest(pair, kind)
    path_of(pair, file).unlink()
    store = wfstore.open(pair.path)
    told: dict[bool, int] = {True: 0, False: 0}
    for workflow_id in pair.expected["workflows"]["workflow_id"].to_pylist():
        needed = file.may_hold(workflow_id)
        told[needed] += 1
        seqs = [e.seq for e in pair.events if e.workflow_id == workflow_id and e.payload is not None]
        with pytest.raises(DamageError, match=file.name) if needed and kind == EVENTS else nullcontext():
            store.history(workflow_id)
        for seq in seqs:
            in_files = (seq or 0) < manifest(pair).next_seq
            with (
                pytest.raises(DamageError, match=file.name) if needed and in_files and kind == PACKS else nullcontext()
            ):
                store._payload(workflow_id, seq)
    assert all(told.values())


def test_a_file_that_comes_back_is_read_again(pair: Pair, tmp_path: Path) -> None:
    for kind in (SUPERSEDED, "tasks", EVENTS):
        path = path_of(pair, largest(pair, kind))
        store = wfstore.open(pair.path)
        path.rename(tmp_path / "aside")
        fresh = wfstore.open(pair.path)
        for _ in range(2):
            with pytest.raises(DamageError):
                fresh.sql("FROM tasks, events")
        (tmp_path / "aside").rename(path)
        for each in (fresh, store):
            assert each.sql("FROM tasks ORDER BY ALL").to_arrow_table().equals(pair.expected["tasks"])


def test_a_compaction_that_meets_damage_changes_nothing(pair: Pair) -> None:
    open_writer(str(pair.path)).close()
    for kind in (EVENTS, DELETED):
        flip(path_of(pair, largest(pair, kind)))
        before = sorted(path.name for path in (pair.path / HISTORY_DIRECTORY).iterdir())
        with pytest.raises(StorageError, match="history file"):
            compact(str(pair.path), grace_s=3600, workers=1)
        assert set(before) <= {path.name for path in (pair.path / HISTORY_DIRECTORY).iterdir()}


# -- the manifest ----------------------------------------------------------------------------------------------------


def refuses(pair: Pair, error: type[WfstoreError] = DamageError) -> str:
    """Neither readers nor a writer nor a compaction take the store; what they say is one and the same."""
    names = sorted(path.name for path in (pair.path / "log").iterdir())
    said = set()
    asks: list[Callable[[], object]] = [
        lambda: wfstore.open(pair.path).sql("FROM workflows"),
        lambda: open_writer(str(pair.path)),
        lambda: compact(str(pair.path), workers=1),
    ]
    for ask in asks:
        with pytest.raises(error) as raised:
            ask()
        said.add(str(raised.value))
    assert sorted(path.name for path in (pair.path / "log").iterdir()) == names
    (text,) = said
    return text


@pytest.mark.parametrize("place", [0, 0.6])
def test_a_flipped_bit_in_the_manifest(pair: Pair, place: float) -> None:
    path = manifest_path(pair)
    store = wfstore.open(pair.path)
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 1
    path.write_bytes(data)
    assert str(path) in refuses(pair)
    assert [p for p in verify(str(pair.path)).problems if p.path == str(path)]
    # It has read the manifest while it was right.
    assert store.sql("FROM workflows ORDER BY ALL").to_arrow_table().equals(pair.expected["workflows"])


def test_a_newer_manifest_that_is_damaged_is_not_passed_over(pair: Pair) -> None:
    store = wfstore.open(pair.path)
    store.sql("FROM workflows")
    path = path_of(pair, manifest_name(manifest(pair).number + 1))
    path.write_bytes(b"{}\n")
    assert str(path) in refuses(pair)
    for _ in range(2):
        with pytest.raises(DamageError, match=path.name):
            store.sql("FROM workflows")


def test_an_older_manifest_that_is_damaged_goes_away(pair: Pair) -> None:
    path = manifest_path(pair)
    assert publish_manifest(history_blobs(str(pair.path)), manifest(pair).following(1))
    flip(path)
    assert sound(pair) == []
    compact(str(pair.path), grace_s=3600, workers=1)
    assert path.exists()
    compact(str(pair.path), grace_s=0, workers=1)
    assert not path.exists()
    assert wfstore.open(pair.path).sql("FROM tasks ORDER BY ALL").to_arrow_table().equals(pair.expected["tasks"])


def test_a_manifest_that_is_cut_or_empty(pair: Pair) -> None:
    path = manifest_path(pair)
    data = path.read_bytes()
    for length in (0, 1, len(data) // 2, len(data) - 3):
        path.write_bytes(data[:length])
        assert str(path) in refuses(pair)


def test_a_manifest_of_a_newer_format(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wfstore.log.manifest.FORMAT", 2)
    say(pair)
    monkeypatch.undo()
    assert "Update wfstore" in refuses(pair, StorageVersionError)
    with pytest.raises(StorageVersionError):
        verify(str(pair.path))


def test_a_manifest_with_a_gap_between_its_parts(pair: Pair) -> None:
    path = manifest_path(pair)
    say(pair, parts=manifest(pair).parts[1:])
    assert "contradicts itself" in refuses(pair)
    assert [p.path for p in verify(str(pair.path)).problems if HISTORY_DIRECTORY in p.path] == [str(path)]


@pytest.mark.parametrize("what", ["bytes", "crc"])
def test_a_manifest_that_lies_about_a_file(pair: Pair, what: str) -> None:
    file = largest(pair, "tasks")
    say_of_file(pair, file, **{what: getattr(file, what) + 1})
    with pytest.raises(DamageError, match=file.name):
        wfstore.open(pair.path).sql("FROM tasks")
    assert [Path(p.path).name for p in verify(str(pair.path)).problems if "payloads" not in p.path] == [file.name]


def test_history_files_of_another_store(pair: Pair) -> None:
    say(pair, store_id="another")
    with pytest.raises(DamageError, match="another store"):
        open_writer(str(pair.path))
    assert any("another store" in problem.message for problem in verify(str(pair.path)).problems)


# -- half of a store -------------------------------------------------------------------------------------------------


def test_a_trimmed_log_without_its_history_is_refused(pair: Pair) -> None:
    store = wfstore.open(pair.path)
    shutil.rmtree(pair.path / HISTORY_DIRECTORY)
    first = sorted((pair.path / "log").iterdir())[0]
    names = sorted(path.name for path in (pair.path / "log").iterdir())
    for ask in (lambda: wfstore.open(pair.path).sql("FROM workflows"), lambda: open_writer(str(pair.path))):
        with pytest.raises(DamageError, match="or the folder `history` is") as raised:
            ask()
        assert Path(raised.value.path) == first
    with pytest.raises(StorageError, match="missing"):
        compact(str(pair.path), workers=1)
    assert sorted(path.name for path in (pair.path / "log").iterdir()) == names
    assert [Path(p.path) for p in verify(str(pair.path)).problems if "payloads" not in p.path] == [first]
    with pytest.raises(DamageError, match="manifest was there a moment ago"):
        store.sql("FROM workflows")


def test_a_trimmed_log_is_not_read_from_its_beginning_by_mistake(pair: Pair) -> None:
    with pytest.raises(StorageError, match="in history files") as raised:
        LogReader(str(pair.path)).read(Cursor())
    assert not isinstance(raised.value, DamageError)
    begins = manifest(pair).next_seq
    table, _ = LogReader(str(pair.path)).read(Cursor(begins))
    assert table["seq"].to_pylist() == [e.seq for e in pair.events if (e.seq or 0) >= begins]


def test_a_writer_goes_on_behind_a_trimmed_log(pair: Pair) -> None:
    writer = open_writer(str(pair.path))
    assert writer.next_seq == len(pair.events) + 1
    writer.close()
    assert sound(pair) == []


def test_a_log_that_is_gone_altogether_goes_on_behind_its_history_once_it_is_said_to(pair: Pair) -> None:
    begins = manifest(pair).next_seq
    for path in (pair.path / "log").iterdir():
        path.unlink()
    assert any("store.json counts on it" in problem.message for problem in verify(str(pair.path)).problems)
    for use in (lambda: open_writer(str(pair.path)), lambda: wfstore.open(pair.path).sql("FROM workflows")):
        with pytest.raises(DamageError, match=r"remove store\.json"):
            use()
    (pair.path / "store.json").unlink()
    assert open_writer(str(pair.path)).next_seq == begins


def test_a_log_that_ends_before_its_history_is_refused(pair: Pair, stock: Pair) -> None:
    """Segments of an older backup beside newer history files."""
    shutil.rmtree(pair.path / "log")
    older = pair.path.parent / "older"
    writer = open_writer(str(older))
    writer.append(pair.events[:5])
    writer.close()
    shutil.copytree(older / "log", pair.path / "log")
    (pair.path / "store.json").write_bytes((older / "store.json").read_bytes())
    store_id = writer.store_id
    say(pair, store_id=store_id)
    with pytest.raises(DamageError, match="history files end before seq"):
        open_writer(str(pair.path))
    assert any("the log ends before seq 6" in problem.message for problem in verify(str(pair.path)).problems)


def test_a_segment_that_is_missing_behind_the_history(pair: Pair) -> None:
    (pair.path / "log" / sorted(path.name for path in (pair.path / "log").iterdir())[0]).unlink()
    begins = manifest(pair).next_seq
    if LogReader(str(pair.path))._current_survey().segments[0].header.start.next_seq > begins:
        with pytest.raises(DamageError, match="a segment is missing"):
            open_writer(str(pair.path))
        assert not verify(str(pair.path)).ok


def test_what_a_killed_compaction_left_behind_is_named_and_no_problem(pair: Pair) -> None:
    folder = pair.path / HISTORY_DIRECTORY
    (folder / ".work-abc").mkdir()
    (folder / "events-1-2-0-abc.parquet").write_bytes(b"half")
    (folder / "manifest-00000009.json.12.new").write_bytes(b"half")
    assert sound(pair) == []
    left = ["events-1-2-0-abc.parquet", "manifest-00000009.json.12.new", ".work-abc"]
    assert verify(str(pair.path)).left_behind == left
    assert wfstore.open(pair.path).sql("FROM tasks ORDER BY ALL").to_arrow_table().equals(pair.expected["tasks"])
