"""Lets a database's views cover the history files of a store, and says which of them a statement may read."""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from wfstore.errors import DamageError, StorageError
from wfstore.index import database
from wfstore.index.catalog import folder
from wfstore.index.database import Connection, reads_indirectly, translated
from wfstore.log.history import HistoryFiles
from wfstore.log.manifest import HistoryFile
from wfstore.model.events import WORKFLOW_SUBMITTED
from wfstore.schema.history import EVENTS, FACTS_SCHEMA, SUPERSEDED, VIEW_KINDS
from wfstore.schema.views import VIEWS

_DEPENDS = {
    "task_stats": ("tasks", "workflows", "attempts"),
    "time_spent": ("attempts", "tasks", "runs", "workflows", "actor_calls"),
    "live_workflows": (),
    "live_tasks": (),
}
_NAMES = re.compile(rf"\b({'|'.join(VIEWS)})\b")
#: Recalling rows of that many ids by one statement each id list; more would make the statement's own text large.
_IDS = 2_000


def kinds_read(query: str) -> set[str]:
    """The kinds of history files that a statement may read: those of every view whose name is in its text."""
    text = query.lower()
    if reads_indirectly(text):
        return {*VIEW_KINDS, EVENTS}
    named = set(_NAMES.findall(text))
    kinds = {kind for name in named for kind in _DEPENDS.get(name, (name,))}
    return kinds & {*VIEW_KINDS, EVENTS}


class ColdViews:
    """The history files behind one database's views.

    Whoever refreshes it asks `check` before each statement; only then a view covers files, so that DuckDB opens none
    that was not checked, none is fetched that nobody needs, and one that is damaged or gone is in no other's way.
    """

    def __init__(self, files: HistoryFiles) -> None:
        self.files = files
        self._shape: tuple[bool, ...] | None = None
        self._refreshed = False
        # Whether the tail is what `attach` and `settle` make of it; not so after one that failed.
        self._settled = True
        # Why it cannot be told which facts count; and kinds whose files are behind the views.
        self._broken: DamageError | None = None
        self._covered: set[str] = set()
        self._connection: Connection | None = None
        self._seen = threading.local()

    def again(self) -> ColdViews:
        """The same for another database."""
        return ColdViews(self.files)

    @property
    def next_seq(self) -> int:
        """What the log has to be read from."""
        return self.files.manifest.next_seq

    @property
    def events(self) -> int:
        """How many are in history files."""
        return sum(part.events for part in self.files.manifest.parts)

    @property
    def older(self) -> bool:
        """Whether some files are of a version that did not know all columns of today."""
        return any(part.schema != FACTS_SCHEMA for part in self.files.manifest.parts)

    def refresh(self) -> bool:
        """Look for a newer manifest; whether `attach` is due. Raises DamageError, StorageVersionError, StorageError."""
        self._refreshed = True
        try:
            news = self.files.refresh()
        except StorageError:
            self._seen.number = self.files.newest()
            raise
        self._seen.number = self.files.manifest.number
        return news or not self._settled or self._broken is not None

    def newer(self) -> bool:
        """Whether there is a manifest that `refresh` had not seen when this thread last called it."""
        return self.files.newest() != getattr(self._seen, "number", 0)

    def attach(self, connection: Connection) -> None:
        """Let the views be about the files of the manifest; the tail keeps what came later. In the caller's
        transaction. What nobody refreshes covers everything at once."""
        self._settled, self._connection = False, connection
        self._shape, self._covered = None, set()
        fill = folder("fill")
        database.run(connection, fill["trim_tail"].sql, {"next_seq": self.files.manifest.next_seq})
        for name in ("forget_touched", "forget_recalled", "forget_hidden", "touched_again"):
            database.run(connection, fill[name].sql)
        self._broken = None
        if superseded := self._files_of(SUPERSEDED):
            with self._telling_later():
                database.run(connection, fill["hidden_superseded"].sql, {"paths": self.files.checked(superseded)})
        self.settle(connection)
        if not self._refreshed:
            self._cover(connection, (*VIEW_KINDS, EVENTS))

    def settle(self, connection: Connection) -> None:
        """After the tail has changed: fetch the rows of workflows that went on since they were taken into history
        files, and let the views be no more than they have to."""
        self._settled = False
        if self.files.manifest.number:
            with self._telling_later():
                self._recall(connection)
        shape = connection.execute(folder("store")["shape"].sql).fetchone()
        if shape != self._shape:
            # The views are made anew for the next statement that asks for them.
            self._shape, self._covered = shape, set()
        self._settled = True

    def settles(self, begun: Collection[str]) -> bool:
        """Whether all is as `settle` leaves it after the tail got rows of workflows that begin there with these types:
        what is submitted there has no past in history files, and goes with the views as soon as they have a tail."""
        hot = self._shape is not None and self._shape[0]
        return self._settled and (not begun or (hot and set(begun) == {WORKFLOW_SUBMITTED}))

    def check(self, kinds: Iterable[str]) -> None:
        """No statement may run over files of these kinds before this has returned. Raises DamageError, QueryError."""
        assert self._connection is not None
        kinds = set(kinds)
        if self._broken is not None and kinds & set(VIEW_KINDS):
            raise self._broken
        for kind in kinds:
            self.files.checked(self._files_of(kind))
        if self.files.manifest.number and kinds - self._covered:
            with translated(), database.transaction(self._connection, read_only=False):
                self._uncover(self._connection, self._covered.difference(self._whole(self._covered)))
                self._cover(self._connection, kinds - self._covered)

    def _cover(self, connection: Connection, kinds: Iterable[str]) -> None:
        """Let the views cover the files of these kinds, too."""
        assert self._shape is not None
        hot, hidden = self._shape
        paths = {kind: [self.files.path(file) for file in self._files_of(kind)] for kind in kinds}
        database.attach(connection, paths, hot=hot, hidden=hidden, older=self.older)
        self._covered.update(paths)

    def _uncover(self, connection: Connection, kinds: Iterable[str]) -> None:
        """Let the views cover no files of these kinds any more."""
        database.attach(connection, dict.fromkeys(kinds, ()), hot=True, hidden=False)
        self._covered.difference_update(kinds)

    def _whole(self, kinds: Iterable[str]) -> list[str]:
        """Those of them of which no file went away since they were checked."""
        return [kind for kind in kinds if not any(self.files.missing(file) for file in self._files_of(kind))]

    def _files_of(self, kind: str) -> list[HistoryFile]:
        return [file for file in self.files.manifest.of(kind) if file.rows]

    @contextmanager
    def _telling_later(self) -> Iterator[None]:
        """Damage in the way of facts is told to those who ask for facts."""
        try:
            yield
        except DamageError as error:
            if not self._refreshed:
                raise
            self._broken = error

    def _recall(self, connection: Connection) -> None:
        rows = connection.execute(folder("store")["to_recall"].sql).fetchall()
        ids = sorted(workflow_id for (workflow_id,) in rows)
        found = []
        for start in range(0, len(ids), _IDS):
            some = ids[start : start + _IDS]
            found.append((some, self.files.checked(self._holding(EVENTS, some))))
        for some, paths in found:
            if paths:
                database.run(connection, folder("fill")["recalled"].sql, {"paths": paths, "ids": some})
        database.run(connection, folder("fill")["hidden_touched"].sql)
        database.run(connection, folder("fill")["was_recalled"].sql)

    def paths_of(self, kind: str, workflow_id: str) -> list[str]:
        """The checked files of one kind that may hold the id."""
        return self.files.checked(self._holding(kind, [workflow_id]))

    def paths_between(self, kind: str, low: str, high: str) -> list[str]:
        """The checked files of one kind that may hold an id from `low` to `high`."""
        return self.files.checked(self._holding(kind, [low, high]))

    def _holding(self, kind: str, ids: Sequence[str]) -> list[HistoryFile]:
        return [file for file in self.files.manifest.of(kind) if file.may_hold_between(ids[0], ids[-1])]
