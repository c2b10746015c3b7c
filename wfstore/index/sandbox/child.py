"""The process in which a sandbox's queries run: ``python -m wfstore.index.sandbox.child FD SETUP``.

It has no storage, no credentials and no environment of its own: rows of the log and names of checked history files are
asked of the parent, over the socket FD. What it may read is the folder of history files, by DuckDB's locked settings
only the files of the manifest.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
import traceback
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from wfstore.errors import QueryError, WfstoreError
from wfstore.index import database, live
from wfstore.index.database import Connection, translated
from wfstore.index.sandbox import allowed, limits, wire
from wfstore.index.sandbox.kinds import READABLE
from wfstore.index.sandbox.parent import Files, LogRows, Parent
from wfstore.index.tail import Index

#: What DuckDB does not count, on top of what it may use: of the answer, and of strings while they are made.
_UNCOUNTED_BYTES = 256 << 20
_BYTES_PER_TAIL_ROW = 2_000
_BATCH_ROWS = 2_048
#: How long rows that are not wanted any more are counted.
_COUNT_S = 1.0
#: What Python and DuckDB ask about the machine they run on.
_SYSTEM = ("/proc/self/statm", "/proc/self/cgroup", "/proc/stat", "/proc/meminfo", "/sys/fs/cgroup",
           "/sys/devices/system/cpu", "/dev/null")  # fmt: skip
_TOO_LONG = "maximum execution time"
_OUT_OF_MEMORY = "Out of Memory"


class Setup(NamedTuple):
    """directory: of history files, "" where there is none; package: the folder that wfstore is in."""

    directory: str
    package: str
    memory_bytes: int
    timeout_ms: int


class Taken(NamedTuple):
    """Rows of an answer: those that were wanted, DuckDB's types, whether there were more, how many in all (None: not
    known)."""

    table: pa.Table
    types: list[str]
    truncated: bool
    total: int | None
    elapsed_s: float


class LockedIndex(Index):
    """An index whose database is locked as soon as its views are there."""

    def __init__(self, parent: Parent, setup: Setup) -> None:
        self._parent, self._setup, self._locked = parent, setup, False
        self._base_bytes = limits.address_space()
        rows = LogRows(parent)
        super().__init__(rows, rows.live, Files(parent))

    def take(self, query: str, most_rows: int, most_bytes: int) -> Taken:
        """The answer of one SELECT. Raises QueryError."""

        def answer(cursor: Connection, _: None) -> Taken:
            self._parent.tell("running")
            allowed.check(cursor, query)
            database.run(cursor, f"SET max_execution_time = {self._setup.timeout_ms}")
            began = time.perf_counter()
            relation = cursor.sql(query)
            types = [str(kind) for kind in relation.types]
            # A result left half read would block its connection, and end the process if that goes first.
            with relation.to_arrow_reader(_BATCH_ROWS) as reader:
                table, total = _rows(reader, most_rows, most_bytes)
            elapsed_s = time.perf_counter() - began
            return Taken(table, types, total != table.num_rows, total, elapsed_s)

        return self._asked(query, answer)

    def _reset(self) -> None:
        self._locked, self._memory_limit = False, 1
        super()._reset()

    def _attach(self) -> None:
        if self._locked:
            # What may be read is fixed for the life of a database: files of another manifest need another one.
            self._reset()
            return
        super()._attach()
        assert self._cold is not None
        lock(self._connection, [file.name for file in self._cold.files.manifest.files if file.kind in READABLE])
        self._locked = True

    def _limit_memory(self, events: int) -> None:
        tail_bytes = _BYTES_PER_TAIL_ROW * self._tail_rows
        most = self._setup.memory_bytes + tail_bytes
        if not 0.8 < most / self._memory_limit <= 1:
            most += tail_bytes // 4
            database.run(self._connection, f"SET memory_limit = '{most // 1_000_000}MB'")
            limits.limit_memory(most + _UNCOUNTED_BYTES, self._base_bytes)
            self._memory_limit = most


def lock(connection: Connection, names: list[str]) -> None:
    """Let the database read those files and nothing else, for good. Raises QueryError."""
    listed = ", ".join(map(database.quoted, names))
    for setting in (
        "threads = 1",
        "temp_directory = ''",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "allow_community_extensions = false",
        "allow_persistent_secrets = false",
        f"allowed_paths = [{listed}]",
        # Of a cursor or by us: a query cannot hold a SET.
        "allowed_configs = ['enable_progress_bar', 'max_execution_time', 'memory_limit']",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        with translated():
            database.run(connection, f"SET {setting}")


def _rows(reader: pa.RecordBatchReader, most_rows: int, most_bytes: int) -> tuple[pa.Table, int | None]:
    """The first rows, and how many there are; None where counting them takes too long."""
    kept: list[pa.RecordBatch] = []
    rows = count = size = 0
    full, until = False, float("inf")
    for batch in reader:
        count += batch.num_rows
        if not full:
            part = _fitting(batch.slice(0, most_rows - rows), most_bytes - size)
            kept.append(part)
            rows, size = rows + part.num_rows, size + part.nbytes
            full = part.num_rows < batch.num_rows
            until = time.monotonic() + _COUNT_S if full else until
        elif time.monotonic() > until:
            return pa.Table.from_batches(kept, reader.schema), None
    return pa.Table.from_batches(kept, reader.schema), count


def _fitting(batch: pa.RecordBatch, most_bytes: int) -> pa.RecordBatch:
    while batch.num_rows and batch.nbytes > most_bytes:
        batch = batch.slice(0, batch.num_rows // 2)
    return batch


def _answer(parent: Parent, index: LockedIndex | None, setup: Setup, asked: dict[str, Any]) -> LockedIndex | None:
    """Answer one query; the index to go on with."""
    try:
        index = index or LockedIndex(parent, setup)
        taken = index.take(asked["query"], asked["most_rows"], asked["most_bytes"])
        table, facts = taken.table, taken._asdict()
        del facts["table"]
        parent.tell("answer", [table], **facts)
    except WfstoreError as error:
        words = str(error)
        slow = isinstance(error, QueryError) and _TOO_LONG in words
        large = isinstance(error, QueryError) and _OUT_OF_MEMORY in words
        parent.tell("failed", error=wire.described(error), slow=slow, large=large)
    except (MemoryError, pa.ArrowMemoryError) as error:
        parent.tell("failed", error=wire.described(QueryError(str(error))), slow=False, large=True)
    except (duckdb.Error, pa.ArrowException) as error:
        parent.tell("failed", error=wire.described(QueryError(str(error))), slow=False, large=False)
    return index


def _end_with(parent_pid: int) -> None:
    """A process in the middle of a query would not notice that nobody waits for the answer."""
    while os.getppid() == parent_pid:
        time.sleep(1)
    os._exit(1)


def _warm() -> None:
    """Let everything be imported that is imported late: afterwards some of it cannot be read."""
    connection = database.connect(replacements=False, threads=1)
    connection.register("arrived", live.to_arrow("live_tasks", []))
    with connection.view("arrived").to_arrow_reader(_BATCH_ROWS) as reader:
        reader.read_all()
    connection.close()


def _serve(parent: Parent, setup: Setup) -> None:
    parent_pid = os.getppid()
    _warm()
    os.chdir(setup.directory or "/")
    folders = [setup.directory] if setup.directory else []
    limits.apply([*folders, setup.package, sys.prefix, sys.base_prefix, *_SYSTEM])
    threading.Thread(target=_end_with, args=(parent_pid,), daemon=True).start()
    index: LockedIndex | None = None
    while True:
        try:
            asked = wire.receive(parent.channel)
        except EOFError:
            return
        index = _answer(parent, index, setup, asked.fields)


def main(arguments: list[str]) -> None:
    """Answer queries until the parent is gone. What goes wrong here and is no query's fault is told to it."""
    with socket.socket(fileno=int(arguments[0])) as channel:
        parent = Parent(channel)
        try:
            _serve(parent, Setup(*json.loads(arguments[1])))
        except (BrokenPipeError, ConnectionError, EOFError):
            return
        except Exception:
            # stderr may be a file, and this process writes to none.
            parent.tell("crashed", traceback=traceback.format_exc())


if __name__ == "__main__":
    main(sys.argv[1:])
    # What is left needs no tidying, and DuckDB's would be told on stderr.
    os._exit(0)
