"""Errors of the system at every call: a clear error, no acknowledgement, nothing lost, and never a second try where the
first fdatasync has failed."""

from __future__ import annotations

import errno
import functools
import json
import os
import random
import re
import subprocess
from pathlib import Path

from tests.fault._mount import cannot_mount
from tests.fault._strace import Call, calls, cannot_trace, run_traced
from tests.fault._workload import Ledger, commit, read
from tests.fault._writers import ONE_WRITE, RETRY
from tests.fault._zygote import check_lines
from tests.fault.calls import SCENES, disk, orders, placed, points, run_on_disk
from tests.fault.campaign import Counts, campaign
from tests.fault.kills import zygote
from wfstore.errors import StorageError
from wfstore.log import open_writer, verify

_NAMES = ("EROFS", "ENOSPC", "EIO")
_FAULTS = {
    "pwrite64": ("EIO", "ENOSPC", "EFBIG", "nothing"),
    "write": ("EIO", "ENOSPC", "EFBIG"),
    "fdatasync": ("EIO", "ENOSPC"),
    "fsync": ("EIO", "ENOSPC"),
    "openat": _NAMES,
    "rename": _NAMES,
    "link": _NAMES,
    "mkdir": _NAMES,
    "unlink": ("EROFS", "EIO"),
    "rmdir": ("EROFS", "EIO"),
    "ftruncate": ("EIO",),
}
_FILE = re.compile(r"^(\d+<[^>]*>)")


@functools.cache
def faults(scene: str) -> list[tuple[Call, str]]:
    """Every call with every error it may give; the first of all calls come before the second."""
    found = [(call, _FAULTS[call.name]) for call in points(scene)]
    return [(call, kinds[row]) for row in range(4) for call, kinds in found if row < len(kinds)]


def error_at(scene: str, case: int, folder: Path, off: str | None = None) -> Counts:
    """An error at a call of the scripted run, which then goes on as a person would."""
    from tests.fault import _scenes as scenes

    call, kind = faults(scene)[case]
    chosen, store, log = scenes.SCENES[scene], folder / "store", folder / "calls"
    fault = "retval=0" if kind == "nothing" else f"error={kind}"
    child = scenes.zygote().fork(chosen.run, scenes.place(chosen, store), off)
    lines = run_traced(child, log, f"{call.name}:{fault}:when={call.number}")
    check_lines(lines)
    assert lines[-1:] == ["end"], f"the run did not go on: {lines[-3:]}"
    made = calls(log, store)
    assert any(one.injected for one in made), f"there was no call {call.number} of {call.name}"
    assert_no_second_try(made)
    told = scenes.errors_of(lines)
    for kind_told, text in told:
        assert_clear(kind, kind_told, text, str(store))
    in_log = "/log/seg-" in call.text and call.name in ("pwrite64", "fdatasync", "openat")
    assert told or not in_log, f"nobody was told of {kind} at {call.name}({call.text}"
    return {"told": len(told), "tolerated": not told} | chosen.check(str(store), lines, case % 8 == 0)


def assert_clear(kind: str, error: str, text: str, store: str) -> None:
    """The error is of our tree, names the store and says what the system said."""
    expected = "StorageFullError" if kind == "ENOSPC" else "StorageError"
    assert error == expected, f"{kind} was told as {error}: {text}"
    said = "wrote nothing" if kind == "nothing" else os.strerror(getattr(errno, kind))
    assert said in text and store in text, f"{kind} was told as: {text}"


def assert_no_second_try(made: list[Call]) -> None:
    """A descriptor whose fdatasync has failed gets neither bytes nor another fdatasync."""
    failed: set[str] = set()
    for call in made:
        file = _FILE.match(call.text)
        if file is None or call.name not in ("pwrite64", "write", "fdatasync", "fsync", "close"):
            continue
        if call.name == "close":
            failed.discard(file[1])
        assert file[1] not in failed, f"{call.name} again after a failed fdatasync of {file[1]}"
        if call.injected and call.name == "fdatasync":
            failed.add(file[1])


def _register() -> None:
    for scene, controls in zip(SCENES, ({RETRY: 25}, {}), strict=True):
        every = functools.partial(lambda scene: len(faults(scene)), scene)
        once = functools.partial(lambda scene: len(points(scene)), scene)
        run = functools.partial(error_at, scene)
        run.__doc__ = f"EIO, ENOSPC, EFBIG, EROFS, nothing written, at every call of a scripted run: {scene}."
        ci = every if scene == "log" else once
        campaign(f"errors-at-every-call-{scene}", ci=ci, release=every, controls=controls, needs=cannot_trace)(run)


_register()


@campaign(
    "fsync-fails",
    ci=lambda: orders("log")[1],
    release=lambda: orders("log")[1],
    controls={RETRY: 30},
    needs=cannot_mount,
)
def fsync_fails(case: int, folder: Path, off: str | None = None) -> Counts:
    """Every fsync in turn fails, loses what it should have written, and the next one says that all is well (FUSE)."""
    return _on_disk(f"fail {case + 1}", "lose -", off)


@campaign(
    "short-writes",
    ci=lambda: orders("log")[2],
    release=lambda: orders("log")[2],
    controls={ONE_WRITE: 30},
    needs=cannot_mount,
)
def short_writes(case: int, folder: Path, off: str | None = None) -> Counts:
    """Every write in turn takes a part of its bytes, without an error (FUSE)."""
    return _on_disk(f"short {case + 1}", f"lose {case}", off)


def _on_disk(fault: str, loss: str, off: str | None) -> Counts:
    from tests.fault import _scenes as scenes

    store = placed("log")
    disk().order(fault)
    lines = run_on_disk("log", off)
    told = scenes.errors_of(lines)
    assert lines[-1:] == ["end"], f"the run did not go on: {lines[-3:]}"
    disk().order(loss)
    return {"told": len(told)} | scenes.SCENES["log"].check(store, lines, False)


def cannot_fill() -> str | None:
    return None if os.getuid() == 0 else "mounting a small disk takes root"


@campaign("full-disk", ci=45, release=600, controls={ONE_WRITE: 12}, needs=cannot_fill)
def full_disk(case: int, folder: Path, off: str | None = None) -> Counts:
    """A disk (tmpfs) or largest file (ulimit -f) of any size is filled, or is read-only; with space, work goes on."""
    kind = ("full", "full", "limit", "read-only")[case % 4] if off is None else "full"
    small = folder / "disk"
    small.mkdir()
    chance = random.Random(case)
    size = 128 + 4 * chance.randint(0, 200)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(small)], check=True)
    try:
        store = small / "store"
        largest = chance.randint(1_000, 60_000) if kind == "limit" else None
        lines = [] if kind == "read-only" else _filled(store, case, chance, largest, off)
        if kind == "read-only":
            _read_only(store, small, case)
        return _goes_on(store, small, case, lines) | {kind: 1}
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def _filled(store: Path, case: int, chance: random.Random, largest: int | None, off: str | None) -> list[str]:
    segment_bytes = 1 << 24 if largest else chance.choice((5_000, 1 << 24))
    target = "tests.fault._writers:append_until_refused"
    lines = zygote().run(target, str(store), case, segment_bytes, largest, off)
    check_lines(lines)
    assert "lied" not in lines, "a writer that had failed acknowledged a commit"
    kind, text = json.loads(lines[-1].partition(" ")[2])
    assert_clear("EFBIG" if largest else "ENOSPC", kind, text, str(store))
    return lines


def _read_only(store: Path, small: Path, case: int) -> None:
    """Commits of turn 5, as the ledger wants them; then nobody may write any more."""
    log = open_writer(str(store))
    log.append(commit(case, 5, 0))
    log.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    try:
        open_writer(str(store))
    except StorageError as error:
        assert_clear("EROFS", type(error).__name__, str(error), str(store))
    else:
        raise AssertionError("a store on a read-only disk was opened for writing")
    assert len(read(store)) == len(commit(case, 5, 0))
    subprocess.run(["mount", "-o", "remount,rw", str(small)], check=True)


def _goes_on(store: Path, small: Path, case: int, lines: list[str]) -> dict[str, int]:
    ledger = Ledger(case)
    if lines:
        ledger.note(0, lines.count("a"))
    else:
        ledger.note(5, 1)
    subprocess.run(["mount", "-o", "remount,size=16m", str(small)], check=True)
    log = open_writer(str(store))
    ledger.check(read(store))
    log.append(commit(case, 1, 0))
    log.close()
    ledger.note(1, 1)
    ledger.check(read(store))
    report = verify(str(store))
    assert report.ok, report.problems
    return {"acknowledged": ledger.acknowledged}
