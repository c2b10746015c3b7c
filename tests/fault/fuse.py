"""Power losses: what a killed writer had not made durable is gone, or a part of it is, sector by sector."""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from tests.fault._mount import FuseDisk, cannot_mount
from tests.fault._writers import NO_DIRECTORY_SYNC, NO_FDATASYNC
from tests.fault.campaign import campaign
from tests.fault.kills import killed_again_and_again

_idle: SimpleQueue[FuseDisk] = SimpleQueue()


@contextlib.contextmanager
def a_disk() -> Iterator[FuseDisk]:
    """An empty one that nobody else uses; it goes away with this process, as its standard input closes."""
    try:
        found = _idle.get_nowait()
    except Empty:
        found = FuseDisk(Path(tempfile.mkdtemp(prefix="wfstore-fuse-")))
    found.order("reset")
    yield found
    # One whose case failed may still be in use.
    _idle.put(found)


@campaign(
    "power-loss",
    ci=30,
    release=1_000,
    batch=50,
    side_by_side=6,
    controls={NO_FDATASYNC: 10, NO_DIRECTORY_SYNC: 10},
    needs=cannot_mount,
)
def power_loss(case: int, folder: Path, off: str | None = None) -> dict[str, int]:
    """As kill-writer, on a FUSE filesystem that drops or tears what was not made durable."""
    with a_disk() as disk:
        return killed_again_and_again(case, disk.folder / "store", off, partial(lose, disk))


def lose(disk: FuseDisk, chance: random.Random) -> bool:
    """Take the power away in two of three cases: of what is pending nothing is left, or any part."""
    kind = chance.choice(("stays", "dropped", "torn"))
    if kind != "stays":
        disk.order("lose -" if kind == "dropped" else f"lose {chance.random()}")
    return kind != "stays"
