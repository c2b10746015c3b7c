"""What history files there are: `history/manifest-<number>.json`, each made once, the highest number counts.

A manifest names every history file with its size, CRC and ranges, and up to which event the log has been taken in. Of
two that publish at once one wins, and the other reads again. What the files hold is `wfstore.schema.history`.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from wfstore.errors import DamageError, StorageVersionError
from wfstore.log.blobs import Blob, Blobs, open_blobs

HISTORY_DIRECTORY = "history"
_RESTORE = "Restore the folder `history` from a backup"
FORMAT = 1
_NAME = re.compile(r"^manifest-(\d{8,12})\.json$")


@dataclass(frozen=True, slots=True)
class HistoryFile:
    """One Parquet file. kind: events, packs, workflows, ...; group: the files of one range of ids share it within
    their part; min_id, max_id: lowest and highest workflow id, None where no row has one; min_ts, max_ts: of events,
    microseconds UTC."""

    name: str
    kind: str
    bytes: int
    crc: int
    rows: int
    group: int = 0
    min_id: str | None = None
    max_id: str | None = None
    min_ts: int | None = None
    max_ts: int | None = None

    def may_hold(self, workflow_id: str) -> bool:
        """Whether the id lies between its lowest and its highest."""
        return self.may_hold_between(workflow_id, workflow_id)

    def may_hold_between(self, low: str, high: str) -> bool:
        """Whether an id from `low` to `high` lies between its lowest and its highest."""
        return self.min_id is not None and self.max_id is not None and self.min_id <= high and self.max_id >= low


@dataclass(frozen=True, slots=True)
class Part:
    """The events first_seq..last_seq in files, and the facts about every workflow among them as of last_seq.

    events: how many of them are kept; schema: FACTS_SCHEMA of the version that wrote it
    """

    first_seq: int
    last_seq: int
    events: int
    files: tuple[HistoryFile, ...] = ()
    schema: int = 1

    def of(self, kind: str) -> tuple[HistoryFile, ...]:
        """Its files of one kind, in the order of their ids."""
        return tuple(file for file in self.files if file.kind == kind)


@dataclass(frozen=True, slots=True)
class Manifest:
    """number: 0 before the first compaction; next_seq: what the log still has to be read from; parts: in log order;
    purged_to: whatever was deleted up to this seq is out of the files; settings: of retention."""

    store_id: str = ""
    number: int = 0
    next_seq: int = 1
    published_at: int = 0
    parts: tuple[Part, ...] = ()
    purged_to: int = 0
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> Iterable[HistoryFile]:
        """All of them."""
        return (file for part in self.parts for file in part.files)

    def of(self, kind: str) -> list[HistoryFile]:
        """The files of one kind of all parts."""
        return [file for part in self.parts for file in part.of(kind)]

    def following(self, published_at: int, **changes: Any) -> Manifest:
        """The manifest that replaces this one."""
        return replace(self, number=self.number + 1, published_at=published_at, **changes)


def manifest_name(number: int) -> str:
    return f"manifest-{number:08d}.json"


def manifest_number(name: str) -> int | None:
    """None for the name of anything else."""
    found = _NAME.match(name)
    return int(found[1]) if found else None


def history_blobs(storage: str) -> Blobs:
    """The history files and manifests of a store."""
    return open_blobs(storage, HISTORY_DIRECTORY)


def newest_number(blobs: Blobs) -> int:
    """0 where nothing was compacted yet."""
    return max((number for blob in blobs.names() if (number := manifest_number(blob.name)) is not None), default=0)


def read_manifest(storage: str, blobs: Blobs | None = None, known: Manifest | None = None) -> Manifest:
    """The newest manifest; an empty one where there is none; `known` itself while it is the newest.

    Raises DamageError naming the file when it does not say what was written, StorageVersionError, StorageError.
    """
    blobs = blobs or history_blobs(storage)
    while True:
        number = newest_number(blobs)
        if known is not None and known.number == number:
            return known
        if known is not None and known.number > number:
            path = os.path.join(storage, HISTORY_DIRECTORY, manifest_name(known.number))
            raise DamageError(storage, path, 0, f"the manifest was there a moment ago, and is missing. {_RESTORE}")
        if number == 0:
            return Manifest()
        data = blobs.read(manifest_name(number))
        if data is not None:  # else a newer one came, and this one was swept away meanwhile
            return parse_manifest(storage, number, data)


def parse_manifest(storage: str, number: int, data: bytes) -> Manifest:
    """The manifest of that number. Raises DamageError, StorageVersionError."""
    path = os.path.join(storage, HISTORY_DIRECTORY, manifest_name(number))

    def damage(reason: str) -> DamageError:
        return DamageError(storage, path, 0, f"{reason}. `wfstore verify` tells what else is there")

    body, _, checksum = data.rstrip(b"\n").rpartition(b"\n")
    if checksum != _checksum(body):
        raise damage("the manifest's checksum does not fit its text")
    try:
        values = json.loads(body)
        if values["format"] > FORMAT:
            raise StorageVersionError(
                storage, f"history of format {values['format']}; this version reads up to {FORMAT}. Update wfstore"
            )
        parts = tuple(_part(part) for part in values["parts"])
        if values["number"] != number:
            raise damage(f"the manifest says that it is number {values['number']}")
        known = {name: values[name] for name in Manifest.__dataclass_fields__ if name in values}
        manifest = Manifest(**{**known, "parts": parts})
    except (ValueError, KeyError, TypeError) as error:
        raise damage(f"not a manifest: {error!r}") from error
    if (gap := _gap(manifest)) is not None:
        raise damage(f"the manifest contradicts itself: {gap}")
    return manifest


def publish_manifest(blobs: Blobs, manifest: Manifest) -> bool:
    """Durable when this returns. False when somebody else published this number: read again."""
    # So that of two writers of the same manifest only one takes it for its own, wherever the store lies.
    values = {"format": FORMAT, "written": secrets.token_hex(8), **asdict(manifest)}
    body = json.dumps(values, separators=(",", ":")).encode()
    return blobs.create(manifest_name(manifest.number), body + b"\n" + _checksum(body) + b"\n")


def manifests(blobs: Blobs) -> list[tuple[int, Blob]]:
    """Number and file of every manifest that is still there, oldest first."""
    return sorted((number, blob) for blob in blobs.names() if (number := manifest_number(blob.name)) is not None)


def _checksum(body: bytes) -> bytes:
    return b"crc32 %08x" % zlib.crc32(body)


def _part(values: dict[str, Any]) -> Part:
    files = tuple(HistoryFile(**_known(HistoryFile, file)) for file in values["files"])
    return Part(**{**_known(Part, values), "files": files})


def _known(class_: type[HistoryFile | Part], values: dict[str, Any]) -> dict[str, Any]:
    """What this version knows of what a newer one may say."""
    return {name: values[name] for name in class_.__dataclass_fields__ if name in values}


def _gap(manifest: Manifest) -> str | None:
    expected = 1
    for part in manifest.parts:
        if part.first_seq != expected:
            return f"a part begins at seq {part.first_seq}, {expected} was expected"
        expected = part.last_seq + 1
    if expected != manifest.next_seq:
        return f"its parts end before seq {expected}, the log is said to go on at {manifest.next_seq}"
    return None
