"""kill -9 of the writer at random moments: what was acknowledged is there exactly once, in order; the log goes on."""

from __future__ import annotations

import functools
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.fault._workload import Ledger, commit, outwait_claims, read
from tests.fault._writers import EARLY, leave
from tests.fault._zygote import Zygote, check_lines
from tests.fault.campaign import campaign
from wfstore.log import open_writer, verify

KILLS_PER_CASE = 10


_making = threading.Lock()


def zygote() -> Zygote:
    """One for the whole run; it ends with this process, as its socket closes."""
    with _making:
        return _zygote()


@functools.cache
def _zygote() -> Zygote:
    return Zygote("tests.fault._writers")


@campaign("kill-writer", ci=50, release=2_000, batch=50, side_by_side=8, controls={EARLY: 10})
def kill_writer(case: int, folder: Path, off: str | None = None) -> dict[str, int]:
    """kill -9 of the writer at random moments, ten times a case on one log."""
    return killed_again_and_again(case, folder / "store", off)


def killed_again_and_again(
    case: int, store: Path, off: str | None, after_kill: Callable[[random.Random], bool] | None = None
) -> dict[str, int]:
    """A log whose writers are killed. `after_kill` may take the power away too, and says whether it did."""
    ledger, chance = Ledger(case), random.Random(case)
    before_the_first = losses = 0
    for kill in range(KILLS_PER_CASE):
        acknowledged = killed_at_random(store, case, 2 * kill, chance, off)
        before_the_first += not acknowledged
        ledger.note(2 * kill, acknowledged)
        losses += after_kill is not None and after_kill(chance)
        if chance.random() < 0.3:
            continue  # the next child takes over as it is
        if chance.random() < 0.5 and (store / "log").is_dir():
            outwait_claims(store)
            ledger.check(read(store), settle=after_kill is None)
        go_on(store, 2 * kill + 1, ledger, chance)
        losses += after_kill is not None and after_kill(chance)
    open_writer(str(store)).close()
    ledger.check(read(store))
    report = verify(str(store))
    assert report.ok, report.problems
    return {
        "kills": KILLS_PER_CASE,
        "power_losses": losses,
        "acknowledged": ledger.acknowledged,
        "unacknowledged_kept": ledger.unacknowledged,
        "before_the_first": before_the_first,
    }


def killed_at_random(store: Path, case: int, turn: int, chance: random.Random, off: str | None) -> int:
    """How many commits were acknowledged before the kill."""
    child = zygote().fork("tests.fault._writers:append_for_ever", str(store), case, turn, off)
    child.begin()
    awaited = chance.choice((0, 1, 1, 2, 4, 9))
    if not child.wait_lines(awaited):
        check_lines(child.ended())
        raise RuntimeError("the writer ended by itself")
    time.sleep(chance.random() * (0.015 if not awaited else 0.006))
    child.kill()
    said = child.ended()
    check_lines(said)
    return len(said)


def go_on(store: Path, turn: int, ledger: Ledger, chance: random.Random) -> None:
    """A new writer opens the store, reads what was there, and adds to it."""
    writer = open_writer(str(store), segment_bytes=chance.choice((2_000, 1 << 24)))
    ledger.check(read(store))
    commits = chance.choice((0, 1, 3))
    for number in range(commits):
        writer.append(commit(ledger.case, turn, number))
    leave(writer, chance)
    ledger.note(turn, commits)
    ledger.check(read(store))
