"""Listeners for events that are sent, which tests share with a driver whose whole cluster is to be killed.

    events.py STORAGE FOLDER

One workflow's listener has its event and has not returned it; another one has not begun to wait. Both events were
acknowledged.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import ray

from tests.engine.programs.tasks import note
from wfstore import workflow
from wfstore.workflow import workflow_context
from wfstore.workflow.http_event_provider import HTTPListener


class Slow(HTTPListener):
    """Has the event, and returns it when a file is there."""

    async def poll_for_event(self, folder: str, key: str) -> tuple[str, Any]:  # type: ignore[override]
        workflow_id = workflow_context.get_current_workflow_id()
        event = await self.handle.get_event_payload.remote(workflow_id, key)
        note(f"{folder}/log", f"{workflow_id}-has-{event[1]}")
        while not Path(folder, "go").exists():
            await asyncio.sleep(0.02)
        return event


@ray.remote
def held(folder: str) -> None:
    while not Path(folder, "go").exists():
        time.sleep(0.02)


@ray.remote
def then_wait(key: str, _held: None) -> Any:
    return workflow.continuation(workflow.wait_for_event(HTTPListener, key))


def main(storage: str, folder: str) -> None:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    workflow.init(storage=storage)
    workflow.run_async(workflow.wait_for_event(Slow, folder, "go"), workflow_id="has")
    workflow.run_async(then_wait.bind("go", held.options(num_cpus=0).bind(folder)), workflow_id="early")
    for name in ("has", "early"):
        workflow.send_event(name, "go", f"for-{name}")
    while not Path(folder, "log").exists():
        time.sleep(0.02)
    print("ready", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
