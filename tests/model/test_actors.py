"""Virtual actors, as far as the rules are the model's: calls, their order, their failures."""

from __future__ import annotations

import json

import pytest

from tests.model.dags import actor_call, ref
from tests.model.driving import (
    BAD,
    OK,
    actor,
    call,
    dag,
    end,
    fire,
    last,
    method,
    new_actor,
    order_edges,
    plain,
    returns,
    start,
    state_of,
    status,
    statuses,
    submitted,
    task,
    timer,
    types,
    wait,
    workflow,
)
from tests.model.histories import Simulation, chain
from wfstore import errors
from wfstore.model import events as ev
from wfstore.model.commands import CallActor, Cancel, Delete, Interrupt, RecordOutcome, Resume, Submit
from wfstore.model.events import Event


def succeeded_calls(simulation: Simulation) -> list[str | None]:
    return [event.task_id for event in simulation.log if event.type == ev.ACTOR_CALL_SUCCEEDED]


def limited(running: int, pending: int | None = None) -> Simulation:
    simulation = Simulation()
    limits = json.dumps({"max_running_workflows": running, "max_pending_workflows": pending})
    simulation.append(Event(ts=1, type=ev.CONFIG_SET, attributes=limits))
    return simulation


# -- creation ---------------------------------------------------------------------------------------------------------


def test_its_construction_is_a_durable_step() -> None:
    simulation = Simulation()
    simulation.do(new_actor("r"))
    assert types(simulation.log) == [
        ev.WORKFLOW_SUBMITTED, ev.ACTOR_CREATED, ev.TASK_DEFINED, ev.WORKFLOW_STARTED, ev.ATTEMPT_SUBMITTED,
        ev.ACTOR_CALL_STARTED,
    ]  # fmt: skip
    assert workflow(simulation).name == "m.Counter"
    assert workflow(simulation).actor == {"class": "m.Counter", "hash": "hash"}
    assert end(simulation, "__init__", returns(0)) == [
        ev.ATTEMPT_STARTED, ev.ATTEMPT_SUCCEEDED, ev.ACTOR_STATE_COMMITTED, ev.ACTOR_CALL_SUCCEEDED,
        ev.WORKFLOW_SUCCEEDED,
    ]  # fmt: skip
    assert (status(simulation), state_of(simulation)) == ("SUCCESSFUL", 0)


def test_one_that_exists_is_not_made_again() -> None:
    simulation = actor()
    assert simulation.do(new_actor("another")) == []
    simulation.do(call())
    assert simulation.do(new_actor("a third")) == []


def test_an_id_is_that_of_a_workflow_or_of_an_actor() -> None:
    with pytest.raises(errors.InvalidCommandError, match="is the id of a workflow already"):
        start(chain(1)).do(new_actor())
    with pytest.raises(errors.InvalidCommandError, match="is the id of a virtual actor already"):
        actor().do(Submit("w", chain(1)))


def test_only_an_actor_can_be_called() -> None:
    with pytest.raises(errors.InvalidCommandError, match="is a workflow, not a virtual actor"):
        start(chain(1)).do(call())
    with pytest.raises(errors.VirtualActorNotFoundError) as caught:
        Simulation().do(call())
    assert isinstance(caught.value, KeyError)


# -- calls ------------------------------------------------------------------------------------------------------------


def test_a_call_of_an_idle_actor_is_a_run_of_its_own() -> None:
    simulation = actor()
    events = simulation.do(call())
    assert types(events) == [
        ev.TASK_DEFINED, ev.WORKFLOW_STARTED, ev.ATTEMPT_SUBMITTED, ev.ACTOR_CALL_STARTED,
    ]  # fmt: skip
    assert [events[0].kind, events[1].kind] == ["call", "call"]
    assert order_edges(simulation, "incr") == ["__init__"]
    assert status(simulation) == "RUNNING"
    end(simulation, "incr", returns(1))
    assert (status(simulation), state_of(simulation), workflow(simulation).run) == ("SUCCESSFUL", 1, 2)


def test_calls_run_one_after_the_other_in_the_order_in_which_they_came() -> None:
    simulation = actor()
    for _ in range(4):
        simulation.do(call())
    names = ["incr", "incr_1", "incr_2", "incr_3"]
    for state, name in enumerate(names, 1):
        assert simulation.open_attempts() == [("w", 2, name, 1)]
        end(simulation, name, returns(state))
    assert succeeded_calls(simulation) == ["__init__", *names]
    assert (status(simulation), state_of(simulation)) == ("SUCCESSFUL", 4)


def test_a_call_that_is_sent_twice_counts_once() -> None:
    simulation = actor()
    assert simulation.do(call("r1"))
    assert simulation.do(call("r1")) == []
    assert simulation.do(call("r2"))
    end(simulation, "incr", returns(1))
    end(simulation, "incr_1", returns(2))
    assert simulation.do(call("r1")) == []
    assert workflow(simulation).calls == {"r1": "incr", "r2": "incr_1"}
    assert last(simulation, ev.TASK_DEFINED).request_id == "r2"


def test_arguments_may_be_tasks_and_run_while_another_call_does() -> None:
    simulation = actor()
    simulation.do(call())
    assert submitted(simulation.do(CallActor("w", actor_call("add", plain("f"))))) == ["f"]
    end(simulation, "f")
    assert [key[2] for key in simulation.open_attempts()] == ["incr"]
    assert end(simulation, "incr", returns(1))[-2:] == [ev.ATTEMPT_SUBMITTED, ev.ACTOR_CALL_STARTED]
    end(simulation, "add", returns(2))
    assert status(simulation) == "SUCCESSFUL"


def test_calls_wait_for_a_construction_that_is_not_over() -> None:
    simulation = Simulation()
    simulation.do(new_actor())
    assert submitted(simulation.do(call())) == []
    assert end(simulation, "__init__", returns(0))[-2:] == [ev.ATTEMPT_SUBMITTED, ev.ACTOR_CALL_STARTED]
    end(simulation, "incr", returns(1))
    assert (status(simulation), state_of(simulation)) == ("SUCCESSFUL", 1)


def test_a_method_that_is_retried_is_one_call() -> None:
    simulation = actor()
    simulation.do(call(max_retries=2))
    end(simulation, "incr", BAD._replace(kind="system"))
    end(simulation, "incr", returns(1))
    started = [event for event in simulation.log if event.type == ev.ACTOR_CALL_STARTED and event.task_id == "incr"]
    assert len(started) == 1
    assert succeeded_calls(simulation) == ["__init__", "incr"]


# -- failures ---------------------------------------------------------------------------------------------------------


def test_a_failed_construction_is_tried_again_before_the_next_call() -> None:
    simulation = Simulation()
    simulation.do(new_actor())
    end(simulation, "__init__", BAD)
    assert status(simulation) == "FAILED"
    assert submitted(simulation.do(call())) == ["__init__"]
    end(simulation, "__init__", returns(0))
    end(simulation, "incr", returns(1))
    assert (status(simulation), state_of(simulation)) == ("SUCCESSFUL", 1)


def test_a_failed_writer_is_replayed_before_the_next_call() -> None:
    simulation = actor()
    simulation.do(call())
    assert end(simulation, "incr", BAD)[-2:] == [ev.ACTOR_CALL_FAILED, ev.WORKFLOW_FAILED]
    assert state_of(simulation) == 0
    events = simulation.do(call("r"))
    assert submitted(events) == ["incr"]
    assert [event.kind for event in events if event.type == ev.WORKFLOW_STARTED] == ["resume"]
    end(simulation, "incr", returns(1))
    end(simulation, "incr_1", returns(2))
    assert (status(simulation), state_of(simulation)) == ("SUCCESSFUL", 2)
    assert succeeded_calls(simulation) == ["__init__", "incr", "incr_1"]


def test_until_its_cause_is_gone_every_later_writer_fails() -> None:
    simulation = actor()
    for expected in ("incr", "incr", "incr"):
        simulation.do(call())
        assert [key[2] for key in simulation.open_attempts()] == [expected]
        end(simulation, expected, BAD)
        assert status(simulation) == "FAILED"
    assert state_of(simulation) == 0


def test_a_resume_runs_all_calls_that_failed_or_waited() -> None:
    simulation = actor()
    simulation.do(call())
    simulation.do(call())
    end(simulation, "incr", BAD)
    assert statuses(simulation) == {"__init__": "SUCCESSFUL", "incr": "FAILED", "incr_1": "PENDING"}
    assert submitted(simulation.do(Resume("w"))) == ["incr"]
    end(simulation, "incr", returns(24))
    end(simulation, "incr_1", returns(25))
    assert (status(simulation), state_of(simulation)) == ("SUCCESSFUL", 25)


def test_a_crash_loses_no_call() -> None:
    simulation = actor()
    for _ in range(3):
        simulation.do(call())
    end(simulation, "incr", returns(1))
    simulation.crash()
    assert status(simulation) == "RESUMABLE"
    assert submitted(simulation.do(Resume("w"))) == ["incr_1"]
    end(simulation, "incr_1", returns(2))
    end(simulation, "incr_2", returns(3))
    assert (status(simulation), state_of(simulation)) == ("SUCCESSFUL", 3)


def test_a_call_of_an_interrupted_actor_resumes_it() -> None:
    simulation = actor()
    simulation.do(call())
    simulation.crash()
    assert submitted(simulation.do(call())) == ["incr"]


def test_a_caught_error_of_a_method_lets_the_next_call_run() -> None:
    simulation = actor()
    simulation.do(call(catch_exceptions=True))
    simulation.do(call())
    end(simulation, "incr", BAD)
    assert [key[2] for key in simulation.open_attempts()] == ["incr_1"]
    end(simulation, "incr_1", returns(1))
    assert (status(simulation), state_of(simulation)) == ("SUCCESSFUL", 1)


def test_a_call_of_a_failed_actor_whose_last_call_ended_after_all_runs() -> None:
    simulation = actor()
    simulation.do(call())
    choosing = dag(plain("b", max_retries=0), wait(0, timeout_s=5.0))
    end(simulation, "incr", returns(1, output=None, continuation=choosing))
    end(simulation, "b", BAD)
    fire(simulation, "wait")  # its time was over after that
    end(simulation, "wait")
    assert status(simulation) == "FAILED"
    assert submitted(simulation.do(call())) == ["incr_1"]
    assert status(simulation) == "RUNNING"
    end(simulation, "incr_1", returns(2))
    assert (status(simulation), state_of(simulation)) == ("SUCCESSFUL", 2)


# -- what methods return ----------------------------------------------------------------------------------------------


def test_the_state_is_committed_before_the_continuation_runs() -> None:
    simulation = actor()
    simulation.do(call())
    simulation.do(call())
    found = end(simulation, "incr", returns(1, output=None, continuation=dag(plain("f"), plain("g", 0))))
    assert found[1:4] == [ev.ATTEMPT_SUCCEEDED, ev.ACTOR_STATE_COMMITTED, ev.TASK_CONTINUED]
    assert state_of(simulation) == 1
    assert [key[2] for key in simulation.open_attempts()] == ["f"]  # the next call waits for all of it
    end(simulation, "f")
    assert "incr" not in succeeded_calls(simulation)
    assert end(simulation, "g")[2:] == [ev.ACTOR_CALL_SUCCEEDED, ev.ATTEMPT_SUBMITTED, ev.ACTOR_CALL_STARTED]
    assert [key[2] for key in simulation.open_attempts()] == ["incr_1"]


def test_methods_within_a_continuation_follow_one_another() -> None:
    simulation = actor()
    simulation.do(call())
    simulation.do(call())
    nested = dag(method("incr"), method("incr"), method("incr"), plain("total", 0, 1, 2))
    end(simulation, "incr", returns(1, output=None, continuation=nested))
    assert order_edges(simulation, "incr_3") == ["incr_2"]
    assert order_edges(simulation, "incr_4") == ["incr_3"]
    for state, name in enumerate(["incr_2", "incr_3", "incr_4"], 2):
        assert [key[2] for key in simulation.open_attempts()] == [name]
        end(simulation, name, returns(state))
    end(simulation, "total")
    assert [key[2] for key in simulation.open_attempts()] == ["incr_1"]
    assert succeeded_calls(simulation) == ["__init__", "incr_2", "incr_3", "incr_4", "incr"]


def test_each_level_of_a_recursion_commits_and_a_resume_goes_on_from_the_one_that_failed() -> None:
    simulation = actor()
    simulation.do(call())
    name = "incr"
    for level in range(1, 4):
        end(simulation, name, returns(level, output=None, continuation=actor_call("incr", max_retries=0)))
        assert state_of(simulation) == level
        name = f"incr_{level}"
    end(simulation, name, BAD)
    assert (status(simulation), state_of(simulation)) == ("FAILED", 3)
    assert submitted(simulation.do(Resume("w"))) == ["incr_3"]
    end(simulation, "incr_3", returns(4))
    assert (status(simulation), state_of(simulation)) == ("SUCCESSFUL", 4)
    assert succeeded_calls(simulation) == ["__init__", "incr_3", "incr_2", "incr_1", "incr"]


def test_a_resume_runs_only_the_step_of_a_continuation_that_failed() -> None:
    simulation = actor()
    simulation.do(call())
    more = dag(plain("f"), plain("g", 0, max_retries=0))
    end(simulation, "incr", returns(1, output=None, continuation=more))
    end(simulation, "f")
    end(simulation, "g", BAD)
    assert submitted(simulation.do(Resume("w"))) == ["g"]
    end(simulation, "g")
    assert (status(simulation), state_of(simulation)) == ("SUCCESSFUL", 1)


def test_a_call_that_ends_while_its_actor_is_failed_has_succeeded() -> None:
    simulation = actor()
    simulation.do(call())
    simulation.do(CallActor("w", actor_call("add", plain("f", max_retries=0))))
    end(simulation, "f", BAD)
    assert status(simulation) == "FAILED"
    end(simulation, "incr", returns(1))
    assert (succeeded_calls(simulation), state_of(simulation)) == (["__init__", "incr"], 1)
    assert submitted(simulation.do(Resume("w"))) == ["f"]


def test_a_caught_error_ends_the_methods_below_it() -> None:
    """One of them would commit its state beneath the next call."""
    simulation = actor()
    simulation.do(call(catch_exceptions=True))
    simulation.do(call())
    below = dag(method("incr"), plain("f", max_retries=0), plain("g", 0, 1))
    end(simulation, "incr", returns(1, output=None, continuation=below))
    end(simulation, "f", BAD)
    assert statuses(simulation)["incr_2"] == "CANCELED"
    assert [key[2] for key in simulation.open_attempts()] == ["incr_1"]
    assert simulation.do(RecordOutcome("w", 2, "incr_2", 1, returns(99))) == []
    assert state_of(simulation) == 1


def test_what_a_method_returned_is_always_kept() -> None:
    """It cannot run again only because its output is needed once more: its state is committed."""
    simulation = actor()
    simulation.do(call(checkpoint=False))
    more = dag(method("incr"), plain("f", 0))
    end(simulation, "incr", returns(1, output=None, continuation=more))
    assert [task(simulation, name).options.checkpoint for name in ("incr", "incr_1")] == [None, None]


def test_an_actor_whose_last_output_was_not_kept_is_idle_all_the_same() -> None:
    simulation = actor()
    simulation.do(call())
    end(simulation, "incr", returns(1, output=None, continuation=dag(plain("f", checkpoint=False))))
    end(simulation, "f", OK._replace(stored=False))
    assert status(simulation) == "SUCCESSFUL"
    assert simulation.do(Resume("w")) == []
    assert submitted(simulation.do(call())) == ["incr_1"]
    simulation.crash()
    assert submitted(simulation.do(Resume("w"))) == ["incr_1"]


def test_a_timer_among_what_a_method_returned_puts_the_next_call_off() -> None:
    simulation = actor()
    simulation.do(call())
    simulation.do(call())
    end(simulation, "incr", returns(1, output=None, continuation=dag(timer(10.0))))
    assert submitted(simulation.ring(task(simulation, "timer").due_at)) == ["incr_1"]


# -- queue, cancel, delete --------------------------------------------------------------------------------------------


def test_a_call_waits_for_a_free_slot_and_further_ones_behind_it() -> None:
    simulation = limited(1)
    simulation.do(new_actor())
    end(simulation, "__init__", returns(0))
    simulation.do(Submit("v", chain(1)))
    assert types(simulation.do(call())) == [ev.TASK_DEFINED, ev.WORKFLOW_QUEUED]
    assert status(simulation) == "PENDING"
    assert types(simulation.do(call())) == [ev.TASK_DEFINED]
    assert submitted(simulation.do(RecordOutcome("v", 1, "f", 1, OK))) == ["incr"]
    end(simulation, "incr", returns(1))
    end(simulation, "incr_1", returns(2))
    assert (status(simulation), state_of(simulation)) == ("SUCCESSFUL", 2)


def test_a_full_queue_refuses_a_call_and_writes_nothing() -> None:
    simulation = limited(1, 1)
    simulation.do(new_actor())
    end(simulation, "__init__", returns(0))
    simulation.do(Submit("v", chain(1)))
    simulation.do(Submit("u", chain(1)))
    before = len(simulation.log)
    with pytest.raises(errors.WorkflowQueueFullError):
        simulation.do(call())
    assert len(simulation.log) == before


def test_a_call_interrupted_in_the_queue_is_not_lost() -> None:
    simulation = limited(1)
    simulation.do(new_actor())
    end(simulation, "__init__", returns(0))
    simulation.do(Submit("v", chain(1)))
    simulation.do(call())
    simulation.do(Interrupt("w"))
    simulation.do(Cancel("v"))
    assert status(simulation) == "RESUMABLE"
    assert submitted(simulation.do(Resume("w"))) == ["incr"]


def test_cancel_ends_an_actor_for_good() -> None:
    simulation = actor()
    simulation.do(call("r"))
    simulation.do(call())
    simulation.do(Cancel("w"))
    assert statuses(simulation) == {"__init__": "SUCCESSFUL", "incr": "CANCELED", "incr_1": "CANCELED"}
    with pytest.raises(errors.WorkflowNotResumableError):
        simulation.do(call())
    assert simulation.do(call("r")) == []
    assert simulation.do(new_actor()) == []
    assert state_of(simulation) == 0


def test_cancel_of_an_idle_actor_does_nothing() -> None:
    assert actor().do(Cancel("w")) == []


def test_a_deleted_actor_begins_anew() -> None:
    simulation = actor()
    simulation.do(Delete("w"))
    simulation.do(new_actor())
    assert workflow(simulation).actor_state is None
    end(simulation, "__init__", returns(7, output=ref("x")))
    assert (state_of(simulation), workflow(simulation).run) == (7, 2)
