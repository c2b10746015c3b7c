"""Wrote the stores under tests/log/golden/: `python -m tests.log.make_golden DIRECTORY`. For a new format version only.

Files that are there are kept as they are for ever; this says how they came about.
"""

from __future__ import annotations

import sys
from pathlib import Path
from unittest import mock

import msgpack

from tests.log.events import FULL, plains
from wfstore.log import open_writer, segment
from wfstore.schema.rows import STORED_COLUMNS, Rows

EVENTS = [FULL, *plains(0, 3)]


def main(directory: str) -> None:
    root = Path(directory)
    for _ in range(2):
        writer = open_writer(str(root / "v1"), clock=lambda: 1_700_000_000_000_000)
        writer.append(EVENTS)
        writer.append(plains(3, 2))
        writer.close()
    rows = [(event[1], *event[3:]) for event in EVENTS]
    _other(root / "older", STORED_COLUMNS[:-1], [row[:-1] for row in rows])
    _other(root / "newer", (*STORED_COLUMNS, "invented_later"), [(*row, {"any": ["thing", 1.5]}) for row in rows])


def _other(path: Path, columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    with mock.patch.object(segment, "STORED_COLUMNS", columns):
        writer = open_writer(str(path), clock=lambda: 1_700_000_000_000_000)
    writer.commit(Rows(b"".join(msgpack.packb(row) for row in rows), len(rows)))
    writer.close()


if __name__ == "__main__":
    main(sys.argv[1])
