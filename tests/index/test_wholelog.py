"""Reading on while the log moves into history files: a slow reader gets every event once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.log.events import plains
from wfstore.errors import DamageError
from wfstore.index import WholeLog
from wfstore.index.compaction import compact
from wfstore.log import Cursor, open_writer


def grow(store: Path, first: int, count: int) -> None:
    """Events of one more manager, and everything before them in history files and out of the log."""
    writer = open_writer(str(store))
    writer.append(plains(first, count))
    writer.close()
    open_writer(str(store)).close()
    compact(str(store), grace_s=0, workers=1)


def step(reader: WholeLog, cursor: Cursor, seen: list[str]) -> Cursor:
    table, cursor = reader.read(cursor)
    seen += table.column("task_id").to_pylist()
    return cursor


def test_files_that_hold_more_by_now(tmp_path: Path) -> None:
    """It has read what an older manifest names, and comes back when a newer one holds what the log held then."""
    grow(tmp_path, 0, 20)
    reader, seen = WholeLog.at(str(tmp_path)), []
    cursor = step(reader, Cursor(), seen)
    assert seen == [f"t{number}" for number in range(20)]
    grow(tmp_path, 20, 30)
    assert reader.log_begins == 51
    while (following := step(reader, cursor, seen)) != cursor:
        cursor = following
    assert seen == [f"t{number}" for number in range(50)]


def test_files_that_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small parts were merged and removed between two readings."""
    monkeypatch.setattr("wfstore.index.wholelog._BATCH_ROWS", 1)
    for first in (0, 10, 20):
        grow(tmp_path, first, 10)
    reader, seen = WholeLog.at(str(tmp_path)), []
    cursor = step(reader, Cursor(), seen)
    files = {file.name for file in (tmp_path / "history").glob("events-*")}
    for first in range(30, 400, 10):
        grow(tmp_path, first, 10)
        if not files & {file.name for file in (tmp_path / "history").glob("events-*")}:
            break
    else:
        raise AssertionError("nothing was merged")
    while (following := step(reader, cursor, seen)) != cursor:
        cursor = following
    assert seen == [f"t{number}" for number in range(first + 10)]


def test_a_file_that_the_newest_manifest_names_is_missed(tmp_path: Path) -> None:
    grow(tmp_path, 0, 10)
    next((tmp_path / "history").glob("events-*")).unlink()
    with pytest.raises(DamageError, match="missing"):
        WholeLog.at(str(tmp_path)).read()
