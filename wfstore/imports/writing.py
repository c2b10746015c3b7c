"""Appending what was imported to a store that no manager holds: whole workflows, in large commits."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from wfstore._version import __version__
from wfstore.errors import StorageError, StorageNotFoundError
from wfstore.log import lease_alive, now_us, open_reader, open_writer, read_lease, resolve_storage
from wfstore.log.history import HistoryFiles
from wfstore.model import events as ev
from wfstore.model.events import Event
from wfstore.model.wire import dumps
from wfstore.schema.rows import Rows, join, pack

if TYPE_CHECKING:
    from wfstore.index import Index

_COMMIT_BYTES = 8 << 20


class Existing:
    """What a store has already. ids: of its workflows; runs: the last run of each that was deleted."""

    def __init__(self, storage: str) -> None:
        """A store that is not there has nothing. Raises StorageError, DamageError."""
        self.ids: set[str] = set()
        self.runs: dict[str, int] = {}
        self._storage = storage
        self._index: Index | None = None
        self.refresh()

    def refresh(self) -> None:
        """Take in what was written since."""
        # What opens a pickle has no use for a database.
        from wfstore.index import Index
        from wfstore.index.catalog import folder

        if self._index is None:
            try:
                self._index = Index(open_reader(self._storage), history=HistoryFiles(self._storage))
            except StorageNotFoundError:
                return
        queries = folder("store")
        self.ids = {row[0] for row in self._index.run(queries["workflow_ids"], {}).fetchall()}
        self.runs = dict(self._index.run(queries["deleted_runs"], {}).fetchall())


def check_free(storage: str) -> None:
    """Raises StorageError while a manager holds the store: it is the only writer there may be."""
    lease = read_lease(resolve_storage(storage))
    if lease is not None and lease_alive(lease, now_us()):
        raise StorageError(
            resolve_storage(storage),
            f"a cluster works on this store (process {lease.pid} on {lease.host}). "
            "Stop that cluster first, or import into another, fresh storage.",
        )


class Appender:
    """The writer of a store for as long as the import takes. As a context manager it leaves in good order."""

    def __init__(self, storage: str) -> None:
        """Claims the log; the store is created when it is absent. Raises the StorageError family."""
        check_free(storage)
        self._writer = open_writer(storage)
        self._waiting: list[Rows] = []
        self._bytes = 0
        facts = {"pid": os.getpid(), "host": socket.gethostname(), "version": __version__, "task": "import"}
        self.append(pack([Event(ts=now_us(), type=ev.MANAGER_STARTED, attributes=dumps(facts))]))

    def append(self, rows: Rows) -> None:
        """Durable with the next commit, as a whole. Raises the StorageError family."""
        self._waiting.append(rows)
        self._bytes += len(rows.data)
        if self._bytes >= _COMMIT_BYTES:
            self._commit()

    def _commit(self, last: Iterable[Event] = ()) -> None:
        rows = [*self._waiting, pack(last)]
        self._waiting, self._bytes = [], 0
        self._writer.commit(join(rows))

    def __enter__(self) -> Appender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """What was appended is committed even when the import was stopped halfway: it consists of whole workflows."""
        try:
            if not isinstance(error, StorageError):
                self._commit([Event(ts=now_us(), type=ev.MANAGER_STOPPED)])
        finally:
            self._writer.close()
