"""128 MiB through three tasks, in a Ray whose object store holds little more than one of them.

large.py STORAGE
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import ray

from wfstore import workflow


@ray.remote
def make() -> Any:
    return np.arange(2**24)


@ray.remote
def same(array: Any) -> Any:
    return array


@ray.remote
def last(array: Any) -> int:
    return int(array[-1])


def main(storage: str) -> None:
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=150 * 1024 * 1024,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
    )
    workflow.init(storage=storage)
    print(workflow.run(last.bind(same.bind(make.bind())), workflow_id="large"))
    ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
