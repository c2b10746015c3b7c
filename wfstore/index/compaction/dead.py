"""Finds what was deleted, or is kept no longer, and is still in history files."""

from __future__ import annotations

from collections.abc import Sequence

from wfstore.index import database
from wfstore.index.catalog import folder
from wfstore.index.database import Connection
from wfstore.log.history import HistoryFiles
from wfstore.log.manifest import Manifest
from wfstore.schema.history import DELETED, EVENTS, PACKS


def dead_since(storage: str, manifest: Manifest) -> tuple[list[tuple[str, int]], list[tuple[int, int]]]:
    """What was deleted after `manifest.purged_to`: (id, seq of the event that says so); and where something about it
    lies: (position of the part, group)."""
    history = HistoryFiles(storage)
    deleted = history.checked(manifest.of(DELETED))
    if not deleted:
        return [], []
    connection = database.connect(replacements=False, threads=1)
    store = folder("store")
    rows = connection.execute(store["dead"].sql, {"paths": deleted, "purged_to": manifest.purged_to}).fetchall()
    dead = [(str(workflow_id), int(seq)) for workflow_id, seq in rows]
    if not dead:
        return [], []
    database.run(connection, folder("tables")["dead"].sql)
    ids, seqs = [list(values) for values in zip(*dead, strict=True)]
    database.run(connection, folder("fill")["dead"].sql, {"ids": ids, "seqs": seqs})
    low, high = min(ids), max(ids)
    places: list[tuple[int, int]] = []
    for number, part in enumerate(manifest.parts):
        for file in part.of(EVENTS):
            if file.may_hold_between(low, high):
                params = {"paths": history.checked([file])}
                if connection.execute(store["holds_dead"].sql, params).fetchone() is not None:
                    places.append((number, file.group))
    return dead, places


def packs_of(storage: str, manifest: Manifest, ids: Sequence[str]) -> list[tuple[int, int]]:
    """Where values of these workflows lie: (position of the part, group)."""
    history = HistoryFiles(storage)
    connection = database.connect(replacements=False, threads=1)
    database.run(connection, folder("tables")["no_payloads"].sql)
    database.run(connection, folder("fill")["no_payloads"].sql, {"ids": list(ids)})
    low, high = min(ids), max(ids)
    return [
        (number, file.group)
        for number, part in enumerate(manifest.parts)
        for file in part.of(PACKS)
        if file.may_hold_between(low, high) and _holds(connection, history.checked([file]))
    ]


def _holds(connection: Connection, paths: list[str]) -> bool:
    return connection.execute(folder("store")["holds_payloads"].sql, {"paths": paths}).fetchone() is not None
