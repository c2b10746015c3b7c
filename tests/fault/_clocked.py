"""Workflows of every status while the wall clock jumps: `python -m tests.fault._clocked FOLDER SECONDS...`.

Run it with _clockpath on PYTHONPATH and $WFSTORE_FAULT_CLOCK: all Python processes of its Ray then have the clock that
jumps. (libfaketime 0.9.10 makes `time.sleep` of Python 3.11 fail.) Prints a JSON object; seconds are those of the
monotonic clock.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import ray

import wfstore
from tests.engine.programs.tasks import after, note
from tests.engine.world import World, eventually, executions, start_ray
from wfstore import workflow
from wfstore.log import verify

_TIMER_S = 1.5


@ray.remote
def twice(log: str) -> str:
    """Fails the first time."""
    note(log, "twice")
    if executions(Path(log))["twice"] == 1:
        raise ValueError("the first time")
    return "done"


@ray.remote
def failing() -> None:
    raise ValueError("always")


@contextmanager
def local_ray() -> Iterator[None]:
    """With the environment as it is, whose PYTHONPATH has the clock."""
    start_ray()
    yield
    ray.shutdown()


class Clock:
    """The wall clock of all these processes; `jump` sets it forward or back."""

    def __init__(self) -> None:
        self._file = Path(os.environ["WFSTORE_FAULT_CLOCK"])

    def jump(self, seconds: int) -> None:
        before = time.time()
        draft = self._file.with_suffix(".new")
        draft.write_text(str(int(self._file.read_text()) + seconds))
        os.replace(draft, self._file)
        assert abs(time.time() - before - seconds) < 60, "the clock has not jumped"


def main(folder: Path, clock: Clock, jumps: list[int]) -> dict[str, int | float | list[float]]:
    """A cluster in whose midst the clock jumps, then another one on the same store."""
    with local_ray():
        world = World(folder, max_running_workflows=3)
        waits = [wait for jump in jumps for wait in scene(world, clock, jump)]
        workflow.run_async(after.bind(str(folder / "log"), "left", 600.0), workflow_id="left")
        status("left", "RUNNING")
        world.check()
    clock.jump(-jumps[-1])
    eventually(lambda: statuses(world)["left"] == "RESUMABLE", "the status RESUMABLE", 90)
    with local_ray():
        again = World(folder, world.storage, max_running_workflows=3)
        workflow.cancel("left")
        status("left", "CANCELED")
        workflow.run(after.bind(str(folder / "log"), "last", 0.0), workflow_id="last")
        again.check()
        ray.get(again.handle.stop.remote())
    events = world.events()
    assert [event.seq for event in events] == list(range(1, len(events) + 1)), "seqs are not 1, 2, 3, ..."
    assert verify(world.storage).ok, verify(world.storage).problems
    backward = sum(later.ts < event.ts for event, later in pairwise(events))
    assert backward, "the clock of the log never went back"
    return {"events": len(events), "went_back": backward, "timer_late_s": waits}


def scene(world: World, clock: Clock, jump: int) -> list[float]:
    """Workflows of every status, in whose midst the clock jumps. Returns how much later two timers rang than asked."""
    log, at = str(world.folder / f"log{jump}"), f"-{jump}"
    began = time.monotonic()
    timer = workflow.run_async(workflow.sleep(_TIMER_S), workflow_id=f"timer{at}")
    again = twice.options(max_retries=2, retry_exceptions=True).bind(log)
    retried = workflow.run_async(again, workflow_id=f"retried{at}")
    workflow.run_async(after.bind(log, "long", 600.0), workflow_id=f"long{at}")
    workflow.run_async(after.bind(log, "waiting", 0.0), workflow_id=f"pending{at}")
    status(f"long{at}", "RUNNING")
    clock.jump(jump)
    late = [_rang(timer, began)]
    assert ray.get(retried, timeout=60) == "done"
    workflow.cancel(f"long{at}")
    status(f"long{at}", "CANCELED")
    status(f"pending{at}", "SUCCESSFUL")
    with contextlib.suppress(workflow.WorkflowExecutionError):
        workflow.run(failing.bind(), workflow_id=f"failed{at}")
    status(f"failed{at}", "FAILED")
    began = time.monotonic()
    late.append(_rang(workflow.run_async(workflow.sleep(_TIMER_S), workflow_id=f"late-timer{at}"), began))
    return late


def _rang(timer: Any, began: float) -> float:
    try:
        ray.get(timer, timeout=30)
    except ray.exceptions.GetTimeoutError:
        raise AssertionError(f"a timer of {_TIMER_S} s has not rung within 30 s") from None
    late = time.monotonic() - began - _TIMER_S
    assert late > -0.05, f"a timer rang {-late:.3f} s too early"
    return late


def statuses(world: World) -> dict[str, Any]:
    rows = wfstore.open(world.storage).sql("SELECT workflow_id, status FROM workflows").fetchall()
    return dict(rows)


def status(workflow_id: str, wanted: str) -> None:
    reached: Callable[[], bool] = lambda: workflow.get_status(workflow_id) == wanted  # noqa: E731
    eventually(reached, f"{workflow_id} is {wanted}", 60)


if __name__ == "__main__":
    try:
        said = main(Path(sys.argv[1]), Clock(), [int(jump) for jump in sys.argv[2:]])
    except AssertionError as error:
        said = {"found": str(error)}
    print(json.dumps(said), flush=True)
