"""What user code may say about its progress, and what a workflow's progress is."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.model.driving import dag, end, plain, start, task, workflow
from wfstore.model import events as ev
from wfstore.model.commands import Cancel, Interrupt, Outcome, Place, RecordProgress
from wfstore.model.progress import Progress, attributes_of, checked, progress_in, workflow_fraction
from wfstore.model.rows import task_row, workflow_row
from wfstore.model.wire import dumps

PLACE = Place(3, "n", 1, "r")


def test_what_is_kept() -> None:
    assert checked(0) == Progress(0.0)
    assert checked(1 / 3) == Progress(0.333333)
    assert checked(np.float32(0.5), "m", {"loss": np.float64(0.1), "n": np.int64(3), "ok": True, "why": None}) == (
        0.5,
        "m",
        {"loss": 0.1, "n": 3, "ok": True, "why": None},
    )
    assert len(checked(0, "x" * 5000).message or "") == 1000
    assert checked(0, "bad \udcff").message == "bad ?"


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan"), float("inf")])
def test_fractions_are_from_0_to_1(fraction: float) -> None:
    with pytest.raises(ValueError, match="a fraction from 0 to 1"):
        checked(fraction)


def test_other_nonsense() -> None:
    for fraction in ("half", None, True, [0.5]):
        with pytest.raises(TypeError, match="a fraction from 0 to 1"):
            checked(fraction)
    with pytest.raises(TypeError, match="message takes text"):
        checked(0.5, 7)
    with pytest.raises(TypeError, match="metric 'a' is a list"):
        checked(0.5, None, {"a": [1]})
    with pytest.raises(ValueError, match="metric 'a' is nan"):
        checked(0.5, None, {"a": float("nan")})
    with pytest.raises(ValueError, match="8,192 bytes"):
        checked(0.5, None, {"a": "x" * 9000})


def test_it_is_read_back_as_it_was_written() -> None:
    said = checked(0.25, 'so "far"', {"progress": 1, "loss": 1e-7})
    assert progress_in(dumps({"traceback": "t", **attributes_of(said)})) == said
    assert progress_in(dumps({"traceback": '"progress": 3'})) is None
    assert progress_in(None) is None


def test_of_a_workflow() -> None:
    assert workflow_fraction("RUNNING", 4, 1, 500_000) == 0.375
    assert workflow_fraction("SUCCESSFUL", 4, 3, 0) == 1.0
    assert workflow_fraction("PENDING", 0, 0, 0) is None


def test_the_last_word_of_an_attempt_is_kept_however_it_ends() -> None:
    said = Progress(0.5, "half")
    for stop in (Cancel("w"), Interrupt("w")):
        simulation = start(dag(plain("a")))
        events = simulation.do(RecordProgress("w", 1, "a", 1, said, PLACE))
        assert [event.type for event in events] == [ev.ATTEMPT_STARTED, ev.ATTEMPT_PROGRESSED]
        assert simulation.do(RecordProgress("w", 1, "a", 1, said, PLACE)) == []
        assert workflow_row(workflow(simulation))["progress"] == 0.5
        (ended,) = [event for event in simulation.do(stop) if event.type == ev.ATTEMPT_FAILED]
        assert progress_in(ended.attributes) == said
        assert task_row(workflow(simulation), task(simulation, "a"))["progress_message"] == "half"


def test_a_new_attempt_has_said_nothing() -> None:
    simulation = start(dag(plain("a", max_retries=1)))
    simulation.do(RecordProgress("w", 1, "a", 1, Progress(0.5), PLACE))
    end(simulation, "a", Outcome(False, 5, PLACE, kind="system", error_type="E", error_message="m"))
    assert task(simulation, "a").progress is None
    late = RecordProgress("w", 1, "a", 1, Progress(0.9), PLACE)
    assert simulation.do(late) == [], "the attempt has ended"
    end(simulation, "a", Outcome(True, 9, PLACE, progress=Progress(1.0, "done", {"n": 1})))
    row = task_row(workflow(simulation), task(simulation, "a"))
    assert (row["progress"], json.loads(row["progress_metrics"])) == (1.0, {"n": 1})
