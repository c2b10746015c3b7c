"""The checks of the Ray campaigns see what they are there to see."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fault._rayfaults_check import Body, Row, again, begun_again, bodies, broken_promises, unsound
from wfstore.model import events as ev

TASK = ("w", "t")


def row(seq: int, type_: str, ts: int = 0) -> Row:
    return Row(seq, type_, *TASK, 1, ts)


GOOD = [row(1, ev.ATTEMPT_SUBMITTED, 10), row(2, ev.ATTEMPT_SUCCEEDED, 20)]


@pytest.mark.parametrize(
    ("rows", "ran", "found"),
    [
        (GOOD, [Body(TASK, 1, 11, 19)], []),
        (
            [row(1, ev.ATTEMPT_SUBMITTED), row(2, ev.ATTEMPT_FAILED), row(3, ev.ATTEMPT_SUBMITTED), GOOD[1]],
            [Body(TASK, 1, 11, None), Body(TASK, 2, 15, 19)],
            [],
        ),
        ([*GOOD, row(3, ev.ATTEMPT_SUBMITTED)], [], ["submitted again"]),
        ([*GOOD, row(3, ev.ATTEMPT_SUCCEEDED)], [], ["succeeded twice"]),
        (GOOD, [Body(TASK, 1, 11, 19), Body(TASK, 2, 12, 19)], ["ran 2 times and was submitted 1"]),
        (GOOD, [Body(TASK, 1, 21, 29)], ["after its success"]),
    ],
)
def test_what_ran_again_is_found(rows: list[Row], ran: list[Body], found: list[str]) -> None:
    said = again(rows, ran)
    assert len(said) == len(found) and all(part in text for part, text in zip(found, said, strict=True)), said


def test_an_attempt_that_was_begun_again_is_found() -> None:
    second = 1_000_000
    once, twice = Body(TASK, 1, 0, 5 * second), Body(("w", "u"), 1, 0, None)
    again_later = Body(("w", "u"), 2, 3 * second, 4 * second)
    short, short_later = Body(("w", "v"), 1, 2 * second - 1000, None), Body(("w", "v"), 2, 3 * second, 4 * second)
    found, went_on = begun_again([once, twice, short, again_later, short_later], [2 * second])
    assert went_on == 1 and len(found) == 1 and "('w', 'u') ran for 2.0 s" in found[0]


def test_what_a_reader_must_not_be_given_is_found() -> None:
    assert unsound(GOOD, GOOD) == []
    assert "gaps" in unsound([GOOD[0], row(3, ev.ATTEMPT_FAILED)], [])[0]
    assert "after 2" in unsound(GOOD, [*GOOD, GOOD[1]])[0]
    assert "the log has" in unsound(GOOD, [GOOD[0], row(2, ev.ATTEMPT_FAILED)])[0]


def test_a_broken_promise_is_found(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    rows = [Row(1, ev.WORKFLOW_SUBMITTED, "a", None, None, 0), Row(2, ev.WORKFLOW_SUBMITTED, "b", None, None, 0)]
    rows.append(Row(3, ev.WORKFLOW_SUCCEEDED, "b", None, None, 0))
    journal.write_text("submitted a\nsubmitted b\nanswered b\nunanswered c an error\n")
    assert broken_promises(journal, rows) == []
    journal.write_text("submitted c\nanswered a\nwrong b 7\n")
    assert len(broken_promises(journal, rows)) == 3


def test_bodies_are_read_back(tmp_path: Path) -> None:
    log = tmp_path / "bodies"
    assert bodies(log) == []
    log.write_text("begins w t 7 10\nbegins w u 8 11\nends w t 7 12\nbegins w t 9 13\n")
    assert bodies(log) == [Body(TASK, 7, 10, 12), Body(("w", "u"), 8, 11, None), Body(TASK, 9, 13, None)]
