"""Clusters of this machine that are there to be hurt, and the processes in them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import ray
from ray.cluster_utils import Cluster

import wfstore
from tests.fault._rayfaults_check import Row
from tests.fault._rayfaults_load import OTHER, now_us
from wfstore.engine import host
from wfstore.model import events as ev

#: Ray takes 65 s to give up a node that does not answer; here it is about 6 s, and 4 s when it is dead.
IMPATIENT = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 4,
}
#: A busy machine is not a dead one.
PATIENT = {"health_check_failure_threshold": 100}
_EPOCH = datetime(1970, 1, 1)
_CONTROL = "tests.fault._rayfaults_control.forget_successes"


class Nodes:
    """A head and `others` more nodes, on which the same tasks may run. forgetful: a protection is switched off.

    managers: the manager lives on one of the others and, when that is given up, on another one; as on object storage.
    """

    def __init__(self, others: int = 0, *, managers: bool = False, forgetful: bool = False) -> None:
        health = IMPATIENT if others else PATIENT
        head = {"num_cpus": 2, "include_dashboard": False, "_system_config": health}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.others: list[Any] = []
        for _ in range(others):
            self.add()
        hook = {"worker_process_setup_hook": _CONTROL} if forgetful else None
        ray.init(address=self._cluster.address, log_to_driver=False, configure_logging=False, runtime_env=hook)
        if managers:
            host._FOR_ALL["resources"] = {OTHER: 0.001}
            host.NodeAffinitySchedulingStrategy = lambda *_, **__: "DEFAULT"  # type: ignore[assignment,misc]

    def add(self) -> None:
        self.others.append(self._cluster.add_node(num_cpus=2, resources={OTHER: 1}))
        self._cluster.wait_for_nodes()

    def replace(self, node: Any) -> None:
        """By another one; `node` has died."""
        self.others.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)
        self.add()

    def shutdown(self) -> None:
        ray.shutdown()
        self._cluster.shutdown()


def raylet(node: Any) -> int:
    """Its pid."""
    return int(node.all_processes["raylet"][0].process.pid)


def kill(pid: int) -> bool:
    """kill -9; False when it has gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def beginning_manager(old: int, timeout_s: float) -> int | None:
    """Pid of the manager that follows `old`, as soon as its process is there; None when it does not come."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = [pid for pid in actors(host.NAME) if pid != old]
        if found:
            return found[0]
        time.sleep(0.005)
    return None


def owners() -> list[int]:
    """Pids of the actors that own running attempts."""
    return actors("AttemptOwner")


def actors(name: str) -> list[int]:
    """Pids of this process's clusters whose actor has this name, or class."""
    return [pid for pid in psutil.pids() if name in _titles(pid) and _ours(pid)]


def _titles(pid: int) -> list[str]:
    """Ray calls the process of an actor "ray::<its name>:<its class>.<method>", or by its class alone."""
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].decode("utf-8", "replace")
    except OSError:
        return []
    return re.split(r"[:.]+", title[5:]) if title.startswith("ray::") else []


def _ours(pid: int) -> bool:
    """It belongs to a cluster of this process, not to somebody else's on this machine."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return any(parent.pid == os.getpid() for parent in psutil.Process(pid).parents())
    return False


class Moment(NamedTuple):
    """us: since 1970; at: time.monotonic(); place: among the rows that were seen."""

    us: int
    at: float
    place: int


class Watcher:
    """Follows a store as any reader does, and remembers what it was given, and when (time.monotonic)."""

    def __init__(self, storage: str, since: str = "start") -> None:
        self.rows: list[Row] = []
        self.seen_at: list[float] = []
        #: pid and node of each that began.
        self.managers: list[tuple[int, str]] = []
        self.error: Exception | None = None
        self._events = wfstore.open(storage, live=False).follow(since=since)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            for event in self._events:
                ts = (event.ts - _EPOCH) // timedelta(microseconds=1)
                self.seen_at.append(time.monotonic())
                self.rows.append(
                    Row(event.seq, event.type, event.workflow_id, event.task_id, event.attempt, ts, event.kind)
                )
                if event.type == ev.MANAGER_STARTED:
                    self.managers.append((json.loads(event.attributes or "{}")["pid"], event.node_id or ""))
        except Exception as error:  # told by whoever made this
            self.error = error

    def now(self) -> Moment:
        return Moment(now_us(), time.monotonic(), len(self.rows))

    def success(self, since: Moment, timeout_s: float, task: tuple[str, str] | None = None) -> float | None:
        """Seconds from `since` until a success that was decided after it was seen: of `task`, or of any. None: not in
        time."""
        place, deadline = since.place, time.monotonic() + timeout_s
        while self.error is None:
            while place < len(self.rows):
                row = self.rows[place]
                if row.type == ev.ATTEMPT_SUCCEEDED and row.ts >= since.us and task in (None, row.task):
                    return self.seen_at[place] - since.at
                place += 1
            if time.monotonic() > deadline:
                return None
            time.sleep(0.002)
        return None

    def recorded(self, task: tuple[str, str]) -> bool:
        """Its success was seen."""
        return any(row.type == ev.ATTEMPT_SUCCEEDED and row.task == task for row in reversed(self.rows))

    def close(self) -> None:
        self._events.close()
        self._thread.join(30)
        if self.error is not None:
            raise self.error


def running_bodies(path: Path, parent: int | None = None) -> list[tuple[int, tuple[str, str]]]:
    """(pid, task) of user code that runs now, the last to begin first; parent: only below this raylet."""
    open_ones: dict[tuple[str, str], int] = {}
    for text in path.read_text().splitlines()[-200:] if path.exists() else ():
        word, workflow_id, task_id, pid, _ = text.split()
        if word == "begins":
            open_ones[workflow_id, task_id] = int(pid)
        else:
            open_ones.pop((workflow_id, task_id), None)
    found = [(pid, task) for task, pid in reversed(open_ones.items())]
    return [one for one in found if parent is None or _parent(one[0]) == parent]


def _parent(pid: int) -> int | None:
    try:
        return int(psutil.Process(pid).ppid())
    except psutil.NoSuchProcess:
        return None


def wait_for(condition: Callable[[], Any], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Inside, the process does not run."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
