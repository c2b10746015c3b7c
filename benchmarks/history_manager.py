"""Figures of `history.py` that need a real manager: its start on a large store, its answers about closed ids."""

from __future__ import annotations

import logging
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import wfstore
from benchmarks.measuring import Bench, alone, linked, median_ms, random_ids, timed_ms

_IDS = 50
_PATIENCE_S = 600.0


def _ask(storage: str, ids: list[str]) -> dict[str, float]:
    """In a process and a cluster of its own. Seconds, MB, and milliseconds of the questions."""
    os.environ.setdefault("RAY_worker_niceness", "0")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # Ray tells of the killed manager where our lines go
    import ray

    from wfstore import workflow

    @ray.remote
    def never() -> None:
        raise AssertionError("a closed workflow ran again")

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        began = time.perf_counter()
        workflow.init(storage=storage)
        workflow.list_all({"RUNNING"})
        found = {"start_s": time.perf_counter() - began, "start_mb": _memory_mb()}
        found["restart_s"], found["restart_mb"] = _restarted(ids), _memory_mb()
        if ids:
            run = [timed_ms(lambda one=one: workflow.run(never.bind(), workflow_id=one)) for one in ids]  # type: ignore[misc]
            status = [timed_ms(lambda one=one: workflow.get_status(one)) for one in ids * 4]  # type: ignore[misc]
            found |= {"run_ms": statistics.median(run), "run_ms_most": max(run)}
            found |= {"status_ms": statistics.median(status), "status_ms_most": max(status)}
            found["list_ms"] = median_ms(5, lambda: workflow.list_all("FAILED"), warm_up=0)
            found["failed"] = len(workflow.list_all("FAILED"))
            found["answered_mb"] = _memory_mb()
        return found
    finally:
        ray.shutdown()


def _manager() -> Any:
    import ray

    return ray.get(ray.get_actor("WorkflowManagementActor", "workflow").describe.remote())


def _memory_mb() -> float:
    return float(_manager()["rss_bytes"]) / 2**20


def _restarted(ids: list[str]) -> float:
    """Seconds from the death of the manager's process to the first answer of the next one."""
    import ray

    from wfstore import workflow

    before = _manager()
    began = time.perf_counter()
    os.kill(before["pid"], signal.SIGKILL)
    while time.perf_counter() - began < _PATIENCE_S:
        try:
            if _manager()["pid"] != before["pid"]:
                if ids:
                    workflow.get_status(ids[0])
                return time.perf_counter() - began
        except ray.exceptions.RayError:
            pass  # it is still dying, or not yet there
        time.sleep(0.02)
    raise TimeoutError("no manager came back")


def manager(bench: Bench) -> None:
    ids = random_ids(wfstore.open(bench.storage), _IDS, "SUCCESSFUL")
    with tempfile.TemporaryDirectory(prefix="wfstore-bench-") as folder:
        empty = alone(_ask, str(Path(folder, "empty")), [])
    with linked(bench.storage) as copy:
        found = alone(_ask, copy, ids)
    bench.show("manager ready, init", found["start_s"], (3, 10), "s", empty_store=empty["start_s"])
    bench.show("manager ready after kill -9", found["restart_s"], (3, 10), "s", empty_store=empty["restart_s"])
    most = max(found[name] for name in ("start_mb", "restart_mb", "answered_mb"))
    least = min(empty["start_mb"], empty["restart_mb"])
    bench.show("manager's memory above an empty store", most - least, (200, 500), "MB", empty_store=least)
    bench.show("run() of a closed id, p50", found["run_ms"], (20, 50), most=found["run_ms_most"], n=len(ids))
    bench.show("get_status, p50", found["status_ms"], (5, 5), most=found["status_ms_most"], n=4 * len(ids))
    bench.show('list_all("FAILED")', found["list_ms"] / 1000, (1, 5), "s", rows=found["failed"])
