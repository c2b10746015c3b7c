"""Checks a whole store on object storage: every object of the chain, the witness, and every payload that is named.

It only reads: an object is there whole or not at all, so there is nothing that a repair could cut. History files are
fetched for it, whatever copies this machine keeps: what is stored is what counts.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import PurePosixPath

from wfstore.errors import DamageError
from wfstore.log._files import no_store
from wfstore.log.manifest import HISTORY_DIRECTORY, history_blobs
from wfstore.log.objects import link
from wfstore.log.objects.files import read_floor, read_witness
from wfstore.log.objects.link import START, End, Place
from wfstore.log.segment import LOG_DIRECTORY
from wfstore.log.verify_history import Fetch, check_history
from wfstore.log.verify_report import FOREIGN, LOG, PAYLOAD, WITNESS, Problem, Progress, VerifyReport, silent
from wfstore.log.verify_rows import RowsCheck
from wfstore.log.witness import WITNESS_FILE, Witness
from wfstore.model.payload import payload_uri
from wfstore.objects import Bucket, Entry, bucket_of
from wfstore.schema.rows import Block

_BATCH = 64
_PAYLOADS_AT_ONCE = 4


def verify(storage: str, progress: Progress = silent) -> VerifyReport:
    """As the local `verify`, without a repair. Damage is in the report."""
    bucket = bucket_of(storage)
    check = _Check(bucket, progress)
    check.run()
    return check.report


class _Check:
    def __init__(self, bucket: Bucket, progress: Progress) -> None:
        self._bucket, self._progress = bucket, progress
        self._storage = bucket.storage
        self.report = VerifyReport()
        self._store_id = ""
        self._floor = 1

    def run(self) -> None:
        entries = list(self._bucket.entries(LOG_DIRECTORY))
        witness = self._witness(bool(entries))
        self._store_id = "" if witness is None else witness.store_id
        self._floor = read_floor(self._bucket)
        self._check_history()
        self._check_chain([(place, entry) for entry in entries if (place := link.parse_name(entry.name)) is not None])
        if witness is not None and witness.segment:
            self._check_witness(witness, {entry.name: entry.bytes for entry in entries})
        self.report.events = self._rows.events
        count = len(self._needed.needed | self._needed.old)
        uris = iter(sorted(self._needed.needed | self._needed.old))
        while some := list(islice(uris, _PAYLOADS_AT_ONCE)):
            self._progress("checking payloads", self.report.payloads, count)
            self._check_payloads(some)

    def _check_history(self) -> None:
        found = check_history(self._storage, self._store_id or None, self._progress, self._room)
        start = f"{self._storage}/"
        self.report.problems += [replace(each, path=each.path.removeprefix(start)) for each in found.problems]
        self.report.history_files, self.report.history_events = found.files, found.events
        self.report.left_behind = found.left_behind
        self._needed = found.payloads
        self._rows = RowsCheck(found.payloads, 1 if found.manifest is None else found.manifest.next_seq)

    @contextmanager
    def _room(self) -> Iterator[Fetch]:
        folder = history_blobs(self._storage).scratch()

        def fetch(name: str) -> str:
            path = os.path.join(folder, name)
            self._bucket.download(f"{HISTORY_DIRECTORY}/{name}", path)
            return path

        try:
            yield fetch
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _problem(self, path: str, offset: int, message: str, kind: str) -> None:
        self.report.problems.append(Problem(path, offset, message, kind=kind))

    def _damage(self, error: DamageError, kind: str = LOG, since: int | None = None) -> None:
        message = error.message.partition(f"at byte {error.offset}: ")[2]
        concerns = "" if since is None else f"events from {since} on; those before it are whole"
        last_us = None if since is None else self._rows.last_us
        found = Problem(error.path, error.offset, message, False, kind, concerns, since, last_us)
        self.report.problems.append(found)

    def _witness(self, has_log: bool) -> Witness | None:
        try:
            witness = read_witness(self._bucket)
        except DamageError as error:
            self._damage(error, WITNESS)
            return None
        if witness is None:
            if not has_log:
                raise no_store(self._storage)
            self._problem(WITNESS_FILE, 0, "the object is missing; the next manager writes it anew", WITNESS)
        return witness

    def _check_witness(self, witness: Witness, sizes: dict[str, int]) -> None:
        place = link.parse_name(witness.segment)
        size = sizes.get(witness.segment)
        if size is None:
            if place is None or place.first_seq >= self._floor:
                self._problem(witness.segment, 0, "the object is missing, and store.json counts on it", WITNESS)
        elif size < witness.sealed_length:
            message = f"the object ends here, store.json counts on {witness.sealed_length} bytes"
            self._problem(witness.segment, size, message, WITNESS)

    def _check_chain(self, listed: list[tuple[Place, Entry]]) -> None:
        after: End | None = START if self._floor == 1 else None
        for start in range(0, len(listed), _BATCH):
            self._progress("checking the log", start, len(listed))
            batch = listed[start : start + _BATCH]
            for (place, _), data in zip(batch, self._bucket.get_all(entry.name for _, entry in batch), strict=True):
                if after is not None and after.place != place:
                    if after.place.first_seq >= self._floor:
                        self._damage(link.missing(self._storage, after.place), since=after.place.first_seq)
                    after = None
                try:
                    after = self._check_object(place, data, after)
                except DamageError as error:
                    self._damage(error, since=place.first_seq)
                    after = None

    def _check_object(self, place: Place, data: bytes | None, after: End | None) -> End:
        """Where it ends. Raises DamageError."""
        if data is None:
            raise link.missing(self._storage, place)
        found = link.read(self._storage, place, data, after)
        if self._store_id and found.header.store_id != self._store_id:
            self._problem(place.name, 0, f"the object is of another store ({found.header.store_id})", FOREIGN)
        self.report.segments += 1
        self.report.bytes += len(data)
        self.report.frames += 1
        if (block := found.block()) is not None:
            self.report.frames += 1
            self._check_rows(place, block)
        return found.end

    def _check_rows(self, place: Place, block: Block) -> None:
        try:
            self._rows.check(block)
        except ValueError as error:
            raise DamageError(self._storage, place.name, 0, f"rows that cannot be read: {error}") from error

    def _check_payloads(self, uris: list[str]) -> None:
        self.report.payloads += len(uris)
        for uri in [uri for uri in uris if uri != payload_uri(PurePosixPath(uri).name)]:
            self._problem(uri, 0, "an event names a payload by a path that no payload has", PAYLOAD)
            uris.remove(uri)
        for uri, data in zip(uris, self._bucket.get_all(uris), strict=True):
            if data is None:
                if uri in self._needed.needed:
                    self._problem(uri, 0, "a payload that an event names is missing", PAYLOAD)
            elif hashlib.sha256(data).hexdigest() != PurePosixPath(uri).name:
                self._problem(uri, 0, "the payload's bytes are not those its name stands for", PAYLOAD)
