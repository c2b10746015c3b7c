"""How an old workflow stood at last: the rows after its last attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wfstore.model import events as ev
from wfstore.model.draft import where
from wfstore.model.statuses import CANCELED, FAILED, PENDING, RESUMABLE, SKIPPED, SUCCESSFUL

if TYPE_CHECKING:
    from wfstore.imports.history import Telling


def end_of(told: Telling) -> None:
    """Add the last rows. Attempts that nothing is known of count as lost with their cluster."""
    ends = {SUCCESSFUL: _succeeded, FAILED: _failed, CANCELED: _canceled}
    ends.get(told.old.status, _interrupted)(told)


def _lose(told: Telling) -> None:
    for task_id in told.open_attempts():
        told.rows.drop(task_id, "lost", None)
        told.status[task_id] = PENDING


def _interrupted(told: Telling) -> None:
    _lose(told)
    told.rows.workflow(ev.WORKFLOW_INTERRUPTED, RESUMABLE)


def _succeeded(told: Telling) -> None:
    _lose(told)
    for task_id, status in told.status.items():
        if status == PENDING:
            told.rows.task(ev.TASK_SKIPPED, task_id, SKIPPED)
    told.rows.at(told.old.ended_us)
    output, made_by = None, ""
    if told.old.entry is not None:
        made_by = _source(told, told.old.entry)
        failure = told.caught.get(made_by)
        output = told.outputs.get(made_by) if failure is None else failure.error
    columns = where(output)
    columns.pop("payload", None)
    told.rows.workflow(ev.WORKFLOW_SUCCEEDED, SUCCESSFUL, attributes={"output_task": made_by}, **columns)


def _source(told: Telling, task_id: str) -> str:
    """The task whose own output is that of `task_id`."""
    while task_id not in told.caught and (following := told.dag.tasks[task_id].continued_to) is not None:
        task_id = following
    return task_id


def _failed(told: Telling) -> None:
    failed = told.failed_tasks()
    told.rows.at(told.old.ended_us)
    if not failed:
        # No exception was kept, so it was the last attempt's worker that died.
        opened = sorted(told.open_attempts(), key=lambda task_id: told.dag.tasks[task_id].started_us or 0)
        if opened:
            told.rows.drop(opened[-1], "system", None)
            told.status[opened[-1]] = FAILED
            failed = opened[-1:]
    _lose(told)
    blamed = failed[-1] if failed else None
    told.rows.fail_workflow(blamed, told.failures.get(blamed or ""))


def _canceled(told: Telling) -> None:
    rows = told.rows
    if told.old.times_kept and told.old.status_us is not None:
        rows.at(max(told.old.status_us, told.last))
    rows.workflow(ev.WORKFLOW_CANCEL_REQUESTED)
    for task_id in told.open_attempts():
        rows.drop(task_id, "canceled", None)
        told.status[task_id] = CANCELED
    for task_id, status in told.status.items():
        if status == PENDING:
            rows.task(ev.TASK_CANCELED, task_id, CANCELED)
    rows.workflow(ev.WORKFLOW_CANCELED, CANCELED)
