"""A readonly method, as a plain Ray task of whoever calls it: nothing it changes is kept, nobody waits in line."""

from __future__ import annotations

import pickle
import time
from collections.abc import Mapping
from typing import Any

import ray

from wfstore.engine import host
from wfstore.engine.actors.method import call_readonly
from wfstore.engine.context import inside_task
from wfstore.engine.dag.node import is_node
from wfstore.log import now_us
from wfstore.model.commands import RecordRead
from wfstore.payloads import PayloadStore, loads


def read(
    storage: str,
    context: tuple[str, str, str],
    body: str,
    call: tuple[str, tuple[int, Any]],
    catch: bool,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """What the method returns; (result, None) or (None, exception) with `catch`. context: actor, namespace, name.

    Raises what the method raises, TypeError for one that returns a workflow.
    """
    actor_id, namespace, name = context
    began = time.perf_counter()
    error: Exception | None = None
    value: Any = None
    try:
        cls = loads(PayloadStore(storage).get(body))
        with inside_task(actor_id, name, 1, namespace):
            value = call_readonly(cls, call, args, kwargs, PayloadStore(storage))
        if is_node(value):
            raise TypeError("Returning a Workflow from a readonly virtual actor is not allowed.")
    except Exception as caught:
        error = caught
    _tell(namespace, actor_id, call[0], time.perf_counter() - began, error)
    if error is not None and not catch:
        raise error
    return (value, error) if catch else value


def _tell(namespace: str, actor_id: str, method: str, duration_s: float, error: Exception | None) -> None:
    """The manager notes the call; nobody waits for that."""
    manager = host.find(namespace)
    if manager is None:
        return
    what = (None, None) if error is None else (type(error).__name__, str(error)[:2000])
    job = ray.get_runtime_context().get_job_id()
    command = RecordRead(actor_id, method, now_us(), round(duration_s, 6), job, *what)
    manager.report_read.remote(pickle.dumps(command, 5))
