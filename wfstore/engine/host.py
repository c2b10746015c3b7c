"""Starts Ray and the manager, or joins those that run."""

from __future__ import annotations

import logging
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from wfstore import errors
from wfstore.engine.manager import WorkflowManagementActor
from wfstore.engine.waiter import NAME as WAITER
from wfstore.engine.waiter import OutputWaiter
from wfstore.log import resolve_storage
from wfstore.objects import is_uri

NAME = "WorkflowManagementActor"
NAMESPACE = "workflow"
#: One for the whole cluster, whoever starts it, until the cluster ends.
_FOR_ALL: dict[str, Any] = {
    "lifetime": "detached",
    "get_if_exists": True,
    "num_cpus": 0,
    "max_restarts": -1,
    "max_concurrency": 1_000_000,
}


def ensure_ray() -> None:
    """Join the Ray of this process, of RAY_ADDRESS or of this machine; start one when there is none."""
    if not ray.is_initialized():
        ray.init(logging_level=logging.WARNING)


def find(namespace: str) -> Any | None:
    """The handle of the running manager, or None."""
    try:
        return ray.get_actor(NAME, namespace)
    except ValueError:
        return None


def start(storage: str | None, namespace: str, max_running: int | None, max_pending: int | None) -> Any:
    """Start the manager of `namespace` on this node, or get the one that another driver started meanwhile.

    Raises the StorageError family.
    """
    path = resolve_storage(storage)
    if path.startswith("memory:"):
        raise errors.StorageError(path, "what is in the memory of one process, a cluster's others cannot reach")
    context = ray.get_runtime_context()
    runtime_env = dict(context.runtime_env)
    actor = ray.remote(WorkflowManagementActor).options(
        name=NAME,
        namespace=namespace,
        max_task_retries=0,
        **_FOR_ALL,
        # Local storage belongs to one node, and the manager with it; object storage is reached from any other as well.
        scheduling_strategy=NodeAffinitySchedulingStrategy(context.get_node_id(), soft=is_uri(path)),
    )
    return actor.remote(path, (NAME, namespace), max_running, max_pending, runtime_env)


def waiter(storage: str, namespace: str) -> Any:
    """The actor that waits for outputs by the thousand."""
    actor = ray.remote(OutputWaiter).options(
        name=WAITER,
        namespace=namespace,
        max_task_retries=-1,
        **_FOR_ALL,
    )
    return actor.remote(storage, (NAME, namespace))


def describe(handle: Any) -> dict[str, Any]:
    """What the manager says about itself; its failure to start comes as the error that caused it."""
    try:
        answer: dict[str, Any] = ray.get(handle.describe.remote())
    except RayActorError as error:
        cause = cause_of_death(error)
        if cause is not None:
            raise cause from None
        raise errors.ManagerLostError("workflow manager", str(error)) from None
    return answer


def cause_of_death(error: RayActorError) -> Exception | None:
    """What the manager raised while it started, if that killed it. Ray keeps it in the error's arguments only."""
    told = error.args[0] if error.args else None
    cause = told.cause if isinstance(told, RayTaskError) else None
    return cause if isinstance(cause, Exception) else None
