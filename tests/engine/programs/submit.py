"""A driver: joins the Ray of $RAY_ADDRESS, submits a workflow and leaves, or waits to be killed.

submit.py STORAGE NAMESPACE LOG leave|stay
"""

from __future__ import annotations

import sys
import time

import numpy as np
import ray

from tests.engine.programs.tasks import after
from wfstore import workflow


def main(storage: str, namespace: str, log: str, then: str) -> None:
    ray.init(log_to_driver=False, configure_logging=False)
    workflow.init(storage=storage, namespace=namespace)
    value = ray.put(np.arange(200_000))
    workflow.run_async(after.bind(log, "z", 2.0, value), workflow_id="outlives")
    print("submitted", flush=True)
    if then == "stay":
        time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
