"""Applies a policy of retention to a store: deletes workflows, compacts, drops values, removes payload files.

Whatever was chosen is looked at again before it goes: somebody may have resumed it meanwhile.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import compress

from wfstore.errors import StorageError
from wfstore.index import Index, to_polars
from wfstore.index.catalog import folder
from wfstore.index.compaction import drop_payloads
from wfstore.index.retention import (
    Dropped,
    Expired,
    Policy,
    before,
    expired,
    microseconds,
    referenced,
    utc_now,
    without_payloads,
)
from wfstore.log import beginning, now_us, open_writer, sizes
from wfstore.log.manifest import read_manifest
from wfstore.model import events as ev
from wfstore.model.events import Event
from wfstore.payloads import PayloadStore

Progress = Callable[[str, int, int], None]
_RETAIN = "retain"
_COMMIT_EVENTS = 10_000


@dataclass(slots=True)
class Retained:
    """What `retain` removed, or would. workflows: by status; payload_workflows: those that lose their values only, and
    had not before; payload_files: large values, and those of deleted workflows; *_before, *_after: bytes of the store
    by kind; bytes_waiting: of those after, what stays for the grace and goes with the next compaction behind it."""

    dry_run: bool
    policy: dict[str, float | None]
    workflows: dict[str, int] = field(default_factory=dict)
    payload_workflows: int = 0
    payload_files: int = 0
    bytes_before: dict[str, int] = field(default_factory=dict)
    bytes_after: dict[str, int] = field(default_factory=dict)
    bytes_waiting: int = 0


class Retention:
    """One application of a policy, as of the moment in which it is made."""

    def __init__(self, storage: str, index: Index, policy: Policy, *, managed: Callable[[], bool]) -> None:
        self._storage, self._index, self._policy, self._managed = storage, index, policy, managed
        self._now = utc_now()

    def said(self, over: Iterable[Expired], *, dry_run: bool) -> Retained:
        """An account of what goes, with the bytes as they are now."""
        counted = dict(Counter(workflow.status for workflow in over))
        return Retained(dry_run, self._policy._asdict(), counted, bytes_before=sizes(self._storage))

    def look(self) -> Retained:
        """What would go. Changes nothing."""
        over, managed = self._over(), self._managed()
        gone = {workflow.workflow_id for workflow in over}
        said = self.said(over, dry_run=True)
        # Where a manager writes, what lies in the log alone stays for now.
        still = self._in_tail() if managed else set()
        said.payload_workflows = len(self._to_empty(still) - gone)
        aside = _ids(self._ended()) - still | (set() if managed else gone)
        needed = referenced(self._index, aside, purged=not managed)
        said.payload_files = len(PayloadStore(self._storage).unreferenced(needed))
        return said

    def delete(self, progress: Progress) -> list[Expired]:
        """Delete what is over; what was deleted. Raises the StorageError family."""
        if not (over := self._over()):
            return []
        if self._managed():
            return self._delete_through_manager(over, progress)
        if beginning(self._storage):
            reason = "somebody has begun to write to this store: a manager that starts, or an import"
            raise StorageError(self._storage, f"{reason}. Try again in a minute")
        writer = open_writer(self._storage)
        try:
            over = self._over()  # from here on nobody resumes anything
            for start in range(0, len(over), _COMMIT_EVENTS):
                writer.append(list(_deletions(over[start : start + _COMMIT_EVENTS])))
                progress("deleting", min(start + _COMMIT_EVENTS, len(over)), len(over))
        finally:
            writer.close()
        return over

    def _delete_through_manager(self, over: list[Expired], progress: Progress) -> list[Expired]:
        from wfstore.engine.maintenance import Deleter

        pairs = [(workflow.workflow_id, workflow.run) for workflow in over]
        gone = Deleter(self._storage).delete(pairs, _RETAIN, lambda done: progress("deleting", done, len(pairs)))
        return list(compress(over, gone))

    def drop(self, grace_s: float, progress: Progress) -> int:
        """Drop values that lie in history files; of how many workflows. Raises the StorageError family."""
        return drop_payloads(
            self._storage,
            lambda: self._to_empty(self._in_tail()),
            self._dropped,
            grace_s=grace_s,
            progress=progress,
        )

    def collect(self) -> int:
        """Remove payload files that nothing needs any more; how many. Raises the StorageError family."""

        def needed() -> set[str]:
            return referenced(self._index, _ids(self._ended()) - self._in_tail())

        return PayloadStore(self._storage).remove_unreferenced(needed)[0]

    # -- what is concerned --------------------------------------------------------------------------------------------

    def _over(self) -> list[Expired]:
        return expired(self._index, self._policy, self._now)

    def _ended(self) -> list[Expired]:
        return without_payloads(self._index, self._policy, self._now)

    def _to_empty(self, still: Collection[str]) -> set[str]:
        """Ids of those that have ended and have their values yet. still: those that are in the log, and keep them."""
        done = Dropped.parse(read_manifest(self._storage).settings)
        return {each.workflow_id for each in self._ended() if each.workflow_id not in still and not done.covers(each)}

    def _dropped(self, next_seq: int) -> Dropped:
        """What can be said when history files that end before `next_seq` have lost the values."""
        still = self._in_tail()
        held = [workflow.submitted_seq for workflow in self._ended() if workflow.workflow_id in still]
        moment = before(self._policy.payloads_s, self._now)
        assert moment is not None
        return Dropped(microseconds(moment), min([next_seq, *held]))

    def _in_tail(self) -> set[str]:
        return set(to_polars(self._index.run(folder("store")["in_tail"], {}))["workflow_id"])


def _ids(workflows: Iterable[Expired]) -> set[str]:
    return {workflow.workflow_id for workflow in workflows}


def _deletions(workflows: Iterable[Expired]) -> Iterator[Event]:
    request_id = uuid.uuid4().hex
    for workflow in workflows:
        yield Event(
            ts=now_us(),
            type=ev.WORKFLOW_DELETED,
            workflow_id=workflow.workflow_id,
            run=workflow.run or None,
            request_id=request_id,
            by=_RETAIN,
        )
