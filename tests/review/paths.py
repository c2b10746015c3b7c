"""Tasks and tools of the tests of paths through the engine."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import ray

from tests.engine.programs.tasks import note
from tests.engine.world import World, eventually
from wfstore import workflow


@workflow.task
def part(log: str, name: str, pause_s: float = 0.0, first: str | None = None) -> str:
    """Says that it ran; the first attempt of `first` says where it runs, and stays."""
    note(log, name)
    if name == first and not os.path.exists(f"{log}.first"):
        Path(f"{log}.first").write_text(str(os.getpid()))
        time.sleep(1000)
    time.sleep(pause_s)
    return name


@workflow.task
def gather(*values: Any) -> list[Any]:
    return list(values)


def fan_out(log: Path, size: int, pause_s: float = 0.0, first: str | None = None, **options: Any) -> Any:
    """Tasks p0, p1, ... of one kind, and one that gathers what they return: their names."""
    task = part.options(**options) if options else part
    return gather.bind(*[task.bind(str(log), f"p{n}", pause_s, first) for n in range(size)])


def everybody(size: int) -> list[str]:
    return [f"p{n}" for n in range(size)]


def pid_of_first(log: Path) -> int:
    """Where the attempt runs that stays."""
    path = Path(f"{log}.first")
    eventually(lambda: path.exists() and path.read_text(), "the attempt that stays runs", 60)
    return int(path.read_text())


def kill_manager(world: World) -> None:
    os.kill(world.describe()["pid"], signal.SIGKILL)


def own_processes(title: str) -> list[psutil.Process]:
    """Processes of this test's Ray, by how Ray titles them (``ray::...``)."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if " ".join(process.cmdline()).startswith(title):
                found.append(process)
        except psutil.Error:  # it has just ended
            continue
    return found


def counters(world: World) -> dict[str, Any]:
    """What the manager holds for attempts and callers."""

    def look(manager: Any) -> dict[str, Any]:
        executor = manager._executor
        return {
            "running": len(executor._running),
            "in_ray": sum(executor._in_ray.values()),
            "held": len(executor._held_keys),
            "lingering": len(manager._lingering),
            "awaited": manager._values_awaited,
            "waiting": len(manager._waiting),
            "waiting_for_tasks": len(manager._waiting_for_tasks),
            "to_submit": len(manager._to_submit),
            "preparing": len(manager._preparing),
        }

    found: dict[str, Any] = ray.get(world.handle.__ray_call__.remote(look))
    return found


def at_rest(world: World) -> None:
    """Nothing is under way, and nothing is counted that is not there."""
    eventually(lambda: not any(counters(world).values()), f"the manager is at rest: {counters(world)}", 20)
