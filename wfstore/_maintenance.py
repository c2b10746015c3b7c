"""What a store's owner does to it: compaction, retention, and what it all weighs."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from wfstore._retention import Progress, Retained, Retention
from wfstore.errors import FencedError
from wfstore.index import Index, to_polars
from wfstore.index.catalog import folder
from wfstore.index.compaction import Compacted, compact
from wfstore.index.retention import NoPolicyError, Policy, referenced
from wfstore.log import (
    beginning,
    lease_alive,
    now_us,
    open_reader,
    open_writer,
    read_lease,
    replaced_bytes,
    sizes,
    store_id,
)
from wfstore.log.manifest import Manifest, history_blobs, manifest_number, publish_manifest, read_manifest
from wfstore.payloads import PayloadStore
from wfstore.schema.history import DELETED

__all__ = ["NoPolicyError", "Policy", "Progress", "Retained"]


def managed(storage: str) -> bool:
    """Whether a manager holds the store now, so that every event has to go through it."""
    lease = read_lease(storage)
    return lease is not None and lease_alive(lease, now_us())


def seal(storage: str) -> None:
    """Let everything in the log count as sealed, where nobody writes it. Raises the StorageError family."""
    if managed(storage) or beginning(storage) or not open_reader(storage).unsealed():
        return
    with contextlib.suppress(FencedError):  # somebody else has claimed the log, and sealed it by that
        open_writer(storage).close()


def compacted(storage: str, index: Index, grace_s: float, progress: Progress) -> Compacted:
    """As `Store.compact`."""
    before = sizes(storage)
    seal(storage)
    done = compact(storage, grace_s=grace_s, progress=progress)
    if read_manifest(storage).of(DELETED):
        done.payload_files, _ = PayloadStore(storage).remove_unreferenced(lambda: referenced(index))
    done.bytes_before, done.bytes_after = before, sizes(storage)
    return done


def policy_for(storage: str, given: Policy, *, keep: bool) -> Policy:
    """The given one, or that of the store where nothing is given. keep: keep the given one with the store.

    Raises NoPolicyError, and the StorageError family.
    """
    if given.empty:
        if keep:
            raise NoPolicyError("a policy to keep with the store needs a span: keep, keep_failed or payloads")
        given = Policy.parse(read_manifest(storage).settings)
    elif keep:
        _keep(storage, given)
    if given.empty:
        raise NoPolicyError("say how long to keep what: keep, keep_failed or payloads; this store has no policy")
    return given


def _keep(storage: str, policy: Policy) -> None:
    blobs = history_blobs(storage)
    while True:
        manifest = read_manifest(storage, blobs)
        known = manifest.store_id or store_id(storage)
        settings = policy.within(manifest.settings)
        if publish_manifest(blobs, manifest.following(now_us(), store_id=known, settings=settings)):
            return


def retain(
    storage: str, index: Index, policy: Policy, *, dry_run: bool, grace_s: float, progress: Progress
) -> Retained:
    """As `Store.retain`."""
    retention = Retention(storage, index, policy, managed=lambda: managed(storage))
    if dry_run:
        return retention.look()
    said = retention.said((), dry_run=False)
    said.workflows = dict(Counter(workflow.status for workflow in retention.delete(progress)))
    seal(storage)
    compact(storage, grace_s=grace_s, progress=progress)
    if policy.payloads_s is not None:
        said.payload_workflows = retention.drop(grace_s, progress)
    said.payload_files = retention.collect()
    said.bytes_after, said.bytes_waiting = sizes(storage), _waiting_bytes(storage)
    return said


def _waiting_bytes(storage: str) -> int:
    """Of history files and log: what was replaced, and stays for the grace."""
    manifest = read_manifest(storage)
    named = {file.name for file in manifest.files}
    there = history_blobs(storage).names()
    files = sum(blob.bytes for blob in there if blob.name not in named and manifest_number(blob.name) is None)
    return files + replaced_bytes(storage, manifest.next_seq)


def stats(storage: str, index: Index, manifest: Callable[[], Manifest]) -> dict[str, Any]:
    """As `Store.stats`. manifest: that of the index, asked after it was."""
    row = to_polars(index.run(folder("store")["stats"], {})).row(0, named=True)
    weighed, found, log = sizes(storage), manifest(), open_reader(storage)
    events, policy = row["events"], Policy.parse(found.settings)
    tail = sum(extent.bytes for extent in log.sealed(found.next_seq)) + log.unsealed_bytes()
    return {
        **{name: row[name] for name in ("events", "workflows", "tasks")},
        **weighed,
        "bytes_per_event": (weighed["log_bytes"] + weighed["history_bytes"]) / events if events else None,
        "history_files": sum(1 for _ in found.files),
        "history_parts": len(found.parts),
        "tail_events": row["tail_events"],
        "tail_bytes": tail,
        "oldest": row["oldest"],
        "newest": row["newest"],
        "retention": None if policy.empty else policy._asdict(),
    }
