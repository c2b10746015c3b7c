"""What answers below Ray's own dashboard: the tasks of one workflow, as `WorkflowObservability` tells them.

Ray imports it in a process of its own beside the head, where `wfstore ray-dashboard install` was run. It rests on parts
of Ray that are not public, and on packages that only Ray's dashboard needs; nothing else imports it.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import math
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeAlias

import aiohttp.web  # type: ignore[import-not-found, unused-ignore]
from ray.dashboard.optional_utils import init_ray_and_catch_exceptions
from ray.dashboard.subprocesses.module import SubprocessModule
from ray.dashboard.subprocesses.routes import SubprocessRouteTable as Routes

from wfstore import errors
from wfstore.engine import client

_Handler: TypeAlias = Callable[..., Awaitable[Any]]
#: Above the engine's floor, and so known by its name only.
_OBSERVABILITY = ("wfstore._observe", "WorkflowObservability")


def _route(path: str) -> Callable[[_Handler], _Handler]:
    """GET below Ray's port, in a process that has joined the cluster by then: Ray's own decorators."""
    get: Callable[[_Handler], _Handler] = Routes.get(path)  # type: ignore[no-untyped-call]
    joined: Callable[[_Handler], _Handler] = init_ray_and_catch_exceptions()
    return lambda handler: get(joined(handler))


class WfstoreHead(SubprocessModule):
    """A module of Ray's dashboard."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._storage = ""
        self._observability: Any = None

    @_route("/api/wfstore/{workflow_id:.+}")
    async def workflow(self, request: Any) -> Any:
        """The workflow, and its tasks by id. origin: "live" (the manager's memory) or "store"."""
        status, body = await asyncio.to_thread(self._answer, request.match_info["workflow_id"])
        text = json.dumps(plain(body))
        return aiohttp.web.Response(status=status, text=text, content_type="application/json")

    def _answer(self, workflow_id: str) -> tuple[int, dict[str, Any]]:
        try:
            observed = self._observed()
            workflow, tasks = observed.workflow(workflow_id), observed.tasks(workflow_id)
        except errors.WorkflowNotFoundError as error:
            return 404, _refusal(error)
        except errors.StorageError as error:
            return 503, _refusal(error)
        said = {name: workflow[name] for name in ("workflow_id", "origin", "as_of_seq")}
        return 200, {**said, "workflow": workflow, "tasks": tasks}

    def _observed(self) -> Any:
        """Of the storage that the cluster's manager has now. Raises StorageError where there is no manager."""
        link = client.join()
        if link is None:
            raise errors.ManagerLostError("this cluster", "no workflow manager runs; workflow.init() starts one")
        if self._observability is None or self._storage != link.storage:
            module, name = _OBSERVABILITY
            self._observability = getattr(importlib.import_module(module), name)(link.storage, live=True)
            self._storage = link.storage
        return self._observability


def _refusal(error: errors.WfstoreError) -> dict[str, Any]:
    return {"error": {"type": type(error).__name__, "message": str(error)}}


def plain(value: Any) -> Any:
    """As JSON knows it: times as ISO 8601 in UTC, what is no number as null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat() + "Z"
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
