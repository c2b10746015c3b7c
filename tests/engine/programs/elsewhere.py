"""A workflow whose task imports a module of the submitter's working_dir: ``submit`` lets it fail, ``resume`` goes on.

elsewhere submit STORAGE FLAG WORKING_DIR | elsewhere resume STORAGE
"""

from __future__ import annotations

import os
import sys

import ray

from wfstore import workflow


@workflow.task(max_retries=0)
def first() -> int:
    return 1


@workflow.task(max_retries=0)
def second(value: int, flag: str) -> int:
    if not os.path.exists(flag):
        raise RuntimeError("not yet")
    from only_there import ADDED

    return value + int(ADDED)


def main() -> None:
    action, storage, *rest = sys.argv[1:]
    environment = {"working_dir": rest[1]} if action == "submit" else {}
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    workflow.init(storage=storage)
    if action == "submit":
        try:
            workflow.run(second.bind(first.bind(), rest[0]), workflow_id="elsewhere")
        except workflow.WorkflowExecutionError:
            print("failed", flush=True)
    else:
        print("result", workflow.resume("elsewhere"), flush=True)


if __name__ == "__main__":
    main()
