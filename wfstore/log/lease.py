"""The living manager's mark: a small file, refreshed every few seconds.

It may be lost or stale: no decision to write rests on it, only what readers show of open workflows.
"""

from __future__ import annotations

import functools
import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from wfstore.log._files import replace_file, translated

LEASE_FILE = "lease.json"
LEASE_TIMEOUT_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Lease:
    """Which process manages the store. refreshed_at_us: its clock, microseconds UTC; session: of Ray, None without."""

    pid: int
    host: str
    boot_id: str
    refreshed_at_us: int
    session: str | None
    epoch: int


@functools.cache
def boot_id() -> str:
    """What tells one boot of this machine from the next."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import psutil

        return str(int(psutil.boot_time()))


def own_lease(now_us: int, session: str | None, epoch: int) -> Lease:
    """The lease that this process would write."""
    return Lease(os.getpid(), socket.gethostname(), boot_id(), now_us, session, epoch)


def write_lease(storage: str, lease: Lease) -> None:
    """Atomically replace the store's lease; not durable, as a restart of the machine ends it anyway."""
    with translated(storage, "refreshing the lease"):
        replace_file(os.path.join(storage, LEASE_FILE), json.dumps(asdict(lease)).encode(), durable=False)


def read_lease(storage: str) -> Lease | None:
    """The lease as it stands, alive or not; None when there is none that can be understood."""
    with translated(storage, "reading the lease"):
        try:
            data = Path(storage, LEASE_FILE).read_bytes()
        except FileNotFoundError:
            return None
    try:
        values = json.loads(data)
        return Lease(**{name: values[name] for name in Lease.__dataclass_fields__})
    except (ValueError, KeyError, TypeError):
        return None


def remove_lease(storage: str) -> None:
    """For a manager that stops in good order."""
    with translated(storage, "removing the lease"):
        Path(storage, LEASE_FILE).unlink(missing_ok=True)


def lease_alive(lease: Lease, now_us: int) -> bool:
    """False when the lease is older than 60 s, or when its process was on this machine and is gone."""
    if now_us - lease.refreshed_at_us > LEASE_TIMEOUT_US:
        return False
    here = lease.host == socket.gethostname() and lease.boot_id == boot_id()
    return not here or _process_exists(lease.pid)


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
