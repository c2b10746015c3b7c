"""A device that fails below a real ext4: fdatasync reports it once, then says that all is well, and the page cache goes
on to show bytes that are on no medium. The device is a loop device over a file on a FUSE disk that fails to order.

(Not over a full tmpfs: there Linux 6.18's loop device reports success for requests of which only a part was written, so
that bytes are lost whose fdatasync succeeded the first time. No program could notice.)
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fault._mount import cannot_mount
from tests.fault._workload import Ledger, commit, read
from tests.fault._writers import NO_FORGET, RETRY
from tests.fault._zygote import check_lines
from tests.fault.calls import disk
from tests.fault.campaign import Counts, campaign
from tests.fault.kills import zygote
from wfstore.errors import DamageError, StorageError
from wfstore.log import Writer, open_writer, verify
from wfstore.log.segment import SegmentFile

_IMAGE_BYTES = 24 << 20
_ALL = 1 << 40


def cannot_loop() -> str | None:
    """Why there are no loop devices on this machine."""
    if reason := cannot_mount():
        return reason
    if missing := [name for name in ("losetup", "mkfs.ext4") if shutil.which(name) is None]:
        return f"no {', '.join(missing)}: `apt-get install mount e2fsprogs`"
    found = subprocess.run(["losetup", "-f"], capture_output=True, text=True)
    return f"no loop device: {found.stderr.strip()}" if found.returncode else None


class Device:
    """An ext4 on a loop device whose writes fail when it is told so."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "disk"
        self._image = disk().folder / "image"
        self._loop = ""

    def make(self) -> None:
        self.folder.mkdir()
        disk().order("reset")
        with self._image.open("wb") as file:
            file.truncate(_IMAGE_BYTES)
        self._loop = _run("losetup", "-f", "--show", str(self._image)).strip()
        _run("mkfs.ext4", "-q", "-E", "nodiscard", self._loop)
        self.mount()

    def mount(self) -> None:
        _run("mount", "-o", "noinit_itable", self._loop, str(self.folder))

    def remount(self) -> None:
        """Forget every page; what is read then is what is on the medium."""
        _run("umount", str(self.folder))
        subprocess.run(["e2fsck", "-p", self._loop], capture_output=True, check=False)
        self.mount()

    def fail(self, writes: int) -> None:
        """So many writes fail from now on."""
        disk().order(f"refuse {writes}")

    def remove(self) -> None:
        self.fail(0)
        subprocess.run(["umount", "-l", str(self.folder)], capture_output=True, check=False)
        if self._loop:
            subprocess.run(["losetup", "-d", self._loop], check=False)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


@contextmanager
def _device(folder: Path) -> Iterator[Device]:
    device = Device(folder)
    try:
        device.make()
        yield device
    finally:
        device.remove()


@campaign("device-fails", ci=8, release=100, batch=10, controls={RETRY: 4, NO_FORGET: 8}, needs=cannot_loop)
def device_fails(case: int, folder: Path, off: str | None = None) -> Counts:
    """A real ext4 on a failing loop device, whose fdatasync lies after it has failed; then there is space again."""
    ledger, chance = Ledger(case), random.Random(case)
    with _device(folder) as device:
        store = device.folder / "store"
        log = open_writer(str(store))
        log.append(commit(case, 8, 0))
        log.close()
        ledger.note(8, 1)
        lines = _refused(device, store, case, chance.randint(1, 12), off)
        assert "lied" not in lines, "a writer that had failed acknowledged a commit"
        assert lines[-1].startswith("error"), "nobody was told that the device fails"
        kind, text = json.loads(lines[-1].partition(" ")[2])
        assert kind in ("StorageError", "StorageFullError") and str(store) in text, text
        ledger.note(0, lines.count("a"))
        device.fail(0)
        with pytest.MonkeyPatch.context() as patch:
            if off == NO_FORGET:
                patch.setattr(SegmentFile, "forget_cached", lambda self: None)
            taken_over = _goes_on(device, store, ledger, chance.random() < 0.3)
        device.remount()
        ledger.check(read(store))
        report = verify(str(store))
        assert report.ok, report.problems
    return {"acknowledged": ledger.acknowledged, "taken_over_at_once": taken_over}


def _refused(device: Device, store: Path, case: int, commits: int, off: str | None) -> list[str]:
    """What a writer says that appends, and whose device fails after so many commits."""
    flag = device.folder.parent / "failing"
    target = "tests.fault._writers:append_until_refused"
    child = zygote().fork(target, str(store), case, 1 << 24, None, off, (commits, str(flag)))
    child.begin()
    child.wait_lines(commits)
    # One that fails is the file's own; ext4's journal has to be written for the next fdatasync to succeed.
    device.fail(1 if off == RETRY or case % 2 else _ALL)
    flag.touch()
    # With the control it never ends: nobody tells it of the failure.
    child.wait_lines(commits + 200 if off else 1 << 30)
    child.kill()
    lines = child.ended()
    check_lines(lines)
    return lines


def _goes_on(device: Device, store: Path, ledger: Ledger, remount_first: bool) -> int:
    """A new writer takes over: at once, as far as ext4 still takes anything, else once the disk was mounted again."""
    log: Writer | None = None
    if not remount_first:
        try:
            log = open_writer(str(store))
        except DamageError:
            raise
        except StorageError:
            pass  # ext4 has given up, too
    at_once = log is not None
    if log is None:
        device.remount()
        log = open_writer(str(store))
    ledger.check(read(store))
    log.append(commit(ledger.case, 1, 0))
    ledger.note(1, 1)
    log.close()
    return int(at_once)
