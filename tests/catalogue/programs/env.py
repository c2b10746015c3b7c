"""A driver whose job has a runtime environment of its own: joins the Ray of $RAY_ADDRESS, and prints what tasks saw.

    env.py STORAGE NAMESPACE ID

One line for a task without an environment of its own, one for a task that adds a variable, and the same two of plain
Ray.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import ray

from wfstore import workflow


@ray.remote
def seen(before: list[str] | None = None) -> list[str]:
    """The variables that somebody set."""
    return [*(before or []), " ".join(sorted(name for name in os.environ if name.startswith("CATALOGUE_")))]


def main(storage: str, namespace: str, workflow_id: str) -> None:
    job: dict[str, Any] = {"env_vars": {f"CATALOGUE_{workflow_id}": "1"}}
    ray.init(runtime_env=job, log_to_driver=False, configure_logging=False)
    workflow.init(storage=storage, namespace=namespace)
    adding = seen.options(runtime_env={"env_vars": {"CATALOGUE_own": "1"}})
    lines = workflow.run(adding.bind(seen.bind()), workflow_id=workflow_id)
    print("\n".join([*lines, *ray.get(adding.remote(seen.remote()))]))


if __name__ == "__main__":
    main(*sys.argv[1:])
