"""Drive one workflow ``w`` by hand: short words for the model's exact tests."""

from __future__ import annotations

from typing import Any

from tests.model.dags import actor_call, ref
from tests.model.histories import Simulation
from wfstore.model import events as ev
from wfstore.model.commands import CallActor, Expire, Fire, Outcome, Place, RecordOutcome, Submit
from wfstore.model.dag import ACTOR, ORDER, TIMER, WAIT, WAITED, DagSpec, TaskOptions, TaskSpec
from wfstore.model.events import Event
from wfstore.model.state import TaskState, WorkflowState

OK = Outcome(True, 5, Place(3, "n", 1, "r"), ref("v"))
BAD = Outcome(False, 5, Place(3), kind="app", error_type="ValueError", error_message="no", error=ref("e"))


def start(dag: DagSpec, **kwargs: Any) -> Simulation:
    simulation = Simulation()
    simulation.do(Submit("w", dag, **kwargs))
    return simulation


def workflow(simulation: Simulation) -> WorkflowState:
    return simulation.state.workflows["w"]


def task(simulation: Simulation, task_id: str) -> TaskState:
    return workflow(simulation).tasks[task_id]


def end(simulation: Simulation, task_id: str, outcome: Outcome = OK) -> list[str]:
    """The types of the events that this end of the task's open attempt causes."""
    ending = task(simulation, task_id)
    return types(simulation.do(RecordOutcome("w", ending.open_run or 0, task_id, ending.open_attempt, outcome)))


def fire(simulation: Simulation, task_id: str) -> list[str]:
    """The alarm of a task's open attempt, or of the one to come, rings."""
    due = task(simulation, task_id)
    open_key = (due.open_run, due.open_attempt)
    run, attempt = (workflow(simulation).run, due.attempt + 1) if due.open_run is None else open_key
    return types(simulation.do(Fire("w", run or 0, task_id, attempt)))


def expire(simulation: Simulation) -> list[str]:
    return types(simulation.do(Expire("w", workflow(simulation).run)))


def types(events: list[Event]) -> list[str]:
    return [event.type for event in events]


def submitted(events: list[Event]) -> list[str | None]:
    return [event.task_id for event in events if event.type == ev.ATTEMPT_SUBMITTED]


def statuses(simulation: Simulation) -> dict[str, str]:
    return {each.task_id: each.status for each in workflow(simulation).tasks.values()}


def status(simulation: Simulation) -> str:
    return workflow(simulation).status


def last(simulation: Simulation, type_: str) -> Event:
    return [event for event in simulation.log if event.type == type_][-1]


# -- tasks ------------------------------------------------------------------------------------------------------------


def plain(name: str, *upstream: int | str, **options: Any) -> TaskSpec:
    return TaskSpec(name, f"m.{name}", "h", None, upstream, ("argument",) * len(upstream), (), TaskOptions(**options))


def timer(delay_s: float, *upstream: int) -> TaskSpec:
    return plain("timer", *upstream)._replace(type=TIMER, facts={"delay_s": delay_s})


def wait(*upstream: int | str, **facts: Any) -> TaskSpec:
    return plain("wait", *upstream)._replace(type=WAIT, kinds=(WAITED,) * len(upstream), facts=facts)


def method(name: str, *upstream: int | str) -> TaskSpec:
    return plain(name, *upstream)._replace(type=ACTOR, facts={"method": name})


def dag(*tasks: TaskSpec) -> DagSpec:
    return DagSpec(tasks, len(tasks) - 1)


# -- virtual actors ---------------------------------------------------------------------------------------------------


def new_actor(request_id: str | None = None) -> Submit:
    return Submit("w", actor_call("__init__", max_retries=0), request_id=request_id, actor=("m.Counter", "hash"))


def call(request_id: str | None = None, **options: Any) -> CallActor:
    return CallActor("w", actor_call("incr", **{"max_retries": 0, **options}), request_id=request_id)


def actor() -> Simulation:
    """An idle one, with state 0."""
    simulation = Simulation()
    simulation.do(new_actor())
    end(simulation, "__init__", returns(0))
    return simulation


def returns(state: int, **outcome: Any) -> Outcome:
    return OK._replace(state=ref(str(state)), **outcome)


def state_of(simulation: Simulation) -> int:
    kept = workflow(simulation).actor_state
    assert kept is not None and kept.data is not None
    return int(kept.data)


def order_edges(simulation: Simulation, task_id: str) -> list[str]:
    found = task(simulation, task_id)
    return [name for name, kind in zip(found.upstream, found.kinds, strict=True) if kind == ORDER]
