"""Removes what no reader needs any more: replaced manifests and files, the log's segments that history files hold, and
what compactions that were killed left behind. Everything stays for its time of grace.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
from typing import NamedTuple

from wfstore.errors import DamageError
from wfstore.log import failpoints, now_us, trim
from wfstore.log.blobs import WORK_PREFIX, Blob, Blobs
from wfstore.log.manifest import (
    HISTORY_DIRECTORY,
    Manifest,
    history_blobs,
    manifest_name,
    manifest_number,
    manifests,
    parse_manifest,
)
from wfstore.log.trim import Trimmed

#: Files that no manifest names may be those of a compaction that is under way; no compaction takes so long.
_ORPHAN_S = 6 * 3600.0


class Swept(NamedTuple):
    """How much was removed: segments of the log, and history files."""

    log_files: int = 0
    log_bytes: int = 0
    history_files: int = 0
    history_bytes: int = 0


def sweep(storage: str, grace_s: float) -> Swept:
    """Remove what was replaced more than `grace_s` ago. Raises the StorageError family."""
    blobs, now = history_blobs(storage), now_us()
    files, size = _sweep_history(storage, blobs, now, round(grace_s * 1e6))
    _sweep_work(storage)
    # Segments that a manifest made superfluous stay for those who took up the list before it was there.
    left = manifests(blobs)
    settled = [number for number, blob in left if blob.modified_us <= now - round(grace_s * 1e6)]
    manifest = _manifest(storage, blobs, settled[-1], left[-1][0]) if settled else None
    trimmed = trim(storage, manifest.next_seq) if manifest is not None else Trimmed(0, 0)
    return Swept(trimmed.files, trimmed.bytes, files, size)


def _sweep_history(storage: str, blobs: Blobs, now: int, grace_us: int) -> tuple[int, int]:
    found = manifests(blobs)
    # A manifest counts until the next one is there, and a reader that took it up then may need it for the grace.
    kept = [entry for entry, later in itertools.pairwise(found) if later[1].modified_us > now - grace_us]
    kept += found[-1:]
    named: set[str] = set()
    for number, _ in kept:
        manifest = _manifest(storage, blobs, number, found[-1][0])
        if manifest is None:
            return 0, 0  # somebody else sweeps
        named |= {file.name for file in manifest.files}
    replaced: set[str] = set()
    for number, _ in found:
        if number < kept[0][0] and (manifest := _manifest(storage, blobs, number, found[-1][0])) is not None:
            replaced |= {file.name for file in manifest.files} - named
    files = size = 0
    for blob in blobs.names():
        if blob.name in replaced or _orphan(blob, named, now):
            blobs.remove(blob.name)
            failpoints.hit(failpoints.FILE_REMOVED)
            files, size = files + 1, size + blob.bytes
    # Last, so that a crash before leaves them to name what is still to be removed.
    for number, _ in found:
        if number < kept[0][0]:
            blobs.remove(manifest_name(number))
            failpoints.hit(failpoints.MANIFEST_REMOVED)
    return files, size


def _orphan(blob: Blob, named: set[str], now: int) -> bool:
    old = blob.modified_us < now - _ORPHAN_S * 1e6
    return old and manifest_number(blob.name) is None and blob.name not in named


def _manifest(storage: str, blobs: Blobs, number: int, newest: int) -> Manifest | None:
    """None where it is gone. One that is damaged and was replaced has no readers: it names nothing, and nothing goes
    out of the log for it."""
    data = blobs.read(manifest_name(number))
    try:
        return None if data is None else parse_manifest(storage, number, data)
    except DamageError:
        if number == newest:
            raise
        return Manifest()


def _sweep_work(storage: str) -> None:
    """Work folders of compactions that were killed."""
    folder = os.path.join(storage, HISTORY_DIRECTORY)
    if not os.path.isdir(folder):
        return
    for entry in os.scandir(folder):
        if entry.name.startswith(WORK_PREFIX) and entry.is_dir() and entry.stat().st_mtime < time.time() - _ORPHAN_S:
            shutil.rmtree(entry.path, ignore_errors=True)
