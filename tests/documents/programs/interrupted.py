"""A driver with a Ray of its own, killed as a whole: one workflow runs, one waits, and one has failed.

interrupted.py STORAGE FOLDER
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import ray

from wfstore import workflow


@ray.remote
def wait_for(folder: str, name: str) -> str:
    """Says that it runs (file NAME-runs), and ends when the file NAME is there."""
    Path(folder, f"{name}-runs").touch()
    while not Path(folder, name).exists():
        time.sleep(0.05)
    return name


@ray.remote
def needs(folder: str, name: str) -> str:
    """Fails while the file NAME is missing."""
    if not Path(folder, name).exists():
        raise ValueError(f"{name} is missing")
    return name


def main(storage: str, folder: str) -> None:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    workflow.init(storage=storage, max_running_workflows=1, max_pending_workflows=5)
    try:
        workflow.run(needs.bind(folder, "failed"), workflow_id="failed")
    except workflow.WorkflowExecutionError:
        workflow.run_async(wait_for.bind(folder, "running"), workflow_id="running")
    workflow.run_async(wait_for.bind(folder, "pending"), workflow_id="pending")
    while not Path(folder, "running-runs").exists():
        time.sleep(0.05)
    print("submitted", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
