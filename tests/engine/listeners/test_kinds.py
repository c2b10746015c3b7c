"""What is concluded from how long steps took."""

from __future__ import annotations

import pytest

from wfstore.engine.listeners.kinds import BLOCKING, COOPERATIVE, PROBATION_S, UNKNOWN, Kind


def kind() -> Kind:
    return Kind("Listener.poll_for_event", blocking=False, now=0.0)


def good() -> Kind:
    proved = kind()
    proved.saw(0.001, ended=False, now=0.0)
    assert proved.judge(PROBATION_S, on_time=True)
    assert proved.verdict == COOPERATIVE
    return proved


def test_plain_functions_block() -> None:
    assert Kind("Plain.poll_for_event", blocking=True, now=0.0).verdict == BLOCKING


def test_nothing_seen_proves_nothing() -> None:
    assert not kind().judge(100.0, on_time=True)


def test_probation() -> None:
    one = kind()
    one.saw(0.001, ended=False, now=10.0)
    assert not one.judge(10.0 + PROBATION_S / 2, on_time=True)
    assert one.judge(10.0 + PROBATION_S, on_time=True)
    assert one.verdict == COOPERATIVE
    assert not one.judge(11.0, on_time=True)


def test_quick_ends_prove_it_too() -> None:
    one = kind()
    for _ in range(8):
        one.saw(0.001, ended=True, now=0.0)
    assert one.judge(0.1, on_time=True)
    assert one.verdict == COOPERATIVE


def test_a_slow_first_step_makes_probation_longer() -> None:
    one = kind()
    one.saw(0.2, ended=False, now=0.0)
    assert not one.judge(2 * PROBATION_S, on_time=True)
    assert one.judge(5 * PROBATION_S, on_time=True)
    assert one.verdict == COOPERATIVE


@pytest.mark.parametrize("steps", [[0.06, 0.06, 0.06], [1.2]])
def test_slow_steps_of_an_unknown_class(steps: list[float]) -> None:
    one = kind()
    for took_s in steps:
        assert one.verdict == UNKNOWN
        one.saw(took_s, ended=True, now=0.0)
    assert one.judge(0.1, on_time=True)
    assert one.verdict == BLOCKING


def test_a_good_class_is_forgiven_a_slow_step_now_and_then() -> None:
    one = good()
    for minute in range(1, 1000):
        one.saw(0.3, ended=False, now=60.0 * minute)
        assert not one.judge(60.0 * minute, on_time=True)
    for second in range(20):
        one.saw(0.3, ended=False, now=60_000.0 + second)
        one.judge(60_000.0 + second, on_time=True)
    assert one.verdict == BLOCKING


def test_a_step_that_goes_on_and_on() -> None:
    one = good()
    one.stuck()
    assert one.judge(5.0, on_time=True)
    assert one.verdict == BLOCKING
    one.saw(0.001, ended=False, now=6.0)
    assert not one.judge(1000.0, on_time=True), "for ever"


def test_when_the_process_stood_still_nobody_is_to_blame() -> None:
    one = good()
    one.saw(30.0, ended=False, now=40.0)
    assert not one.judge(40.0, on_time=False)
    assert not one.judge(40.1, on_time=True)
    assert one.verdict == COOPERATIVE
