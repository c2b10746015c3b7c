"""What an operator does to workflows. Every action is an event that says who asked (`by`) and by which request.

A request that was carried out is not carried out again. Without a live manager nothing is done, and none is started.
"""

from __future__ import annotations

import contextlib
import getpass
import socket
import uuid
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from wfstore import errors
from wfstore._observe.link import Link, Manager
from wfstore._observe.opening import Row
from wfstore.model.statuses import CANCELED, FAILED, PENDING, RESUMABLE, RUNNING, SUCCESSFUL, WORKFLOW_ACTIVE

Action: TypeAlias = Literal["cancel", "resume", "rerun", "delete"]
Code: TypeAlias = Literal["stored", "current"]

ACTIONS = ("cancel", "resume", "rerun", "delete")
_MAY: Mapping[str, frozenset[str]] = {
    "cancel": frozenset({RUNNING, PENDING, RESUMABLE}),
    "resume": frozenset({FAILED, RESUMABLE}),
    "rerun": frozenset({RUNNING, PENDING, RESUMABLE, FAILED, CANCELED, SUCCESSFUL}),
    "delete": frozenset({RESUMABLE, FAILED, CANCELED, SUCCESSFUL}),
}
#: An order waits longer for a manager that is busy than a look does.
_PATIENCE_S = 15.0


def myself() -> str:
    """Who asks, where nothing else is said: user@host."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user without a name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


class Actions:
    """On the workflows of one storage, by its manager."""

    def __init__(self, storage: str, link: Link) -> None:
        self._storage, self._link = storage, link

    def manager(self) -> Manager:
        """Raises ManagerLostError with the reason and the way out."""
        why = self._link.why_not(_PATIENCE_S)
        manager = None if why else self._link.manager()
        if manager is None:
            raise errors.ManagerLostError(self._storage, why or "the manager does not answer at the moment; try again")
        return manager

    def do(
        self,
        action: str,
        workflow_id: str,
        *,
        code: str = "stored",
        by: str | None = None,
        request_id: str | None = None,
    ) -> str | None:
        """Returns the id of the new workflow for a rerun. Raises what the manager raises; ValueError for an action
        there is not."""
        _check(action)
        return self._do(self.manager(), action, workflow_id, code, by, request_id)

    def _do(
        self, manager: Manager, action: str, workflow_id: str, code: str, by: str | None, request_id: str | None
    ) -> str | None:
        who, request = by or myself(), request_id or uuid.uuid4().hex
        if action == "cancel":
            manager.cancel(workflow_id, who, request)
            status = manager.ask("status", workflow_id, timeout_s=_PATIENCE_S)
            if status != CANCELED:
                raise errors.WorkflowError(workflow_id, _refusal("cancel", workflow_id, status))
        elif action == "delete":
            manager.delete(workflow_id, who, request)
        elif action == "resume":
            manager.order(manager.resumption(workflow_id, code, who, request))
        else:
            return manager.rerun(workflow_id, who, request_id)
        return None

    def all(
        self,
        action: str,
        rows: list[Row],
        *,
        dry_run: bool,
        code: str = "stored",
        by: str | None = None,
        request_id: str | None = None,
    ) -> list[Row]:
        """The action on each of the workflows; each is told apart by its own request."""
        _check(action)
        manager = None if dry_run else self.manager()
        request = request_id or uuid.uuid4().hex
        out = []
        for row in rows:
            workflow_id, status = row["workflow_id"], row["status"]
            said: Row = {"workflow_id": workflow_id, "status": status, "done": False, "error": None}
            if manager is None:
                said["error"] = None if status in _MAY[action] else _refusal(action, workflow_id, status)
            else:
                with _telling(said):
                    new_id = self._do(manager, action, workflow_id, code, by, f"{request}/{workflow_id}")
                    said["done"] = True
                    if new_id is not None:
                        said["new_id"] = new_id
            out.append(said)
        return out


@contextlib.contextmanager
def _telling(said: Row) -> Any:
    """What is refused to one workflow is said about it, and stops no other."""
    try:
        yield
    except errors.ManagerLostError:
        raise
    except (errors.WfstoreError, ValueError, TypeError) as error:
        said["error"] = str(error)


def _refusal(action: str, workflow_id: str, status: str) -> str:
    if action == "cancel":
        return f"workflow {workflow_id} is {status}: there is nothing to cancel"
    if action == "resume" and status in WORKFLOW_ACTIVE:
        return f"workflow {workflow_id} is {status} already"
    if action == "resume":
        return f"workflow {workflow_id} is {status} and cannot be resumed"
    return f"workflow {workflow_id} is {status}: cancel it first"


def _check(action: str) -> None:
    if action not in ACTIONS:
        raise ValueError(f"there is no action {action!r}; there are: {', '.join(ACTIONS)}")
