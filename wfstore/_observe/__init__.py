"""`wfstore.WorkflowObservability`: what runs now and what ever ran, as one; what changes; and the actions on it.

Running workflows come from the manager's memory where one can be asked, everything else from storage; each row says
which (`origin`, `as_of_seq`). It needs no web stack, and without `live` no Ray.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from wfstore._estimates import Estimates, Expected
from wfstore._observe.actions import Action, Actions, Code
from wfstore._observe.following import Following
from wfstore._observe.link import Link, Manager, finder
from wfstore._observe.opening import LIVE, LiveTasks, Row, opened, opened_rows
from wfstore._observe.rows import Filters, StoredRows, Words
from wfstore._observe.snapshots import Found, Snapshots
from wfstore._pace import Pace
from wfstore._store import Order, Storage, Store
from wfstore.errors import ManagerLostError
from wfstore.index import WholeLog
from wfstore.index.filters import Moment
from wfstore.log import open_reader
from wfstore.log.history import HistoryFiles
from wfstore.model.statuses import WORKFLOW_ACTIVE, WORKFLOW_STATUSES

if TYPE_CHECKING:
    from wfstore._history import History

#: Beside a manager that this process cannot reach, changes take this share of a processor at most, after what
#: they saved in a second.
_SHARE, _MOST_REST_S, _SAVED_S = 0.25, 0.5, 1.0
#: One wait at the manager; a longer one is made of several.
_WAIT_S = 10.0


class Page(NamedTuple):
    """Some rows of a longer answer. total: how many rows the filters leave; as_of_seq: the last event in the answer."""

    rows: list[Row]
    total: int
    as_of_seq: int


class Changes(NamedTuple):
    """What changed since a cursor: the last state of each row, once.

    cursor: for the next call; resync: something may have been missed (too far behind, another manager): take
    snapshots; workflows, tasks: rows as `workflows` and `tasks` give them; deleted: ids of workflows that are gone: to
    be forgotten before the rows are taken, as an id may have been used anew.
    """

    cursor: str
    as_of_seq: int
    resync: bool
    workflows: list[Row]
    tasks: Sequence[Row]
    deleted: list[str]


class WorkflowObservability:
    """One storage, observed. Any number of threads may use one object; every call may block for a moment."""

    def __init__(self, storage: Storage = None, *, live: bool | None = None, manager: Manager | None = None) -> None:
        """live: as in `wfstore.open`; manager: instead, a link of one's own to the manager of this storage.

        Raises StorageNotFoundError, StorageVersionError, StorageError. Whether a manager answers says `live`."""
        self._store = Store(storage, live=False)
        find = finder(self._store.storage, live) if manager is None else lambda: manager
        self._link = Link(self._store.storage, find, live)
        self._rows = StoredRows(self._store)
        self._actions = Actions(self._store.storage, self._link)
        self._following = Following(self._whole_log)
        self._estimates = Estimates(self._store.history)
        self._pace = Pace(_SHARE, _MOST_REST_S, _SAVED_S)
        self._snapshots = Snapshots(lambda workflow_id, tasks: self._live([workflow_id], tasks))

    def _whole_log(self) -> WholeLog:
        return WholeLog(open_reader(self._store.storage), HistoryFiles(self._store.storage))

    @property
    def store(self) -> Store:
        """The storage, for everything else."""
        return self._store

    @property
    def live(self) -> bool:
        """Whether a manager of this storage answers now."""
        return self._link.alive()

    def why_not_live(self) -> str:
        """One sentence for people: why nothing can be changed now, and the way out; empty where `live`."""
        return self._link.why_not()

    # -- what there is ------------------------------------------------------------------------------------------------

    def workflows(
        self,
        *,
        status: Words = None,
        name: str | None = None,
        text: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        metadata: Mapping[str, Any] | None = None,
        order_by: Order = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> Page:
        """Rows of `workflows` (of a running one: of `live_workflows`) and `origin` ("live" or "store"), `as_of_seq`;
        newest submitted first. `metadata` is a dictionary in each row.

        text: part of the id; order_by: columns, "-name" for the largest first; offset: rows to pass over; the other
        filters as in `Store.workflows`. Raises ValueError for a status or column there is not."""
        chosen = Filters(status, name, text, since, until, metadata)
        rows, total = self._rows.workflows(chosen, order_by, limit, offset)
        active = [row["workflow_id"] for row in rows if row["status"] in WORKFLOW_ACTIVE]
        live = {row["workflow_id"]: row for row in self._live(active, tasks=False).get("workflows", ())}
        wanted = chosen.params()["statuses"] or WORKFLOW_STATUSES
        seen = self._rows.as_of_seq
        for position, row in enumerate(rows):
            found = live.get(row["workflow_id"])
            if found is not None and found["status"] in wanted:
                rows[position] = {**row, **opened(found, LIVE, seen)}
        return Page(rows, total, max([seen, *(row["as_of_seq"] for row in rows)]))

    def workflow(self, workflow_id: str) -> Row:
        """One row, as in `workflows`. Raises WorkflowNotFoundError."""
        found = self._snapshot(workflow_id, tasks=False)
        if found is not None:
            return opened(found["workflows"][0], LIVE, 0)
        return self._rows.workflow(workflow_id)

    def tasks(self, workflow_id: str) -> dict[str, Row]:
        """task_id -> its row of `tasks` (of a running workflow: of `live_tasks`), in the order of definition; with
        `origin` and `as_of_seq`. `metadata`, `progress_metrics` are dictionaries. Raises WorkflowNotFoundError."""
        found = self._snapshot(workflow_id, tasks=True)
        if found is not None:
            return {row["task_id"]: dict(row) for row in found["tasks"]}
        return {row["task_id"]: row for row in self._rows.tasks(workflow_id)}

    def attempts(self, workflow_id: str, task_id: str | None = None) -> list[Row]:
        """Rows of `attempts`, in the order in which they were made. Raises WorkflowNotFoundError."""
        attempts = self._history(workflow_id).attempts
        if task_id is not None:
            attempts = attempts.filter(attempts["task_id"] == task_id)
        return opened_rows(attempts, self._rows.as_of_seq)

    def runs(self, workflow_id: str) -> list[Row]:
        """Rows of `runs`, in order. Raises WorkflowNotFoundError."""
        return opened_rows(self._history(workflow_id).runs, self._rows.as_of_seq)

    def time_spent(self, workflow_id: str) -> list[Row]:
        """Rows of `time_spent`, in the order in which attempts were made. Raises WorkflowNotFoundError."""
        return self._history(workflow_id).time_spent.to_dicts()

    def edges(self, workflow_id: str) -> list[Row]:
        """Rows of `edges`. Raises WorkflowNotFoundError."""
        return self._history(workflow_id).edges.to_dicts()

    def events(self, workflow_id: str, *, after_seq: int = 0, limit: int | None = None) -> list[Row]:
        """Rows of `events` in log order, those before the id was last deleted included. Raises
        WorkflowNotFoundError."""
        events = self._history(workflow_id).events
        events = events.filter(events["seq"] > after_seq)
        return opened_rows(events if limit is None else events.head(limit), self._rows.as_of_seq)

    def expected(self, workflow_ids: Collection[str], *, patience_s: float = 0.05) -> dict[str, Expected]:
        """When workflows will end: id -> `Expected`, worked out in the background and anew every few seconds. One that
        was not asked for before is missing where that takes longer than `patience_s`."""
        return self._estimates.of(workflow_ids, patience_s)

    def counts(self) -> dict[str, int]:
        """Status -> how many workflows; every status is there."""
        return self._rows.counts()

    def _history(self, workflow_id: str) -> History:
        return self._rows.history(workflow_id)

    def _live(self, ids: list[str], tasks: bool) -> Found:
        """What the manager holds about them; nothing where none can be asked."""
        if not ids or self._link.manager() is None:
            return {}
        try:
            seq, now, workflows, facts = self._link.ask("live", ids, tasks)
        except ManagerLostError:
            return {}
        return {"workflows": workflows, "tasks": LiveTasks(facts, seq, now)}

    def _snapshot(self, workflow_id: str, tasks: bool) -> Found | None:
        """Of a workflow that is under way, out of the manager's memory."""
        found = self._snapshots.of(workflow_id, tasks)
        rows = found.get("workflows")
        return found if rows and rows[0]["status"] in WORKFLOW_ACTIVE else None

    # -- what changes -------------------------------------------------------------------------------------------------

    def changes(self, since: str | None = None, *, timeout_s: float = 10.0, workflow_id: str | None = None) -> Changes:
        """What changed after the cursor `since`; None: nothing, but the cursor of now.

        Blocks until there is something, or for `timeout_s` (then empty). An answer holds a bounded number of rows; the
        next call goes on at once. workflow_id: only that one. Raises ValueError for what is no cursor.
        """
        if since is not None and since[:1] not in ("m", "s"):
            raise ValueError(f"since is the cursor of an earlier answer, not {since!r}")
        deadline = time.monotonic() + max(0.0, timeout_s)
        while True:
            left = max(0.0, deadline - time.monotonic())
            found = self._changes(since, min(left, _WAIT_S), workflow_id)
            over = time.monotonic() >= deadline or since is None
            if over or found.resync or found.workflows or found.tasks or found.deleted:
                return found
            since = found.cursor

    def expect_changes(self) -> None:
        """For whoever goes on asking for `changes`: what costs time at the first change of each workflow is done now.

        Only where they come out of the log; the manager has nothing to prepare.
        """
        if self._link.manager() is None:
            self._rows.expect()

    def _changes(self, since: str | None, timeout_s: float, workflow_id: str | None) -> Changes:
        if self._link.manager() is not None:
            try:
                return self._from_manager(since, timeout_s, workflow_id)
            except ManagerLostError:
                pass  # it may be on its way back: what it commits is in the log
        if since is None or since[0] != "s":
            cursor, seq = self._following.now()
            return Changes(f"s{cursor}", seq, since is not None, [], [], [])
        self._pace.rest(timeout_s)
        found = self._following.wait(since[1:], timeout_s, workflow_id)
        if found is None or found.too_much:
            cursor, seq = self._following.now()
            return Changes(f"s{cursor}", seq, True, [], [], [])
        if not found.tasks:
            return Changes(f"s{found.cursor}", found.seq, False, [], [], sorted(found.deleted))
        read = time.thread_time()
        workflows, tasks, gone = self._rows.of(found.tasks, found.tasks)
        self._pace.spent(time.thread_time() - read)
        return Changes(f"s{found.cursor}", found.seq, False, workflows, tasks, sorted(found.deleted | set(gone)))

    def _from_manager(self, since: str | None, timeout_s: float, workflow_id: str | None) -> Changes:
        mine = since[1:] if since is not None and since[0] == "m" else None
        data = self._link.ask("changes", mine, timeout_s, workflow_id, timeout_s=timeout_s + 5.0)
        cursor, seq, resync, workflows, tasks, now, deleted, elsewhere = pickle.loads(data)
        if resync or mine is None:
            self._snapshots.outdate_all()
        else:
            self._snapshots.outdate([row["workflow_id"] for row in workflows] + deleted + elsewhere)
        stored, _, gone = self._rows.of(elsewhere, {})
        rows = [opened(row, LIVE, seq) for row in workflows]
        moved = since is not None and mine is None
        return Changes(f"m{cursor}", seq, resync or moved, rows + stored, LiveTasks(tasks, seq, now), deleted + gone)

    # -- what is done -------------------------------------------------------------------------------------------------
    # Every action is an event with `by` (who asked) and `request_id`; one that was carried out with the same
    # request_id is not carried out again. Without a live manager: ManagerLostError with the text of `why_not_live`.

    def _do(self, action: Action, workflow_id: str, **order: Any) -> str | None:
        try:
            return self._actions.do(action, workflow_id, **order)
        finally:
            self._snapshots.outdate([workflow_id])

    def cancel(self, workflow_id: str, *, by: str | None = None, request_id: str | None = None) -> None:
        """Returns once it is CANCELED. Raises WorkflowNotFoundError, WorkflowError for one that has ended."""
        self._do("cancel", workflow_id, by=by, request_id=request_id)

    def resume(
        self, workflow_id: str, *, code: Code = "stored", by: str | None = None, request_id: str | None = None
    ) -> None:
        """Returns once that is in the log. Raises WorkflowNotResumableError, WorkflowRunningError, ValueError for code
        that is not to be found."""
        self._do("resume", workflow_id, code=code, by=by, request_id=request_id)

    def resume_all(
        self,
        include_failed: bool = False,
        *,
        code: Code = "stored",
        by: str | None = None,
        request_id: str | None = None,
    ) -> list[Row]:
        """Resume what was interrupted (and what failed); one row per workflow, as in `bulk`."""
        status = ("RESUMABLE", "FAILED") if include_failed else ("RESUMABLE",)
        return self.bulk("resume", status=status, dry_run=False, code=code, by=by, request_id=request_id)

    def rerun(self, workflow_id: str, *, by: str | None = None, request_id: str | None = None) -> str:
        """Run its DAG and inputs again; returns the new id. Raises WorkflowNotFoundError, ValueError for a virtual
        actor."""
        new_id = self._do("rerun", workflow_id, by=by, request_id=request_id)
        assert new_id is not None
        return new_id

    def delete(self, workflow_id: str, *, by: str | None = None, request_id: str | None = None) -> None:
        """Raises WorkflowNotFoundError, WorkflowStillActiveError."""
        self._do("delete", workflow_id, by=by, request_id=request_id)

    def bulk(
        self,
        action: Action,
        *,
        status: Words = None,
        name: str | None = None,
        text: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        metadata: Mapping[str, Any] | None = None,
        ids: Collection[str] | None = None,
        dry_run: bool = True,
        code: Code = "stored",
        by: str | None = None,
        request_id: str | None = None,
    ) -> list[Row]:
        """One action on every workflow that the filters leave, the oldest first: dicts of workflow_id, status (before),
        done, error (why it was or would be refused, else None) and, of a rerun, new_id. dry_run: nothing is done, it
        says what would be. ids: only these. Raises ValueError for an action there is not."""
        chosen = Filters(status, name, text, since, until, metadata, ids)
        rows, _ = self._rows.workflows(chosen, "submitted_seq", None, 0)
        return self._actions.all(action, rows, dry_run=dry_run, code=code, by=by, request_id=request_id)
