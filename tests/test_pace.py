"""Work that is kept to a share of a processor: what it owes, what it saved, and how long it rests at most."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfstore import _pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(_pace, "time", found)
    return found


def test_it_rests_for_what_it_took(clock: Clock) -> None:
    pace = _pace.Pace(0.1, 5.0)
    assert pace.spent(0.2) == pytest.approx(2.0)
    pace.rest(0.5)
    assert clock.now == 100.5
    pace.rest(9.0)
    assert clock.now == pytest.approx(102.0)
    pace.rest(9.0)
    assert clock.now == pytest.approx(102.0)


def test_at_most_so_long(clock: Clock) -> None:
    assert _pace.Pace(0.01, 0.5).spent(60.0) == pytest.approx(0.5)


def test_what_was_saved_is_spent_without_a_rest(clock: Clock) -> None:
    pace = _pace.Pace(0.25, 0.5, saved_s=1.0)
    assert [pace.spent(0.125), pace.spent(0.125)] == [0.0, 0.0]
    assert pace.spent(0.05) == pytest.approx(0.2)
    clock.sleep(60.0)
    assert pace.spent(0.25) == 0.0


@given(
    share=st.floats(0.005, 0.5),
    pieces=st.lists(st.tuples(st.floats(0.0, 0.01), st.floats(0.0, 0.2)), min_size=1),
    saved_s=st.floats(0.0, 2.0),
)
def test_it_keeps_to_its_share(share: float, pieces: list[tuple[float, float]], saved_s: float) -> None:
    """Whoever rests as told spends no more than the share of the time, what was saved, and one piece."""
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_pace, "time", clock)
        pace, spent = _pace.Pace(share, 10.0, saved_s), 0.0
        for piece, idle in pieces:
            pace.rest(10.0)
            clock.sleep(idle)
            assert spent <= share * (clock.now - 100.0 + saved_s) + 1e-6
            clock.sleep(piece)
            spent += piece
            pace.spent(piece)
