"""Laws over random histories: replay gives the live state, moves stay within the tables, nothing runs twice."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model.histories import random_history, ref
from wfstore import errors
from wfstore.model import events as ev
from wfstore.model.apply import replay
from wfstore.model.commands import Expire, Fire, Outcome, RecordOutcome
from wfstore.model.dag import ACTOR, EVENT, TIMER, WAIT
from wfstore.model.decide import decide
from wfstore.model.state import State, TaskState, WorkflowState
from wfstore.model.statuses import TASK_MOVES, WORKFLOW_MOVES

SEEDS = st.integers(0, 2**32)


def plain(value: Any) -> Any:
    """Everything a state holds, as comparable plain values."""
    if isinstance(value, (State, WorkflowState, TaskState)):
        return {name: plain(getattr(value, name)) for name in value.__slots__ if name != "open_attempts"}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


@settings(max_examples=12, deadline=None)
@given(SEEDS)
def test_replay_of_any_prefix_is_the_state_then(seed: int) -> None:
    simulation = random_history(seed, 0)
    for _ in range(40):
        simulation.step()
        assert plain(replay(simulation.log)) == plain(simulation.state)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_every_move_is_in_the_tables(seed: int) -> None:
    workflows: dict[str, str | None] = {}
    tasks: dict[tuple[str, str], str | None] = {}
    for event in random_history(seed, 80).log:
        workflow_id = event.workflow_id or ""
        if event.type == ev.WORKFLOW_DELETED:
            assert (workflows.pop(workflow_id), None) in WORKFLOW_MOVES
            tasks = {key: value for key, value in tasks.items() if key[0] != workflow_id}
        elif event.task_id is None and event.status is not None:
            before = workflows.get(workflow_id)
            assert before == event.status or (before, event.status) in WORKFLOW_MOVES, (before, event)
            workflows[workflow_id] = event.status
        if event.task_id is not None and event.task_status is not None:
            key = (workflow_id, event.task_id)
            last = tasks.get(key)
            assert last == event.task_status or (last, event.task_status) in TASK_MOVES, (last, event)
            tasks[key] = event.task_status


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_what_was_kept_never_runs_again(seed: int) -> None:
    kept: set[tuple[str, str]] = set()
    for event in random_history(seed, 80).log:
        key = (event.workflow_id or "", event.task_id or "")
        if event.type == ev.ATTEMPT_SUBMITTED:
            assert key not in kept, event
        elif event.type == ev.ATTEMPT_SUCCEEDED and (event.payload is not None or event.uri is not None):
            kept.add(key)
        elif event.type == ev.WORKFLOW_DELETED:
            kept = {item for item in kept if item[0] != event.workflow_id}


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_counters_are_what_counting_gives(seed: int) -> None:
    state = random_history(seed, 80).state
    assert state.running == sum(workflow.status == "RUNNING" for workflow in state.workflows.values())
    assert len(state.queue) == sum(workflow.status == "PENDING" for workflow in state.workflows.values())
    for workflow in state.workflows.values():
        for task in workflow.tasks.values():
            roots = [workflow.tasks[workflow.tasks[name].root] for name in task.upstream]
            assert task.waiting == (0 if task.type == WAIT else sum(not root.resolved for root in set(roots)))
            assert task.arrived == (sum(root.resolved for root in roots) if task.type == WAIT else 0)


def goes_on(workflow: WorkflowState, task: TaskState, seen: frozenset[str] = frozenset()) -> bool:
    """The value of `task` is there, or something under way will bring it (or fail)."""
    root = workflow.tasks[task.root]
    if root.resolved:
        return True
    while task.continued_to is not None:
        task = workflow.tasks[task.continued_to]
    if task.task_id in seen:
        return False  # tasks that wait for each other
    seen |= {task.task_id}
    upstream = [workflow.tasks[name] for name in task.upstream]
    if task.type == WAIT and task.open_run is not None:
        needed = upstream if task.split is None else [upstream[position] for position in task.split]
        return all(goes_on(workflow, other, seen) for other in needed)
    if task.open_run is not None or (task.status == "RETRYING" and task.retry_at is not None):
        return True
    missing = [other for other in upstream if not workflow.tasks[other.root].resolved]
    return task.status == "PENDING" and bool(missing) and all(goes_on(workflow, other, seen) for other in missing)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_no_wake_up_is_lost(seed: int) -> None:
    simulation = random_history(seed, 0)
    for _ in range(80):
        simulation.step()
        state = simulation.state
        assert not state.queue or state.running == state.max_running
        alarms = {command for _, command in simulation.alarms}
        for workflow in state.workflows.values():
            if workflow.status != "RUNNING":
                continue
            tasks = workflow.tasks
            retrying = [task for task in tasks.values() if task.status == "RETRYING" and task.retry_at is not None]
            assert workflow.open_attempts or retrying
            assert goes_on(workflow, tasks[workflow.output_task]), workflow.workflow_id
            if workflow.deadline_at is not None:
                assert Expire(workflow.workflow_id, workflow.run) in alarms
            for task in workflow.open_attempts.values():
                if task.type == TIMER:
                    assert Fire(workflow.workflow_id, task.open_run or 0, task.task_id, task.open_attempt) in alarms


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_whatever_runs_can_be_brought_to_its_end(seed: int) -> None:
    simulation = random_history(seed, 60)
    for _ in range(2000):
        simulation.ring()
        keys = [key for key in simulation.reportable() if simulation.state.workflows[key[0]].status == "RUNNING"]
        if keys:
            simulation.do(RecordOutcome(*keys[0], Outcome(True, simulation.now, output=ref("v"))))
        elif simulation.alarms:
            simulation.ring(min(alarm[0] for alarm in simulation.alarms))
        else:
            break
    assert not simulation.state.running
    assert not simulation.state.queue


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_calls_of_an_actor_follow_one_another(seed: int) -> None:
    simulation = random_history(seed, 80)
    calls: dict[str, list[str]] = {}
    succeeded: dict[str, list[str]] = {}
    under_way: dict[str, str] = {}
    methods: set[tuple[str, str]] = set()
    for event in simulation.log:
        actor, task_id = event.workflow_id or "", event.task_id or ""
        if event.type == ev.TASK_DEFINED and event.attribute("type") == ACTOR:
            methods.add((actor, task_id))
            if event.attribute("creator") is None:
                calls.setdefault(actor, []).append(task_id)
        elif event.type == ev.WORKFLOW_DELETED:
            for of_actor in (calls, succeeded, under_way):
                of_actor.pop(actor, None)
            methods = {key for key in methods if key[0] != actor}
        elif (actor, task_id) not in methods:
            continue
        elif event.type == ev.ATTEMPT_SUBMITTED:
            assert actor not in under_way, event
            under_way[actor] = task_id
        elif event.type in (ev.ATTEMPT_SUCCEEDED, ev.ATTEMPT_FAILED):
            assert under_way.pop(actor) == task_id
        elif event.type == ev.ACTOR_CALL_SUCCEEDED and task_id in calls[actor]:
            succeeded.setdefault(actor, []).append(task_id)
    for actor, order in succeeded.items():
        assert order == calls[actor][: len(order)]


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_what_a_wait_chose_and_when_a_timer_is_due_never_changes(seed: int) -> None:
    said: dict[tuple[str, str, str], object] = {}
    for event in random_history(seed, 80).log:
        key = (event.workflow_id or "", event.task_id or "", event.type)
        if event.type in (ev.WAIT_DECIDED, ev.TIMER_STARTED):
            what = event.attribute("ready", []) if event.type == ev.WAIT_DECIDED else event.attribute("due_at")
            assert said.setdefault(key, what) == what, event
        elif event.type == ev.WORKFLOW_DELETED:
            said = {key: what for key, what in said.items() if key[0] != event.workflow_id}


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_a_successful_workflow_waits_for_nothing(seed: int) -> None:
    simulation = random_history(seed, 0)
    for _ in range(80):
        simulation.step()
        for workflow in simulation.state.workflows.values():
            if workflow.status == "SUCCESSFUL":
                assert workflow.tasks[workflow.tasks[workflow.output_task].root].resolved
                assert not [task for task in workflow.open_attempts.values() if task.type in (TIMER, EVENT, WAIT)]


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_what_is_said_twice_counts_once(seed: int) -> None:
    simulation = random_history(seed, 0)
    for _ in range(80):
        simulation.step()
        again = simulation.duplicate()
        if again is not None:
            with contextlib.suppress(errors.WorkflowNotResumableError):  # canceled since
                assert decide(simulation.state, again, simulation.now) == [], again


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_an_attempt_begins_and_ends_once(seed: int) -> None:
    opened: dict[tuple[str, str], tuple[int | None, int | None]] = {}
    for event in random_history(seed, 80).log:
        key = (event.workflow_id or "", event.task_id or "")
        if event.type == ev.ATTEMPT_SUBMITTED:
            assert key not in opened, event
            opened[key] = (event.run, event.attempt)
        elif event.type == ev.ATTEMPT_STARTED or event.type == ev.WAIT_DECIDED:
            assert opened[key] == (event.run, event.attempt), event
        elif event.type in (ev.ATTEMPT_SUCCEEDED, ev.ATTEMPT_FAILED):
            assert opened.pop(key) == (event.run, event.attempt), event
        elif event.type == ev.WORKFLOW_DELETED:
            assert not [open_key for open_key in opened if open_key[0] == key[0]]
