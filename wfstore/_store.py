"""The public read side: `wfstore.open`, `history`, `sql` and `Store`.

It reads a store that may be written meanwhile, takes no lock, imports no Ray, and unpickles only what
`Store.output` is asked for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl

from wfstore._comparing import Comparisons
from wfstore._costing import Costs
from wfstore._estimates import LiveRows
from wfstore._follow import Follower
from wfstore._history import History
from wfstore._maintenance import Progress, Retained, compacted, policy_for, retain, stats
from wfstore._past import PastRuns
from wfstore._verify import verify
from wfstore.index import (
    Connection,
    Index,
    LiveSource,
    Params,
    Relation,
    WholeLog,
    catalog,
    filters,
    reports,
    shared,
    to_polars,
)
from wfstore.index.compaction import Compacted
from wfstore.index.retention import Policy
from wfstore.log import VerifyReport, open_reader, resolve_storage
from wfstore.log.history import HistoryFiles
from wfstore.model.events import EVENT_TYPES
from wfstore.model.statuses import ATTEMPT_STATUSES, TASK_STATUSES, WORKFLOW_STATUSES
from wfstore.schema.views import VIEWS

if TYPE_CHECKING:
    from wfstore._asof import StoreAsOf
    from wfstore._backup import BackedUp
    from wfstore.answers.paths_whatif import WhatIf

Words: TypeAlias = str | Collection[str] | None
Order: TypeAlias = str | Sequence[str] | None
Storage: TypeAlias = str | os.PathLike[str] | None

#: view -> a column that tells its rows apart.
_KEYS = {"workflows": "submitted_seq", "tasks": "defined_seq", "attempts": "submitted_seq", "events": "seq"}
_EVENT_STATUSES = tuple(dict.fromkeys((*WORKFLOW_STATUSES, *TASK_STATUSES, *ATTEMPT_STATUSES)))


def open(storage: Storage = None, *, live: bool | None = None) -> Store:
    """Open a store for reading: a path, a `file://`, `s3://`, `gs://` or `az://` URI, or as the environment says.

    live: True joins the running manager, so that `live_workflows` and `live_tasks` have rows; None does so when this
    process is connected to it already; False never. Raises StorageNotFoundError, StorageVersionError, StorageError.
    """
    return Store(storage, live=live)


def history(workflow_id: str, *, storage: Storage = None) -> History:
    """The whole history of one workflow. Raises WorkflowNotFoundError."""
    return open(storage).history(workflow_id)


def what_if(workflow_id: str, factors: Mapping[str, float], *, storage: Storage = None) -> WhatIf:
    """`History.what_if` of one workflow: {task_key: factor}. Raises WorkflowNotFoundError, ValueError."""
    return open(storage).history(workflow_id).what_if(factors)


def sql(query: str, params: Params = None, *, storage: Storage = None) -> Relation:
    """One SELECT over the views. Raises QueryError."""
    return open(storage).sql(query, params)


def restore(
    source: Storage, destination: str | os.PathLike[str], *, verify: bool = True, progress: Progress | None = None
) -> BackedUp:
    """Copy a backup to a place where nothing is, as a store to go on with: `workflow.init` there, and resume.

    Both may be paths or URIs. Whatever was open at the time of the backup is RESUMABLE; nothing is resumed by itself. A
    call that was interrupted goes on when it is made again. verify, progress: as for `Store.backup`.

    Raises StorageError where the place is not empty, or the backup was never finished; DamageError naming the file.
    """
    from wfstore import _backup

    return _backup.restore(
        resolve_storage(source), resolve_storage(destination), verify=verify, progress=progress or _silent
    )


class Store(Comparisons, Costs):
    """A store, read. Any number of them, and any number of threads on one, may read while a manager writes."""

    def __init__(self, storage: Storage = None, *, live: bool | None = None) -> None:
        """As `wfstore.open`."""
        self.storage = resolve_storage(storage)
        self._reader = open_reader(self.storage)
        self._history = HistoryFiles(self.storage)
        self._live = LiveRows(self, _live_source(self.storage, live))
        self._index = Index(self._reader, self._live.source, self._history)

    def history(self, workflow_id: str) -> History:
        """The whole history of one workflow as it stands now. Raises WorkflowNotFoundError."""
        return History(workflow_id, self._index.scan(workflow_id), self._past)

    @cached_property
    def _past(self) -> PastRuns:
        return PastRuns(self._index)

    def sql(self, query: str, params: Params = None) -> Relation:
        """Run one SELECT once, on a snapshot; `params` for ``?`` (a sequence) or ``$name`` (a mapping).

        The answer is a DuckDB relation over its own rows: ``.fetchall() .pl() .to_arrow_table() .show()``.
        Raises QueryError with DuckDB's own words.
        """
        self._live.look(query)
        return self._index.sql(query, params)

    def connect(self) -> Connection:
        """A DuckDB connection of the caller's own, with the rows and views of this moment, to do anything with."""
        self._live.look("live_workflows")
        return self._index.detach()

    def workflows(
        self,
        *,
        status: Words = None,
        name: str | None = None,
        text: str | None = None,
        since: filters.Moment | None = None,
        until: filters.Moment | None = None,
        metadata: Mapping[str, Any] | None = None,
        limit: int | None = None,
        offset: int = 0,
        order_by: Order = None,
    ) -> pl.DataFrame:
        """Rows of `workflows`, newest submitted first.

        status: one or several; text: part of the id; since (included), until (not): datetime, ISO 8601 text, or how
        long ago ("7d"); metadata: keys and values it has to have; order_by: columns, "-name" or "name desc" for the
        largest first; offset: how many of the first rows to leave out. Raises ValueError for a status or column there
        is not.
        """
        given = {"statuses": filters.words(status, WORKFLOW_STATUSES, "status"), "name": name, "text": text}
        common = {"since": since, "until": until, "metadata": metadata, "limit": limit, "order_by": order_by}
        return self._rows("workflows", {**given, "ids": None}, {**common, "offset": offset}, ("-submitted_seq",))

    def tasks(
        self,
        workflow_id: str | None = None,
        *,
        status: Words = None,
        name: str | None = None,
        since: filters.Moment | None = None,
        until: filters.Moment | None = None,
        metadata: Mapping[str, Any] | None = None,
        limit: int | None = None,
        order_by: Order = None,
    ) -> pl.DataFrame:
        """Rows of `tasks`, newest submitted first, those not yet submitted last. Filters as in `workflows`."""
        statuses = filters.words(status, TASK_STATUSES, "status")
        given = {"workflow_id": workflow_id, "statuses": statuses, "name": name}
        common = {"since": since, "until": until, "metadata": metadata, "limit": limit, "order_by": order_by}
        return self._rows("tasks", given, common, ("-submitted_at", "-defined_seq"))

    def attempts(
        self,
        workflow_id: str | None = None,
        *,
        status: Words = None,
        name: str | None = None,
        since: filters.Moment | None = None,
        until: filters.Moment | None = None,
        metadata: Mapping[str, Any] | None = None,
        limit: int | None = None,
        order_by: Order = None,
    ) -> pl.DataFrame:
        """Rows of `attempts`, newest submitted first. `name` and `metadata` are the task's."""
        statuses = filters.words(status, ATTEMPT_STATUSES, "status")
        given = {"workflow_id": workflow_id, "statuses": statuses, "name": name}
        common = {"since": since, "until": until, "metadata": metadata, "limit": limit, "order_by": order_by}
        return self._rows("attempts", given, common, ("-submitted_seq",))

    def events(
        self,
        workflow_id: str | None = None,
        *,
        type: Words = None,
        status: Words = None,
        name: str | None = None,
        since: filters.Moment | None = None,
        until: filters.Moment | None = None,
        metadata: Mapping[str, Any] | None = None,
        limit: int | None = None,
        order_by: Order = None,
    ) -> pl.DataFrame:
        """Rows of `events`, newest first. since, until: of `ts`; `metadata` is the workflow's."""
        statuses = filters.words(status, _EVENT_STATUSES, "status")
        types = filters.words(type, tuple(EVENT_TYPES), "event type")
        given = {"workflow_id": workflow_id, "types": types, "statuses": statuses, "name": name}
        common = {"since": since, "until": until, "metadata": metadata, "limit": limit, "order_by": order_by}
        return self._rows("events", given, common, ("-seq",))

    def _rows(
        self, view: str, given: Mapping[str, Any], common: Mapping[str, Any], newest: Sequence[str]
    ) -> pl.DataFrame:
        params = {
            **given,
            "since": filters.utc(common["since"], self._present()),
            "until": filters.utc(common["until"], self._present()),
            "metadata": filters.json_object(common["metadata"]),
        }
        order = filters.order(common["order_by"], VIEWS[view], newest)
        query = catalog.folder("store")[view]
        limit, offset = filters.limit(common["limit"]), filters.limit(common.get("offset")) or 0
        return to_polars(self._index.run(query, params, order, limit, _KEYS[view], offset))

    def output(self, workflow_id: str, task_id: str | None = None) -> Any:
        """The stored output of the workflow or of one task, unpickled. Needs no Ray.

        That of a virtual actor is its last committed state, as its ``__getstate__`` returned it (a class without one:
        its ``__dict__`` as JSON text), whatever its status. What a call returned is the output of the call's task.

        Raises WorkflowNotFoundError, TaskNotFoundError, NotCheckpointedError; WorkflowExecutionError or
        WorkflowCancellationError when it failed or was canceled, WorkflowError when there is none yet;
        PayloadMissingError when it is no longer kept (`retain`).
        """
        from wfstore._output import output

        row = shared().output(self._index.scan(workflow_id), task_id)
        return output(self.storage, workflow_id, task_id, row, self._payload)

    def _payload(self, workflow_id: str, seq: int) -> bytes | None:
        """What stood in the event itself."""
        if seq < self._history.manifest.next_seq:
            return self._index.payload(workflow_id, seq)
        column = self._reader.read_range(seq, seq, columns=("payload",)).column("payload")
        return column[0].as_py() if len(column) else self._index.payload(workflow_id, seq)

    def as_of(self, when: filters.Moment | int) -> StoreAsOf:
        """The store as it stood after an earlier event, for reading: an event's seq, or a moment as filters take it.

        A moment means the last event that says so or earlier. What was open then is RUNNING, unless the log by then
        says that it was interrupted, or the manager stopped. Raises ValueError for the future and before the beginning.
        """
        from wfstore._asof import as_of

        return as_of(self, when)

    def follow(self, id: str | None = None, *, since: str | int | None = None) -> Follower:
        """The rows of `events` in log order, one by one, and then those to come as they are committed.

        It waits for more until it is closed: ``with store.follow() as events: for event in events: ...``. Each one is
        a `FollowedEvent`: ``event.type``, ``event["type"]``, ``dict(event)``, and `event.cursor`. None is left out or
        given twice, also while the log goes on in other files or under another manager.

        id: only that workflow's, deleted and submitted anew or not yet there included. since: a cursor, to go on
        behind its event, in this process or another; None or "start": from the first event on; "now": only what is
        committed after this call; a seq: what comes after that event.

        Raises ValueError for a `since` that is none of these; StorageError for the cursor of another log. Taking
        events raises DamageError or StorageError where the log cannot be read, and ends the iterator.
        """
        return Follower(WholeLog(self._reader, HistoryFiles(self.storage)), id, since)

    def report(self, name: str, **params: Any) -> pl.DataFrame:
        """Run a report of `queries/reports/`. Raises ValueError for a report or parameter there is not, or a value that
        it does not take; WorkflowNotFoundError where it is about one id that there is not."""
        query = reports.find(name)
        given = reports.bind(query, params, self._present())
        found = to_polars(self._index.run(query, given))
        if found.is_empty() and given.get("id") is not None:
            self.history(given["id"])
        return found

    def reports(self) -> pl.DataFrame:
        """The reports there are: name, summary, grain, parameters."""
        rows = [
            {
                "name": query.name,
                "summary": query.summary,
                "grain": query.grain,
                "parameters": [f"{param.name} {param.type} = {param.default}" for param in query.params],
            }
            for query in catalog.folder("reports").values()
        ]
        return pl.DataFrame(rows)

    def verify(self, repair: bool = False, *, replay: bool = True, progress: Progress | None = None) -> VerifyReport:
        """Check that every byte is what was written, and that log, history files, a replay of the events and the views
        of SQL say the same; a report with `.ok` and `.problems`, each of which says what, where, since when and what to
        do. It reads, and changes nothing.

        repair: settle what a crash can leave, a torn tail, keeping a copy of what is cut. replay: False checks bytes
        alone, which takes a tenth of the time. progress: told (what is done, how much, of how much).
        """
        return verify(self.storage, repair=repair, replay=replay, progress=progress or _silent)

    def compact(self, *, grace: timedelta | str = "10m", progress: Progress | None = None) -> Compacted:
        """Take what is sealed in the log into history files; merge small ones, leave out what was deleted, and remove
        what was replaced longer ago than `grace`, so that whoever reads it can finish.

        Where no manager writes, everything is sealed first. Where something was deleted, large values that nothing
        refers to, and nobody used for a day, go too. progress: told (what is done, how much, of how much).
        Raises the StorageError family; nothing is lost then, and the next compaction goes on.
        """
        return compacted(self.storage, self._index, filters.length(grace), progress or _silent)

    def retain(
        self,
        *,
        keep: timedelta | str | None = None,
        keep_failed: timedelta | str | None = None,
        payloads: timedelta | str | None = None,
        dry_run: bool = False,
        store_policy: bool = False,
        grace: timedelta | str = "10m",
        progress: Progress | None = None,
    ) -> Retained:
        """Delete workflows that ended longer ago than `keep` (failed ones: `keep_failed`), and drop the values, not
        the history, of those that ended longer ago than `payloads`; then compact, so that their bytes go.

        Spans such as "90d", or a timedelta. Without any, the policy kept with the store applies; store_policy: keep
        the given one. Open workflows and virtual actors always stay. dry_run: only say what would go.
        Raises ValueError where there is neither a span nor a policy, and the StorageError family.
        """
        grace_s = filters.length(grace)
        given = Policy.of(keep, keep_failed, payloads)
        policy = policy_for(self.storage, given, keep=store_policy and not (dry_run and not given.empty))
        return retain(self.storage, self._index, policy, dry_run=dry_run, grace_s=grace_s, progress=progress or _silent)

    def backup(
        self,
        destination: str | os.PathLike[str],
        *,
        verify: bool = True,
        lost_values: bool = False,
        progress: Progress | None = None,
    ) -> BackedUp:
        """Copy the store, which may be in use, to a path or URI, and say up to which event the copy goes.

        The copy is a store of its own that nobody manages: open workflows read RESUMABLE in it. Where an older backup
        of this store is, only what is new is copied; what was interrupted goes on. verify: read every byte of the copy
        again at the end. lost_values: leave out values that are lost or damaged here, and name them; else they are an
        error. progress: told (what is done, how much, of how much).

        Raises StorageError where the place is in use otherwise, or holds something else; DamageError naming the file
        that is damaged, here or there. Call it again then: what was copied stays.
        """
        from wfstore import _backup

        place = resolve_storage(destination)
        return _backup.backup(self.storage, place, verify=verify, lost_values=lost_values, progress=progress or _silent)

    def restore(
        self, destination: str | os.PathLike[str], *, verify: bool = True, progress: Progress | None = None
    ) -> BackedUp:
        """As `wfstore.restore`, of the backup that is opened here."""
        return restore(self.storage, destination, verify=verify, progress=progress)

    def stats(self) -> dict[str, Any]:
        """events, workflows, tasks; files, bytes by kind (log, history, pack, payload, other), bytes_per_event (of log
        and history files without packs, None without events); history_files, history_parts; tail_events, tail_bytes:
        what is in no history file, and the files of the log that hold it; oldest and newest event (UTC); retention: the
        policy kept with the store (seconds), None without one."""
        return stats(self.storage, self._index, lambda: self._history.manifest)

    def __repr__(self) -> str:
        return f"<Store {self.storage!r}>"


def _silent(what: str, done: int, total: int) -> None:
    return


def _live_source(storage: str, live: bool | None) -> LiveSource | None:
    """What gives the manager's memory as rows. Ray is imported only when it was asked for, or is there anyway."""
    if live is False or (live is None and "wfstore.engine.client" not in sys.modules):
        return None
    from wfstore.engine.live import source

    return source(storage, join=bool(live))
