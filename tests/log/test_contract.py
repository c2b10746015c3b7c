"""What every log does, on disk or in memory: one contract, two subclasses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.log.events import FULL, plain, plains, stamped
from wfstore.errors import FencedError, StorageError
from wfstore.log import Cursor, LogReader, MemoryLog, open_writer
from wfstore.model.events import Event
from wfstore.schema.columns import EVENT_SCHEMA


class LogContract:
    """A subclass says how to open a log, how to claim the next epoch of it, and how to read it."""

    def open(self, tmp_path: Path) -> Any:
        raise NotImplementedError

    def successor(self, writer: Any) -> Any:
        raise NotImplementedError

    def reader(self, writer: Any) -> Any:
        raise NotImplementedError

    @pytest.fixture
    def writer(self, tmp_path: Path) -> Any:
        return self.open(tmp_path)

    def test_append_numbers_without_a_gap(self, writer: Any) -> None:
        assert writer.epoch == 1
        assert writer.append(plains(0, 3)) == (1, 3)
        assert writer.append([FULL]) == (4, 4)
        assert writer.next_seq == 5
        events = [*plains(0, 3), FULL]
        assert list(self.reader(writer).events()) == stamped(events, 1, 1)

    def test_nothing_appended_is_no_commit(self, writer: Any) -> None:
        assert writer.append([]) == (1, 0)
        assert writer.next_seq == 1
        assert self.reader(writer).read()[0].num_rows == 0

    def test_read_goes_on_from_a_cursor(self, writer: Any) -> None:
        reader = self.reader(writer)
        table, cursor = reader.read()
        assert table.num_rows == 0
        writer.append(plains(0, 2))
        table, cursor = reader.read(cursor)
        assert table.schema.equals(EVENT_SCHEMA)
        assert table["seq"].to_pylist() == [1, 2]
        assert reader.read(cursor)[0].num_rows == 0
        writer.append(plains(2, 3))
        table, cursor = reader.read(Cursor.parse(str(cursor)))
        assert table["seq"].to_pylist() == [3, 4, 5]
        assert reader.read(cursor) == (table.slice(0, 0), cursor)

    def test_a_cursor_can_be_made_from_a_seq(self, writer: Any) -> None:
        writer.append(plains(0, 5))
        writer.append(plains(5, 5))
        reader = self.reader(writer)
        assert [event.seq for event in reader.events(Cursor.after(3))] == [4, 5, 6, 7, 8, 9, 10]
        table, cursor = reader.read(Cursor.after(7))
        assert table["seq"].to_pylist() == [8, 9, 10]
        assert reader.read(cursor)[0].num_rows == 0
        assert reader.read(Cursor.after(99)) == (table.slice(0, 0), Cursor.after(99))

    def test_max_bytes_stops_early_and_loses_nothing(self, writer: Any) -> None:
        for number in range(20):
            writer.append([plain(number)])
        reader, cursor, seen = self.reader(writer), Cursor(), []
        while (found := reader.read(cursor, max_bytes=1))[0].num_rows:
            seen += found[0]["seq"].to_pylist()
            cursor = found[1]
        assert seen == list(range(1, 21))

    def test_a_cursor_says_whether_its_read_gave_all_there_was(self, writer: Any) -> None:
        for number in range(3):
            writer.append([plain(number)])
        reader = self.reader(writer)
        assert reader.read(Cursor(), max_bytes=1)[1].more
        for most in (None, 2**20):
            table, after = reader.read(Cursor(), max_bytes=most)
            assert table["seq"].to_pylist() == [1, 2, 3]
            assert not after.more
        # what stopped at the very end has nothing behind it
        assert not reader.read(replace(after, more=True))[1].more
        assert replace(after, more=True) == after == Cursor.parse(str(replace(after, more=True)))

    def test_read_range(self, writer: Any) -> None:
        for number in range(0, 30, 3):
            writer.append(plains(number, 3))
        reader = self.reader(writer)
        assert reader.read_range(5, 11)["seq"].to_pylist() == [5, 6, 7, 8, 9, 10, 11]
        assert reader.read_range(-3, 2)["task_id"].to_pylist() == ["t0", "t1"]
        assert reader.read_range(29, 99)["seq"].to_pylist() == [29, 30]
        assert reader.read_range(31, 99).num_rows == 0
        assert reader.read_range(7, 6).num_rows == 0
        table = reader.read_range(4, 4, columns=["seq", "task_id"])
        assert table.to_pylist()[0]["task_id"] == "t3"
        assert table["workflow_id"].null_count == 1

    def test_columns_of_events(self, writer: Any) -> None:
        writer.append([FULL])
        assert list(self.reader(writer).events(columns=["seq", "name"])) == [Event(seq=1, name="add")]

    def test_a_bad_value_is_refused_and_leaves_the_writer_usable(self, writer: Any) -> None:
        with pytest.raises((TypeError, ValueError)):
            writer.append([plain(0), plain(1)._replace(run="two")])
        assert writer.append([plain(2)]) == (1, 1)

    def test_a_successor_fences(self, writer: Any) -> None:
        writer.append(plains(0, 2))
        following = self.successor(writer)
        assert (following.epoch, following.next_seq, following.store_id) == (2, 3, writer.store_id)
        with pytest.raises(FencedError) as first:
            writer.append([plain(2)])
        with pytest.raises(FencedError) as second:
            writer.append([plain(3)])
        assert second.value is first.value
        following.append([plain(4)])
        events = list(self.reader(following).events())
        assert [(e.seq, e.epoch, e.task_id) for e in events] == [
            (1, 1, "t0"),
            (2, 1, "t1"),
            (3, 2, "t4"),
        ]

    def test_a_closed_writer_refuses(self, writer: Any) -> None:
        writer.append([plain(0)])
        writer.close()
        writer.close()
        with pytest.raises(StorageError, match="closed"):
            writer.append([plain(1)])
        assert len(list(self.reader(writer).events())) == 1

    def test_no_lease_yet(self, writer: Any) -> None:
        assert self.reader(writer).lease() is None


class TestDisk(LogContract):
    def open(self, tmp_path: Path) -> Any:
        return open_writer(str(tmp_path / "store"))

    def successor(self, writer: Any) -> Any:
        return open_writer(writer.storage)

    def reader(self, writer: Any) -> Any:
        return LogReader(writer.storage)


class TestDiskInSmallSegments(TestDisk):
    def open(self, tmp_path: Path) -> Any:
        return open_writer(str(tmp_path / "store"), segment_bytes=1)


class TestMemory(LogContract):
    def open(self, tmp_path: Path) -> Any:
        return MemoryLog()

    def successor(self, writer: Any) -> Any:
        return writer.successor()

    def reader(self, writer: Any) -> Any:
        return writer
