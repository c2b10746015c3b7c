"""A reference to a pickled value: what it weighs, what identifies it, and where it lies."""

from __future__ import annotations

import builtins
from typing import NamedTuple

#: Values up to this size travel inside the event's own commit; larger ones are files of their own.
INLINE_LIMIT_BYTES = 32 * 1024


class PayloadRef(NamedTuple):
    """sha256 (hex) and size of a pickled value; `data` when it is inline, else None and it lies in the payload store
    under its hash."""

    hash: str
    bytes: int
    data: builtins.bytes | None = None


def payload_uri(hash_: str) -> str:
    """Where a payload file lies, relative to the store."""
    return f"payloads/{hash_[:2]}/{hash_}"
