"""Answers are kept exactly as long as they are true."""

from __future__ import annotations

import pytest

from tests.dashboard.fakes import FakeObservability, task_row
from wfstore.dashboard import kept as module
from wfstore.dashboard.kept import Kept, Made


class Maker:
    """Counts how often an answer is made."""

    def __init__(self, live: bool = False, size: int = 10, under_way: bool = False) -> None:
        self.times = 0
        self._live, self._size, self._open = live, size, under_way

    def __call__(self) -> Made:
        self.times += 1
        return Made(b"%d" % self.times + b" " * self._size, self._live, self._open)


@pytest.fixture
def world() -> FakeObservability:
    return FakeObservability()


def kept(world: FakeObservability) -> Kept:
    return Kept(world)  # type: ignore[arg-type]


def test_it_is_made_once(world: FakeObservability) -> None:
    answers, make = kept(world), Maker()
    assert answers.get("a", make) == answers.get("a", make) == answers.get("a", make)
    assert make.times == 1


def test_it_is_made_anew_when_something_changed(world: FakeObservability) -> None:
    answers, make = kept(world), Maker()
    answers.get("a", make)
    world.say(tasks=[task_row("a", "t")])
    assert answers.get("a", make).startswith(b"2")
    world.say(deleted=["a"])
    assert answers.get("a", make).startswith(b"3")
    world.said.append(([], [], []))
    world.kept = len(world.said)
    assert answers.get("a", make).startswith(b"4"), "what may have been missed counts as a change"
    assert answers.get("a", make).startswith(b"4")


def test_what_changes_while_it_is_made_counts(world: FakeObservability) -> None:
    answers, again = kept(world), Maker()

    def make() -> Made:
        world.say(tasks=[task_row("a", "t")])
        return Made(b"old", False)

    answers.get("a", make)
    assert answers.get("a", again).startswith(b"1")


def test_an_answer_out_of_memory_lives_shortly(world: FakeObservability, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, make = kept(world), Maker(live=True)
    monkeypatch.setattr(module, "LIVE_S", 60.0)
    answers.get("a", make)
    answers.get("a", make)
    monkeypatch.setattr(module, "LIVE_S", -1.0)
    answers.get("a", make)
    assert make.times == 2


def test_a_stored_one_is_looked_at_now_and_then(world: FakeObservability, monkeypatch: pytest.MonkeyPatch) -> None:
    """A manager that dies leaves no event."""
    answers, make = kept(world), Maker()
    answers.get("a", make)
    monkeypatch.setattr(module, "STORED_S", -1.0)
    answers.get("a", make)
    assert make.times == 2


def test_room_is_bounded(world: FakeObservability, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", 1000)
    answers = kept(world)
    makers = {name: Maker(size=300) for name in "abcdef"}
    for name, make in makers.items():
        answers.get(name, make)
    assert answers._bytes <= 1000
    answers.get("f", makers["f"])
    answers.get("a", makers["a"])
    assert (makers["f"].times, makers["a"].times) == (1, 2)


def test_an_error_is_not_kept(world: FakeObservability) -> None:
    answers = kept(world)
    with pytest.raises(ZeroDivisionError):
        answers.get("a", lambda: Made(b"%d" % (1 // 0), False))
    assert answers.get("a", Maker()).startswith(b"1")


def test_one_about_what_is_under_way_serves_those_who_ask_together(
    world: FakeObservability, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, make = kept(world), Maker(under_way=True)
    monkeypatch.setattr(module, "LIVE_S", 60.0)
    answers.get("a", make)
    world.say(tasks=[task_row("a", "t")])
    assert answers.get("a", make).startswith(b"1")
    monkeypatch.setattr(module, "LIVE_S", -1.0)
    assert answers.get("a", make).startswith(b"2"), "something has changed"
    assert answers.get("a", make).startswith(b"2"), "and nothing since"
