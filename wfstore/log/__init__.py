"""The event log of a store on a local filesystem: the only writer of events, and their readers.

The bytes are described in docs/reference/on-disk-format.md. Compaction and object stores are not here yet.
"""

from wfstore.log.claim import open_writer
from wfstore.log.cursor import Cursor
from wfstore.log.group import GroupCommit
from wfstore.log.lease import Lease, boot_id, lease_alive, own_lease, read_lease, remove_lease, write_lease
from wfstore.log.memory import MemoryLog
from wfstore.log.reader import LogReader
from wfstore.log.storage import now_us, resolve_storage
from wfstore.log.verify import Problem, VerifyReport, verify
from wfstore.log.witness import check_storage
from wfstore.log.writer import LogWriter

__all__ = [
    "Cursor",
    "GroupCommit",
    "Lease",
    "LogReader",
    "LogWriter",
    "MemoryLog",
    "Problem",
    "VerifyReport",
    "boot_id",
    "check_storage",
    "lease_alive",
    "now_us",
    "open_writer",
    "own_lease",
    "read_lease",
    "remove_lease",
    "resolve_storage",
    "verify",
    "write_lease",
]
