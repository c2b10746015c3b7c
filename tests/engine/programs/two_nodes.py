"""A cluster of two nodes on this machine; tasks are sent to the second one.

    two_nodes.py STORAGE shared|hidden

hidden: the second node's workers see an empty folder of their own where the manager writes its store.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from wfstore import workflow


@workflow.task(num_cpus=0, resources={"second": 1})
def where_am_i(value: int) -> tuple[int, str]:
    return value, ray.get_runtime_context().get_node_id()


@workflow.task(num_cpus=0, resources={"second": 1})
def large(value: int) -> bytes:
    return bytes([value]) * 100_000


@workflow.task(num_cpus=0, resources={"first": 1})
def size(data: bytes) -> tuple[int, str]:
    return len(data), ray.get_runtime_context().get_node_id()


def hide(storage: str) -> dict[str, object]:
    """A runtime_env whose workers look at another folder: a mount namespace needs rights that CI may not have."""
    elsewhere = tempfile.mkdtemp()
    Path(elsewhere, "sitecustomize.py").write_text(
        "import pathlib\n"
        "whole = pathlib.Path.read_text\n"
        f"def read_text(self, *a, **k):\n    if str(self) == {str(Path(storage) / 'store.json')!r}:\n"
        "        raise FileNotFoundError(self)\n    return whole(self, *a, **k)\n"
        "pathlib.Path.read_text = read_text\n"
    )
    return {"env_vars": {"PYTHONPATH": os.pathsep.join([elsewhere, os.environ["PYTHONPATH"]])}}


def main(storage: str, mode: str) -> None:
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "resources": {"first": 10}, "include_dashboard": False}
    )
    cluster.add_node(num_cpus=1, resources={"second": 10})
    ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
    workflow.init(storage=storage)
    here = ray.get_runtime_context().get_node_id()
    if mode == "shared":
        value, node = workflow.run(where_am_i.bind(7), workflow_id="small")
        assert (value, node != here) == (7, True)
        assert workflow.run(size.bind(large.bind(1)), workflow_id="large") == (100_000, here)
    else:
        away = where_am_i.options(runtime_env=hide(storage))
        try:
            workflow.run(away.bind(7), workflow_id="hidden")
        except workflow.WorkflowExecutionError as error:
            print("REFUSED", type(error.__cause__).__name__, str(error.__cause__).replace("\n", " "), flush=True)
    print("done", flush=True)
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
