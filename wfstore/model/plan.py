"""A run begins: what it can take over from earlier runs, what has to run (again), and what can start at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from wfstore.model import events as ev
from wfstore.model.dag import EVENT, ORDER, TIMER, WAIT, TaskSpec
from wfstore.model.draft import Draft, micros, where
from wfstore.model.events import Event
from wfstore.model.payload import PayloadRef
from wfstore.model.state import TaskState, WorkflowState
from wfstore.model.statuses import PENDING, RETRYING, RUNNING, SUCCESSFUL

#: Tasks in the moment of their definition: ids and what was asked for.
Specs = Sequence[tuple[str, TaskSpec]]


@dataclass(slots=True)
class Plan:
    """reused: outputs at hand that are needed; to_run: tasks without one, upstream first where it matters; ready:
    those of them that wait for nobody; waits: those under way that have not chosen yet; missing: ids of what runs now
    or has to."""

    reused: list[TaskState] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    to_run: list[TaskState] = field(default_factory=list)
    ready: list[TaskState] = field(default_factory=list)
    waits: list[TaskState] = field(default_factory=list)

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


def resolved(workflow: WorkflowState, task_id: str) -> bool:
    """The value of a task is known, be it its own or that of its continuation."""
    return workflow.tasks[workflow.tasks[task_id].root].resolved


def plan(workflow: WorkflowState, needed: Iterable[str], in_run: bool = False) -> Plan:
    """Walk up from tasks whose outputs are needed, only as far as something is missing.

    in_run: the run goes on; outputs that it has computed are at hand even if they are not kept.
    """
    out = Plan()
    walk = list({task.task_id: task for task in (source(workflow, workflow.tasks[name]) for name in needed)}.values())
    seen = {task.task_id for task in walk}
    while walk:
        task = walk.pop()
        if at_hand(task) or (in_run and task.resolved and task.output_run == workflow.run):
            out.reused.append(task)
            continue
        out.missing.add(task.task_id)
        if task.open_run is None:
            out.to_run.append(task)
        elif task.type != WAIT or _chosen(workflow, task):
            continue
        else:
            out.waits.append(task)
        for upstream_id, kind in zip(task.upstream, task.kinds, strict=True):
            upstream = source(workflow, workflow.tasks[upstream_id])
            if upstream.task_id in seen or (kind == ORDER and upstream.status == SUCCESSFUL):
                continue
            seen.add(upstream.task_id)
            walk.append(upstream)
    for task in out.to_run:
        if task.type == WAIT or not any(out.lacks(workflow, upstream_id) for upstream_id in task.upstream):
            out.ready.append(task)
    return out


def _chosen(workflow: WorkflowState, wait: TaskState) -> bool:
    return wait.split is not None and all(resolved(workflow, wait.upstream[position]) for position in wait.split)


def begin(
    workflow: WorkflowState,
    now: int,
    kind: str,
    request_id: str | None = None,
    by: str | None = None,
    call: Specs = (),
) -> list[Event]:
    """The events with which the next run of `workflow` begins. `call`: of a virtual actor, defined in this moment."""
    draft = Draft(workflow.workflow_id, workflow.run + 1, now, request_id, by)
    start(draft, kind, workflow.timeout_s)
    last = source(workflow, workflow.tasks[workflow.output_task])
    # What a method returned is for its caller; the next call needs no more than that it has ended.
    over = at_hand(last) or (workflow.actor is not None and last.status == SUCCESSFUL)
    needed = () if over and (call or not at_hand(last)) else (workflow.output_task,)
    steps = plan(workflow, [*needed, *_referred(call)])
    if kind == "resume":
        for task in steps.reused:
            draft.task(ev.TASK_REUSED, task.task_id, task.status)
    _take_up(draft, workflow, steps, again=True)
    _submit_new(draft, workflow, steps, call)
    if over and not call:
        end_waits(draft, workflow)
        finish(draft, last.task_id, last.caught or last.output, last.stored or last.caught is not None)
    return draft.events


def submit_ready(draft: Draft, workflow: WorkflowState | None, specs: Specs) -> None:
    """Those of newly defined tasks that wait for nobody. Upstream may lie among tasks that `workflow` had before: those
    that this run has not needed yet begin, too."""
    steps = Plan()
    if workflow is not None:
        steps = plan(workflow, _referred(specs), in_run=True)
        _take_up(draft, workflow, steps, again=False)
    _submit_new(draft, workflow, steps, specs)


def _referred(specs: Specs) -> list[str]:
    """Tasks from before whose outputs new ones need."""
    return [
        item
        for _, spec in specs
        for item, kind in zip(spec.upstream, spec.kinds, strict=True)
        if isinstance(item, str) and kind != ORDER
    ]


def _submit_new(draft: Draft, workflow: WorkflowState | None, steps: Plan, specs: Specs) -> None:
    old = {} if workflow is None else workflow.tasks

    def lacks(task_id: str, kind: str) -> bool:
        if workflow is None or task_id not in old:
            return True
        return steps.lacks(workflow, task_id) or (kind == ORDER and not resolved(workflow, task_id))

    for task_id, spec in specs:
        upstream = [specs[item][0] if isinstance(item, int) else item for item in spec.upstream]
        lacking = {name for name, kind in zip(upstream, spec.kinds, strict=True) if lacks(name, kind)}
        if spec.type == WAIT:
            draft.submit(task_id, 1, spec)
            split(draft, task_id, 1, spec, upstream, lacking)
        elif not lacking:
            draft.submit(task_id, 1, spec)


def _take_up(draft: Draft, workflow: WorkflowState, steps: Plan, again: bool) -> None:
    """Begin what has to run. `again`: a new run, attempts count from 1."""
    for task in steps.to_run:
        if task.status != PENDING or task.resolved or workflow.tasks[task.root].resolved:
            draft.task(ev.TASK_RESET, task.task_id, PENDING)
    for task in steps.ready:
        attempt = 1 if again else task.attempt + 1
        if task.retry_at is not None and task.retry_at > draft.now:
            schedule(draft, task.task_id, attempt, task.retry_at)
            continue
        draft.submit(task.task_id, attempt, task)
        if task.type == WAIT:
            split(draft, task.task_id, attempt, task, task.upstream, _lacking(workflow, steps, task))
    for task in steps.waits:
        split_open(draft, task, _lacking(workflow, steps, task))


def _lacking(workflow: WorkflowState, steps: Plan, wait: TaskState) -> set[str]:
    return {upstream_id for upstream_id in wait.upstream if steps.lacks(workflow, upstream_id)}


def submit_again(draft: Draft, workflow: WorkflowState, task: TaskState, attempt: int) -> None:
    """The next attempt of a task that had everything it needs, within a run."""
    draft.submit(task.task_id, attempt, task)
    if task.type == WAIT:
        lacking = {upstream_id for upstream_id in task.upstream if not resolved(workflow, upstream_id)}
        split(draft, task.task_id, attempt, task, task.upstream, lacking)


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
    attempt: int,
    task: TaskSpec | TaskState,
    upstream: Sequence[str],
    lacking: Collection[str],
    over: bool = False,
    run: int | None = None,
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
        facts = {"ready": chosen, "num_returns": wanted}
        draft.task(ev.WAIT_DECIDED, task_id, None, attempt=attempt, run=run or draft.run, attributes=facts)


def split_open(draft: Draft, wait: TaskState, lacking: Collection[str], over: bool = False) -> None:
    """The same for a wait that is under way, perhaps since an earlier run."""
    split(draft, wait.task_id, wait.open_attempt, wait, wait.upstream, lacking, over, wait.open_run)


def end_waits(draft: Draft, workflow: WorkflowState) -> None:
    """End the timers, listeners and waits that nobody needs any more."""
    waits = [task for task in workflow.open_attempts.values() if task.type in (TIMER, EVENT, WAIT)]
    ended = {event.task_id for event in draft.events if event.type in (ev.ATTEMPT_SUCCEEDED, ev.ATTEMPT_FAILED)}
    for task in waits:
        if task.task_id not in ended:
            draft.drop_attempt(task, "canceled")


def finish(draft: Draft, task_id: str, output: PayloadRef | None, stored: bool) -> None:
    """The run has its output: the last row of it. The payload itself stays in the row of the task."""
    columns = where(output, stored)
    columns.pop("payload", None)
    draft.workflow(ev.WORKFLOW_SUCCEEDED, SUCCESSFUL, attributes={"output_task": task_id}, **columns)
