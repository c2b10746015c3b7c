"""Events that are sent to a workflow: kept when early, given to one task, never lost, never used twice."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model.dags import ref
from tests.model.driving import (
    BAD,
    OK,
    dag,
    end,
    last,
    new_actor,
    plain,
    start,
    status,
    submitted,
    task,
    types,
    workflow,
)
from tests.model.histories import Simulation, random_history
from wfstore import errors
from wfstore.model import events as ev
from wfstore.model.commands import AwaitEvent, Cancel, Delete, RecordOutcome, Resume, SendEvent, Submit
from wfstore.model.dag import EVENT, DagSpec
from wfstore.model.inbox import MOST_KEPT, Inbox
from wfstore.model.payload import PayloadRef

SEEDS = st.integers(0, 2**32)


def two(**options: object) -> DagSpec:
    """Two listeners, `first` and `second`, and one who takes both events."""
    given = {"max_retries": 0, **options}
    return dag(*(plain(name, **given)._replace(type=EVENT) for name in ("first", "second")), plain("use", 0, 1))


def send(simulation: Simulation, key: str = "go", text: str = "x", request_id: str | None = None) -> list[str]:
    return types(simulation.do(SendEvent("w", key, ref(text), request_id, "me")))


def wait(simulation: Simulation, task_id: str, key: str = "go") -> list[str]:
    waiting = task(simulation, task_id)
    return types(simulation.do(AwaitEvent("w", waiting.open_run or 0, task_id, waiting.open_attempt, key)))


def inbox(simulation: Simulation) -> Inbox:
    found = workflow(simulation).inbox
    assert found is not None
    return found


def kept(simulation: Simulation) -> list[tuple[int, str | None]]:
    return [(event.number, event.task_id) for event in inbox(simulation).kept.values()]


def test_an_early_event_is_kept_for_the_first_who_waits_under_its_key() -> None:
    simulation = start(two())
    assert send(simulation, "go") == [ev.EVENT_SENT]
    assert wait(simulation, "second", "stop") == [ev.EVENT_AWAITED]
    assert wait(simulation, "first", "go") == [ev.EVENT_AWAITED, ev.EVENT_DELIVERED]
    assert last(simulation, ev.EVENT_DELIVERED).task_id == "first"
    assert end(simulation, "first") == [ev.ATTEMPT_SUCCEEDED, ev.EVENT_RECEIVED]
    assert kept(simulation) == []


def test_who_waits_gets_it_in_the_commit_in_which_it_comes() -> None:
    simulation = start(two())
    wait(simulation, "first")
    assert send(simulation) == [ev.EVENT_SENT, ev.EVENT_DELIVERED]
    delivered = last(simulation, ev.EVENT_DELIVERED)
    assert (delivered.run, delivered.task_id, delivered.attempt, delivered.name) == (1, "first", 1, "go")
    sent = last(simulation, ev.EVENT_SENT)
    assert (sent.name, sent.by, sent.payload, sent.task_id, sent.status) == ("go", "me", b"x", None, None)
    assert sent.attribute("number") == delivered.attribute("number") == 1


def test_one_key_is_for_one_at_a_time_and_free_again_afterwards() -> None:
    simulation = start(two())
    wait(simulation, "first")
    for waiting in ("second", "first"):
        with pytest.raises(errors.WorkflowEventHandleError, match=r"the same key 'go' is used .* task 'first' waits"):
            wait(simulation, waiting)
    send(simulation, text="a")
    assert send(simulation, text="b") == [ev.EVENT_SENT]
    with pytest.raises(errors.WorkflowEventHandleError):
        wait(simulation, "second")
    end(simulation, "first")
    assert wait(simulation, "second") == [ev.EVENT_AWAITED, ev.EVENT_DELIVERED]
    assert kept(simulation) == [(2, "second")]


def test_events_of_one_key_come_in_the_order_in_which_they_were_sent() -> None:
    simulation = start(two())
    for text in "abc":
        send(simulation, text=text)
    wait(simulation, "second")
    end(simulation, "second")
    wait(simulation, "first")
    end(simulation, "first")
    assert kept(simulation) == [(3, None)]


def test_a_crash_before_the_event_is_durable_as_output_gives_it_to_the_same_task_again() -> None:
    simulation = start(two())
    wait(simulation, "first")
    send(simulation)
    simulation.crash()
    assert kept(simulation) == [(1, "first")]
    assert sorted(map(str, submitted(simulation.do(Resume("w"))))) == ["first", "second"]
    assert wait(simulation, "second") == [ev.EVENT_AWAITED]
    simulation.crash()
    simulation.do(Resume("w"))
    assert wait(simulation, "first") == [ev.EVENT_AWAITED, ev.EVENT_DELIVERED]
    delivered = last(simulation, ev.EVENT_DELIVERED)
    assert (delivered.run, delivered.attribute("number")) == (3, 1)


def test_a_listener_that_fails_gets_its_event_again() -> None:
    simulation = start(two(max_retries=1))
    send(simulation)
    wait(simulation, "first")
    assert ev.ATTEMPT_SUBMITTED in end(simulation, "first", BAD._replace(retryable=True))
    assert wait(simulation, "first") == [ev.EVENT_AWAITED, ev.EVENT_DELIVERED]
    end(simulation, "first", BAD)
    assert status(simulation) == "FAILED"
    simulation.do(Resume("w"))
    assert wait(simulation, "first")[-1] == ev.EVENT_DELIVERED


def test_one_whose_error_was_caught_leaves_it_to_others() -> None:
    simulation = start(two(catch_exceptions=True))
    send(simulation)
    wait(simulation, "first")
    end(simulation, "first", BAD)
    assert wait(simulation, "second")[-1] == ev.EVENT_DELIVERED
    assert kept(simulation) == [(1, "second")]
    end(simulation, "second")
    assert kept(simulation) == []


def test_several_keys_of_one_listener() -> None:
    simulation = start(two())
    for key in ("a", "b"):
        wait(simulation, "first", key)
        send(simulation, key)
    end(simulation, "first")
    assert (kept(simulation), inbox(simulation).awaited, inbox(simulation).awaits) == ([], {}, {})


def test_a_resend_counts_once_also_after_it_was_used_and_after_the_end() -> None:
    simulation = start(two())
    assert send(simulation, request_id="r") == [ev.EVENT_SENT]
    assert send(simulation, request_id="r") == []
    wait(simulation, "first")
    for name in ("first", "second", "use"):
        end(simulation, name)
    assert status(simulation) == "SUCCESSFUL"
    assert send(simulation, request_id="r") == []


def test_what_nobody_can_ever_take_is_refused() -> None:
    simulation = start(two())
    with pytest.raises(errors.WorkflowNotFoundError):
        simulation.do(SendEvent("other", "go", ref()))
    simulation.do(Cancel("w"))
    with pytest.raises(errors.WorkflowEventHandleError, match="CANCELED"):
        send(simulation)
    simulation.do(Delete("w"))
    with pytest.raises(errors.WorkflowNotFoundError):
        send(simulation)


def test_a_failed_an_interrupted_and_an_idle_one_keep_it() -> None:
    simulation = start(two())
    end(simulation, "first", BAD)
    assert status(simulation) == "FAILED"
    assert send(simulation) == [ev.EVENT_SENT]
    simulation.do(Resume("w"))
    simulation.crash()
    assert status(simulation) == "RESUMABLE"
    assert send(simulation) == [ev.EVENT_SENT]
    idle = Simulation()
    idle.do(new_actor())
    end(idle, "__init__")
    assert status(idle) == "SUCCESSFUL"
    assert send(idle) == [ev.EVENT_SENT]


def test_a_stale_attempt_waits_for_nothing() -> None:
    simulation = start(two())
    simulation.crash()
    assert simulation.do(AwaitEvent("w", 1, "first", 1, "go")) == []
    assert simulation.do(AwaitEvent("none", 1, "first", 1, "go")) == []


def test_a_deleted_id_begins_anew() -> None:
    simulation = start(two())
    send(simulation)
    simulation.do(Cancel("w"))
    simulation.do(Delete("w"))
    simulation.do(Submit("w", two()))
    assert wait(simulation, "first") == [ev.EVENT_AWAITED]


@pytest.mark.parametrize("key", ["", "x" * 1025, "a\x00b", "line\nline", "\ud800"])
def test_keys_that_are_no_keys(key: str) -> None:
    simulation = start(two())
    with pytest.raises(errors.InvalidCommandError, match="event_key"):
        send(simulation, key)
    with pytest.raises(errors.InvalidCommandError, match="event_key"):
        wait(simulation, "first", key)


def test_a_key_that_is_no_text() -> None:
    with pytest.raises(TypeError, match="event_key has to be text, not int"):
        start(two()).do(SendEvent("w", 7, ref()))  # type: ignore[arg-type]


def test_there_is_an_end_to_what_is_kept() -> None:
    simulation = start(two())
    given = inbox_of(simulation)
    for number in range(MOST_KEPT):
        given.send(str(number), PayloadRef("h", 1, b"x"))
    with pytest.raises(errors.WorkflowEventHandleError, match="10,000 events are kept"):
        send(simulation)


def inbox_of(simulation: Simulation) -> Inbox:
    found = workflow(simulation).inbox = Inbox()
    return found


# -- laws -------------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_every_event_is_kept_until_one_task_has_succeeded_with_it(seed: int) -> None:
    sent: dict[str, set[int]] = {}
    given: dict[tuple[str, str], set[int]] = {}
    simulation = random_history(seed, 120)
    for event in simulation.log:
        name, task_id = event.workflow_id or "", event.task_id or ""
        if event.type == ev.WORKFLOW_DELETED:
            sent.pop(name, None)
            given = {key: numbers for key, numbers in given.items() if key[0] != name}
        elif event.type == ev.EVENT_SENT:
            sent.setdefault(name, set()).add(event.attribute("number"))
        elif event.type == ev.EVENT_DELIVERED:
            number = event.attribute("number")
            assert number in sent[name], "used before"
            for (other, _), numbers in given.items():
                if other == name:
                    numbers.discard(number)
            given.setdefault((name, task_id), set()).add(number)
        elif event.type == ev.ATTEMPT_SUCCEEDED:
            sent.get(name, set()).difference_update(given.pop((name, task_id), ()))
    for name, found in simulation.state.workflows.items():
        assert (set() if found.inbox is None else set(found.inbox.kept)) == sent.get(name, set())


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_nobody_waits_for_what_is_there(seed: int) -> None:
    simulation = random_history(seed, 0)
    for _ in range(120):
        simulation.step()
        for found in simulation.state.workflows.values():
            box = found.inbox
            if box is None:
                continue
            assert set(box.awaited.values()) == set(box.awaits) <= set(found.open_attempts)
            for key, task_id in box.awaited.items():
                under = list(box.under(key))
                assert (
                    not under
                    or any(event.task_id == task_id for event in under)
                    or all(event.task_id is not None for event in under)
                )


def test_the_histories_know_events() -> None:
    seen = {event.type for seed in range(60) for event in random_history(seed, 80).log}
    assert {ev.EVENT_SENT, ev.EVENT_AWAITED, ev.EVENT_DELIVERED} <= seen


def test_an_attempt_that_ends_after_its_workflow_has_failed_uses_its_event() -> None:
    simulation = start(two())
    wait(simulation, "second")
    send(simulation)
    end(simulation, "first", BAD)
    open_one = task(simulation, "second")
    simulation.do(RecordOutcome("w", open_one.open_run or 0, "second", open_one.open_attempt, OK))
    assert kept(simulation) == []
