"""Lets a database's views cover the history files of a store, and says which of them a statement may read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from wfstore.index import database
from wfstore.index.catalog import folder
from wfstore.index.database import Connection
from wfstore.log.history import HistoryFiles
from wfstore.log.manifest import HistoryFile
from wfstore.schema.history import EVENTS, SUPERSEDED, VIEW_KINDS
from wfstore.schema.views import VIEWS

_DEPENDS = {
    "task_stats": ("tasks", "workflows", "attempts"),
    "live_workflows": (),
    "live_tasks": (),
}
_NAMES = re.compile(rf"\b({'|'.join(VIEWS)})\b")
#: Words with which a statement can read a view without naming it.
_INDIRECT = re.compile(r"\bquery(_table)?\b|\bexecute\b")
#: Recalling rows of that many ids by one statement each id list; more would make the statement's own text large.
_IDS = 2_000


def kinds_read(query: str) -> set[str]:
    """The kinds of history files that a statement may read: those of every view whose name is in its text."""
    text = query.lower()
    if _INDIRECT.search(text):
        return {*VIEW_KINDS, EVENTS}
    named = set(_NAMES.findall(text))
    kinds = {kind for name in named for kind in _DEPENDS.get(name, (name,))}
    return kinds & {*VIEW_KINDS, EVENTS}


class ColdViews:
    """The history files behind one database's views."""

    def __init__(self, files: HistoryFiles) -> None:
        self.files = files
        self._shape: tuple[bool, ...] | None = None

    @property
    def next_seq(self) -> int:
        """What the log has to be read from."""
        return self.files.manifest.next_seq

    @property
    def events(self) -> int:
        """How many are in history files."""
        return sum(part.events for part in self.files.manifest.parts)

    def refresh(self) -> bool:
        """Look for a newer manifest; whether there is one, so that `attach` is due."""
        return self.files.refresh()

    def newer(self) -> bool:
        """Whether there is a manifest that `refresh` has not seen yet."""
        return self.files.stale()

    def attach(self, connection: Connection) -> None:
        """Let the views cover the files of the manifest; the tail keeps what came later. In the caller's
        transaction."""
        manifest = self.files.manifest
        fill = folder("fill")
        database.run(connection, fill["trim_tail"].sql, {"next_seq": manifest.next_seq})
        for name in ("forget_touched", "forget_recalled", "forget_hidden", "touched_again"):
            database.run(connection, fill[name].sql)
        superseded = [file for file in manifest.of(SUPERSEDED) if file.rows]
        if superseded:
            database.run(connection, fill["hidden_superseded"].sql, {"paths": self.files.checked(superseded)})
        self._shape = None
        self.settle(connection)

    def settle(self, connection: Connection) -> None:
        """After the tail has changed: fetch the rows of workflows that went on since they were taken into history
        files, and let the views be no more than they have to."""
        if self.files.manifest.number:
            self._recall(connection)
        shape = connection.execute(folder("store")["shape"].sql).fetchone()
        if shape != self._shape and shape is not None:
            manifest = self.files.manifest
            kept = {kind: [file for file in manifest.of(kind) if file.rows] for kind in (*VIEW_KINDS, EVENTS)}
            paths = {kind: [self.files.path(file) for file in files] for kind, files in kept.items()}
            database.attach(connection, paths, hot=shape[0], hidden=shape[1])
            self._shape = shape

    def check(self, kinds: Iterable[str]) -> None:
        """No statement may run over files of these kinds before this has returned. Raises DamageError."""
        for kind in kinds:
            self.files.checked(file for file in self.files.manifest.of(kind) if file.rows)

    def _recall(self, connection: Connection) -> None:
        rows = connection.execute(folder("store")["to_recall"].sql).fetchall()
        ids = sorted(workflow_id for (workflow_id,) in rows)
        for start in range(0, len(ids), _IDS):
            some = ids[start : start + _IDS]
            paths = self.files.checked(self._holding(EVENTS, some))
            if paths:
                database.run(connection, folder("fill")["recalled"].sql, {"paths": paths, "ids": some})
        database.run(connection, folder("fill")["hidden_touched"].sql)
        database.run(connection, folder("fill")["was_recalled"].sql)

    def paths_of(self, kind: str, workflow_id: str) -> list[str]:
        """The checked files of one kind that may hold the id."""
        return self.files.checked(self._holding(kind, [workflow_id]))

    def _holding(self, kind: str, ids: Sequence[str]) -> list[HistoryFile]:
        return [file for file in self.files.manifest.of(kind) if file.may_hold_between(ids[0], ids[-1])]
