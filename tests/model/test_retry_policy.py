"""When the next attempt follows, what counts as one, and what a timeout does."""

from __future__ import annotations

import json

import pytest

from tests.model.driving import (
    BAD,
    OK,
    dag,
    end,
    expire,
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
    workflow,
)
from tests.model.histories import Simulation, chain
from wfstore.model import events as ev
from wfstore.model.commands import Cancel, Expire, Fire, Interrupt, Outcome, RecordOutcome, Resume, Submit
from wfstore.model.dag import RetryPolicy
from wfstore.model.events import Event

SYSTEM = BAD._replace(kind="system")
SECOND = 1_000_000


def delays(policy: RetryPolicy, failures: int) -> list[float]:
    """Seconds between each failure and the attempt that follows it."""
    simulation = start(chain(1, max_retries=failures, retry=policy))
    found = []
    for _ in range(failures):
        end(simulation, "f", SYSTEM)
        retry_at = task(simulation, "f").retry_at
        assert retry_at is not None
        found.append((retry_at - simulation.now) / SECOND)
        simulation.ring(retry_at)
    return found


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (RetryPolicy(1.0, 2.0, 0.0, 600.0), [1, 2, 4, 8, 16]),
        (RetryPolicy(1.0, 2.0, 0.0, 5.0), [1, 2, 4, 5, 5]),
        (RetryPolicy(3.0, 1.0, 0.0, 600.0), [3, 3, 3]),
        (RetryPolicy(0.5, 10.0, 0.0, 600.0), [0.5, 5, 50, 500, 600]),
        (RetryPolicy(10.0, 2.0, 0.0, 4.0), [4, 4]),
    ],
)
def test_delays_grow_up_to_their_limit(policy: RetryPolicy, expected: list[float]) -> None:
    assert delays(policy, len(expected)) == expected


def test_the_hundredth_delay_is_at_its_limit() -> None:
    assert delays(RetryPolicy(1.0, 2.0, 0.0, 60.0), 100)[-1] == 60


def test_jitter_spreads_by_its_share_and_no_more() -> None:
    policy = RetryPolicy(10.0, 1.0, 0.2, 600.0)
    found = delays(policy, 200)
    assert all(8 <= delay <= 12 for delay in found)
    assert min(found) < 8.5 and max(found) > 11.5


def test_jitter_is_decided_by_the_attempt_and_not_by_chance() -> None:
    policy = RetryPolicy(10.0, 1.0, 0.2, 600.0)
    assert delays(policy, 3) == delays(policy, 3)
    assert len(set(delays(policy, 3))) == 3


def test_without_a_delay_the_next_attempt_follows_at_once() -> None:
    simulation = start(chain(1))
    assert end(simulation, "f", SYSTEM)[-2:] == [ev.ATTEMPT_RETRY_SCHEDULED, ev.ATTEMPT_SUBMITTED]


def waiting(**options: object) -> Simulation:
    """A workflow whose only task has failed once and is tried again after 60 s."""
    simulation = start(chain(1, retry=RetryPolicy(60.0, 2.0, 0.0), **options))
    end(simulation, "f", SYSTEM)
    return simulation


def test_a_task_that_is_tried_again_later_holds_no_attempt() -> None:
    simulation = waiting()
    assert statuses(simulation) == {"f": "RETRYING"}
    assert status(simulation) == "RUNNING"
    assert not simulation.open_attempts()
    assert fire(simulation, "f") == [ev.ATTEMPT_SUBMITTED]
    assert simulation.open_attempts() == [("w", 1, "f", 2)]


@pytest.mark.parametrize("wrong", [Fire("w", 1, "f", 1), Fire("w", 1, "f", 3), Fire("w", 2, "f", 2)])
def test_an_alarm_for_another_attempt_does_nothing(wrong: Fire) -> None:
    assert waiting().do(wrong) == []


@pytest.mark.parametrize("unknown", [Fire("v", 1, "f", 2), Fire("w", 1, "g", 2), Expire("v", 1)])
def test_an_alarm_for_what_is_not_there_does_nothing(unknown: Fire | Expire) -> None:
    assert waiting().do(unknown) == []


def test_an_alarm_that_rings_twice_submits_once() -> None:
    simulation = waiting()
    assert len(simulation.do(Fire("w", 1, "f", 2))) == 1
    assert simulation.do(Fire("w", 1, "f", 2)) == []


def test_a_resume_keeps_the_time_of_the_next_attempt() -> None:
    simulation = waiting()
    retry_at = task(simulation, "f").retry_at
    simulation.crash()
    events = simulation.do(Resume("w"))
    assert types(events) == [ev.WORKFLOW_STARTED, ev.TASK_RESET, ev.ATTEMPT_RETRY_SCHEDULED]
    assert events[-1].attribute("due_at") == retry_at
    assert simulation.do(Fire("w", 1, "f", 2)) == []  # of the run before
    assert simulation.do(Fire("w", 2, "f", 1))
    assert simulation.open_attempts() == [("w", 2, "f", 1)]


def test_a_resume_after_that_time_begins_at_once() -> None:
    simulation = waiting()
    simulation.crash()
    simulation.now += 61 * SECOND
    assert submitted(simulation.do(Resume("w"))) == ["f"]


def test_inputs_that_come_again_keep_the_time_of_the_next_attempt() -> None:
    lost = plain("a", checkpoint=False)
    simulation = start(dag(lost, plain("b", 0, retry=RetryPolicy(600.0))))
    end(simulation, "a", OK._replace(stored=False))
    end(simulation, "b", SYSTEM)
    retry_at = task(simulation, "b").retry_at
    simulation.crash()
    assert submitted(simulation.do(Resume("w"))) == ["a"]
    assert end(simulation, "a", OK._replace(stored=False))[-1] == ev.ATTEMPT_RETRY_SCHEDULED
    assert task(simulation, "b").retry_at == retry_at
    assert [event.type for event in simulation.ring(retry_at)] == [ev.ATTEMPT_SUBMITTED]


def test_a_cancel_takes_a_task_that_would_be_tried_again() -> None:
    simulation = waiting()
    simulation.do(Cancel("w"))
    assert statuses(simulation) == {"f": "CANCELED"}
    assert simulation.do(Fire("w", 1, "f", 2)) == []


# -- what counts ------------------------------------------------------------------------------------------------------


def test_a_lost_attempt_is_not_counted() -> None:
    simulation = start(chain(1, max_retries=1))
    for _ in range(5):
        assert end(simulation, "f", BAD._replace(kind="lost"))[-1] == ev.ATTEMPT_SUBMITTED
    assert statuses(simulation) == {"f": "PENDING"}
    assert end(simulation, "f", SYSTEM)[-1] == ev.ATTEMPT_SUBMITTED
    assert end(simulation, "f", SYSTEM)[-1] == ev.WORKFLOW_FAILED


def test_a_lost_attempt_does_not_wait_for_the_next() -> None:
    simulation = start(chain(1, retry=RetryPolicy(60.0)))
    assert end(simulation, "f", BAD._replace(kind="lost"))[-1] == ev.ATTEMPT_SUBMITTED


def test_a_dead_worker_interrupts_an_interruptible_task() -> None:
    simulation = start(chain(1, max_retries=1, interruptible=True))
    end(simulation, "f", SYSTEM)
    assert end(simulation, "f", SYSTEM)[-1] == ev.WORKFLOW_INTERRUPTED
    assert status(simulation) == "RESUMABLE"
    assert workflow(simulation).failed_task_id == "f"
    assert submitted(simulation.do(Resume("w"))) == ["f"]
    end(simulation, "f")
    assert status(simulation) == "SUCCESSFUL"


def test_an_error_of_user_code_fails_an_interruptible_task() -> None:
    simulation = start(chain(1, max_retries=0, interruptible=True))
    end(simulation, "f", BAD)
    assert status(simulation) == "FAILED"


# -- timeouts ---------------------------------------------------------------------------------------------------------

LATE = Outcome(False, 5, kind="timeout", error_type="AttemptTimeoutError", error_message="late")


def test_an_attempt_that_takes_too_long_is_retried_then_fails() -> None:
    simulation = start(chain(1, max_retries=1, timeout_s=1.0))
    assert end(simulation, "f", LATE)[-1] == ev.ATTEMPT_SUBMITTED
    assert end(simulation, "f", LATE)[-1] == ev.WORKFLOW_FAILED
    assert task(simulation, "f").error_type == "AttemptTimeoutError"


def test_an_attempt_that_takes_too_long_is_caught_after_its_retries() -> None:
    simulation = start(chain(1, max_retries=1, timeout_s=1.0, catch_exceptions=True))
    assert end(simulation, "f", LATE)[-1] == ev.ATTEMPT_SUBMITTED
    assert end(simulation, "f", LATE) == [ev.ATTEMPT_FAILED, ev.TASK_ERROR_CAUGHT, ev.WORKFLOW_SUCCEEDED]


def test_a_run_that_takes_too_long_fails_and_leaves_its_tasks_to_a_resume() -> None:
    both = dag(plain("a"), timer(60.0), plain("b", 0, 1))
    simulation = start(both, timeout_s=10.0)
    began = simulation.now
    assert workflow(simulation).deadline_at == began + 10 * SECOND
    due_at = task(simulation, "timer").due_at
    events = simulation.ring(began + 10 * SECOND)
    assert [(event.type, event.task_id, event.status, event.task_status) for event in events] == [
        (ev.ATTEMPT_FAILED, "a", "CANCELED", "PENDING"),
        (ev.ATTEMPT_FAILED, "timer", "CANCELED", "PENDING"),
        (ev.WORKFLOW_FAILED, None, "FAILED", None),
    ]
    assert workflow(simulation).error_type == "WorkflowTimeoutError"
    assert workflow(simulation).error_message == "the run took longer than 10 s"
    assert not simulation.open_attempts()
    assert simulation.do(RecordOutcome("w", 1, "a", 1, OK)) == []
    simulation.do(Resume("w"))
    assert workflow(simulation).deadline_at == simulation.now + 10 * SECOND
    assert task(simulation, "timer").due_at == due_at
    assert simulation.do(Expire("w", 1)) == []
    simulation.ring(due_at)
    assert status(simulation) == "FAILED"  # the timer is longer than the timeout, and runs on over both runs
    simulation.do(Resume("w"))
    fire(simulation, "timer")
    end(simulation, "a")
    end(simulation, "b")
    assert status(simulation) == "SUCCESSFUL"
    assert expire(simulation) == []


def test_a_workflow_without_a_timeout_never_expires() -> None:
    simulation = start(chain(1))
    assert expire(simulation) == []


def test_a_timeout_gives_its_slot_to_the_next() -> None:
    simulation = Simulation()
    simulation.append(Event(ts=1, type=ev.CONFIG_SET, attributes=json.dumps({"max_running_workflows": 1})))
    simulation.do(Submit("w", chain(1), timeout_s=1.0))
    simulation.do(Submit("v", chain(1)))
    assert simulation.state.workflows["v"].status == "PENDING"
    expire(simulation)
    assert simulation.state.workflows["v"].status == "RUNNING"


def test_the_deadline_is_written_with_the_run() -> None:
    simulation = start(chain(1), timeout_s=2.5)
    assert last(simulation, ev.WORKFLOW_STARTED).attribute("deadline_at") == simulation.now + 2_500_000
    simulation.do(Interrupt("w"))
    assert expire(simulation) == []
