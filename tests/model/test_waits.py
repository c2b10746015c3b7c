"""Timers, event listeners and waits, one by one."""

from __future__ import annotations

from tests.model.driving import (
    BAD,
    OK,
    dag,
    end,
    fire,
    last,
    plain,
    start,
    status,
    statuses,
    submitted,
    task,
    timer,
    types,
    wait,
)
from tests.model.histories import Simulation
from wfstore.model import events as ev
from wfstore.model.commands import Delete, Fire, RecordOutcome, Resume, Submit
from wfstore.model.dag import EVENT, EVENT_CHECKPOINTED, DagSpec

SECOND = 1_000_000


def ready(simulation: Simulation) -> list[int]:
    """What the last decision of a wait chose, by position."""
    chosen: list[int] = last(simulation, ev.WAIT_DECIDED).attribute("ready", [])
    return chosen


def among(*names: str, **facts: object) -> DagSpec:
    """A wait among tasks of those names, and a task that takes what it chose."""
    tasks = [plain(name) for name in names]
    return dag(*tasks, wait(*range(len(names)), **facts), plain("use", len(names)))


# -- timers -----------------------------------------------------------------------------------------------------------


def test_a_timer_begins_when_the_workflow_reaches_it_and_holds_no_cpu() -> None:
    simulation = start(dag(plain("a"), timer(30.0, 0)))
    assert last(simulation, ev.ATTEMPT_SUBMITTED).task_id == "a"
    assert end(simulation, "a")[2:] == [ev.ATTEMPT_SUBMITTED, ev.ATTEMPT_STARTED, ev.TIMER_STARTED]
    assert last(simulation, ev.ATTEMPT_SUBMITTED).attributes == '{"num_cpus":0}'
    assert task(simulation, "timer").due_at == simulation.now + 30 * SECOND
    assert fire(simulation, "timer") == [ev.ATTEMPT_SUCCEEDED, ev.TIMER_FIRED, ev.WORKFLOW_SUCCEEDED]


def test_a_timer_that_is_said_to_have_run_out_twice_ends_once() -> None:
    simulation = start(dag(timer(30.0), timer(30.0), plain("a", 0, 1)))
    assert simulation.do(Fire("w", 1, "timer", 1))
    assert simulation.do(Fire("w", 1, "timer", 1)) == []


def test_a_crash_does_not_put_a_timer_off() -> None:
    simulation = start(dag(timer(30.0)))
    due_at = task(simulation, "timer").due_at
    for run in (2, 3):
        simulation.crash()
        simulation.do(Resume("w"))
        assert last(simulation, ev.TIMER_STARTED).attribute("due_at") == due_at
        assert simulation.open_attempts() == [("w", run, "timer", 1)]


def test_another_life_of_the_id_has_a_timer_of_its_own() -> None:
    simulation = start(dag(timer(30.0)))
    before = task(simulation, "timer").due_at
    fire(simulation, "timer")
    simulation.do(Delete("w"))
    simulation.do(Submit("w", dag(timer(30.0))))
    assert before is not None and task(simulation, "timer").due_at == simulation.now + 30 * SECOND != before


def test_a_timer_of_an_earlier_run_ends_in_the_one_that_goes_on() -> None:
    simulation = start(dag(timer(30.0), plain("a", max_retries=0), plain("b", 0, 1)))
    end(simulation, "a", BAD)
    assert submitted(simulation.do(Resume("w"))) == ["a"]
    assert simulation.do(Fire("w", 1, "timer", 1))
    assert statuses(simulation)["timer"] == "SUCCESSFUL"


def test_a_timer_ends_while_its_workflow_is_failed() -> None:
    simulation = start(dag(timer(30.0), plain("a", max_retries=0), plain("b", 0, 1)))
    end(simulation, "a", BAD)
    assert fire(simulation, "timer") == [ev.ATTEMPT_SUCCEEDED, ev.TIMER_FIRED]
    assert submitted(simulation.do(Resume("w"))) == ["a"]


# -- events -----------------------------------------------------------------------------------------------------------


def listener() -> DagSpec:
    return dag(plain("event")._replace(type=EVENT), plain("event_checkpointed", 0)._replace(type=EVENT_CHECKPOINTED))


def test_an_event_is_kept_before_its_listener_hears_of_it() -> None:
    simulation = start(listener())
    assert types(simulation.log)[-2:] == [ev.ATTEMPT_STARTED, ev.EVENT_WAIT_STARTED]
    assert end(simulation, "event") == [ev.ATTEMPT_SUCCEEDED, ev.EVENT_RECEIVED, ev.ATTEMPT_SUBMITTED]
    assert last(simulation, ev.ATTEMPT_SUCCEEDED).payload is not None
    assert end(simulation, "event_checkpointed")[-2:] == [ev.EVENT_CHECKPOINTED, ev.WORKFLOW_SUCCEEDED]


def test_a_crash_while_polling_polls_again() -> None:
    simulation = start(listener())
    simulation.crash()
    assert submitted(simulation.do(Resume("w"))) == ["event"]


def test_a_crash_after_the_event_is_kept_only_tells_the_listener_again() -> None:
    simulation = start(listener())
    end(simulation, "event")
    simulation.crash()
    assert submitted(simulation.do(Resume("w"))) == ["event_checkpointed"]


# -- waits ------------------------------------------------------------------------------------------------------------


def test_the_first_of_two_decides() -> None:
    simulation = start(among("a", "b"))
    assert submitted(simulation.log) == ["a", "b", "wait"]
    assert end(simulation, "b")[-1] == ev.WAIT_DECIDED
    assert ready(simulation) == [1]
    decided = last(simulation, ev.WAIT_DECIDED)
    assert (decided.run, decided.task_id, decided.attempt) == (1, "wait", 1)
    assert submitted(simulation.do(RecordOutcome("w", 1, "wait", 1, OK))) == ["use"]
    assert end(simulation, "use")[-1] == ev.WORKFLOW_SUCCEEDED
    assert simulation.open_attempts() == [("w", 1, "a", 1)]
    assert end(simulation, "a") == [ev.ATTEMPT_STARTED, ev.ATTEMPT_SUCCEEDED]


def test_what_comes_after_the_decision_does_not_decide_again() -> None:
    simulation = start(among("a", "b", "c"))
    end(simulation, "b")
    assert ev.WAIT_DECIDED not in end(simulation, "a")
    assert task(simulation, "wait").split == [1]


def test_two_of_three_in_the_order_of_the_input() -> None:
    simulation = start(among("a", "b", "c", num_returns=2))
    assert ev.WAIT_DECIDED not in end(simulation, "c")
    end(simulation, "a")
    assert ready(simulation) == [0, 2]


def test_one_that_is_given_twice_counts_twice() -> None:
    simulation = start(dag(plain("a"), plain("b"), wait(0, 0, 1, num_returns=2)))
    end(simulation, "a")
    assert ready(simulation) == [0, 1]


def test_the_time_is_over_and_none_is_ready() -> None:
    simulation = start(among("a", "b", timeout_s=5.0))
    due_at = task(simulation, "wait").due_at
    assert due_at == simulation.now + 5 * SECOND
    assert types(simulation.ring(due_at)) == [ev.WAIT_DECIDED]
    assert ready(simulation) == []
    assert end(simulation, "a") == [ev.ATTEMPT_STARTED, ev.ATTEMPT_SUCCEEDED]
    assert submitted(simulation.do(RecordOutcome("w", 1, "wait", 1, OK))) == ["use"]


def test_the_time_is_over_and_some_are_ready() -> None:
    simulation = start(among("a", "b", "c", num_returns=3, timeout_s=5.0))
    end(simulation, "c")
    end(simulation, "a")
    assert fire(simulation, "wait") == [ev.WAIT_DECIDED]
    assert ready(simulation) == [0, 2]
    assert fire(simulation, "wait") == []


def test_a_wait_without_a_timeout_is_never_over() -> None:
    assert fire(start(among("a", "b")), "wait") == []


def test_a_wait_may_be_the_whole_workflow() -> None:
    simulation = start(dag(plain("a"), timer(60.0), wait(0, 1)))
    end(simulation, "a")
    simulation.do(RecordOutcome("w", 1, "wait", 1, OK))
    assert status(simulation) == "SUCCESSFUL"
    assert statuses(simulation)["timer"] == "CANCELED"  # nobody waits for it any more
    assert not simulation.open_attempts()


def test_a_continuation_among_the_choices_counts_when_it_has_ended() -> None:
    simulation = start(among("a", "b"))
    assert ev.WAIT_DECIDED not in end(simulation, "a", OK._replace(output=None, continuation=dag(plain("c"))))
    assert end(simulation, "c")[-1] == ev.WAIT_DECIDED
    assert ready(simulation) == [0]


def test_a_remaining_one_resolves_as_a_value() -> None:
    simulation = start(among("a", "b"))
    end(simulation, "b")
    simulation.do(RecordOutcome("w", 1, "wait", 1, OK))
    more = OK._replace(output=None, continuation=dag(plain("late", "a")))
    assert ev.ATTEMPT_SUBMITTED not in end(simulation, "use", more)
    assert end(simulation, "a")[-1] == ev.ATTEMPT_SUBMITTED
    end(simulation, "late")
    assert status(simulation) == "SUCCESSFUL"


def test_remaining_ones_are_waited_on_again() -> None:
    simulation = start(among("a", "b", "c"))
    end(simulation, "b")
    simulation.do(RecordOutcome("w", 1, "wait", 1, OK))
    end(simulation, "a")
    more = OK._replace(output=None, continuation=dag(wait("a", "c", num_returns=1)))
    assert end(simulation, "use", more)[-1] == ev.WAIT_DECIDED  # one of them is there already
    decided = last(simulation, ev.WAIT_DECIDED)
    assert (decided.task_id, decided.attempt, ready(simulation)) == ("wait_1", 1, [0])


def test_a_remaining_one_that_nobody_had_needed_begins_again_when_somebody_does() -> None:
    simulation = start(dag(plain("a0"), plain("a", 0), plain("b"), wait(1, 2), plain("use", 3)))
    end(simulation, "b")
    simulation.do(RecordOutcome("w", 1, "wait", 1, OK))
    simulation.crash()
    assert submitted(simulation.do(Resume("w"))) == ["use"]  # what it chose is kept
    more = OK._replace(output=None, continuation=dag(plain("late", "a")))
    assert end(simulation, "use", more)[-1] == ev.ATTEMPT_SUBMITTED
    assert simulation.open_attempts() == [("w", 2, "a0", 1)]
    for task_id in ("a0", "a", "late"):
        end(simulation, task_id)
    assert status(simulation) == "SUCCESSFUL"


def test_a_remaining_one_that_had_failed_runs_again_when_somebody_needs_it() -> None:
    simulation = start(dag(plain("a", max_retries=0), plain("b"), wait(0, 1), plain("use", 2)))
    end(simulation, "b")
    simulation.do(RecordOutcome("w", 1, "wait", 1, OK))
    end(simulation, "a", BAD)
    assert (status(simulation), statuses(simulation)["a"]) == ("RUNNING", "FAILED")  # nobody needs it so far
    end(simulation, "use", OK._replace(output=None, continuation=dag(plain("late", "a"))))
    assert simulation.open_attempts() == [("w", 1, "a", 2)]
    end(simulation, "a", BAD)
    assert status(simulation) == "FAILED"


def test_a_remaining_one_that_fails_below_a_known_value_is_not_caught_any_more() -> None:
    simulation = start(dag(plain("c", catch_exceptions=True), plain("use", 0)))
    below = dag(plain("a"), plain("b", max_retries=0), wait(0, 1))
    end(simulation, "c", OK._replace(output=None, continuation=below))
    end(simulation, "a")
    assert submitted(simulation.do(RecordOutcome("w", 1, "wait", 1, OK))) == ["use"]
    assert end(simulation, "b", BAD) == [ev.ATTEMPT_STARTED, ev.ATTEMPT_FAILED]
    assert statuses(simulation)["c"] == "SUCCESSFUL"
    end(simulation, "use")
    assert status(simulation) == "SUCCESSFUL"


def test_a_remaining_output_that_was_not_kept_is_computed_again_in_the_next_run() -> None:
    lost = OK._replace(stored=False)
    simulation = start(dag(plain("a", checkpoint=False), plain("b"), wait(0, 1), plain("use", 2)))
    end(simulation, "b")
    simulation.do(RecordOutcome("w", 1, "wait", 1, OK))
    end(simulation, "a", lost)
    simulation.crash()
    simulation.do(Resume("w"))
    end(simulation, "use", OK._replace(output=None, continuation=dag(plain("late", "a"))))
    assert simulation.open_attempts() == [("w", 2, "a", 1)]
    assert submitted(simulation.do(RecordOutcome("w", 2, "a", 1, lost))) == ["late"]


# -- waits and runs ---------------------------------------------------------------------------------------------------


def test_what_was_decided_stands_after_a_crash() -> None:
    simulation = start(among("a", "b"))
    end(simulation, "b")
    simulation.crash()
    events = simulation.do(Resume("w"))
    assert submitted(events) == ["wait", "a"] or submitted(events) == ["a", "wait"]
    decided = last(simulation, ev.WAIT_DECIDED)
    assert (decided.run, decided.attempt, ready(simulation)) == (2, 1, [1])
    assert ev.WAIT_DECIDED not in end(simulation, "a")


def test_what_was_decided_waits_for_the_chosen_one_to_be_there_again() -> None:
    lost = OK._replace(stored=False)
    simulation = start(dag(plain("a"), plain("b", checkpoint=False), wait(0, 1), plain("use", 2)))
    end(simulation, "b", lost)
    simulation.crash()
    assert sorted(map(str, submitted(simulation.do(Resume("w"))))) == ["a", "b", "wait"]
    assert ev.WAIT_DECIDED not in end(simulation, "a")  # the first one now, but not what was chosen
    assert end(simulation, "b", lost)[-1] == ev.WAIT_DECIDED
    assert ready(simulation) == [1]


def test_a_wait_that_stayed_open_decides_when_its_workflow_is_resumed() -> None:
    simulation = start(dag(plain("a", max_retries=0), plain("b"), wait(0, 1), plain("use", 2)))
    end(simulation, "a", BAD)
    assert ev.WAIT_DECIDED not in end(simulation, "b")  # nothing goes on in a failed workflow
    assert types(simulation.do(Resume("w")))[-1] == ev.WAIT_DECIDED
    decided = last(simulation, ev.WAIT_DECIDED)
    assert (decided.run, decided.attempt, ready(simulation)) == (1, 1, [1])  # the attempt that is open


def test_a_resume_runs_the_failed_choice_of_an_open_wait_again() -> None:
    simulation = start(dag(plain("a", max_retries=0), plain("b"), wait(0, 1, num_returns=2)))
    end(simulation, "a", BAD)
    assert submitted(simulation.do(Resume("w"))) == ["a"]
    end(simulation, "b")
    assert end(simulation, "a")[-1] == ev.WAIT_DECIDED


def test_a_timeout_goes_on_over_a_crash() -> None:
    simulation = start(among("a", "b", timeout_s=5.0))
    due_at = task(simulation, "wait").due_at
    simulation.crash()
    simulation.do(Resume("w"))
    assert task(simulation, "wait").due_at == due_at
    assert fire(simulation, "wait") == [ev.WAIT_DECIDED]


def test_a_wait_whose_worker_died_chooses_the_same() -> None:
    simulation = start(among("a", "b"))
    end(simulation, "b")
    died = BAD._replace(kind="system")
    events = simulation.do(RecordOutcome("w", 1, "wait", 1, died))
    assert types(events)[-2:] == [ev.ATTEMPT_STARTED, ev.WAIT_DECIDED]
    decided = last(simulation, ev.WAIT_DECIDED)
    assert (decided.attempt, ready(simulation)) == (2, [1])


def test_a_failed_choice_fails_the_workflow_unless_it_is_caught() -> None:
    both = dag(plain("a", max_retries=0, catch_exceptions=True), plain("b", max_retries=0), wait(0, 1))
    caught = start(both)
    assert end(caught, "a", BAD)[-1] == ev.WAIT_DECIDED
    assert end(caught, "b", BAD)[-1] == ev.ATTEMPT_FAILED  # it was not chosen
    assert status(caught) == "RUNNING"
    failed = start(both)
    assert end(failed, "b", BAD)[-1] == ev.WORKFLOW_FAILED


def test_a_caught_error_ends_what_waits_below_it() -> None:
    below = dag(timer(60.0), plain("x", max_retries=0), wait(0, 1))
    simulation = start(dag(plain("a", catch_exceptions=True), plain("use", 0)))
    end(simulation, "a", OK._replace(output=None, continuation=below))
    end(simulation, "x", BAD)
    found = statuses(simulation)
    assert (found["a"], found["timer"], found["wait"]) == ("CAUGHT", "CANCELED", "CANCELED")
    assert [key[2] for key in simulation.open_attempts()] == ["use"]
    end(simulation, "use")
    assert status(simulation) == "SUCCESSFUL"
