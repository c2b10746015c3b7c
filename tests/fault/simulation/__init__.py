"""The deterministic simulation: model, log and manager in one process and in virtual time, with a disk, a clock, a Ray,
workers and drivers of our own. A seed decides everything that happens, so a seed that failed fails again:
`python -m tests.fault.simulation SEED` prints what happened.

world       virtual time, processes, their threads (greenlets) and event loops
disk        files in memory: what was not synced is lost or torn at a loss of power; any call may fail or kill
seams       where wfstore's modules have `os`, `time`, `threading`, queues and files, they get those of the simulation
onlookers   readers, an offline writer, looks into the manager's memory, timers
cluster     as much of Ray as the engine asks for: actors, calls, tasks
workers     user code, and listeners for events
drivers     what is asked, retried, and remembered as told
scenario    one seed: what goes wrong and when
laws        what has to hold
stage       puts all of it in place; the negative controls
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.fault.campaign import Tally, batch_campaign

_ROOT = Path(__file__).parents[3]
#: Protection that is switched off -> seeds among which that has to be noticed.
CONTROLS = {"fsync": 40, "fence check": 200, "memory of successes": 40, "waiting for the disk": 200}


def _needs() -> str | None:
    return None if importlib.util.find_spec("greenlet") else "greenlet is not installed"


@batch_campaign("simulation", ci=2000, release=1_000_000, batch=5000, controls=CONTROLS, needs=_needs)
def simulation(cases: range, folder: Path, tally: Tally, off: str | None = None) -> None:
    """Manager, log and model in virtual time: kills, power cuts, two managers, clock jumps and disk errors by seed."""
    command = [sys.executable, "-m", "tests.fault.simulation", "--batch", str(cases.start), str(cases.stop)]
    # No seed depends on the order in which Python hashes text, or so a test says; here nothing may even try to.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [*command, *(() if off is None else ("--off", off))],
        cwd=_ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    result = json.loads(done.stdout)
    tally.add(result["counts"])
    for seed, reason, broken in result["failures"]:
        tally.fail(seed, reason, broken=broken)
