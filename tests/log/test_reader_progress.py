"""A cursor that knows only its seq, far into a long segment, and reads of little at a time."""

from __future__ import annotations

from pathlib import Path

from wfstore.log import Cursor, LogReader, open_writer
from wfstore.model.events import Event


def test_a_read_of_little_gets_on(tmp_path: Path) -> None:
    writer = open_writer(str(tmp_path))
    text = "x" * 1000
    for first in range(0, 6000, 500):  # several windows of the segment
        writer.append([Event(type="t", workflow_id=f"w{first + i}", error_message=text) for i in range(500)])
    reader, cursor, seen = LogReader(str(tmp_path)), Cursor.after(5990), []
    while True:
        found, cursor = reader.read(cursor, max_bytes=1)
        if not found.num_rows:
            break
        seen += found["seq"].to_pylist()
    assert seen == list(range(5991, writer.next_seq))
    writer.close()
