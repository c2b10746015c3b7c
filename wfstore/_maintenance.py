"""What a store's owner does to it: compaction, retention, and what it all weighs."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from wfstore._version import __version__
from wfstore.errors import WorkflowNotFoundError, WorkflowStillActiveError
from wfstore.index import Index
from wfstore.index.compaction import Compacted, compact, drop_payloads
from wfstore.index.retention import Policy, expired, referenced, without_payloads
from wfstore.log import lease_alive, now_us, open_reader, open_writer, read_lease, sizes
from wfstore.log.manifest import history_blobs, publish_manifest, read_manifest
from wfstore.model import events as ev
from wfstore.model.events import Event
from wfstore.model.wire import dumps
from wfstore.payloads import PayloadStore

Progress = Callable[[str, int, int], None]
_RETAIN = "retain"
_COMMIT_EVENTS = 10_000


@dataclass(slots=True)
class Retained:
    """What `retain` removed, or would. workflows: by status; payload_workflows: those that lose their values only;
    *_before, *_after: bytes of the store by kind."""

    dry_run: bool
    policy: dict[str, float | None]
    workflows: dict[str, int] = field(default_factory=dict)
    payload_workflows: int = 0
    payload_files: int = 0
    bytes_before: dict[str, int] = field(default_factory=dict)
    bytes_after: dict[str, int] = field(default_factory=dict)


def managed(storage: str) -> bool:
    """Whether a manager holds the store now, so that every event has to go through it."""
    lease = read_lease(storage)
    return lease is not None and lease_alive(lease, now_us())


def seal(storage: str) -> None:
    """Let everything in the log count as sealed, where nobody writes it. Raises the StorageError family."""
    if not managed(storage) and open_reader(storage).unsealed():
        open_writer(storage).close()


def compacted(storage: str, grace_s: float, progress: Progress) -> Compacted:
    """As `Store.compact`."""
    seal(storage)
    return compact(storage, grace_s=grace_s, progress=progress)


def stored_policy(storage: str) -> Policy:
    """The one that was kept with the store; one that keeps everything where there is none."""
    return Policy.parse(read_manifest(storage).settings.get("retention", {}))


def store_policy(storage: str, policy: Policy) -> None:
    """Keep it with the store. Raises the StorageError family."""
    blobs = history_blobs(storage)
    while True:
        manifest = read_manifest(storage, blobs)
        settings = {**manifest.settings, "retention": policy._asdict()}
        if publish_manifest(blobs, manifest.following(now_us(), settings=settings)):
            return


def retain(
    storage: str, index: Index, policy: Policy, *, dry_run: bool, grace_s: float, progress: Progress
) -> Retained:
    """As `Store.retain`."""
    over = expired(index, policy)
    gone = {workflow.workflow_id for workflow in over}
    emptied = [workflow_id for workflow_id in without_payloads(index, policy) if workflow_id not in gone]
    said = Retained(dry_run, policy._asdict(), payload_workflows=len(emptied), bytes_before=sizes(storage))
    for workflow in over:
        said.workflows[workflow.status] = said.workflows.get(workflow.status, 0) + 1
    if dry_run:
        kept = referenced(index, [*gone, *emptied])
        said.payload_files = len(PayloadStore(storage).unreferenced(kept))
        return said
    if over:
        _delete(storage, [(workflow.workflow_id, workflow.run) for workflow in over], progress)
    compacted(storage, grace_s, progress)
    if emptied:
        drop_payloads(storage, emptied, grace_s=grace_s, progress=progress)
    if over or policy.payloads_s is not None:
        said.payload_files, _ = PayloadStore(storage).remove_unreferenced(lambda: referenced(index, emptied))
    said.bytes_after = sizes(storage)
    return said


def _delete(storage: str, workflows: list[tuple[str, int]], progress: Progress) -> None:
    if managed(storage):
        _delete_through_manager(storage, [workflow_id for workflow_id, _ in workflows], progress)
        return
    writer = open_writer(storage)
    try:
        facts = {"pid": os.getpid(), "host": socket.gethostname(), "version": __version__, "task": _RETAIN}
        writer.append([Event(ts=now_us(), type=ev.MANAGER_STARTED, attributes=dumps(facts))])
        for start in range(0, len(workflows), _COMMIT_EVENTS):
            writer.append(list(_deletions(workflows[start : start + _COMMIT_EVENTS])))
            progress("deleting", min(start + _COMMIT_EVENTS, len(workflows)), len(workflows))
        writer.append([Event(ts=now_us(), type=ev.MANAGER_STOPPED)])
    finally:
        writer.close()


def _deletions(workflows: Iterable[tuple[str, int]]) -> Iterable[Event]:
    request_id = uuid.uuid4().hex
    for workflow_id, run in workflows:
        yield Event(
            ts=now_us(), type=ev.WORKFLOW_DELETED, workflow_id=workflow_id, run=run, request_id=request_id, by=_RETAIN
        )


def _delete_through_manager(storage: str, ids: list[str], progress: Progress) -> None:
    from wfstore.engine.maintenance import Deleter

    deleter = Deleter(storage)
    for number, workflow_id in enumerate(ids, 1):
        try:
            deleter.delete(workflow_id, _RETAIN)
        except (WorkflowNotFoundError, WorkflowStillActiveError):
            continue  # somebody deleted it, or runs it again
        progress("deleting", number, len(ids))
