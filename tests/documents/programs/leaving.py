"""A driver of the older generation: joins the Ray of $RAY_ADDRESS, submits, says so, and waits to be killed.

leaving.py MODULE STORAGE NAMESPACE FOLDER     MODULE is wfstore.workflow or wfstore.legacy.workflow
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path

import ray


def main(module: str, storage: str, namespace: str, folder: str) -> None:
    workflow = importlib.import_module(module)

    @workflow.step
    def add(left: int, right: int) -> int:
        Path(folder, "runs").touch()
        while not Path(folder, "go").exists():
            time.sleep(0.05)
        return left + right

    ray.init(log_to_driver=False, configure_logging=False)
    workflow.init(storage, namespace=namespace)
    add.step(ray.put(10), 20).run_async("outlives")
    print("submitted", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
