"""How often a manager answers who asks what has changed: by the processor time that answers take, not by the clock."""

from __future__ import annotations

import asyncio
import itertools
import pickle
import time
from collections.abc import Callable

import pytest

from wfstore.engine import changes as module
from wfstore.engine.changes import Answer, Changes
from wfstore.model.events import Event
from wfstore.model.state import State

_EVENTS = [Event(workflow_id="w", task_id="t")]


def _stalls(seconds: float) -> None:
    time.sleep(seconds)


def _works(seconds: float) -> None:
    since = time.thread_time()
    while time.thread_time() - since < seconds:
        pass


def _asked(monkeypatch: pytest.MonkeyPatch, making: float, by: Callable[[float], None], seconds: float) -> list[float]:
    """When answers came, to one who asks all the time while something always changes."""

    def rows(_: Changes, __: object, cursor: str) -> Answer:
        by(making)
        return Answer(cursor, 1, False, [], [], 0, [], [])

    monkeypatch.setattr(module.Changes, "_rows", rows)

    async def ask() -> list[float]:
        changes = Changes(1, State())
        cursor = Answer(*pickle.loads(await changes.wait(None, 0.0))).cursor
        began, times = time.monotonic(), list[float]()
        while time.monotonic() < began + seconds:
            changes.note(_EVENTS)
            cursor = Answer(*pickle.loads(await changes.wait(cursor, 5.0))).cursor
            times.append(time.monotonic() - began)
        return times

    return asyncio.run(ask())


def test_who_is_kept_off_the_processor_does_not_rest_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    times = _asked(monkeypatch, 0.02, _stalls, 1.0)
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < module._MOST_PAUSE_S / 2


def test_answers_take_their_share_of_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    making = 0.002
    times = _asked(monkeypatch, making, _works, 3.0)
    assert len(times) * making < module._SHARE * (times[-1] + module._SAVED_S) + 2 * making


def test_one_that_took_long_is_forgiven(monkeypatch: pytest.MonkeyPatch) -> None:
    long = iter([0.5])
    times = _asked(monkeypatch, 0.0, lambda _: _works(next(long, 0.0)), 2.0)
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 2 * module._MOST_PAUSE_S
    assert times[-1] - times[-2] < module._MOST_PAUSE_S / 4
