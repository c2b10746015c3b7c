"""What `show`, `history` and `tail` print of timers, waits and virtual actors."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Command
from tests.index.waiting import Counter, slow_retry, timed, timer
from tests.index.worlds import FUNCTION, World, dag, spec
from wfstore.log import open_writer
from wfstore.payloads import PayloadStore


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> str:
    """timed, asleep (a timer runs, a task waits for its next attempt), and the virtual actors c and many."""
    path = tmp_path_factory.mktemp("waiting")
    world = World()
    timed(world)
    world.submit("asleep", dag(timer("nap"), slow_retry("flaky"), spec("last", 0, 1)))
    world.fail("flaky", retryable=True)
    counter = Counter(world)
    counter.end(counter.call(), 1, 1)
    call = counter.call("twice")
    counter.returns(call, dag(spec("part")), 2)
    world.end("part", "c")
    counter.read()
    many = Counter(world, "many")
    for _ in range(100):
        for method in ("add", "take"):
            many.end(many.call(method), None, 0)
    PayloadStore(str(path)).put_file(FUNCTION)
    writer = open_writer(str(path))
    writer.append(world.simulation.log)
    writer.close()
    return str(path)


def test_types_and_times_stand_beside_the_tasks(wfstore: Command, waiting: str) -> None:
    out = wfstore("show", "asleep", "--storage", waiting).out
    nap = next(line for line in out.splitlines() if "nap" in line)
    flaky = next(line for line in out.splitlines() if "flaky" in line)
    assert "timer, until 20" in nap
    assert "again at 20" in flaky
    assert "function" not in out


def test_a_wait_hangs_below_what_it_chooses_among(wfstore: Command, waiting: str) -> None:
    answer = wfstore("show", "timed", "--storage", waiting)
    assert "wait, after a, nap" in answer.out
    slowest = answer.out.partition("Slowest")[2]
    assert [line.split()[0] for line in slowest.splitlines()[2:] if line] == ["a"]


def test_an_actor_reads_well(wfstore: Command, waiting: str) -> None:
    out = wfstore("show", "c", "--storage", waiting).out
    assert "shop.Counter  3 calls (1 readonly)  state " in out
    assert "├─ incr" in out
    assert "└─ twice" in out
    out = wfstore("show", "many", "--storage", waiting).out
    assert "├─ add x100" in out
    assert "└─ take x100" in out
    assert len(out.splitlines()) < 40


def test_json_has_the_row_of_the_actor(wfstore: Command, waiting: str) -> None:
    document = json.loads(wfstore("show", "c", "--storage", waiting, "--json").out)
    assert (document["actor"]["class"], document["actor"]["calls"]) == ("shop.Counter", 3)
    assert json.loads(wfstore("show", "timed", "--storage", waiting, "--json").out)["actor"] is None


def test_events_say_what_they_are_about(wfstore: Command, waiting: str) -> None:
    out = wfstore("tail", "--storage", waiting, "-n", "5000").out
    for words in ("timer.started", "due 20", "ready 0", "type timer", "class shop.Counter", "method twice", "readonly"):
        assert words in out, words
    table = wfstore("history", "c", "--events", "--storage", waiting).out
    assert "method twice" in table
    assert "actor.state_committed" in table


def test_a_rerun_of_an_actor_is_refused_before_ray_starts(wfstore: Command, waiting: str) -> None:
    answer = wfstore("rerun", "c", "--storage", waiting)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "wfstore: c is a virtual actor: only workflows can be run again\n"
    assert wfstore("rerun", "nope", "--storage", waiting).code == 1
    assert wfstore("resume", "timed", "--code", "newest", "--storage", waiting).code == 2
