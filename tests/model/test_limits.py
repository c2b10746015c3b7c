"""Limits: what is too much is refused before anything is decided, and they stay with the store."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from tests.model.dags import chain, ref
from tests.model.driving import OK, end, start, task
from tests.model.histories import Simulation
from wfstore.errors import InvalidCommandError, LimitExceededError
from wfstore.model.apply import replay
from wfstore.model.commands import CallActor, Configure, Resume, Submit
from wfstore.model.dag import ACTOR, DagSpec, TaskOptions, TaskSpec
from wfstore.model.events import CONFIG_SET
from wfstore.model.limits import LEAST_TAIL_EVENTS, Limits, checked, limits_of
from wfstore.model.payload import PayloadRef


def limited(**limits: int | None) -> Simulation:
    simulation = Simulation()
    simulation.do(Configure(limits))
    return simulation


def refused(simulation: Simulation, command: Any) -> LimitExceededError:
    before = len(simulation.log)
    with pytest.raises(LimitExceededError) as error:
        simulation.do(command)
    assert len(simulation.log) == before
    return error.value


def test_tasks_of_a_workflow() -> None:
    simulation = limited(max_tasks=3)
    error = refused(simulation, Submit("big", chain(4)))
    assert (error.limit, error.allowed, error.size) == ("max_tasks", 3, 4)
    assert "workflow 'big': 4 tasks, and max_tasks allows 3" in str(error)
    assert "workflow.init(limits={'max_tasks': ...})" in str(error)
    simulation.do(Submit("w", chain(3)))


def test_a_continuation_adds_to_them() -> None:
    simulation = limited(max_tasks=3)
    simulation.do(Submit("w", chain(2)))
    grown = OK._replace(output=None, continuation=chain(2))
    with pytest.raises(LimitExceededError, match="workflow 'w': 4 tasks"):
        end(simulation, "f", grown)
    assert task(simulation, "f").open_run is not None, "the attempt is open yet, to end with that error"
    end(simulation, "f", OK._replace(output=None, continuation=chain(1)))


def test_calls_of_a_virtual_actor_do_not_count() -> None:
    simulation = limited(max_tasks=1)
    call = DagSpec((TaskSpec("m", "c.m", "ab", type=ACTOR, facts={"method": "m"}),), 0)
    simulation.do(Submit("a", call, actor=("c", "ab")))
    for number in range(3):
        simulation.do(CallActor("a", call, {}, f"call{number}"))


def test_metadata_of_workflow_and_task() -> None:
    simulation = limited(max_metadata_bytes=20)
    simulation.do(Submit("fits", chain(1), {"k": "é" * 5}))
    error = refused(simulation, Submit("w", chain(1), {"k": "é" * 10}))
    assert (error.limit, error.size, error.what) == ("max_metadata_bytes", 28, "the metadata of workflow 'w'")
    tagged = DagSpec((TaskSpec("t", "m.t", "00", metadata={"text": "x" * 20}),), 0)
    assert "task 't' of workflow 'w'" in str(refused(simulation, Submit("w", tagged)))


def test_payloads() -> None:
    simulation = limited(max_payload_bytes=10)
    large = PayloadRef("00" * 32, 11)
    for spec in (TaskSpec("t", "m.t", "00", large), TaskSpec("t", "m.t", "00", ref("x"), (), (), (large,))):
        assert refused(simulation, Submit("w", DagSpec((spec,), 0))).limit == "max_payload_bytes"
    simulation.do(Submit("w", chain(1)))
    with pytest.raises(LimitExceededError, match="an output: 11 bytes"):
        end(simulation, "f", OK._replace(output=large))
    end(simulation, "f", OK._replace(output=large, stored=False))


def test_open_workflows() -> None:
    simulation = limited(max_open_workflows=2)
    for name in ("w", "v"):
        simulation.do(Submit(name, chain(1)))
    assert refused(simulation, Submit("u", chain(1))).size == 3
    end(simulation, "f")
    simulation.do(Submit("u", chain(1)))
    simulation.do(Submit("w", chain(1)))  # an answer out of the store is no further one


def test_resume_counts_as_well() -> None:
    simulation = limited(max_open_workflows=1)
    simulation.do(Submit("w", DagSpec((TaskSpec("f", "m.f", "00", options=TaskOptions(max_retries=0)),), 0)))
    from tests.model.driving import BAD

    end(simulation, "f", BAD)
    simulation.do(Submit("v", chain(1)))
    assert refused(simulation, Resume("w")).limit == "max_open_workflows"


def test_they_are_kept_and_changed_one_by_one() -> None:
    simulation = limited(max_tasks=3, max_event_bytes=1000)
    simulation.do(Configure({"max_tasks": 5}))
    assert simulation.do(Configure({"max_tasks": 5})) == []
    simulation.do(Configure({"max_event_bytes": None}, "r", "me"))
    last = simulation.log[-1]
    assert (last.type, last.by, last.request_id, last.workflow_id) == (CONFIG_SET, "me", "r", None)
    assert last.attribute("limits") == {"max_tasks": 5}
    again = replay(simulation.log)
    assert (again.limits, again.given_limits) == (Limits(max_tasks=5), {"max_tasks": 5})
    simulation.do(Configure({"max_tasks": None}))
    assert replay(simulation.log).limits == Limits()


def test_a_log_of_an_older_or_newer_version() -> None:
    assert replay(start(chain(1)).log).limits == Limits()
    assert limits_of({"max_tasks": 7, "max_of_tomorrow": 1}) == Limits(max_tasks=7)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"max_task": 1}, ValueError, "there is no limit 'max_task'; limits are max_event_bytes, max_payload_bytes"),
        ({"max_tasks": 0}, ValueError, "at least 1"),
        ({"max_tasks": "9"}, TypeError, "must be None or an integer"),
        ({"max_tasks": True}, TypeError, "must be None or an integer"),
        ({"max_tail_events": LEAST_TAIL_EVENTS - 1}, ValueError, "at least 500000"),
    ],
)
def test_what_is_no_limit(given: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        checked(given)
    with pytest.raises((error, InvalidCommandError)):
        Simulation().do(Configure(given))


def test_the_error_travels() -> None:
    error = pickle.loads(pickle.dumps(LimitExceededError("max_tasks", 3, 4, "workflow 'w'")))
    assert (error.limit, error.allowed, error.size, error.what) == ("max_tasks", 3, 4, "workflow 'w'")
    assert isinstance(error, ValueError)
