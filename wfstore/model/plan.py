"""A run begins: what it can take over from earlier runs, what has to run (again), and what can start at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from wfstore.model import events as ev
from wfstore.model.dag import ORDER, WAIT, TaskSpec
from wfstore.model.draft import Draft, micros, where
from wfstore.model.events import Event
from wfstore.model.payload import PayloadRef
from wfstore.model.state import TaskState, WorkflowState
from wfstore.model.statuses import PENDING, RETRYING, RUNNING, SUCCESSFUL


@dataclass(slots=True)
class Plan:
    """reused: outputs at hand that the run needs; to_run: tasks without one, upstream first where it matters;
    ready: those of them that wait for nobody; missing: ids of what runs now or has to. `output`: of the whole workflow,
    if it is at hand already."""

    reused: list[TaskState] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    to_run: list[TaskState] = field(default_factory=list)
    ready: list[TaskState] = field(default_factory=list)
    output: TaskState | None = None

    def lacks(self, workflow: WorkflowState, task_id: str) -> bool:
        """The output of a task is still to come."""
        return source(workflow, workflow.tasks[task_id]).task_id in self.missing


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
    first = source(workflow, workflow.tasks[workflow.output_task])
    seen = {first.task_id}
    walk = [first]
    while walk:
        task = walk.pop()
        if at_hand(task):
            out.reused.append(task)
            continue
        out.missing.add(task.task_id)
        if task.open_run is not None:
            continue
        out.to_run.append(task)
        for upstream_id, kind in zip(task.upstream, task.kinds, strict=True):
            upstream = source(workflow, workflow.tasks[upstream_id])
            if upstream.task_id in seen or (kind == ORDER and upstream.status == SUCCESSFUL):
                continue
            seen.add(upstream.task_id)
            walk.append(upstream)
    for task in out.to_run:
        if task.type == WAIT or not any(out.lacks(workflow, upstream_id) for upstream_id in task.upstream):
            out.ready.append(task)
    if at_hand(first):
        out.output = first
    return out


def begin(
    workflow: WorkflowState, now: int, kind: str, request_id: str | None = None, by: str | None = None
) -> list[Event]:
    """The events with which the next run of `workflow` begins."""
    draft = Draft(workflow.workflow_id, workflow.run + 1, now, request_id, by)
    start(draft, kind, workflow.timeout_s)
    steps = plan(workflow)
    if kind != "new":
        for task in steps.reused:
            draft.task(ev.TASK_REUSED, task.task_id, task.status)
        for task in steps.to_run:
            if task.status != PENDING or task.resolved or workflow.tasks[task.root].resolved:
                draft.task(ev.TASK_RESET, task.task_id, PENDING)
    for task in steps.ready:
        if task.retry_at is not None and task.retry_at > now:
            schedule(draft, task.task_id, 1, task.retry_at)
            continue
        draft.submit(task.task_id, 1, task)
        if task.type == WAIT:
            lacking = {upstream_id for upstream_id in task.upstream if steps.lacks(workflow, upstream_id)}
            split(draft, task.task_id, task, task.upstream, lacking)
    if steps.output is not None:
        finish(draft, steps.output.task_id, steps.output.caught or steps.output.output, True)
    return draft.events


def start(draft: Draft, kind: str, timeout_s: float | None) -> None:
    """A run begins; it may take `timeout_s`."""
    deadline = None if timeout_s is None else {"deadline_at": draft.now + micros(timeout_s)}
    draft.workflow(ev.WORKFLOW_STARTED, RUNNING, kind=kind, attributes=deadline)


def schedule(draft: Draft, task_id: str, attempt: int, due_at: int | None) -> None:
    """The next attempt follows, at `due_at` or at once."""
    facts = None if due_at is None else {"due_at": due_at}
    draft.task(ev.ATTEMPT_RETRY_SCHEDULED, task_id, RETRYING, attempt=attempt, attributes=facts)


def split(
    draft: Draft,
    task_id: str,
    task: TaskSpec | TaskState,
    upstream: Sequence[str],
    lacking: Collection[str],
    over: bool = False,
) -> None:
    """Decide a wait, if as many of its tasks are resolved as it asks for, or its time is `over`.

    What was decided in an earlier run stands: then the chosen ones have to be there, as soon as they are again.
    """
    resolved = [position for position, upstream_id in enumerate(upstream) if upstream_id not in lacking]
    wanted = task.facts.get("num_returns", 1)
    chosen = task.split if isinstance(task, TaskState) else None
    if chosen is None and (over or len(resolved) >= wanted):
        chosen = resolved[:wanted]
    if chosen is not None and set(chosen) <= set(resolved):
        draft.task(ev.WAIT_DECIDED, task_id, None, attributes={"ready": chosen, "num_returns": wanted})


def finish(draft: Draft, task_id: str, output: PayloadRef | None, stored: bool) -> None:
    """The run has its output: the last row of it. The payload itself stays in the row of the task."""
    columns = where(output, stored)
    columns.pop("payload", None)
    draft.workflow(ev.WORKFLOW_SUCCEEDED, SUCCESSFUL, attributes={"output_task": task_id}, **columns)
