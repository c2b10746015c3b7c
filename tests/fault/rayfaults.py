"""Ray fails under its workflows: kill -9 of the manager, of workers, of a raylet, of the head; a raylet stands still.

One cluster takes many faults, as starting one costs more than most of them; each runs in a process of its own
(`_rayfaults_program`, `_rayfaults_life`), and this module has no Ray.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from tests.fault.campaign import Tally, batch_campaign

_ROOT = Path(__file__).parents[2]
#: Of work that goes on after a fault where the cluster lives.
_LIMITS = {"next_s p95": 5.0, "next_s max": 10.0}
#: Every process of the engine begins anew, one after the other.
_BOTH = {"next_after_both_s max": 15.0}


def _environment(temporary: str) -> dict[str, str]:
    """temporary: a folder of a short name. A cluster of several nodes makes itself the one of the machine that others
    join, but only of those that have the same one."""
    ours = {"PYTHONPATH": str(_ROOT), "RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0"}
    return {**os.environ, **ours, "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": temporary}


class _Program:
    """A child program and all processes below it, which end with it."""

    def __init__(self, module: str, folder: Path, *arguments: str) -> None:
        self._errors = folder / f"{module}.err"
        self._temporary = tempfile.mkdtemp(prefix="wfr-", dir="/tmp")
        self._tree: set[psutil.Process] = set()
        with self._errors.open("a") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"tests.fault.{module}", *arguments],
                cwd=_ROOT,
                env=_environment(self._temporary),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def lines(self) -> Iterator[dict[str, Any]]:
        """What it says, until it ends."""
        for text in self._process.stdout or ():
            if text.startswith("{"):
                self.look()
                yield json.loads(text)

    def line(self, word: str) -> dict[str, Any]:
        """The next of these. Raises RuntimeError where none comes."""
        for said in self.lines():
            if word in said:
                return said
        raise RuntimeError(f"it ended without {word!r}: {self.errors()}")

    def errors(self) -> str:
        return self._errors.read_text()[-2000:]

    def look(self) -> list[psutil.Process]:
        """Itself and everything below it. What belongs to it now belongs to it for ever: Ray's workers lose their
        parents."""
        with contextlib.suppress(psutil.NoSuchProcess):
            top = psutil.Process(self._process.pid)
            self._tree |= {top, *top.children(recursive=True)}
        return list(self._tree)

    def kill_head(self) -> None:
        """kill -9 of what makes a head, nothing else."""
        for one in self.look():
            with contextlib.suppress(psutil.NoSuchProcess):
                if one.name() in ("gcs_server", "raylet"):
                    one.kill()

    def end(self) -> None:
        """kill -9 of all."""
        for one in self.look():
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(list(self._tree), timeout=30)
        self._process.wait(30)
        shutil.rmtree(self._temporary, ignore_errors=True)


def _living(fault: str, cases: range, folder: Path, tally: Tally, off: str | None = None) -> None:
    """Run the cases on one cluster, and take in what it says."""
    words = [fault, str(cases.start), str(cases.stop), str(folder), *(["forgetful"] if off else [])]
    program = _Program("_rayfaults_program", folder, *words)
    try:
        if not any(_take_in(said, cases, tally) for said in program.lines()):
            raise RuntimeError(f"the program ended without a verdict: {program.errors()}")
    finally:
        program.end()


def _take_in(said: dict[str, Any], cases: range, tally: Tally) -> bool:
    """One line of a program; True for its last one."""
    if "findings" in said:
        for finding in said["findings"]:
            tally.fail(cases.start, finding)
        tally.add(said["counts"])
        return True
    case = said.pop("case")
    if "failure" in said:
        tally.fail(case, said["failure"])
    else:
        tally.add(said)
    return False


@batch_campaign(
    "ray-manager",
    ci=10,
    release=240,
    batch=20,
    controls={"remembering successes": 4},
    limits=_LIMITS | _BOTH,
    marks=("ray",),
)
def manager(cases: range, folder: Path, tally: Tally, off: str | None = None) -> None:
    """kill -9 of the manager, now and then of its successor too while that begins."""
    _living("manager", cases, folder, tally, off)


@batch_campaign("ray-worker", ci=5, release=160, batch=40, limits=_LIMITS, marks=("ray",))
def worker(cases: range, folder: Path, tally: Tally) -> None:
    """kill -9 of workers that run user code."""
    _living("worker", cases, folder, tally)


@batch_campaign("ray-raylet", ci=2, release=50, batch=10, limits=_LIMITS, marks=("ray",))
def raylet(cases: range, folder: Path, tally: Tally) -> None:
    """kill -9 of the raylet of a second node, and with it of its workers."""
    _living("raylet", cases, folder, tally)


@batch_campaign("ray-stop", ci=1, release=10, batch=5, marks=("ray",))
def stop(cases: range, folder: Path, tally: Tally) -> None:
    """SIGSTOP of the raylet beside the manager: Ray begins a second manager while the first one lives."""
    _living("stop", cases, folder, tally)


@batch_campaign("ray-head", ci=2, release=40, batch=8, marks=("ray",))
def head(cases: range, folder: Path, tally: Tally) -> None:
    """kill -9 of the head, or of the whole cluster at one moment; a new cluster resumes what was open."""
    from tests.fault._rayfaults_check import findings

    before: _Program | None = None
    living: list[_Program] = []
    try:
        killed_at = 0.0
        for case in cases:
            life = _Program("_rayfaults_life", folder, str(folder), f"{case}", "work")
            living.append(life)
            tally.count("resumed", life.line("resumed")["resumed"])
            assert life.line("flows")["flows"], f"nothing goes on in the cluster of case {case}"
            if before is not None:
                tally.sample("new_cluster_works_s", time.monotonic() - killed_at)
                before.end()
            chance = random.Random(case)
            time.sleep(chance.uniform(0.0, 2.0))
            killed_at = time.monotonic()
            if chance.random() < 0.5:
                # What is left of it stands still or goes on, beside the next cluster, until Ray's processes notice.
                life.kill_head()
            else:
                life.end()
            tally.count("kills")
            before = life
        last = _Program("_rayfaults_life", folder, str(folder), "last", "finish")
        living.append(last)
        statuses = last.line("statuses")["statuses"]
    finally:
        for program in living:
            program.end()
    found, counts = findings(folder, str(folder / "store"))
    found += [f"workflows ended as {statuses}"] if statuses != ["SUCCESSFUL"] else []
    for finding in found:
        tally.fail(cases.start, finding)
    tally.add(counts)
