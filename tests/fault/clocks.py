"""Jumps of the wall clock by an hour and by three days, forward and back, in the midst of workflows of every status."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

from tests.fault._zygote import ROOT
from tests.fault.campaign import Counts, campaign

HOUR, DAY = 3_600, 86_400
_JUMPS = (HOUR, -HOUR, 3 * DAY, -3 * DAY)
MONOTONIC = "waiting by the monotonic clock"


@campaign(
    "clock-jumps",
    ci=1,
    release=24,
    batch=1,
    controls={MONOTONIC: 1},
    limits={"timer_late_s p95": 5.0},
    marks=("ray",),
)
def clock_jumps(case: int, folder: Path, off: str | None = None) -> Counts:
    """The wall clock jumps by +-1 h and +-3 d: the order is that of seq, timers ring as asked, statuses are reached."""
    jumps = list(_JUMPS)
    random.Random(case).shuffle(jumps)
    clock = folder / "clock"
    clock.write_text("0")
    settings = os.environ | {
        "PYTHONPATH": f"{Path(__file__).parent / '_clockpath'}:{ROOT}",
        "WFSTORE_FAULT_CLOCK": str(clock),
        "WFSTORE_FAULT_OFF": off or "",
    }
    # Whatever jumps back first is enough for the control.
    told = [str(jump) for jump in jumps] if off is None else [str(-HOUR)]
    command = [sys.executable, "-m", "tests.fault._clocked", str(folder / "world"), *told]
    (folder / "world").mkdir()
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(done.stderr[-1500:])
    said: dict[str, int | float | list[float] | str] = json.loads(done.stdout.splitlines()[-1])
    assert "found" not in said, said["found"]
    return said  # type: ignore[return-value]
