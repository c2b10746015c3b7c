"""Pickled values: arguments, function bodies, outputs; content-addressed, their size known without opening them.

Nothing in here imports Ray, and only `loads` unpickles.
"""

from wfstore.model.payload import INLINE_LIMIT_BYTES, PayloadRef
from wfstore.payloads.pickling import SerializationError, dumps, hash_of, loads
from wfstore.payloads.placeholders import Shared, SharedRef, Upstream
from wfstore.payloads.shortrepr import short_repr
from wfstore.payloads.store import PayloadStore

__all__ = [
    "INLINE_LIMIT_BYTES",
    "PayloadRef",
    "PayloadStore",
    "SerializationError",
    "Shared",
    "SharedRef",
    "Upstream",
    "dumps",
    "hash_of",
    "loads",
    "short_repr",
]
