"""`store.json`, `lease.json` and `floor.json` of a store on object storage: plain objects, replaced as a whole."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict

from wfstore.errors import DamageError, StorageError
from wfstore.log.lease import LEASE_FILE, Lease
from wfstore.log.witness import WITNESS_FILE, Witness, decoded, encoded
from wfstore.objects import Bucket, bucket_of

FLOOR_FILE = "floor.json"


def read_witness(bucket: Bucket) -> Witness | None:
    """None when there is none. Raises DamageError, StorageVersionError, StorageError."""
    data = bucket.get(WITNESS_FILE)
    return None if data is None else decoded(bucket.storage, WITNESS_FILE, data)


def write_witness(bucket: Bucket, witness: Witness) -> None:
    bucket.put(WITNESS_FILE, encoded(witness))


def ensure_witness(bucket: Bucket, created_at: int, known_id: str | None) -> Witness:
    """The store's witness; the store is created when it is absent. `known_id`: of a log that lost its store.json."""
    witness = Witness(known_id or uuid.uuid4().hex, created_at)
    bucket.create(WITNESS_FILE, encoded(witness))
    found = read_witness(bucket)
    if found is None:
        raise StorageError(bucket.storage, "store.json was created and has vanished again")
    return found


def write_lease(storage: str, lease: Lease) -> None:
    """As `wfstore.log.lease.write_lease`."""
    bucket_of(storage).put(LEASE_FILE, json.dumps(asdict(lease)).encode())


def read_lease(storage: str) -> Lease | None:
    """As `wfstore.log.lease.read_lease`."""
    data = bucket_of(storage).get(LEASE_FILE)
    try:
        values = json.loads(data or b"null")
        return Lease(**{name: values[name] for name in Lease.__dataclass_fields__})
    except (ValueError, KeyError, TypeError):
        return None


def remove_lease(storage: str) -> None:
    """As `wfstore.log.lease.remove_lease`."""
    bucket_of(storage).remove([LEASE_FILE])


def read_floor(bucket: Bucket) -> int:
    """Events below this seq may have been removed from the log; 1: none was. Raises DamageError, StorageError."""
    data = bucket.get(FLOOR_FILE)
    if data is None:
        return 1
    try:
        return int(json.loads(data)["next_seq"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamageError(bucket.storage, FLOOR_FILE, 0, f"not a floor: {error}") from error


def write_floor(bucket: Bucket, next_seq: int) -> None:
    """Say, before anything is removed, that events below `next_seq` will be."""
    bucket.put(FLOOR_FILE, floor_text(next_seq))


def floor_text(next_seq: int) -> bytes:
    """What the file says then."""
    return (json.dumps({"next_seq": next_seq}) + "\n").encode()
