"""The running manager as others see it: its memory as rows, what changes there, and the actions on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wfstore import errors
from wfstore.engine import client
from wfstore.engine.client import Client
from wfstore.model.rows import TaskFacts, live_task_row

Rows = list[dict[str, Any]]


def source(storage: str, join: bool) -> Callable[[], tuple[Rows, Rows]] | None:
    """What gives the rows of `live_workflows` and `live_tasks`; None when this process is not connected to the manager
    of `storage`.

    join: connect to it if need be. Starts none; raises ManagerLostError when none runs, or one of another storage.
    """
    link = client.join() if join else client.current()
    if link is None or link.storage != storage:
        if not join:
            return None
        running = "no manager runs" if link is None else f"the running manager uses {link.storage}"
        raise errors.ManagerLostError(storage, f"there is no live state: {running}")

    def rows() -> tuple[Rows, Rows]:
        seq, now, workflows, tasks = link.call("live")
        return workflows, [live_task_row(TaskFacts._make(task), seq, now) for task in tasks]

    return rows


def manager(storage: str, join: bool) -> Client | None:
    """The client of the manager of `storage`; None where this process is not connected to one.

    join: connect to one that runs, if need be. Starts none.
    """
    link = client.join() if join else client.current()
    return link if link is not None and link.storage == storage else None
