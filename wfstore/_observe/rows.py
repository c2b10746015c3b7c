"""Rows out of the store, as observers have them: plain Python values, JSON columns opened, and where they come from."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from wfstore._history import History
from wfstore._observe.folds import MOST_WORKFLOWS, Folds
from wfstore._observe.opening import STORED, Row, opened, opened_rows, with_origin
from wfstore._store import Store
from wfstore.errors import WorkflowNotFoundError
from wfstore.index import catalog, filters
from wfstore.log import open_reader
from wfstore.model.statuses import WORKFLOW_ACTIVE, WORKFLOW_STATUSES
from wfstore.schema.views import VIEWS

Words: TypeAlias = str | Collection[str] | None

#: Histories of so many workflows are kept, so that asking again costs no fold.
_KEPT = 8


class Filters(NamedTuple):
    """Which workflows; as in `Store.workflows`. ids: only these."""

    status: Words = None
    name: str | None = None
    text: str | None = None
    since: filters.Moment | None = None
    until: filters.Moment | None = None
    metadata: Mapping[str, Any] | None = None
    ids: Collection[str] | None = None

    def params(self) -> dict[str, Any]:
        """Raises ValueError, TypeError for what no workflow can have."""
        return {
            "statuses": filters.words(self.status, WORKFLOW_STATUSES, "status"),
            "name": self.name,
            "text": self.text or None,
            "since": filters.utc(self.since),
            "until": filters.utc(self.until),
            "metadata": filters.json_object(self.metadata),
            "ids": None if self.ids is None else list(self.ids),
        }


class StoredRows:
    """What the store says. Any number of threads may ask."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[int, tuple[int, bool], History]] = OrderedDict()
        self._folds = Folds(open_reader(store.storage), lambda ids: store._index.events_of(ids))

    @property
    def as_of_seq(self) -> int:
        """The last event that the newest answer knows of."""
        return self._store._index.as_of_seq

    def workflows(self, chosen: Filters, order_by: Any, limit: int | None, offset: int) -> tuple[list[Row], int]:
        """(rows of one page, how many there are in all)"""
        query, params = catalog.folder("store")["workflows"], chosen.params()
        order = filters.order(order_by, VIEWS["workflows"], ("-submitted_seq",))
        limit, offset = filters.limit(limit), filters.limit(offset) or 0
        index = self._store._index
        rows = index.run(query, params, order, limit, "submitted_seq", offset).pl().to_dicts()
        whole = limit is None or len(rows) < limit
        total = offset + len(rows) if whole and (rows or not offset) else index.total(query, params)
        return [opened(row, STORED, self.as_of_seq) for row in rows], total

    def counts(self) -> dict[str, int]:
        """Status -> how many workflows."""
        found = self._store._index.run(catalog.folder("store")["counts"], {}).fetchall()
        return {**dict.fromkeys(WORKFLOW_STATUSES, 0), **dict(found)}

    def history(self, workflow_id: str) -> History:
        """As `Store.history`; one that has not gone on since it was asked for costs next to nothing."""
        index = self._store._index
        now = index.refresh()
        with self._lock:
            kept = self._kept.get(workflow_id)
        if kept is not None and kept[1] == now:
            return kept[2]
        scan = index.scan(workflow_id)
        last = scan.events.column("seq")[-1].as_py() if scan.events.num_rows else 0
        if kept is not None and kept[0] == last and kept[1][1] == scan.alive:
            found = kept[2]
        else:
            found = History(workflow_id, scan, self._store._past)
        with self._lock:
            self._kept[workflow_id] = last, (now[0], scan.alive), found
            self._kept.move_to_end(workflow_id)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found

    def workflow(self, workflow_id: str) -> Row:
        """Raises WorkflowNotFoundError."""
        return self._one(workflow_id, ())[0]

    def tasks(self, workflow_id: str) -> list[Row]:
        """In the order of definition. Raises WorkflowNotFoundError."""
        return self._one(workflow_id, None)[1]

    def _one(self, workflow_id: str, wanted: Collection[str] | None) -> tuple[Row, list[Row]]:
        """Rows of the workflow and of the wanted ones of its tasks. Of one that goes on there is a model for whoever
        asks next; to others the kept history answers."""
        folded = self._followed(workflow_id, wanted, make=False)
        if folded is not None:
            return folded
        history = self.history(workflow_id)
        if history.status in WORKFLOW_ACTIVE:
            folded = self._followed(workflow_id, wanted, make=True)
        return self._stored(history, wanted) if folded is None else folded

    def _followed(
        self, workflow_id: str, wanted: Collection[str] | None, *, make: bool
    ) -> tuple[Row, list[Row]] | None:
        found = self._folds.rows(workflow_id, wanted, make=make)
        if found is None:
            return None
        seq = found.as_of_seq
        return with_origin(found.workflow, STORED, seq), [with_origin(row, STORED, seq) for row in found.tasks]

    def _stored(self, history: History, wanted: Collection[str] | None) -> tuple[Row, list[Row]]:
        seq = self.as_of_seq
        rows = history._frames["tasks"]
        if wanted is not None:
            rows = rows.filter(rows["task_id"].is_in(list(wanted)))
        return opened(history.workflow, STORED, seq), opened_rows(rows, seq)

    def expect(self) -> None:
        """Be ready for changes of what is under way, and of what is submitted from here on."""
        _, alive = self._store._index.refresh()
        chosen = Filters(status=sorted(WORKFLOW_ACTIVE))
        active = self.workflows(chosen, None, MOST_WORKFLOWS, 0)[0] if alive else ()
        self._folds.expect([row["workflow_id"] for row in active])

    def of(self, ids: Iterable[str], tasks: Mapping[str, Collection[str]]) -> tuple[list[Row], list[Row], list[str]]:
        """(rows of those workflows, rows of those of their tasks, ids of which there is nothing any more). Those that
        `tasks` has are followed: more is asked about them soon."""
        workflows: list[Row] = []
        found: list[Row] = []
        gone: list[str] = []
        self._folds.make(tasks)
        for workflow_id in ids:
            wanted = tasks.get(workflow_id, ())
            rows = self._followed(workflow_id, wanted, make=True) if workflow_id in tasks else None
            try:
                row, its_tasks = self._stored(self.history(workflow_id), wanted) if rows is None else rows
            except WorkflowNotFoundError:
                gone.append(workflow_id)
                continue
            workflows.append(row)
            found += its_tasks
        return workflows, found, gone
