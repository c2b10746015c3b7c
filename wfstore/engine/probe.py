"""Does this node see the storage that the manager writes? On several nodes it must be shared, as object storage is."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from wfstore.errors import StorageError
from wfstore.objects import is_uri


@lru_cache(maxsize=64)
def _store_id_here(storage: str) -> str | None:
    try:
        return str(json.loads((Path(storage) / "store.json").read_text())["store_id"])
    except (OSError, ValueError, KeyError):
        return None


def check_storage_visible(storage: str, store_id: str, manager_node: str, node: str) -> None:
    """Raise StorageError unless the store seen under `storage` on this node is the manager's own."""
    if is_uri(storage) or node == manager_node or _store_id_here(storage) == store_id:
        return
    _store_id_here.cache_clear()
    if _store_id_here(storage) == store_id:
        return
    raise StorageError(
        storage,
        f"node {node} does not see the store that the manager on node {manager_node} writes. Put the storage on a "
        "filesystem that every node mounts at this path (NFS, say), or on an object store (s3://...).",
    )
