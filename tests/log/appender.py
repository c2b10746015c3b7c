"""A writer in a process of its own, to be killed: `python -m tests.log.appender STORE COMMITS SEGMENT_BYTES`.

Prints the last seq of every commit once it is acknowledged.
"""

from __future__ import annotations

import sys

from tests.log.events import plain
from wfstore.log import open_writer


def main(storage: str, commits: int, segment_bytes: int) -> None:
    writer = open_writer(storage, segment_bytes=segment_bytes)
    for _ in range(commits):
        seq = writer.next_seq
        writer.append([plain(seq), plain(seq + 1)])
        print(seq + 1, flush=True)
    writer.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
