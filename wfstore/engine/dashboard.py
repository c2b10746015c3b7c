"""The dashboard beside a live manager: a named, detached actor that hosts a class from outside the engine.

The engine knows nothing of the web. The class is given by its name, imported in the actor's process only, and made from
plain facts; port and token are among them, so that after a crash Ray makes the same server again. It runs where the
manager's storage is: on the manager's node for a local one, else on the head node.
"""

from __future__ import annotations

import importlib
import os
import socket
import time
from typing import Any, Protocol

import ray
import ray._private.worker as ray_worker
from ray.exceptions import ActorUnavailableError, GetTimeoutError, RayActorError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from wfstore import errors
from wfstore.engine import client, host
from wfstore.objects import is_uri

NAME = "WorkflowDashboard"
#: After a restart the manager may be on its way back too, and the port may linger; the first time nobody waits.
_PATIENCE_S = 30.0
_RETRY_S = 0.2
_ANSWER_S = 60.0


class Hosted(Protocol):
    """What the actor hosts. Its constructor takes `storage` and the facts it was given."""

    def listen(self) -> None:
        """Take the port. Raises OSError."""

    def serve(self) -> None:
        """Answer requests from now on, in threads of its own."""

    def describe(self) -> dict[str, Any]:
        """link, url, port, storage."""

    def stop(self) -> None: ...


class DashboardActor:
    """See the module."""

    def __init__(self, target: str, namespace: str, storage: str, facts: dict[str, Any]) -> None:
        again = ray.get_runtime_context().was_current_actor_reconstructed
        deadline = time.monotonic() + (_PATIENCE_S if again else 0.0)
        module, _, name = target.partition(":")
        made = getattr(importlib.import_module(module), name)
        self._hosted: Hosted = made(storage=storage, ended=lambda: os._exit(1), **facts)
        _listen(self._hosted, deadline)
        _join(namespace, storage, deadline)
        self._hosted.serve()

    def describe(self) -> dict[str, Any]:
        """What the hosted class says, and the process's pid."""
        return {**self._hosted.describe(), "pid": os.getpid()}

    def stop(self) -> None:
        """End the server; the actor is killed afterwards."""
        self._hosted.stop()


def _listen(hosted: Hosted, deadline: float) -> None:
    while True:
        try:
            hosted.listen()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_S)


def _join(namespace: str, storage: str, deadline: float) -> None:
    """Connect this process to the manager that runs. Where none comes, the storage alone is shown."""
    while host.find(namespace) is not None:
        try:
            client.connect(storage, namespace=namespace)
            return
        except (errors.ManagerLostError, RayActorError):
            if time.monotonic() > deadline:
                return
            time.sleep(_RETRY_S)


def find(namespace: str | None = None) -> dict[str, Any] | None:
    """What the running dashboard of that namespace says about itself; None where there is none."""
    try:
        handle = ray.get_actor(NAME, namespace or host.NAMESPACE)
    except ValueError:
        return None
    return _described(handle)


def start(target: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Start the dashboard of this process's manager, or find the one that runs; returns what it says about itself.

    target: ``module:Class`` of a `Hosted`; facts: its arguments besides `storage`; of a dashboard that runs already
    they are not looked at. Raises OSError for a port that is taken, RuntimeError for another reason not to start.
    """
    link = client.connect()
    found = find(link.namespace)
    if found is not None:
        return found
    handle = (
        ray.remote(DashboardActor)
        .options(
            name=NAME,
            namespace=link.namespace,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=-1,
            scheduling_strategy=_place(link),
        )
        .remote(target, link.namespace, link.storage, facts)
    )
    return _described(handle)


def stop(namespace: str | None = None) -> None:
    """End the dashboard of that namespace, if there is one."""
    try:
        handle = ray.get_actor(NAME, namespace or host.NAMESPACE)
    except ValueError:
        return
    try:
        ray.get(handle.stop.options(max_task_retries=0).remote(), timeout=_ANSWER_S)
    except (RayActorError, GetTimeoutError):
        pass  # it is killed all the same
    ray.kill(handle)


def owns_cluster() -> bool:
    """Did this process start its Ray, which then ends with it?"""
    node: Any = ray_worker._global_node
    return node is not None and bool(node.is_head())


def free_port() -> int:
    """A port that nobody uses on this machine now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _place(link: client.Client) -> NodeAffinitySchedulingStrategy:
    if is_uri(link.storage):
        nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        heads = [node["NodeID"] for node in nodes if "node:__internal_head__" in node["Resources"]]
        if heads:
            return NodeAffinitySchedulingStrategy(heads[0], soft=True)
    return NodeAffinitySchedulingStrategy(link.call("describe")["node_id"], soft=False)


def _described(handle: Any) -> dict[str, Any]:
    deadline = time.monotonic() + _ANSWER_S
    while True:
        try:
            answer: dict[str, Any] = ray.get(handle.describe.remote(), timeout=_ANSWER_S)
            return answer
        except RayTaskError as error:
            raise RuntimeError(f"the dashboard failed: {error.cause}") from None
        except ActorUnavailableError:
            if time.monotonic() > deadline:
                raise RuntimeError("the dashboard does not answer") from None
            time.sleep(_RETRY_S)
        except GetTimeoutError:
            raise RuntimeError("the dashboard does not answer") from None
        except RayActorError as error:
            raise _reason(error) from None


def _reason(error: RayActorError) -> Exception:
    """Why it did not start, as the error that a user can act upon."""
    cause = host.cause_of_death(error)
    if isinstance(cause, ModuleNotFoundError):
        return RuntimeError(f"the dashboard's node lacks {cause.name}: pip install 'wfstore[dashboard]' there")
    if isinstance(cause, OSError | errors.WfstoreError):
        return cause
    return RuntimeError(f"the dashboard did not start: {cause or error}")
