"""A driver with a Ray of its own whose workflows wait; its whole cluster is to be killed.

    waits.py STORAGE FOLDER

One polls for an event, one is told of its event and does not come back, one sleeps.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import ray

from tests.catalogue.tasks import noted
from tests.engine.programs.tasks import note
from tests.engine.world import executions
from wfstore import workflow
from wfstore.workflow.event_listener import EventListener

SLEEP_S = 12.0


class Watched(EventListener):
    """Notes each call; both block, as old listeners did."""

    async def poll_for_event(self, folder: str, name: str) -> tuple[str, str]:
        note(f"{folder}/log", f"{name}-poll")
        while not Path(folder, f"{name}-go").exists():
            time.sleep(0.05)
        return folder, name

    async def event_checkpointed(self, event: tuple[str, str]) -> None:
        folder, name = event
        note(f"{folder}/log", f"{name}-told")
        while Path(folder, f"{name}-hang").exists():
            time.sleep(0.05)


def stamp(log: str, name: str) -> None:
    note(log, f"{name} {time.time()}")


@ray.remote
def reach(log: str) -> Any:
    stamp(log, "reached")
    return workflow.continuation(workflow.sleep(SLEEP_S))


@ray.remote
def woke(log: str, *after: Any) -> None:
    stamp(log, "woke")


def main(storage: str, folder: str) -> None:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    workflow.init(storage=storage)
    log = f"{folder}/log"
    Path(folder, "told-go").touch()
    Path(folder, "told-hang").touch()
    for name in ("polling", "told"):
        event = workflow.wait_for_event(Watched, folder, name)
        workflow.run_async(noted.bind(log, f"{name}-after", 1, event), workflow_id=name)
    times = f"{folder}/times"
    workflow.run_async(woke.bind(times, reach.bind(times)), workflow_id="sleeping")
    while not {"polling-poll", "told-told"} <= set(executions(Path(log))) or not Path(times).exists():
        time.sleep(0.05)
    time.sleep(0.5)
    print("ready", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
