"""What a new manager needs to let a workflow go on in its run, although the last manager has died: see `recovery`."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from wfstore.engine.alarms import EXPIRE, FIRE, TIMEOUT, Alarm
from wfstore.engine.assignment import AttemptKey
from wfstore.model.commands import Outcome, RecordOutcome
from wfstore.model.dag import TIMER, WAIT
from wfstore.model.plan import source
from wfstore.model.state import State, TaskState, WorkflowState
from wfstore.model.statuses import RETRYING, SUCCESSFUL

_LOST = "AttemptLost", "the manager that ran this attempt was lost"


def is_open(state: State, key: AttemptKey) -> bool:
    """Somebody may still report about this attempt."""
    workflow = state.workflows.get(key[0])
    task = None if workflow is None else workflow.tasks.get(key[2])
    return task is not None and (task.open_run, task.open_attempt) == (key[1], key[3])


def keeps_values(workflow: WorkflowState) -> bool:
    """Nothing that is still needed lay in the dead manager's memory only."""
    return not any(_is_missed(workflow, task) for task in workflow.tasks.values())


def _is_missed(workflow: WorkflowState, task: TaskState) -> bool:
    if task.status != SUCCESSFUL or task.stored or task.caught is not None or task.continued_to is not None:
        return False
    root = workflow.tasks[task.root]
    output = workflow.tasks.get(workflow.output_task)
    if output is not None and source(workflow, output) is task:
        return True
    users = (workflow.tasks[name] for name in (*root.downstream, *root.waited_by))
    return any(not workflow.tasks[user.root].resolved for user in users)


def losses(workflow: WorkflowState, alive: Collection[AttemptKey], now: int) -> Iterator[RecordOutcome]:
    """For the open attempts that are not among those `alive`: nobody runs them, and nobody knows whether anybody has.
    Timers and waits that have not chosen need nobody."""
    for task in list(workflow.open_attempts.values()):
        key = (workflow.workflow_id, task.open_run or 0, task.task_id, task.open_attempt)
        if key in alive or task.type == TIMER or (task.type == WAIT and task.split is None):
            continue
        error_type, message = _LOST
        outcome = Outcome(False, now, kind="lost", error_type=error_type, error_message=message)
        yield RecordOutcome(*key, outcome)


def alarms_of(workflow: WorkflowState) -> Iterator[tuple[int, Alarm]]:
    """(due at, alarm) of all that a workflow waits for as time passes."""
    name = workflow.workflow_id
    if workflow.deadline_at is not None:
        yield workflow.deadline_at, Alarm(EXPIRE, name, workflow.run)
    for task in workflow.tasks.values():
        attempt = (name, task.open_run or workflow.run, task.task_id, task.open_attempt)
        if task.open_run is None:
            if task.status == RETRYING and task.retry_at is not None:
                yield task.retry_at, Alarm(FIRE, name, workflow.run, task.task_id, task.attempt + 1)
        elif task.due_at is not None and (task.type == TIMER or (task.type == WAIT and task.split is None)):
            yield task.due_at, Alarm(FIRE, *attempt)
        elif task.open_started and task.options.timeout_s is not None:
            began = task.attempt_started_at or 0
            yield began + round(task.options.timeout_s * 1e6), Alarm(TIMEOUT, *attempt)
