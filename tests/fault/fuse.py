"""Power losses: what a killed writer had not made durable is gone, or a part of it is, sector by sector."""

from __future__ import annotations

import random
from pathlib import Path

from tests.fault._mount import cannot_mount
from tests.fault._writers import NO_DIRECTORY_SYNC, NO_FDATASYNC
from tests.fault.calls import disk
from tests.fault.campaign import campaign
from tests.fault.kills import killed_again_and_again


@campaign(
    "power-loss",
    ci=30,
    release=1_000,
    batch=25,
    controls={NO_FDATASYNC: 10, NO_DIRECTORY_SYNC: 10},
    needs=cannot_mount,
)
def power_loss(case: int, folder: Path, off: str | None = None) -> dict[str, int]:
    """As kill-writer, on a FUSE filesystem that drops or tears what was not made durable."""
    disk().order("reset")
    return killed_again_and_again(case, disk().folder / "store", off, lose)


def lose(chance: random.Random) -> bool:
    """Take the power away in two of three cases: of what is pending nothing is left, or any part."""
    kind = chance.choice(("stays", "dropped", "torn"))
    if kind != "stays":
        disk().order("lose -" if kind == "dropped" else f"lose {chance.random()}")
    return kind != "stays"
