"""An attempt ended: what becomes of its task, of those that wait for it, and of the workflow."""

from __future__ import annotations

import zlib

from wfstore.model import events as ev
from wfstore.model.commands import Outcome, Place, RecordProgress
from wfstore.model.dag import ACTOR, EVENT, EVENT_CHECKPOINTED, TIMER, WAIT
from wfstore.model.define import Names, define
from wfstore.model.draft import Draft, draft_for, micros, where
from wfstore.model.events import Event
from wfstore.model.plan import end_waits, finish, resolved, schedule, split_open, submit_again, submit_ready
from wfstore.model.progress import attributes_of
from wfstore.model.state import TaskState, WorkflowState
from wfstore.model.statuses import CAUGHT, FAILED, PENDING, RESUMABLE, RETRYING, RUNNING, SKIPPED, SUCCESSFUL
from wfstore.model.wire import dumps

#: The worker's fault, not the user's code's: always retried while `max_retries` allows, never caught.
SYSTEM_KINDS = frozenset({"system", "oom"})

#: A method that went on would change the state of its actor beneath the next call; the others wait for nothing.
_ENDS_WITH_CATCHER = frozenset({ACTOR, TIMER, EVENT, WAIT})

_SAYS_MORE = {TIMER: ev.TIMER_FIRED, EVENT: ev.EVENT_RECEIVED, EVENT_CHECKPOINTED: ev.EVENT_CHECKPOINTED}


def started_event(workflow_id: str, run: int, task_id: str, attempt: int, place: Place, now: int) -> Event:
    return Event(
        ts=now,
        ts_source=place.started_at,
        type=ev.ATTEMPT_STARTED,
        workflow_id=workflow_id,
        run=run,
        task_id=task_id,
        attempt=attempt,
        status=RUNNING,
        task_status=RUNNING,
        node_id=place.node_id,
        worker_pid=place.worker_pid,
        ray_task_id=place.ray_task_id,
    )


def decide_progress(workflow: WorkflowState, task: TaskState, command: RecordProgress, now: int) -> list[Event]:
    """The event of what an open attempt says about its progress; none where it is known, or the attempt has not begun
    as far as anybody knows."""
    if task.progress == command.progress or (command.place is None and not task.open_started):
        return []
    draft = draft_for(workflow, now)
    if command.place is not None and not task.open_started:
        key = (workflow.workflow_id, command.run, task.task_id, command.attempt)
        draft.events.append(started_event(*key, command.place, now))
    said = attributes_of(command.progress)
    draft.task(
        ev.ATTEMPT_PROGRESSED,
        task.task_id,
        None,
        run=command.run,
        attempt=command.attempt,
        status=RUNNING,
        attributes=said,
    )
    return draft.events


def decide_outcome(workflow: WorkflowState, task: TaskState, outcome: Outcome, now: int) -> list[Event]:
    """The events of an attempt's end. The workflow goes on only while it is RUNNING: what ends after a failure
    elsewhere is recorded, so that a resume need not run it again."""
    draft = draft_for(workflow, now)
    if outcome.place is not None and not task.open_started:
        run = task.open_run or workflow.run
        draft.events.append(
            started_event(workflow.workflow_id, run, task.task_id, task.open_attempt, outcome.place, now)
        )
    if outcome.ok:
        _success(draft, workflow, task, outcome)
    else:
        _failure(draft, workflow, task, outcome)
    return draft.events


def _success(draft: Draft, workflow: WorkflowState, task: TaskState, outcome: Outcome) -> None:
    facts = {
        "output_repr": outcome.output_repr,
        "checkpointed": None if outcome.output is None else outcome.stored,
        "fetch_s": outcome.fetch_s,
        "checkpoint_s": outcome.checkpoint_s,
        **attributes_of(outcome.progress or task.progress),
    }
    draft.events.append(
        Event(
            ts=draft.now,
            ts_source=outcome.ended_at,
            type=ev.ATTEMPT_SUCCEEDED,
            workflow_id=workflow.workflow_id,
            run=task.open_run,
            task_id=task.task_id,
            attempt=task.open_attempt,
            status=SUCCESSFUL,
            task_status=SUCCESSFUL,
            attributes=dumps(facts),
            **where(outcome.output, outcome.stored),
        )
    )
    attempt = {"run": task.open_run, "attempt": task.open_attempt}
    if outcome.state is not None:
        draft.task(ev.ACTOR_STATE_COMMITTED, task.task_id, None, **attempt, **where(outcome.state))
    if task.type in _SAYS_MORE:
        draft.task(_SAYS_MORE[task.type], task.task_id, None, **attempt)
    if outcome.continuation is not None:
        _continue(draft, workflow, task, outcome)
        return
    _end_calls(draft, workflow, task)
    if workflow.status == RUNNING:
        _release(draft, workflow, task, outcome)


def _continue(draft: Draft, workflow: WorkflowState, task: TaskState, outcome: Outcome) -> None:
    assert outcome.continuation is not None
    added = draft_for(workflow, draft.now)
    specs = define(added, outcome.continuation, Names(workflow), creator=task)
    output_id = specs[outcome.continuation.output][0]
    draft.task(ev.TASK_CONTINUED, task.task_id, SUCCESSFUL, attributes={"output_task": output_id})
    draft.events += added.events
    if workflow.status == RUNNING:
        submit_ready(draft, workflow, specs)


def _release(draft: Draft, workflow: WorkflowState, task: TaskState, outcome: Outcome) -> None:
    """`task` has its value: those for whom it was the last one missing start; the workflow may have its output."""
    root = workflow.tasks[task.root]
    if root.resolved:
        return  # known since its error was caught: nobody waits for this any more
    for task_id in root.downstream:
        dependent = workflow.tasks[task_id]
        if dependent.waiting == 1 and dependent.status == PENDING and dependent.open_run is None:
            _submit_or_schedule(draft, dependent)
    for task_id in dict.fromkeys(root.waited_by):
        _choose(draft, workflow, workflow.tasks[task_id], root)
    if root.task_id == workflow.output_task:
        caught = outcome.error if not outcome.ok else None
        end_waits(draft, workflow)
        finish(draft, task.task_id, caught or outcome.output, outcome.stored or caught is not None)


def _end_calls(draft: Draft, workflow: WorkflowState, task: TaskState) -> None:
    """Methods of a virtual actor that have ended with `task`: itself, and those whose continuation it ends."""
    done: TaskState | None = None if workflow.actor is None or workflow.tasks[task.root].resolved else task
    while done is not None:
        if done.type == ACTOR:
            facts = {"method": done.facts.get("method")}
            draft.task(ev.ACTOR_CALL_SUCCEEDED, done.task_id, None, name=done.name, kind="writer", attributes=facts)
        done = None if done.task_id == done.root or done.creator is None else workflow.tasks[done.creator]


def _submit_or_schedule(draft: Draft, task: TaskState) -> None:
    if task.retry_at is not None and task.retry_at > draft.now:  # it had failed before its inputs were lost
        schedule(draft, task.task_id, task.attempt + 1, task.retry_at)
    else:
        draft.submit(task.task_id, task.attempt + 1, task)


def _choose(draft: Draft, workflow: WorkflowState, wait: TaskState, arrived: TaskState) -> None:
    """One of those that `wait` waits for has its value from here on."""
    if wait.open_run is None:
        return
    if wait.split is None and wait.arrived + arrived.waited_by.count(wait.task_id) < wait.facts.get("num_returns", 1):
        return
    roots = [workflow.tasks[name].root for name in wait.upstream]
    if wait.split is not None and arrived.task_id not in {roots[position] for position in wait.split}:
        return
    lacking = {
        name
        for name, root in zip(wait.upstream, roots, strict=True)
        if root != arrived.task_id and not resolved(workflow, name)
    }
    split_open(draft, wait, lacking)


def _failure(draft: Draft, workflow: WorkflowState, task: TaskState, outcome: Outcome) -> None:
    failed = Event(
        ts=draft.now,
        ts_source=outcome.ended_at,
        type=ev.ATTEMPT_FAILED,
        workflow_id=workflow.workflow_id,
        run=task.open_run,
        task_id=task.task_id,
        attempt=task.open_attempt,
        status=FAILED,
        task_status=PENDING if outcome.kind == "lost" else FAILED,
        kind=outcome.kind,
        error_type=outcome.error_type,
        error_message=outcome.error_message,
        attributes=dumps(
            {
                "traceback": outcome.traceback,
                "fetch_s": outcome.fetch_s,
                "stdout": outcome.stdout or None,
                "stderr": outcome.stderr or None,
                **attributes_of(outcome.progress or task.progress),
            }
        ),
        **where(outcome.error),
    )
    draft.events.append(failed)
    if workflow.status != RUNNING or not _needed(workflow, task):
        return
    if outcome.kind == "lost":
        submit_again(draft, workflow, task, task.attempt + 1)
        return
    again = outcome.kind in SYSTEM_KINDS or outcome.kind == "timeout" or outcome.retryable
    if again and task.attempt_failed < task.options.max_retries:
        _retry(draft, workflow, task)
        return
    catcher = _catcher(workflow, task)
    if catcher is not None and outcome.kind not in SYSTEM_KINDS:
        _catch(draft, workflow, catcher, task, outcome)
        return
    if task.type == ACTOR:
        facts = {"method": task.facts.get("method")}
        why = {"error_type": outcome.error_type, "error_message": outcome.error_message}
        draft.task(ev.ACTOR_CALL_FAILED, task.task_id, None, name=task.name, kind="writer", attributes=facts, **why)
    interrupted = outcome.kind in SYSTEM_KINDS and task.options.interruptible
    draft.workflow(
        ev.WORKFLOW_INTERRUPTED if interrupted else ev.WORKFLOW_FAILED,
        RESUMABLE if interrupted else FAILED,
        error_type=outcome.error_type,
        error_message=outcome.error_message,
        attributes={"failed_task_id": task.task_id},
    )


def _retry(draft: Draft, workflow: WorkflowState, task: TaskState) -> None:
    policy = task.options.retry
    attempt = task.attempt + 1
    if policy.delay_s <= 0:
        schedule(draft, task.task_id, attempt, None)
        submit_again(draft, workflow, task, attempt)
        return
    # Beyond 64 doublings every delay is at its limit.
    delay_s = min(policy.max_delay_s, policy.delay_s * policy.backoff ** min(task.attempt_failed, 64))
    # Spread by the attempt's own name, not by chance: decisions are pure.
    share = zlib.crc32(f"{draft.workflow_id}\0{task.task_id}\0{draft.run}\0{attempt}".encode()) / 0xFFFFFFFF
    delay_s *= 1 + policy.jitter * (2 * share - 1)
    schedule(draft, task.task_id, attempt, draft.now + micros(delay_s))


def _needed(workflow: WorkflowState, task: TaskState) -> bool:
    """The output of the workflow still depends on `task`: not so below a caught error, or when no wait chose it."""
    seen = {task.root}
    walk = [workflow.tasks[task.root]]
    while walk:
        root = walk.pop()
        if root.resolved:
            continue
        if root.task_id == workflow.output_task:
            return True
        after = [*root.downstream, *(name for name in root.waited_by if _may_choose(workflow, name, root))]
        above = {workflow.tasks[task_id].root for task_id in after} - seen
        seen |= above
        walk += [workflow.tasks[task_id] for task_id in above]
    return False


def _may_choose(workflow: WorkflowState, wait_id: str, root: TaskState) -> bool:
    wait = workflow.tasks[wait_id]
    if wait.split is None:
        return True
    return any(workflow.tasks[wait.upstream[position]].root == root.task_id for position in wait.split)


def _catcher(workflow: WorkflowState, task: TaskState) -> TaskState | None:
    """The nearest task that asked to catch and has no value yet: the failed one, or one of those whose continuation
    made it."""
    candidate: TaskState | None = task
    while candidate is not None and (not candidate.options.catch_exceptions or workflow.tasks[candidate.root].resolved):
        candidate = None if candidate.creator is None else workflow.tasks[candidate.creator]
    return candidate


def _catch(draft: Draft, workflow: WorkflowState, catcher: TaskState, task: TaskState, outcome: Outcome) -> None:
    draft.task(
        ev.TASK_ERROR_CAUGHT,
        catcher.task_id,
        CAUGHT,
        error_type=outcome.error_type,
        error_message=outcome.error_message,
        attributes={"failed_task_id": task.task_id},
        **where(outcome.error),
    )
    below = list(catcher.created)
    while below:
        made = workflow.tasks[below.pop()]
        below += made.created
        if made is task:
            continue
        if made.open_run is None:
            if made.status in (PENDING, RETRYING):
                draft.task(ev.TASK_SKIPPED, made.task_id, SKIPPED)
        elif made.type in _ENDS_WITH_CATCHER:
            draft.drop_attempt(made, "canceled")
    _end_calls(draft, workflow, catcher)
    _release(draft, workflow, catcher, outcome._replace(output=None))
