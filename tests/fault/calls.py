"""kill -9, and power losses, at every call of scripted runs that changes something on the disk."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import pytest

from tests.fault._mount import FuseDisk, cannot_mount
from tests.fault._strace import Call, calls, cannot_trace, run_traced
from tests.fault._writers import EARLY, NO_DIRECTORY_SYNC, NO_FDATASYNC, NO_SEAL_SYNC, SWEEP_EARLY
from tests.fault._zygote import check_lines
from tests.fault.campaign import Counts, campaign
from wfstore.log import open_writer
from wfstore.log.segment import SegmentFile

#: The scripted runs of _scenes.py, and the controls that each of them can see.
SCENES = ("log", "compaction")


@functools.cache
def points(scene: str) -> list[Call]:
    """The calls of a run without a fault. Of writes to a file that nobody knows of yet, every twelfth."""
    from tests.fault import _scenes as scenes

    with tempfile.TemporaryDirectory() as folder:
        store, log = Path(folder) / "store", Path(folder) / "calls"
        chosen = scenes.SCENES[scene]
        place = scenes.place(chosen, store)
        check_lines(run_traced(scenes.zygote().fork(chosen.run, place, None), log))
        found = [call for call in calls(log, store) if call.name != "close"]
    row, kept = 0, []
    for call in found:
        row = row + 1 if call.name == "write" and ".work" in call.text else 0
        if row % 12 <= 1 - (row > 11):
            kept.append(call)
    return kept


def kill_at(scene: str, case: int, folder: Path, off: str | None = None) -> Counts:
    """kill -9 at the `case`-th call of the scripted run."""
    from tests.fault import _scenes as scenes

    call, chosen, store = points(scene)[case], scenes.SCENES[scene], folder / "store"
    child = scenes.zygote().fork(chosen.run, scenes.place(chosen, store), off)
    lines = run_traced(child, folder / "calls", f"{call.name}:signal=KILL:when={call.number}")
    check_lines(lines)
    assert lines[-1:] != ["end"], f"nobody was killed at call {call.number} of {call.name}"
    return {"kills": 1} | chosen.check(str(store), lines, case % 4 == 0)


@functools.cache
def disk() -> FuseDisk:
    """One for the whole run; it goes away with this process, as its standard input closes."""
    return FuseDisk(Path(tempfile.mkdtemp(prefix="wfstore-fuse-")))


def placed(scene: str) -> str:
    """A store on the FUSE disk as the scene wants to find it, all of it durable."""
    from tests.fault import _scenes as scenes

    disk().order("reset")
    store = scenes.place(scenes.SCENES[scene], disk().folder / "store")
    disk().order("sync")
    return store


def run_on_disk(scene: str, off: str | None) -> list[str]:
    """What the run says that is made there."""
    from tests.fault import _scenes as scenes

    lines = scenes.zygote().run(scenes.SCENES[scene].run, str(disk().folder / "store"), off)
    check_lines(lines)
    return lines


@functools.cache
def orders(scene: str) -> list[int]:
    """How many changes, fsyncs and writes a run without a fault makes."""
    placed(scene)
    before = disk().order("calls")
    run_on_disk(scene, None)
    return [after - at for after, at in zip(disk().order("calls"), before, strict=True)]


def power_off_at(scene: str, case: int, folder: Path, off: str | None = None) -> Counts:
    """The power goes at a change on the disk; of what was not durable nothing is left, or any part (FUSE)."""
    from tests.fault import _scenes as scenes

    changes = orders(scene)[0]
    number = case % changes + 1
    store, torn = placed(scene), (case // changes + number) % 2
    disk().order(f"off {number}")
    lines = run_on_disk(scene, off)
    disk().order(f"lose {case}" if torn else "lose -")
    assert lines[-1:] != ["end"], f"the power did not go at change {number}"
    return {"losses": 1} | scenes.SCENES[scene].check(store, lines, number % 8 == 0)


@campaign(
    "power-off-after-takeover",
    ci=lambda: orders("log")[0],
    release=lambda: orders("log")[0],
    controls={NO_SEAL_SYNC: 40},
    needs=cannot_mount,
)
def power_off_after_takeover(case: int, folder: Path, off: str | None = None) -> Counts:
    """kill -9 at every change of a scripted run; a new writer seals what it finds, and then the power goes (FUSE)."""
    from tests.fault import _scenes as scenes

    store = placed("log")
    disk().order(f"off {case + 1}")
    lines = run_on_disk("log", None)
    disk().order("on")
    with pytest.MonkeyPatch.context() as patch:
        if off == NO_SEAL_SYNC:
            patch.setattr(SegmentFile, "sync", lambda self: None)
        open_writer(store).close()
    disk().order("lose -")
    return {"losses": 1} | scenes.SCENES["log"].check(store, lines, False)


def _register() -> None:
    kill_controls = {"log": {EARLY: 30}, "compaction": {SWEEP_EARLY: 37}}
    power_controls = {"log": {NO_FDATASYNC: 20, NO_DIRECTORY_SYNC: 30}, "compaction": {NO_FDATASYNC: 38}}
    for scene in SCENES:
        size = functools.partial(lambda scene: len(points(scene)), scene)
        named = functools.partial(kill_at, scene)
        named.__doc__ = f"kill -9 at every write, fdatasync, open, rename, unlink of a scripted run: {scene}."
        controls = kill_controls[scene]
        campaign(f"kill-at-every-call-{scene}", ci=size, release=size, controls=controls, needs=cannot_trace)(named)
        every = functools.partial(lambda scene: orders(scene)[0], scene)
        twice = functools.partial(lambda scene: 2 * orders(scene)[0], scene)
        power = functools.partial(power_off_at, scene)
        power.__doc__ = f"The power goes at every change of a scripted run: {scene}; drops and tears (FUSE)."
        controls = power_controls[scene]
        campaign(f"power-off-at-every-call-{scene}", ci=every, release=twice, controls=controls, needs=cannot_mount)(
            power
        )


_register()
