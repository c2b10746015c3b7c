"""The event log of a store, on a local filesystem or on object storage: the only writer of events, and their readers.

The bytes are described in docs/reference/on-disk-format.md.
"""

from wfstore.log.cursor import Cursor
from wfstore.log.group import GroupCommit
from wfstore.log.lease import Lease, boot_id, lease_alive, own_lease
from wfstore.log.memory import MemoryLog
from wfstore.log.places import (
    Reader,
    Writer,
    beginning,
    check_storage,
    open_reader,
    open_writer,
    read_lease,
    remove_lease,
    replaced_bytes,
    sizes,
    store_id,
    trim,
    verify,
    write_lease,
)
from wfstore.log.reader import LogReader
from wfstore.log.storage import now_us, resolve_storage
from wfstore.log.verify_report import Problem, VerifyReport
from wfstore.log.writer import LogWriter

__all__ = [
    "Cursor",
    "GroupCommit",
    "Lease",
    "LogReader",
    "LogWriter",
    "MemoryLog",
    "Problem",
    "Reader",
    "VerifyReport",
    "Writer",
    "beginning",
    "boot_id",
    "check_storage",
    "lease_alive",
    "now_us",
    "open_reader",
    "open_writer",
    "own_lease",
    "read_lease",
    "remove_lease",
    "replaced_bytes",
    "resolve_storage",
    "sizes",
    "store_id",
    "trim",
    "verify",
    "write_lease",
]
