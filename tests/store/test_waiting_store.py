"""Outputs and histories of timers, waits and virtual actors, read from disk."""

from __future__ import annotations

import pytest

import wfstore
from tests.index.waiting import Counter, payload, timed
from tests.index.worlds import FUNCTION, World, dag, spec
from tests.model.histories import actor_call
from wfstore import errors
from wfstore.log import open_writer
from wfstore.model.commands import Submit
from wfstore.payloads import PayloadStore


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> wfstore.Store:
    """timed; the actors c (three calls, the last one failed), many (60 calls), young (not constructed yet)."""
    path = tmp_path_factory.mktemp("waiting")
    world = World()
    timed(world)
    world.end("after")
    counter = Counter(world)
    counter.end(counter.call(), "first", {"n": 1})
    call = counter.call("twice")
    counter.returns(call, dag(spec("part"), spec("sum", 0)), {"n": 2})
    world.end("part", "c")
    world.end("sum", "c", output=payload("of the step"))
    counter.call()
    world.fail("incr_1")
    counter.read()
    many = Counter(world, "many")
    for _ in range(60):
        many.end(many.call(), None, 0)
    world.do(Submit("young", actor_call("__init__"), None, {}, "young", actor=("shop.Counter", "ac")))
    PayloadStore(str(path)).put_file(FUNCTION)
    writer = open_writer(str(path))
    writer.append(world.simulation.log)
    writer.close()
    return wfstore.open(str(path))


def test_the_output_of_an_actor_is_its_last_committed_state(waiting: wfstore.Store) -> None:
    assert waiting.history("c").status == "FAILED"
    assert waiting.output("c") == {"n": 2}
    assert waiting.output("many") == 0


def test_the_output_of_a_call_is_what_it_returned_in_the_end(waiting: wfstore.Store) -> None:
    assert waiting.output("c", "incr") == "first"
    assert waiting.output("c", "twice") == "of the step"
    with pytest.raises(errors.WorkflowExecutionError, match="incr_1"):
        waiting.output("c", "incr_1")


def test_an_actor_that_is_not_constructed_has_no_state(waiting: wfstore.Store) -> None:
    with pytest.raises(errors.WorkflowError, match="no output yet"):
        waiting.output("young")


def test_the_outputs_of_a_timer_and_a_wait(waiting: wfstore.Store) -> None:
    assert waiting.output("timed", "wait") == (["a"], ["nap"])
    with pytest.raises(errors.WorkflowError):
        waiting.output("timed", "nap")


def test_the_page_shows_types_where_there_are_any(waiting: wfstore.Store, store: wfstore.Store) -> None:
    lines = str(waiting.history("timed")).splitlines()
    assert any(line.split()[:2] == ["nap", "timer"] for line in lines)
    assert any(line.split()[:2] == ["a", "SUCCESSFUL"] for line in lines)
    assert "type" not in str(store.history("good"))


def test_the_page_of_an_actor_has_a_line_about_it_and_no_chain(waiting: wfstore.Store) -> None:
    page = str(waiting.history("c"))
    assert "virtual actor shop.Counter  4 calls (1 failed, 1 readonly)  state " in page
    last = {line.split()[0]: line.split()[-1] for line in page.splitlines() if line.startswith(("twice", "sum"))}
    assert last == {"twice": "s", "sum": "part"}
    assert waiting.history("timed").actor is None
    actor = waiting.history("c").actor
    assert actor is not None
    assert actor["calls"] == 4
