"""Where user code runs: which workflow and which task. For task functions, methods of virtual actors and listeners."""

from __future__ import annotations

from wfstore.engine.context import current_task

__all__ = ["get_current_step_id", "get_current_task_id", "get_current_workflow_id"]


def get_current_workflow_id() -> str:
    """Id of the workflow whose code this is; an empty string outside of one."""
    context = current_task()
    return "" if context is None else context.workflow_id


def get_current_task_id() -> str:
    """Id of the task whose code this is; an empty string outside of one."""
    context = current_task()
    return "" if context is None else context.task_id


#: As the older generation called it.
get_current_step_id = get_current_task_id
