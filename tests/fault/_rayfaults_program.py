"""A cluster under load that is hurt again and again while it lives; says in JSON lines what came of it.

    python -m tests.fault._rayfaults_program FAULT FIRST LAST FOLDER [forgetful]

Case FIRST up to LAST, all of them on one cluster and one store in FOLDER. FAULT: manager, worker, raylet, stop.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.fault._rayfaults_check import begun_again, bodies, findings
from tests.fault._rayfaults_cluster import (
    Moment,
    Nodes,
    Watcher,
    beginning_manager,
    kill,
    owners,
    raylet,
    running_bodies,
    stopped,
    wait_for,
)
from tests.fault._rayfaults_load import Load, now_us
from wfstore import workflow

#: Nothing that lives takes so long; the limits of the campaign are far below.
_NEVER_S = 90.0
#: How long a raylet stands still: Ray gives a node up after about 6 s (see `IMPATIENT`).
_SHORT_STOP_S, _LONG_STOP_S = 2.0, 15.0


def say(**words: Any) -> None:
    print(json.dumps(words), flush=True)


class Hurt:
    """One cluster, its load, and the faults that it gets."""

    def __init__(self, fault: str, folder: Path, name: str, forgetful: bool) -> None:
        self.folder, self.storage, self.fault = folder, str(folder / "store"), fault
        self.nodes = Nodes({"raylet": 1, "stop": 2}.get(fault, 0), managers=fault == "stop", forgetful=forgetful)
        workflow.init(storage=self.storage)
        self.watcher = Watcher(self.storage)
        several = bool(self.nodes.others)
        self.load = Load(folder, name, 8 if several else 4, marathon=fault == "manager", other=several)
        self.kills: list[int] = []
        self.owner_kills: list[int] = []

    def case(self, number: int) -> dict[str, float]:
        """Wait for a moment of this case's own while work flows, do the harm, and measure until work goes on."""
        chance = random.Random(number)
        assert self.watcher.success(self.watcher.now(), _NEVER_S) is not None, self._no_work("before the fault")
        time.sleep(chance.uniform(0.0, 0.8))
        samples: dict[str, float] = getattr(self, f"_{self.fault}")(chance, number)
        return samples

    def _no_work(self, when: str) -> str:
        return f"nothing succeeded for {_NEVER_S:g} s {when}; the reader's error: {self.watcher.error}"

    def _goes_on(self, since: Moment, task: tuple[str, str] | None = None) -> float:
        seen_s = self.watcher.success(since, _NEVER_S, task)
        assert seen_s is not None, self._no_work(f"after the fault ({self.fault}, {task})")
        return seen_s

    def _manager(self, chance: random.Random, number: int) -> dict[str, float]:
        """Now and then what owns the attempts dies with it, or its successor while that begins."""
        pid, _ = self.watcher.managers[-1]
        taken = chance.random()
        both = taken < 0.15
        self.kills.append(now_us())
        kills = int(kill(pid))
        if both:
            self.owner_kills.append(now_us())
            kills += sum(kill(owner) for owner in owners())
        while taken > 0.8 and (pid := beginning_manager(pid, 10.0) or 0):
            time.sleep(chance.uniform(0.0, 0.3))
            self.kills.append(now_us())
            kills += int(kill(pid))
            taken = chance.random()
        figure = "next_after_both_s" if both else "next_s"
        return {"kills": kills, figure: self._goes_on(self.watcher.now())}

    def _worker(self, chance: random.Random, number: int) -> dict[str, float]:
        """One whose user code runs: its task goes on, too."""
        journal = self.folder / "bodies"
        assert wait_for(lambda: running_bodies(journal), _NEVER_S), "no task runs"
        found = running_bodies(journal)
        kills = int(kill(found[0][0])) if found else 0
        return {"kills": kills, **self._both_go_on([task for _, task in found[:1]])}

    def _both_go_on(self, tasks: list[tuple[str, str]]) -> dict[str, float]:
        """Work as such, and one of the tasks that have been hit."""
        since = self.watcher.now()
        samples = {"next_s": self._goes_on(since)}
        hit = [task for task in tasks if not self.watcher.recorded(task)]
        return samples | ({"its_task_s": self._goes_on(since, hit[0])} if hit else {})

    def _raylet(self, chance: random.Random, number: int) -> dict[str, float]:
        """Of the second node, and with it its workers."""
        (node,) = self.nodes.others
        pid, journal = raylet(node), self.folder / "bodies"
        wait_for(lambda: running_bodies(journal, pid), 10.0)
        hit = running_bodies(journal, pid)
        kills = int(kill(pid))
        since = self.watcher.now()
        samples = {"kills": kills, "next_s": self._goes_on(since), "hit": len(hit)}
        time.sleep(chance.uniform(0.0, 2.0))
        self.nodes.replace(node)
        for _, task in hit:
            if not self.watcher.recorded(task):
                self._goes_on(since, task)
        return samples

    def _stop(self, chance: random.Random, number: int) -> dict[str, float]:
        """Of the node with the manager on it. For long: Ray gives the node up, and begins another manager elsewhere
        while the first one still runs."""
        long = number % 3 != 1
        before = len(self.watcher.managers)
        (node,) = (one for one in self.nodes.others if one.node_id == self.watcher.managers[-1][1])
        began = time.monotonic()
        with stopped(raylet(node)):
            time.sleep(_LONG_STOP_S if long else _SHORT_STOP_S)
            seen = self.watcher.seen_at
        since = self.watcher.now()
        samples = {"stops": 1, "after_s": self._goes_on(since)}
        moments = [began, *(moment for moment in seen if moment > began)]
        samples["standstill_s"] = max(b - a for a, b in pairwise(moments))
        samples["taken_over"] = len(self.watcher.managers) - before
        assert samples["taken_over"] == int(long), "Ray was to give the node up when it stood still for long, only then"
        if long:
            self.nodes.replace(node)
        return samples

    def end(self) -> tuple[list[str], dict[str, int]]:
        """Let everything come to its end; what is wrong, and counts."""
        ended = self.load.stop(_NEVER_S)
        self.watcher.close()
        found, counts = findings(self.folder, self.storage, self.watcher.rows)
        if self.kills:
            ran = bodies(self.folder / "bodies")
            # An owner takes along what it owns.
            ran = [body for body in ran if not any(body.began < at < (body.ended or at + 1) for at in self.owner_kills)]
            begun, counts["went_on"] = begun_again(ran, self.kills)
            found += begun
        if not ended:
            still = [pair for pair in workflow.list_all() if pair[1] not in ("SUCCESSFUL",)]
            found.append(f"not at their end after {_NEVER_S:g} s: {still}")
        return found, counts


def main(fault: str, first: int, last: int, folder: Path, forgetful: bool) -> None:
    hurt = Hurt(fault, folder, str(first), forgetful)
    for number in range(first, last):
        samples: dict[str, float] = {}
        try:
            samples = hurt.case(number)
        except AssertionError as error:
            say(case=number, failure=str(error))
            break
        say(case=number, **samples)
    found, counts = hurt.end()
    say(findings=found, counts=counts)
    with contextlib.suppress(Exception):  # what is left of it goes with this process
        hurt.nodes.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), "forgetful" in sys.argv[5:])
    # Threads that wait for what never comes do not hold it up.
    os._exit(0)
