"""Proof that a storage honours put-if-absent. On one that does not, two managers overwrite each other's commits."""

from __future__ import annotations

import contextlib
import secrets

from wfstore.errors import StorageError
from wfstore.objects.bucket import Bucket

_FOLDER = "probe"
_TRIES = 3
_REFUSAL = (
    "this storage does not honour put-if-absent ({}): two managers could overwrite each other's commits. "
    "Use a storage whose PUT honours If-None-Match: * (AWS S3, GCS, Azure, Ceph, MinIO ...), or a local path"
)


def prove_put_if_absent(bucket: Bucket) -> None:
    """Put one object twice. Raises StorageError when the second put is not refused, or changes what is there."""
    name = f"{_FOLDER}/{secrets.token_hex(8)}"
    first, second = b"first", b"second"
    try:
        # A lost reply can turn the first put into a refusal of its own repetition; what lies there tells.
        _answered(bucket, name, first)
        if _answered(bucket, name, second):
            raise StorageError(bucket.storage, _REFUSAL.format("a second put of the same name succeeded"))
        if (there := bucket.get(name)) != first:
            found = "nothing" if there is None else "other bytes"
            raise StorageError(bucket.storage, _REFUSAL.format(f"{found} lay there after a refused put"))
    finally:
        bucket.remove([name])


def _answered(bucket: Bucket, name: str, data: bytes) -> bool:
    """`create_once`, tried again where nobody answered: a manager must not fail to start for one lost reply."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(StorageError):
            return bucket.create_once(name, data)
    return bucket.create_once(name, data)
