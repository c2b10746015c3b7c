"""The rules, one by one: what a command causes, and what it must not."""

from __future__ import annotations

import queue

import pytest

from tests.model.driving import BAD, OK, dag, end, fire, plain, start, status, statuses, wait
from tests.model.histories import Simulation, chain
from wfstore import errors
from wfstore.model import events as ev
from wfstore.model.commands import (
    Cancel,
    Delete,
    Interrupt,
    Place,
    RecordOutcome,
    RecordStarted,
    Resume,
    Submit,
)
from wfstore.model.dag import DagSpec, TaskOptions, TaskSpec
from wfstore.model.events import Event


def diamond(**options: object) -> DagSpec:
    o = TaskOptions(**options)  # type: ignore[arg-type]
    tasks = (
        TaskSpec("a", "m.a", "h", options=o),
        TaskSpec("b", "m.b", "h", None, (0,), ("argument",), (), o),
        TaskSpec("c", "m.c", "h", None, (0,), ("argument",), (), o),
        TaskSpec("d", "m.d", "h", None, (1, 2, 1), ("argument",) * 3, (), o),
    )
    return DagSpec(tasks, 3)


def test_a_plain_task_costs_four_rows() -> None:
    simulation = start(chain(1))
    end(simulation, "f")
    rows = [event.type for event in simulation.log if event.task_id]
    assert rows == [ev.TASK_DEFINED, ev.ATTEMPT_SUBMITTED, ev.ATTEMPT_STARTED, ev.ATTEMPT_SUCCEEDED]
    assert status(simulation) == "SUCCESSFUL"


def test_a_dependent_starts_when_its_last_upstream_has_succeeded() -> None:
    simulation = start(diamond())
    assert end(simulation, "a").count(ev.ATTEMPT_SUBMITTED) == 2
    assert ev.ATTEMPT_SUBMITTED not in end(simulation, "c")
    assert ev.ATTEMPT_SUBMITTED in end(simulation, "b")
    assert ev.WORKFLOW_SUCCEEDED in end(simulation, "d")


def test_the_same_outcome_twice_counts_once() -> None:
    simulation = start(chain(2))
    command = RecordOutcome("w", 1, "f", 1, OK)
    assert simulation.do(command)
    assert simulation.do(command) == []


def test_the_same_submission_twice_counts_once() -> None:
    simulation = start(chain(1), request_id="r")
    assert simulation.do(Submit("w", chain(1), request_id="r")) == []
    with pytest.raises(errors.WorkflowRunningError, match="already running or pending") as caught:
        simulation.do(Submit("w", chain(1), request_id="other"))
    assert isinstance(caught.value, RuntimeError)


def test_names_repeat_with_a_suffix_and_never_collide() -> None:
    tasks = tuple(TaskSpec(name, "m.f", "h") for name in ("f", "f", "f_1", "f"))
    last = TaskSpec("g", "m.g", "h", None, (0, 1, 2, 3), ("argument",) * 4)
    simulation = start(DagSpec((*tasks, last), 4))
    assert list(statuses(simulation)) == ["f", "f_1", "f_1_1", "f_2", "g"]


@pytest.mark.parametrize(
    ("kind", "retryable", "submitted"),
    [("app", False, 1), ("app", True, 3), ("system", False, 3), ("oom", False, 3), ("serialization", False, 1)],
)
def test_retries(kind: str, retryable: bool, submitted: int) -> None:
    simulation = start(chain(1, max_retries=2))
    outcome = BAD._replace(kind=kind, retryable=retryable)
    while simulation.open_attempts():
        end(simulation, "f", outcome)
    assert sum(event.type == ev.ATTEMPT_SUBMITTED for event in simulation.log) == submitted
    assert status(simulation) == "FAILED"
    assert simulation.state.workflows["w"].failed_task_id == "f"


def test_an_attempt_lost_with_its_manager_is_not_counted() -> None:
    simulation = start(chain(1, max_retries=0))
    simulation.do(Interrupt("w"))
    assert status(simulation) == "RESUMABLE"
    assert statuses(simulation) == {"f": "PENDING"}
    events = simulation.do(Resume("w"))
    submitted = [event for event in events if event.type == ev.ATTEMPT_SUBMITTED]
    assert [(event.run, event.attempt) for event in submitted] == [(2, 1)]


def test_a_resume_runs_only_what_has_not_succeeded() -> None:
    simulation = start(diamond(max_retries=0))
    end(simulation, "a")
    end(simulation, "b", BAD)
    assert status(simulation) == "FAILED"
    assert end(simulation, "c") == [ev.ATTEMPT_STARTED, ev.ATTEMPT_SUCCEEDED]
    types = [(event.type, event.task_id) for event in simulation.do(Resume("w"))]
    assert (ev.ATTEMPT_SUBMITTED, "b") in types
    assert {task for kind, task in types if kind == ev.TASK_REUSED} == {"a", "c"}
    assert [task for kind, task in types if kind == ev.ATTEMPT_SUBMITTED] == ["b"]
    end(simulation, "b")
    end(simulation, "d")
    assert status(simulation) == "SUCCESSFUL"


def test_what_still_runs_after_a_failure_is_not_started_again_by_a_resume() -> None:
    simulation = start(diamond(max_retries=0))
    end(simulation, "a")
    end(simulation, "b", BAD)
    events = simulation.do(Resume("w"))
    assert [event.task_id for event in events if event.type == ev.ATTEMPT_SUBMITTED] == ["b"]
    end(simulation, "c")
    end(simulation, "b")
    end(simulation, "d")
    assert status(simulation) == "SUCCESSFUL"
    assert sum(e.type == ev.ATTEMPT_SUBMITTED and e.task_id == "c" for e in simulation.log) == 1


def test_outputs_that_were_not_kept_are_computed_again() -> None:
    simulation = start(chain(3, checkpoint=False, max_retries=0))
    lost = OK._replace(stored=False)
    end(simulation, "f", lost)
    end(simulation, "f_1", lost)
    end(simulation, "f_2", lost)
    assert status(simulation) == "SUCCESSFUL"
    for event in simulation.log:
        assert event.type != ev.ATTEMPT_SUCCEEDED or (event.payload is None and event.uri is None)
    events = simulation.do(Submit("w", chain(1)))
    assert [event.task_id for event in events if event.type == ev.TASK_RESET] == ["f_2", "f_1", "f"]
    assert [event.task_id for event in events if event.type == ev.ATTEMPT_SUBMITTED] == ["f"]
    for task_id in ("f", "f_1", "f_2"):
        end(simulation, task_id, lost)
    assert status(simulation) == "SUCCESSFUL"


def test_a_finished_id_is_answered_from_the_store() -> None:
    simulation = start(chain(1))
    end(simulation, "f")
    assert simulation.do(Submit("w", chain(5))) == []


def test_catching_takes_the_error_as_the_output() -> None:
    simulation = start(chain(2, catch_exceptions=True, max_retries=0))
    types = end(simulation, "f", BAD)
    assert types == [ev.ATTEMPT_STARTED, ev.ATTEMPT_FAILED, ev.TASK_ERROR_CAUGHT, ev.ATTEMPT_SUBMITTED]
    end(simulation, "f_1")
    assert status(simulation) == "SUCCESSFUL"
    assert statuses(simulation) == {"f": "CAUGHT", "f_1": "SUCCESSFUL"}


def test_a_worker_that_dies_is_not_caught() -> None:
    simulation = start(chain(1, catch_exceptions=True, max_retries=0))
    end(simulation, "f", BAD._replace(kind="system"))
    assert status(simulation) == "FAILED"


def test_a_continuation_stands_for_the_task_that_returned_it() -> None:
    simulation = start(chain(2))
    types = end(simulation, "f", OK._replace(output=None, continuation=chain(2)))
    assert types[2] == ev.TASK_CONTINUED
    assert list(statuses(simulation)) == ["f", "f_1", "f_2", "f_3"]
    end(simulation, "f_2")
    assert ev.ATTEMPT_SUBMITTED in end(simulation, "f_3")
    end(simulation, "f_1")
    assert status(simulation) == "SUCCESSFUL"


def test_catching_covers_the_whole_continuation() -> None:
    simulation = start(chain(2, catch_exceptions=True, max_retries=0))
    end(simulation, "f", OK._replace(output=None, continuation=chain(3, max_retries=0)))
    types = end(simulation, "f_2", BAD)
    assert ev.TASK_ERROR_CAUGHT in types
    assert ev.ATTEMPT_SUBMITTED in types
    assert statuses(simulation) == {
        "f": "CAUGHT", "f_1": "PENDING", "f_2": "FAILED", "f_3": "SKIPPED", "f_4": "SKIPPED",
    }  # fmt: skip


def test_a_late_error_below_a_caught_one_changes_nothing_else() -> None:
    wide = DagSpec(
        (
            TaskSpec("x", "m.x", "h"),
            TaskSpec("x", "m.x", "h"),
            TaskSpec("y", "m.y", "h", None, (0, 1), ("argument",) * 2),
        ),
        2,
    )
    simulation = start(chain(2, catch_exceptions=True, max_retries=0))
    end(simulation, "f", OK._replace(output=None, continuation=wide))
    end(simulation, "x", BAD)
    assert end(simulation, "x_1", BAD) == [ev.ATTEMPT_STARTED, ev.ATTEMPT_FAILED]
    assert status(simulation) == "RUNNING"
    end(simulation, "f_1")
    assert status(simulation) == "SUCCESSFUL"


def test_cancel_ends_everything_at_once() -> None:
    simulation = start(diamond())
    end(simulation, "a")
    simulation.do(Cancel("w"))
    assert status(simulation) == "CANCELED"
    assert statuses(simulation) == {"a": "SUCCESSFUL", "b": "CANCELED", "c": "CANCELED", "d": "CANCELED"}
    assert not simulation.open_attempts()
    assert simulation.do(Cancel("w")) == []
    with pytest.raises(errors.WorkflowNotResumableError):
        simulation.do(Resume("w"))


def test_cancel_of_a_finished_one_leaves_it_finished() -> None:
    simulation = start(chain(1))
    end(simulation, "f")
    assert simulation.do(Cancel("w")) == []
    assert status(simulation) == "SUCCESSFUL"


def test_the_queue_is_first_in_first_out_and_full_means_nothing_written() -> None:
    simulation = Simulation()
    simulation.append(
        Event(ts=1, type=ev.CONFIG_SET, attributes='{"max_running_workflows":1,"max_pending_workflows":1}')
    )
    for name in ("w", "v"):
        simulation.do(Submit(name, chain(1)))
    before = len(simulation.log)
    with pytest.raises(queue.Full, match="Workflow queue has been full"):
        simulation.do(Submit("u", chain(1)))
    assert len(simulation.log) == before
    assert simulation.state.workflows["v"].status == "PENDING"
    events = end(simulation, "f")
    assert events[-2:] == [ev.WORKFLOW_STARTED, ev.ATTEMPT_SUBMITTED]
    assert simulation.state.workflows["v"].status == "RUNNING"


def test_cancel_of_a_waiting_one_takes_effect_at_once() -> None:
    simulation = Simulation()
    simulation.append(Event(ts=1, type=ev.CONFIG_SET, attributes='{"max_running_workflows":1}'))
    for name in ("w", "v"):
        simulation.do(Submit(name, chain(1)))
    simulation.do(Cancel("v"))
    assert simulation.state.workflows["v"].status == "CANCELED"
    assert not simulation.state.queue
    end(simulation, "f")
    assert simulation.state.workflows["v"].status == "CANCELED"


def test_delete_frees_the_id_and_runs_number_on() -> None:
    simulation = start(chain(1))
    with pytest.raises(errors.WorkflowStillActiveError):
        simulation.do(Delete("w"))
    end(simulation, "f")
    simulation.do(Delete("w", request_id="d"))
    assert simulation.do(Delete("w", request_id="d")) == []
    with pytest.raises(errors.WorkflowNotFoundError):
        simulation.do(Delete("w", request_id="e"))
    events = simulation.do(Submit("w", chain(1)))
    assert {event.run for event in events if event.type == ev.WORKFLOW_STARTED} == {2}


def test_a_deletion_that_is_repeated_spares_the_next_life() -> None:
    simulation = start(chain(1))
    end(simulation, "f")
    simulation.do(Delete("w", request_id="d"))
    simulation.do(Submit("w", chain(1)))
    end(simulation, "f")
    assert simulation.do(Delete("w", request_id="d")) == []
    assert status(simulation) == "SUCCESSFUL"


def test_a_submission_that_is_repeated_sets_its_metadata_once() -> None:
    simulation = start(chain(1))
    end(simulation, "f")
    first = Submit("w", chain(1), {"k": 1}, request_id="first")
    assert [event.type for event in simulation.do(first)] == [ev.WORKFLOW_METADATA_SET]
    simulation.do(Submit("w", chain(1), {"k": 2}, request_id="second"))
    assert simulation.do(first) == []
    assert simulation.state.workflows["w"].metadata == {"k": 2}


def test_one_that_ends_as_soon_as_it_is_admitted_gives_its_slot_to_the_next() -> None:
    """Its output was made while it was FAILED, by an attempt that went on."""
    simulation = Simulation()
    simulation.append(Event(ts=1, type=ev.CONFIG_SET, attributes='{"max_running_workflows":1}'))
    simulation.do(Submit("w", dag(plain("b", max_retries=0), wait(0, timeout_s=5.0))))
    end(simulation, "b", BAD)
    fire(simulation, "wait")
    simulation.do(Submit("v", chain(1)))
    simulation.do(Resume("w"))
    simulation.do(Submit("u", chain(1)))
    end(simulation, "wait")
    assert [simulation.state.workflows[name].status for name in "wvu"] == ["PENDING", "RUNNING", "PENDING"]
    simulation.do(RecordOutcome("v", 1, "f", 1, OK))
    assert [simulation.state.workflows[name].status for name in "wvu"] == ["SUCCESSFUL", "SUCCESSFUL", "RUNNING"]


def test_new_code_is_for_what_has_not_succeeded() -> None:
    simulation = start(DagSpec((plain("a"), plain("b", 0), plain("c", 1, max_retries=0)), 2))
    end(simulation, "a")
    end(simulation, "b", OK._replace(output=None, continuation=dag(plain("d"))))
    end(simulation, "d")
    end(simulation, "c", BAD)
    events = simulation.do(Resume("w", functions=(("h", "new", None), ("other", "newer", "c0de"))))
    assert [(e.task_id, e.hash) for e in events if e.type == ev.TASK_CODE_SET] == [("c", "new")]
    assert [(e.task_id, e.hash) for e in events if e.type == ev.ATTEMPT_SUBMITTED] == [("c", "new")]


def test_a_dead_worker_below_a_caught_error_changes_nothing() -> None:
    below = DagSpec((plain("x", max_retries=0), plain("y", max_retries=0), plain("z", 0, 1)), 2)
    simulation = start(chain(2, catch_exceptions=True))
    end(simulation, "f", OK._replace(output=None, continuation=dag(plain("g"))))
    end(simulation, "g", OK._replace(output=None, continuation=below))
    end(simulation, "x", BAD)
    assert end(simulation, "y", BAD._replace(kind="system"))[-1] == ev.ATTEMPT_FAILED
    assert status(simulation) == "RUNNING"


@pytest.mark.parametrize("command", [Cancel("x"), Delete("x"), Interrupt("x")])
def test_unknown_ids_are_named(command: object) -> None:
    with pytest.raises(errors.WorkflowNotFoundError, match="x"):
        Simulation().do(command)  # type: ignore[arg-type]


def test_resume_of_an_unknown_one() -> None:
    with pytest.raises(errors.WorkflowNotResumableError, match=r"Workflow\[id=x\] is not resumable"):
        Simulation().do(Resume("x"))


@pytest.mark.parametrize("workflow_id", ["", "a\0b", "a\nb", "x" * 10_000, "\ud800"])
def test_ids_that_are_refused(workflow_id: str) -> None:
    simulation = Simulation()
    with pytest.raises(ValueError):
        simulation.do(Submit(workflow_id, chain(1)))
    assert simulation.log == []


@pytest.mark.parametrize("workflow_id", ["a/b", "../../etc", "🐇", " ", "x" * 1024])
def test_ids_that_are_kept(workflow_id: str) -> None:
    simulation = Simulation()
    simulation.do(Submit(workflow_id, chain(1)))
    assert list(simulation.state.workflows) == [workflow_id]


@pytest.mark.parametrize("metadata", [{"k": object()}, {"k": float("nan")}, {"k": {1, 2}}, {("t",): 1}])
def test_metadata_is_refused_by_key_before_anything_is_written(metadata: dict[str, object]) -> None:
    simulation = Simulation()
    with pytest.raises(ValueError, match=r"k|\('t',\)"):
        simulation.do(Submit("w", chain(1), metadata))
    assert simulation.log == []


def test_a_start_is_recorded_once() -> None:
    simulation = start(chain(1))
    report = RecordStarted("w", 1, "f", 1, Place(3, "n", 1, "r"))
    assert len(simulation.do(report)) == 1
    assert simulation.do(report) == []
    assert end(simulation, "f").count(ev.ATTEMPT_STARTED) == 0


def test_two_thousand_deep_continuations_resolve_from_the_root() -> None:
    simulation = start(chain(1))
    deep = OK._replace(output=None, continuation=chain(1))
    for level in range(2000):
        end(simulation, "f" if level == 0 else f"f_{level}", deep)
    end(simulation, "f_2000")
    assert status(simulation) == "SUCCESSFUL"
    assert simulation.state.workflows["w"].tasks["f_2000"].root == "f"
