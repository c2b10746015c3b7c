"""A driver with a Ray of its own that makes one workflow of every kind; its whole cluster is to be killed.

    scene.py STORAGE FOLDER

It says "ready" once all of them are where they should be, and waits.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import ray

from tests.catalogue.tasks import add, boom, fragile, hold, identity, named, noted
from tests.engine.programs.tasks import down
from wfstore import workflow

MODES = {"skip": (False, False), "partial": (False, True), "whole": (True, True)}
HELD = hold.options(num_cpus=0)


def submit(folder: str, log: str) -> None:
    """Ten run, two wait, three have ended."""
    workflow.run(noted.bind(log, "done", "value"), workflow_id="done")
    try:
        workflow.run(fragile.bind(log, "failed", f"{folder}/ok", "healed"), workflow_id="failed")
    except workflow.WorkflowExecutionError:
        pass
    workflow.run_async(HELD.bind(folder, "canceled"), workflow_id="canceled")
    workflow.cancel("canceled")
    workflow.run_async(down.options(num_cpus=0).bind(log, 20, 0, 0.05), workflow_id="recursion")
    workflow.run_async(HELD.bind(folder, "held", 5), workflow_id="held", metadata={"k": "v"})
    workflow.run_async(HELD.bind(folder, "doomed", 5), workflow_id="doomed")
    workflow.run_async(boom.bind(HELD.bind(folder, "bad", "late")), workflow_id="bad")
    refs = [ray.put(n) for n in range(5)]
    workflow.run_async(add_all.bind(refs, HELD.bind(folder, "refs", 90)), workflow_id="refs")
    for mode, kept in MODES.items():
        workflow.run_async(_checkpointed(folder, log, mode, kept), workflow_id=mode)
    for name in ("other", "last"):
        workflow.run_async(HELD.bind(folder, name, name), workflow_id=name)
    for n in range(2):
        workflow.run_async(identity.bind(n), workflow_id=f"waiting{n}")


@ray.remote
def add_all(refs: list[Any], extra: int) -> int:
    return sum(ray.get(refs)) + extra


def _checkpointed(folder: str, log: str, mode: str, kept: tuple[bool, bool]) -> Any:
    first = named(noted, "first", checkpoint=kept[0]).bind(log, f"{mode}-first", 1)
    second = named(noted, "second", checkpoint=kept[1]).bind(log, f"{mode}-second", 2, first)
    return add.bind(first, second, HELD.bind(folder, mode, 10, second))


def main(storage: str, folder: str) -> None:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    workflow.init(storage=storage, max_running_workflows=10, max_pending_workflows=2)
    log = f"{folder}/log"
    submit(folder, log)
    held = ("held", "doomed", "bad", "refs", *MODES, "other", "last")
    while not all(Path(folder, f"{name}-on").exists() for name in held) or Path(log).read_text().count("down") < 5:
        time.sleep(0.05)
    print("ready", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
