"""Half an hour of everything at once: does anything grow, get lost or stop?

    python -m benchmarks.soak [--minutes 30] [--seed 1] [--folder FOLDER]

Two stores with a manager each, in one local Ray. Both get the same mixed load (`soak_load.py`), compaction as managers
do it, and retention. The manager of the one called `killed` is killed with SIGKILL again and again, and so are workers;
the other one, `steady`, shows what a long life does to a manager. Readers (`soak_readers.py`) ask both.

Prints JSON lines: one a minute, one per figure, and a summary last. Memory is flat when its mean over the last third of
the time is at most 10 % above that over the second third; so are file descriptors. Exits with 1 where something is not
as it has to be.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.soak_parts import QUESTIONS, TASKS, Samples, Verdicts, ledger
from wfstore.log import read_lease

#: How often, in seconds (from, to).
_KILL_MANAGER_S, _KILL_WORKER_S, _RETAIN_S, _SAMPLE_S = (20.0, 60.0), (10.0, 30.0), (60.0, 60.0), 2.0
_SHORT_S = 120.0
_KEPT = 1 / 6
_END_S = 300.0
#: A busy machine is not a dead one.
_PATIENT = {"health_check_failure_threshold": 100}


@dataclass
class World:
    """One store, its manager, load and readers. `lives`: pids that its manager has had."""

    name: str
    folder: Path
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    lives: list[int] = field(default_factory=list)

    @property
    def storage(self) -> str:
        return str(self.folder / "store")

    def manager(self) -> int | None:
        """Its pid, as its lease says."""
        lease = read_lease(self.storage)
        if lease is None or not psutil.pid_exists(lease.pid):
            return None
        if lease.pid not in self.lives:
            self.lives.append(lease.pid)
        return lease.pid

    def begin(self, address: str) -> None:
        self.folder.mkdir()
        self._launch("load", "benchmarks.soak_load", "work", self.storage, self.name, address, str(self.folder))
        deadline = time.monotonic() + _END_S
        while self.manager() is None:
            assert time.monotonic() < deadline and self.processes["load"].poll() is None, "no manager begins"
            time.sleep(0.1)
        for question in QUESTIONS:
            self._launch(question, "benchmarks.soak_readers", question, self.storage, str(self.folder))

    def command(self, action: str, address: str, *more: str) -> None:
        """Of `soak_load`; waits for it."""
        command = [action, self.storage, self.name, address, str(self.folder), *more]
        self._launch(action, "benchmarks.soak_load", *command).wait(_END_S)

    def _launch(self, name: str, module: str, *arguments: str) -> subprocess.Popen[str]:
        with (self.folder / f"{name}.out").open("a") as out, (self.folder / f"{name}.err").open("a") as err:
            command = [sys.executable, "-m", module, *arguments]
            self.processes[name] = subprocess.Popen(command, stdout=out, stderr=err, text=True)
        return self.processes[name]

    def end(self, name: str, flag: str, timeout_s: float = _END_S) -> bool:
        """Have a process come to its end by itself; whether it did, in good order."""
        (self.folder / flag).touch()
        try:
            return self.processes[name].wait(timeout_s) == 0
        except subprocess.TimeoutExpired:
            self.processes[name].kill()
            return False

    def said(self, name: str) -> list[dict[str, Any]]:
        lines = (self.folder / f"{name}.out").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


class Soak:
    def __init__(self, folder: Path, seconds: float, seed: int) -> None:
        self.worlds = [World(name, folder / name) for name in ("steady", "killed")]
        self.seconds = seconds
        self.samples = Samples()
        self.kills = {"manager": 0, "worker": 0}
        self.began = self.ended = 0.0
        self._chance = random.Random(seed)
        self._done = threading.Event()
        self._threads: list[threading.Thread] = []

    def work(self, address: str) -> None:
        for world in self.worlds:
            world.begin(address)
        self._often(self._sample, (_SAMPLE_S, _SAMPLE_S))
        # So that there is something of everything in a short run, too.
        share = min(1.0, self.seconds / _SHORT_S)
        for act, (least, most) in (
            (self._kill_manager, _KILL_MANAGER_S),
            (self._kill_worker, _KILL_WORKER_S),
            (lambda: self._retain(address), _RETAIN_S),
        ):
            self._often(act, (least * share, most * share))
        self.began = time.monotonic()
        while (left := self.began + self.seconds - time.monotonic()) > 0:
            time.sleep(min(60.0, left))
            minute = round((time.monotonic() - self.began) / 60, 1)
            print(json.dumps({"benchmark": "soak", "minute": minute, **self.now()}), flush=True)
        self.ended = time.monotonic()
        self._done.set()
        for thread in self._threads:
            thread.join()

    def end(self) -> None:
        """Nothing stays behind."""
        self._done.set()
        for world in self.worlds:
            for process in world.processes.values():
                process.kill()
                process.wait()

    def _often(self, act: Any, every_s: tuple[float, float]) -> None:
        chance = random.Random(self._chance.random())

        def repeat() -> None:
            while not self._done.wait(chance.uniform(*every_s)):
                act()

        self._threads.append(threading.Thread(target=repeat))
        self._threads[-1].start()

    def now(self) -> dict[str, Any]:
        """What a person wants to see meanwhile."""
        sizes = {f"{name}_mb": self.samples.last(name, "uss") for name in self.samples.names()}
        workflows = {world.name: len(ledger(world.folder)[0]) for world in self.worlds}
        return {"workflows": workflows, **self.kills, **sizes, "load": round(os.getloadavg()[0], 1)}

    def _sample(self) -> None:
        for world in self.worlds:
            pids = {"manager": world.manager()}
            pids |= {name: one.pid for name, one in world.processes.items() if name in QUESTIONS}
            for name, pid in pids.items():
                if pid is not None:
                    self.samples.take(f"{world.name} {name}", pid)

    def _kill_manager(self) -> None:
        _, killed = self.worlds
        pid = killed.manager()
        if pid is not None:
            self._kill("manager", pid)

    def _kill_worker(self) -> None:
        running = [pid for pid, title in _ray_processes() if title.rpartition(".")[2] in TASKS]
        if running:
            self._kill("worker", self._chance.choice(running))

    def _kill(self, what: str, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)
            self.kills[what] += 1

    def _retain(self, address: str) -> None:
        for world in self.worlds:
            world.command("retain", address, str(self.seconds * _KEPT))


def _ray_processes() -> Iterator[tuple[int, str]]:
    """Pid and title of this process's Ray's workers."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            title = (process.cmdline() or [""])[0]
            if title.startswith("ray::"):
                yield process.pid, title[5:]


def judge(soak: Soak, address: str) -> Verdicts:
    """End everything in good order, and look at what is left."""
    verdicts = Verdicts()
    for world in soak.worlds:
        ended = world.end("load", "stop")
        verdicts.show(f"{world.name}: load that did not end", int(not ended), 0)
        for question in QUESTIONS:
            world.end(question, "stop-readers")
        for question in QUESTIONS:
            verdicts.answers(world.name, question, world.said(question))
        world.command("stop", address)
        verdicts.accounts(world.name, world.folder)
        verdicts.sound(world.name, world.storage)
    verdicts.flat(soak.samples, soak.began, soak.ended)
    return verdicts


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """Address of a Ray of one's own."""
    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    import ray

    quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    ray.init(address="local", num_cpus=2, _system_config=_PATIENT, **quiet)
    try:
        yield ray.get_runtime_context().gcs_address
    finally:
        ray.shutdown()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1, help="of when what is killed")
    parser.add_argument("--folder", type=Path, help="where the stores are made, and stay; a temporary one when absent")
    given = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        folder = given.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wfstore-soak-")))
        folder.mkdir(parents=True, exist_ok=True)
        address = stack.enter_context(cluster())
        soak = Soak(folder, given.minutes * 60, given.seed)
        try:
            soak.work(address)
            verdicts = judge(soak, address)
        finally:
            soak.end()
    workflows = {world.name: len(ledger(world.folder)[0]) for world in soak.worlds}
    summary = {"minutes": given.minutes, "workflows": workflows, "kills": soak.kills, "failed": verdicts.failed}
    print(json.dumps({"benchmark": "soak", "figure": "summary", **summary, "ok": not verdicts.failed}), flush=True)
    return int(bool(verdicts.failed))


if __name__ == "__main__":
    sys.exit(main())
