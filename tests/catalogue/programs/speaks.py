"""A driver: joins the Ray of $RAY_ADDRESS, runs a workflow, and leaves.

speaks.py STORAGE NAMESPACE ID
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import ray

from tests.catalogue.tasks import identity, named
from wfstore import workflow


@ray.remote
def dynamic() -> Any:
    return workflow.continuation(named(identity, "f2").bind(2))


def main(storage: str, namespace: str, workflow_id: str) -> None:
    ray.init(logging_level=logging.INFO)
    workflow.init(storage=storage, namespace=namespace)
    workflow.run(named(identity, "f0").bind(named(dynamic, "f1").bind()), workflow_id=workflow_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
