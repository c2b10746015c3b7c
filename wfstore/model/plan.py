"""A run begins: what it can take over from earlier runs, what has to run (again), and what can start at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from wfstore.model import events as ev
from wfstore.model.draft import Draft, where
from wfstore.model.events import Event
from wfstore.model.payload import PayloadRef
from wfstore.model.state import TaskState, WorkflowState
from wfstore.model.statuses import PENDING, RUNNING, SUCCESSFUL


@dataclass(slots=True)
class Plan:
    """reused: outputs at hand that the run needs; to_run: tasks without one, upstream first where it matters;
    ready: those of them that wait for nobody. `output`: of the whole workflow, if it is at hand already."""

    reused: list[TaskState] = field(default_factory=list)
    to_run: list[TaskState] = field(default_factory=list)
    ready: list[TaskState] = field(default_factory=list)
    output: TaskState | None = None


def source(workflow: WorkflowState, task: TaskState) -> TaskState:
    """The task whose own output is the output of `task`: the end of its chain of continuations."""
    while task.caught is None and task.continued_to is not None:
        task = workflow.tasks[task.continued_to]
    return task


def at_hand(task: TaskState) -> bool:
    """Its output can be read from the store."""
    return task.caught is not None or (task.status == SUCCESSFUL and task.stored)


def plan(workflow: WorkflowState) -> Plan:
    """Walk up from the output, only as far as something is missing."""
    out = Plan()
    tasks = workflow.tasks
    first = source(workflow, tasks[workflow.output_task])
    seen = {first.task_id}
    missing: set[str] = set()
    walk = [first]
    while walk:
        task = walk.pop()
        if at_hand(task):
            out.reused.append(task)
            continue
        missing.add(task.task_id)
        if task.open_run is not None:
            continue
        out.to_run.append(task)
        for upstream_id in task.upstream:
            upstream = source(workflow, tasks[upstream_id])
            if upstream.task_id not in seen:
                seen.add(upstream.task_id)
                walk.append(upstream)
    for task in out.to_run:
        if not any(source(workflow, tasks[upstream_id]).task_id in missing for upstream_id in task.upstream):
            out.ready.append(task)
    if at_hand(first):
        out.output = first
    return out


def begin(
    workflow: WorkflowState, now: int, kind: str, request_id: str | None = None, by: str | None = None
) -> list[Event]:
    """The events with which the next run of `workflow` begins."""
    draft = Draft(workflow.workflow_id, workflow.run + 1, now, request_id, by)
    draft.workflow(ev.WORKFLOW_STARTED, RUNNING, kind=kind)
    steps = plan(workflow)
    if kind != "new":
        for task in steps.reused:
            draft.task(ev.TASK_REUSED, task.task_id, task.status)
        for task in steps.to_run:
            if task.status != PENDING or task.resolved or workflow.tasks[task.root].resolved:
                draft.task(ev.TASK_RESET, task.task_id, PENDING)
    for task in steps.ready:
        draft.submit(task.task_id, 1, task.options)
    if steps.output is not None:
        finish(draft, steps.output.task_id, steps.output.caught or steps.output.output, True)
    return draft.events


def finish(draft: Draft, task_id: str, output: PayloadRef | None, stored: bool) -> None:
    """The run has its output: the last row of it. The payload itself stays in the row of the task."""
    columns = where(output, stored)
    columns.pop("payload", None)
    draft.workflow(ev.WORKFLOW_SUCCEEDED, SUCCESSFUL, attributes={"output_task": task_id}, **columns)
