"""A deleted workflow leaves nothing behind that could still report."""

from __future__ import annotations

from tests.model.histories import Simulation, ref
from wfstore.model import events as ev
from wfstore.model.commands import Delete, Outcome, Place, RecordOutcome, Submit
from wfstore.model.dag import DagSpec, TaskSpec

BAD = Outcome(False, 5, Place(3), kind="app", error_type="ValueError", error_message="no", error=ref("e"))


def test_delete_cancels_what_still_runs_after_a_failure_elsewhere() -> None:
    both = TaskSpec("both", "m.both", "h", None, (0, 1), ("argument", "argument"))
    simulation = Simulation()
    simulation.do(Submit("w", DagSpec((TaskSpec("fails", "m.f", "h"), TaskSpec("runs", "m.r", "h"), both), 2)))
    simulation.do(RecordOutcome("w", 1, "fails", 1, BAD))

    events = simulation.do(Delete("w", "request"))

    assert [(event.type, event.task_id, event.kind) for event in events] == [
        (ev.ATTEMPT_FAILED, "runs", "canceled"),
        (ev.WORKFLOW_DELETED, None, None),
    ]
    assert simulation.do(RecordOutcome("w", 1, "runs", 1, BAD)) == []
