"""A driver with a Ray of its own, whose whole cluster is to be killed.

    doomed.py STORAGE LOG

Two workflows run (a chain of 40 tasks, a recursion 20 deep) and two wait; it says so and waits for the first's end.
"""

from __future__ import annotations

import sys

import ray

from tests.engine.programs.tasks import chain, down, link
from wfstore import workflow


def main(storage: str, log: str) -> None:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    workflow.init(storage=storage, max_running_workflows=2, max_pending_workflows=2)
    workflow.run(link.bind(log, "done", 0), workflow_id="done")
    first = workflow.run_async(chain(log, 40, 0.1), workflow_id="chain")
    workflow.run_async(down.bind(log, 20, 0, 0.1), workflow_id="recursion")
    for n in range(2):
        workflow.run_async(link.bind(log, f"waiting{n}", 0), workflow_id=f"waiting{n}")
    print("submitted", flush=True)
    ray.get(first)


if __name__ == "__main__":
    main(*sys.argv[1:])
