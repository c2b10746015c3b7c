"""Claiming the next epoch of a log on object storage: the claim is itself the next object of the chain."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from wfstore.errors import DamageError, StorageError
from wfstore.log import failpoints
from wfstore.log.objects import link
from wfstore.log.objects.files import ensure_witness, read_floor, read_witness, write_witness
from wfstore.log.objects.link import START, End, Place
from wfstore.log.objects.writer import ObjectLogWriter, summons_name
from wfstore.log.segment import LOG_DIRECTORY
from wfstore.log.storage import now_us
from wfstore.log.witness import Witness, advanced
from wfstore.objects import Bucket, Entry, bucket_of, prove_put_if_absent

#: So many refused puts say that an older writer commits without a pause; it is asked to stop then.
_PATIENCE = 3
#: So many objects are read one after the other before their names are listed instead.
_STEPS = 4
_CLAIM_FOR_S = 60.0


def open_writer(storage: str, *, clock: Callable[[], int] = now_us) -> ObjectLogWriter:
    """As the local `open_writer`. Raises StorageError also when the storage does not honour put-if-absent."""
    bucket = bucket_of(storage)
    known = read_witness(bucket)
    prove_put_if_absent(bucket)
    created_at = clock()
    witness = known or ensure_witness(bucket, created_at, _id_in_log(bucket))
    end = find_end(bucket, witness)
    failpoints.hit(failpoints.CLAIM_SCANNED)
    header, end, data, name = _claim(bucket, witness.store_id, created_at, end)
    failpoints.hit(failpoints.CLAIM_SYNCED)
    claimed = advanced(witness, end.epoch, name, len(data), end.place.first_seq, clean=False)
    write_witness(bucket, claimed)
    return ObjectLogWriter(bucket, claimed, header, end)


def _claim(bucket: Bucket, store_id: str, created_at: int, end: End) -> tuple[bytes, End, bytes, str]:
    """Put the claim behind whatever comes first; (header of the epoch, where it ends, the object, its name)."""
    token, refused, deadline = secrets.token_hex(8), 0, time.monotonic() + _CLAIM_FOR_S
    summoned: list[str] = []
    while True:
        epoch = end.epoch + 1
        header = link.header_body(store_id, epoch, token, created_at)
        data, after = link.build(header, epoch, None, end)
        if bucket.create(end.place.name, data):
            if summoned:
                bucket.remove(summoned)
            return header, after, data, end.place.name
        end = _follow(bucket, end)
        if end.epoch >= epoch:
            # A rival claims as well, and has been quicker: it knows of no summons yet.
            refused, deadline = 0, time.monotonic() + _CLAIM_FOR_S
            continue
        refused += 1
        if time.monotonic() > deadline:
            raise StorageError(
                bucket.storage, f"the writer of epoch {end.epoch} commits on and does not heed the summons"
            )
        if refused == _PATIENCE:
            summoned.append(summons_name(end.epoch))
            bucket.put(summoned[-1], b"")


def _follow(bucket: Bucket, end: End) -> End:
    """Where the chain ends now; a writer without a pause may be faster than who reads what it writes, one by one."""
    for _ in range(_STEPS):
        data = bucket.get(end.place.name)
        if data is None:
            return end
        end = link.read(bucket.storage, end.place, data, end).end
    newest: Place | None = None
    for entry in bucket.entries(LOG_DIRECTORY, end.place.stem):
        found = link.parse_name(entry.name)
        if found is None:
            continue
        if found.number != (end.place.number if newest is None else newest.number + 1):
            _check_gap(bucket, end if newest is None else newest, found)
        newest = found
    return end if newest is None else _end_of(bucket, newest)


def _end_of(bucket: Bucket, place: Place) -> End:
    data = bucket.get(place.name)
    if data is None:
        raise link.missing(bucket.storage, place)
    return link.read(bucket.storage, place, data, None).end


def find_end(bucket: Bucket, witness: Witness) -> End:
    """Where the chain ends; its newest object is checked, and the one that store.json counts on is there.

    Raises DamageError, StorageError.
    """
    known = link.parse_name(witness.segment)
    place: Place | None = None
    for entry in bucket.entries(LOG_DIRECTORY, known.stem if known else ""):
        found = link.parse_name(entry.name)
        if found is None:
            continue
        if place is None and known is not None:
            _check_known(bucket, witness, found, known, entry)
        elif place is not None and found.number != place.number + 1:
            _check_gap(bucket, place, found)
        place = found
    if place is None:
        if known is not None:
            raise DamageError(bucket.storage, witness.segment, 0, "the object is missing, and store.json counts on it")
        return START
    return _end_of(bucket, place)


def _check_known(bucket: Bucket, witness: Witness, first: Place, known: Place, entry: Entry) -> None:
    if first != known:
        if read_floor(bucket) < first.first_seq:
            raise DamageError(bucket.storage, witness.segment, 0, "the object is missing, and store.json counts on it")
    elif entry.bytes < witness.sealed_length:
        reason = f"the object ends here, store.json counts on {witness.sealed_length} bytes"
        raise DamageError(bucket.storage, witness.segment, entry.bytes, reason)


def _check_gap(bucket: Bucket, before: End | Place, found: Place) -> None:
    """Objects may be missing only where everything in them was moved into history files. A listing made while others
    write may leave out what is there."""
    if read_floor(bucket) >= found.first_seq:
        return
    end = before if isinstance(before, End) else _end_of(bucket, before)
    while end.place.number < found.number and (data := bucket.get(end.place.name)) is not None:
        end = link.read(bucket.storage, end.place, data, end).end
    if end.place != found:
        reason = f"object {found.number - 1} before it is missing"
        raise DamageError(bucket.storage, found.name, 0, reason)


def _id_in_log(bucket: Bucket) -> str | None:
    """The store id that the log itself carries, when store.json is lost."""
    for entry in bucket.entries(LOG_DIRECTORY):
        place = link.parse_name(entry.name)
        data = bucket.get(entry.name) if place is not None else None
        if place is not None and data is not None:
            return link.read(bucket.storage, place, data, None).header.store_id
    return None
