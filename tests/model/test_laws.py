"""Laws over random histories: replay gives the live state, moves stay within the tables, nothing runs twice."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model.histories import random_history
from wfstore.model import events as ev
from wfstore.model.apply import replay
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


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_replay_of_any_prefix_is_the_state_then(seed: int) -> None:
    simulation = random_history(seed, 0)
    for _ in range(40):
        simulation.step()
        assert plain(replay(simulation.log)) == plain(simulation.state)


@settings(max_examples=100, deadline=None)
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


@settings(max_examples=100, deadline=None)
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


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_counters_are_what_counting_gives(seed: int) -> None:
    state = random_history(seed, 80).state
    assert state.running == sum(workflow.status == "RUNNING" for workflow in state.workflows.values())
    assert len(state.queue) == sum(workflow.status == "PENDING" for workflow in state.workflows.values())
    for workflow in state.workflows.values():
        for task in workflow.tasks.values():
            upstream = {workflow.tasks[task_id].task_id for task_id in task.upstream}
            assert task.waiting == sum(not workflow.tasks[task_id].resolved for task_id in upstream)


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_a_running_workflow_always_has_something_to_wait_for(seed: int) -> None:
    for workflow in random_history(seed, 80).state.workflows.values():
        if workflow.status == "RUNNING":
            assert workflow.open_attempts
