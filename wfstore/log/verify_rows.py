"""What the rows of a log need: payload files; and whether values that stand in a row are those that it says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from wfstore.log.verify_group import Payloads, shared_files, shared_values
from wfstore.model.events import TASK_DEFINED
from wfstore.model.payload import payload_uri
from wfstore.schema.history import HASH_OF_CODE
from wfstore.schema.rows import Block

_COLUMNS = ("ts", "type", "uri", "hash", "attributes")


class RowsCheck:
    """Takes blocks of rows in log order. in_history: events before this seq are in history files, too.

    payloads: gets the names of payload files that the other events need. last_us: time of the newest event so far.
    """

    def __init__(self, payloads: Payloads, in_history: int) -> None:
        self._payloads, self._in_history = payloads, in_history
        self.events = 0
        self.last_us: int | None = None

    def check(self, block: Block) -> None:
        """Raises ValueError where the rows cannot be read."""
        values = block.values(_COLUMNS)
        self.events += block.rows
        columns: list[Iterable[Any]] = [values.get(name, [None] * block.rows) for name in _COLUMNS]
        rows = zip(*columns, strict=True)
        for seq, (ts, type_, uri, hash_, attributes) in enumerate(rows, block.first_seq):
            self.last_us = ts
            if seq < self._in_history:
                continue  # what its history file needs counts: retention may have been there
            if uri:
                self._payloads.note(ts, [uri])
            if type_ == TASK_DEFINED:
                self._payloads.note(ts, payloads_of_task(hash_, attributes))


def wrong_value(type_: str, hash_: str | None, attributes: str | None, payload: bytes | None) -> bool:
    """Whether a value that stands in the event itself is not the one that its hash stands for."""
    defined = type_ == TASK_DEFINED
    if payload is not None:
        said = json.loads(attributes or "{}").get("args") if defined else hash_
        if said and (defined or type_ not in HASH_OF_CODE) and hashlib.sha256(payload).hexdigest() != said:
            return True
    return defined and attributes is not None and not all(shared_values(attributes))


def payloads_of_task(function_hash: str | None, attributes: str | None) -> Iterator[str]:
    """The function's body and the arguments it shares with other tasks; those inline in the event are no files."""
    if function_hash:
        yield payload_uri(function_hash)
    if attributes:
        yield from shared_files(attributes)
