"""Torn tails are "not there yet", damage is an error with file and offset, and no damaged byte becomes a row.

Any damage anywhere, in numbers, is tests/fault/damage.py.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
from pathlib import Path

import pytest

from tests.log.events import FULL, plain, plains, stamped
from wfstore.errors import DamageError
from wfstore.log import LogReader, open_writer, verify
from wfstore.log.witness import read_witness
from wfstore.model.events import Event

NEWEST = "seg-00000001-000001.wfl"


def make(path: Path, commits: int = 4, *, claims: int = 1, stopped: bool = True) -> tuple[Path, list[Event]]:
    """A store of `claims` epochs with `commits` each, and its events. `stopped`: its last writer has been closed."""
    events: list[Event] = []
    for _ in range(claims):
        writer = open_writer(str(path))
        for number in range(commits):
            new = plains(number, number % 3 + 1) if number else [FULL]
            first, _ = writer.append(new)
            events += stamped(new, first, writer.epoch)
        if stopped or writer.epoch < claims:
            writer.close()
    return path, events


def outcome(store: Path) -> list[Event] | DamageError:
    try:
        return list(LogReader(str(store)).events())
    except DamageError as error:
        return error


def test_truncation_at_every_byte_gives_a_prefix_of_whole_commits(tmp_path: Path) -> None:
    store, events = make(tmp_path / "store", stopped=False)
    segment = store / "log" / NEWEST
    data = segment.read_bytes()
    prefixes = [events[:n] for n in (0, 1, 3, 6, 7)]
    longest = 0
    for length in range(len(data) + 1):
        segment.write_bytes(data[:length])
        found = outcome(store)
        assert found in prefixes, length
        assert len(found) >= longest, length  # type: ignore[arg-type]
        longest = len(found)  # type: ignore[arg-type]
    assert longest == len(events)


@pytest.mark.parametrize("claims", [1, 2])
def test_no_flipped_bit_becomes_a_wrong_row(tmp_path: Path, claims: int) -> None:
    store, events = make(tmp_path / "store", claims=claims)
    chance = random.Random(7)
    raised = 0
    for segment in sorted((store / "log").iterdir()):
        data = segment.read_bytes()
        for bit in chance.sample(range(len(data) * 8), 700):
            broken = bytearray(data)
            broken[bit // 8] ^= 1 << bit % 8
            segment.write_bytes(broken)
            found = outcome(store)
            if isinstance(found, DamageError):
                raised += 1
                assert Path(found.path) == segment
                assert 0 <= found.offset <= bit // 8
            else:
                assert found == events[: len(found)], bit
        segment.write_bytes(data)
    # What does not raise is a flip in the last frame that looks like an interrupted write.
    assert raised > 1300 * claims / 2


def test_zeroed_sectors_at_the_end_are_a_torn_tail(tmp_path: Path) -> None:
    store, events = make(tmp_path / "store")
    segment = store / "log" / NEWEST
    with segment.open("ab") as file:
        file.write(bytes(8192))
    assert outcome(store) == events


def test_a_frame_after_a_bad_one_makes_it_damage(tmp_path: Path) -> None:
    store, _ = make(tmp_path / "store")
    segment = store / "log" / NEWEST
    data = bytearray(segment.read_bytes())
    at = data.index(b"\xf5WFE")
    data[at : at + 600] = bytes(600)
    segment.write_bytes(data)
    found = outcome(store)
    assert isinstance(found, DamageError)
    assert found.offset == at


def test_repeated_dropped_and_swapped_frames_are_damage(tmp_path: Path) -> None:
    store, _ = make(tmp_path / "store")
    segment = store / "log" / NEWEST
    data = segment.read_bytes()
    starts = [i for i in range(len(data)) if data[i : i + 4] == b"\xf5WFE"] + [len(data)]
    head, frames = data[: starts[0]], [data[a:b] for a, b in itertools.pairwise(starts)]
    for order in ([0, 1, 1, 2, 3], [0, 2, 3], [0, 2, 1, 3], [1, 2, 3], [0, 1, 2, 3, 3]):
        segment.write_bytes(head + b"".join(frames[i] for i in order))
        assert isinstance(outcome(store), DamageError), order


def test_a_sealed_segment_that_is_cut_or_gone_is_damage(tmp_path: Path) -> None:
    store, _ = make(tmp_path / "store", claims=2)
    segment = store / "log" / NEWEST
    data = segment.read_bytes()
    segment.write_bytes(data[:-1])
    found = outcome(store)
    assert isinstance(found, DamageError)
    assert (Path(found.path), found.offset) == (segment, len(data) - 1)
    segment.unlink()
    found = outcome(store)
    assert isinstance(found, DamageError)
    assert "missing" in str(found)


def test_a_damaged_log_is_not_claimed(tmp_path: Path) -> None:
    store, _ = make(tmp_path / "store")
    segment = store / "log" / NEWEST
    data = bytearray(segment.read_bytes())
    data[data.index(b"\xf5WFE") + 50] ^= 1
    segment.write_bytes(data)
    with pytest.raises(DamageError):
        open_writer(str(store))
    assert [path.name for path in (store / "log").iterdir()] == [NEWEST]


def test_the_next_writer_goes_on_behind_a_torn_tail(tmp_path: Path) -> None:
    store, events = make(tmp_path / "store", stopped=False)
    segment = store / "log" / NEWEST
    with segment.open("r+b") as file:
        file.truncate(segment.stat().st_size - 3)
    writer = open_writer(str(store))
    kept = events[:-1]
    assert writer.next_seq == len(kept) + 1
    writer.append([plain(99)])
    assert outcome(store) == [*kept, *stamped([plain(99)], len(kept) + 1, 2)]
    writer.close()
    assert verify(str(store)).ok


def test_repair_cuts_a_torn_tail_only_and_keeps_a_copy(tmp_path: Path) -> None:
    store, events = make(tmp_path / "store")
    segment = store / "log" / NEWEST
    whole = segment.stat().st_size
    with segment.open("ab") as file:
        file.write(b"\xf5WFE torn")
    report = verify(str(store))
    assert [(Path(p.path), p.offset, p.repairable) for p in report.problems] == [(segment, whole, True)]
    assert segment.stat().st_size > whole
    torn = segment.read_bytes()
    report = verify(str(store), repair=True)
    assert report.ok
    assert len(report.repaired) == 1
    assert segment.stat().st_size == whole
    assert segment.with_name(f"{NEWEST}.broken").read_bytes() == torn
    assert verify(str(store)).ok
    assert outcome(store) == events


def test_repair_does_not_touch_damage(tmp_path: Path) -> None:
    store, _ = make(tmp_path / "store", claims=2)
    segment = store / "log" / NEWEST
    data = bytearray(segment.read_bytes())
    data[-5] ^= 4
    segment.write_bytes(data)
    report = verify(str(store), repair=True)
    assert not report.ok
    assert not report.repaired
    assert [(Path(p.path), p.repairable) for p in report.problems] == [(segment, False)]
    assert segment.read_bytes() == data


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_a_last_commit_that_a_clean_stop_counted_on_is_no_torn_tail(tmp_path: Path, damage: str) -> None:
    """With a sector of zeros it looks like an interrupted write, as one that is cut does; store.json knows better."""
    store, events = make(tmp_path / "store", stopped=False)
    writer = open_writer(str(store))
    writer.append([FULL._replace(payload=bytes(4096))])
    writer.close()
    segment = store / "log" / "seg-00000002-000001.wfl"
    data = bytearray(segment.read_bytes())
    at = data.rindex(b"\xf5WFE")
    data[-3] ^= 1
    segment.write_bytes(data if damage == "flipped" else data[: at + 2000])
    for repair in (False, True):
        found = [p for p in verify(str(store), repair=repair).problems if p.kind == "log"]
        assert [(Path(p.path), p.offset, p.repairable, p.since_seq) for p in found] == [
            (segment, at, False, len(events) + 1)
        ]
        assert f"counts on all before seq {len(events) + 2}" in found[0].message
    assert [path.name for path in (store / "log").iterdir() if path.suffix == ".broken"] == []


def test_a_torn_tail_that_cannot_be_cut_is_said_to_stay(tmp_path: Path) -> None:
    store, _ = make(tmp_path / "store")
    segment = store / "log" / NEWEST
    with segment.open("ab") as file:
        file.write(b"\xf5WFE torn")
    torn = segment.read_bytes()
    (store / "store.json").write_text("{")
    report = verify(str(store), repair=True)
    tail = next(problem for problem in report.problems if problem.kind == "torn-tail")
    assert not tail.repairable and "store.json is mended" in tail.message
    assert not report.repaired and segment.read_bytes() == torn
    (store / "store.json").unlink()
    assert [problem.kind for problem in verify(str(store), repair=True).repaired] == ["torn-tail"]


def test_a_file_that_shrinks_behind_a_cursor_is_damage(tmp_path: Path) -> None:
    store, _ = make(tmp_path / "store")
    reader = LogReader(str(store))
    _, cursor = reader.read()
    os.truncate(store / "log" / NEWEST, 700)
    with pytest.raises(DamageError):
        reader.read(cursor)


@pytest.mark.parametrize("text", ["{", "[1]", "7", '"', "[" * 50_000, "", "\0"])
def test_a_damaged_witness_is_named(tmp_path: Path, text: str) -> None:
    store, _ = make(tmp_path / "store")
    (store / "store.json").write_text(text)
    with pytest.raises(DamageError, match=r"store\.json"):
        open_writer(str(store))
    assert not verify(str(store)).ok


def test_no_flipped_bit_makes_the_witness_say_something_else(tmp_path: Path) -> None:
    store, _ = make(tmp_path / "store")
    path = store / "store.json"
    data = path.read_bytes()
    said = read_witness(str(store))
    named = 0
    for bit in range(len(data) * 8):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        path.write_bytes(broken)
        try:
            assert read_witness(str(store)) == said, bit
        except DamageError as error:
            named += error.path == str(path)
    assert named > len(data) * 7


def test_a_witness_without_a_checksum_is_that_of_an_earlier_version(tmp_path: Path) -> None:
    store, events = make(tmp_path / "store")
    values = json.loads((store / "store.json").read_text())
    del values["crc"]
    (store / "store.json").write_text(json.dumps(values))
    assert outcome(store) == events
    assert verify(str(store)).ok
    open_writer(str(store)).close()
    assert "crc" in (store / "store.json").read_text()


@pytest.mark.parametrize("lost", ["a commit", "half a commit", "all commits"])
def test_what_a_clean_stop_counted_on_is_missed_by_readers_and_writers(tmp_path: Path, lost: str) -> None:
    store, events = make(tmp_path / "store", claims=2)
    segment = store / "log" / "seg-00000002-000001.wfl"
    data = segment.read_bytes()
    ends = {"a commit": data.rindex(b"\xf5WFE"), "half a commit": len(data) - 9, "all commits": data.index(b"\xf5WFE")}
    os.truncate(segment, ends[lost])
    before = (store / "store.json").read_bytes()
    for use in (lambda: list(LogReader(str(store)).events()), lambda: open_writer(str(store))):
        with pytest.raises(DamageError, match=r"store\.json counts on all before seq") as raised:
            use()
        valid = ends["a commit" if lost == "half a commit" else lost]
        assert (Path(raised.value.path), raised.value.offset) == (segment, valid)
    assert (store / "store.json").read_bytes() == before
    (store / "store.json").unlink()
    assert outcome(store) == events[: len(events) - (7 if lost == "all commits" else 1)]
    assert open_writer(str(store)).epoch == 3


def test_a_lost_witness_is_written_anew_by_the_next_manager(tmp_path: Path) -> None:
    store, events = make(tmp_path / "store")
    store_id = open_writer(str(store)).store_id
    (store / "store.json").unlink()
    assert not verify(str(store)).ok
    assert outcome(store) == events
    writer = open_writer(str(store))
    assert writer.store_id == store_id
    assert writer.epoch == 3
    writer.close()
    assert verify(str(store)).ok


def test_the_witness_finds_what_no_segment_can_show(tmp_path: Path) -> None:
    store, _ = make(tmp_path / "store", claims=2)
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    newest = copy / "log" / "seg-00000002-000001.wfl"
    data = newest.read_bytes()
    newest.write_bytes(data[: data.rindex(b"\xf5WFE")])
    assert [Path(p.path) for p in verify(str(copy)).problems] == [newest]
    newest.unlink()
    assert [Path(p.path) for p in verify(str(copy)).problems] == [newest]
