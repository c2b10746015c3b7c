"""A lease says who manages the store, and when it is no longer believed."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

from wfstore.log import (
    Lease,
    LogReader,
    lease_alive,
    now_us,
    open_writer,
    own_lease,
    read_lease,
    remove_lease,
    verify,
    write_lease,
)


def test_written_read_removed(tmp_path: Path) -> None:
    storage = open_writer(str(tmp_path / "store")).storage
    assert read_lease(storage) is None
    lease = own_lease(now_us(), "session_1", 1)
    write_lease(storage, lease)
    write_lease(storage, lease)
    assert read_lease(storage) == lease
    assert LogReader(storage).lease() == lease
    remove_lease(storage)
    remove_lease(storage)
    assert read_lease(storage) is None


def test_alive() -> None:
    now = now_us()
    mine = own_lease(now, None, 1)
    assert mine.pid == os.getpid()
    assert lease_alive(mine, now)
    assert lease_alive(mine, now + 60_000_000)
    assert not lease_alive(mine, now + 60_000_001)
    process = subprocess.Popen(["true"])
    process.wait()
    gone = replace(mine, pid=process.pid)
    assert not lease_alive(gone, now)
    assert lease_alive(replace(gone, host="elsewhere"), now)
    assert lease_alive(replace(gone, boot_id="another boot"), now)


def test_nonsense_is_no_lease(tmp_path: Path) -> None:
    (tmp_path / "lease.json").write_text("[]")
    assert read_lease(str(tmp_path)) is None


def test_a_torn_tail_is_in_order_while_a_manager_is_alive(tmp_path: Path) -> None:
    writer = open_writer(str(tmp_path / "store"))
    segment = tmp_path / "store" / "log" / "seg-00000001-000001.wfl"
    with segment.open("ab") as file:
        file.write(b"\xf5WFE")
    assert not verify(writer.storage).ok
    write_lease(writer.storage, own_lease(now_us(), None, 1))
    size = segment.stat().st_size
    assert verify(writer.storage, repair=True).ok
    assert segment.stat().st_size == size
    write_lease(writer.storage, Lease(1, "elsewhere", "b", now_us() - 61_000_000, None, 1))
    assert not verify(writer.storage).ok
