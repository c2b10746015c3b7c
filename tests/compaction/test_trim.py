"""The log behind history files goes away, and with it whatever does not count; what is left is read as before."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from wfstore.errors import FencedError
from wfstore.index.compaction import compact
from wfstore.log import Cursor, LogReader, LogWriter, open_writer, verify
from wfstore.log import survey as surveys
from wfstore.log.manifest import read_manifest
from wfstore.log.trim import trim
from wfstore.model.events import WORKFLOW_SUBMITTED, Event


def said(number: int) -> Event:
    return Event(ts=1_000_000 + number, type=WORKFLOW_SUBMITTED, workflow_id=f"w{number}", status="PENDING")


def writer_of(store: Path) -> LogWriter:
    """Begins a segment with every append; that of the claim stays empty."""
    writer = open_writer(str(store), segment_bytes=1)
    assert isinstance(writer, LogWriter)
    return writer


def names(store: Path) -> list[str]:
    return sorted(path.name for path in (store / "log").iterdir())


def compacted(store: Path) -> int:
    """Take in and trim everything; the seq at which the log begins."""
    open_writer(str(store)).close()
    compact(str(store), grace_s=0, workers=1)
    return read_manifest(str(store)).next_seq


def goes_on(store: Path, next_seq: int) -> None:
    """Reader, writer, verify and the next compaction find one log."""
    writer = writer_of(store)
    assert writer.append([said(100), said(101), said(102)]) == (next_seq, next_seq + 2)
    writer.close()
    assert LogReader(str(store)).read(Cursor(next_seq))[0]["seq"].to_pylist() == [next_seq, next_seq + 1, next_seq + 2]
    assert verify(str(store)).problems == []
    assert compacted(store) == next_seq + 3
    assert len(names(store)) == 1


def test_segments_that_do_not_count_go_with_those_before_them(tmp_path: Path) -> None:
    store = tmp_path / "store"
    zombie = writer_of(store)
    zombie.append([said(0)])
    zombie.append([said(1)])
    writer = writer_of(store)
    with pytest.raises(FencedError):
        zombie.append([said(2)])
    assert "seg-00000001-000004.wfl" in names(store)
    for number in range(3, 7):
        writer.append([said(number)])
    writer.close()
    next_seq = compacted(store)
    assert names(store) == ["seg-00000003-000001.wfl"]
    goes_on(store, next_seq)


def test_a_segment_of_an_old_epoch_that_comes_back_does_not_count(tmp_path: Path) -> None:
    """A writer that was asleep may begin one; the claim that keeps it out is gone."""
    store = tmp_path / "store"
    first = writer_of(store)
    for number in range(3):
        first.append([said(number)])
    first.close()
    late = store / "log" / "seg-00000001-000003.wfl"
    shutil.copy(late, tmp_path / "late")
    writer = writer_of(store)
    for number in range(3, 6):
        writer.append([said(number)])
    compact(str(store), grace_s=0, workers=1)
    assert names(store)[0] == "seg-00000002-000004.wfl", "the claim of epoch 2 is gone"
    shutil.copy(tmp_path / "late", late)
    begins = read_manifest(str(store)).next_seq
    assert LogReader(str(store)).read(Cursor(begins))[0]["seq"].to_pylist() == [6]
    assert verify(str(store)).problems == []
    writer.append([said(9)])
    writer.close()
    next_seq = compacted(store)
    assert not late.exists()
    goes_on(store, next_seq)


def test_files_that_go_away_while_the_log_is_surveyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    writer = writer_of(store)
    for number in range(4):
        writer.append([said(number)])
    looked = surveys._header
    seen = []

    def removes_first(storage: str, name: str, *others: object) -> object:
        seen.append(name)
        if len(seen) == 2:
            trim(storage, 4)
        return looked(storage, name, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(surveys, "_header", removes_first)
    found = surveys.take_survey(str(store))
    assert [segment.name for segment in found.segments] == names(store) == ["seg-00000001-000005.wfl"]
    writer.close()


def test_the_newest_segment_and_those_that_history_does_not_hold_stay(tmp_path: Path) -> None:
    store = tmp_path / "store"
    writer = writer_of(store)
    for number in range(4):
        writer.append([said(number)])
    assert trim(str(store), 1).files == 1, "the claim's"
    assert trim(str(store), 3).files == 2
    assert trim(str(store), 100).files == 1
    assert names(store) == ["seg-00000001-000005.wfl"]
    assert trim(str(store), 100).files == 0
    writer.close()
