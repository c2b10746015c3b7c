"""What people read: durations, sizes, ages, and nothing that could drive their terminal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfstore import _text as text


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, ""),
        (0, "0.0 ms"),
        (0.0042, "4.2 ms"),
        (0.042, "42 ms"),
        (0.0996, "0.10 s"),
        (1.234, "1.23 s"),
        (9.996, "10.0 s"),
        (59.96, "1 min 00 s"),
        (75, "1 min 15 s"),
        (3599.7, "1 h 00 min"),
        (3700, "1 h 01 min"),
        (3 * 86400 + 7200, "3 d 2 h"),
        (-2, "-2.00 s"),
    ],
)
def test_durations(seconds: float | None, shown: str) -> None:
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(None, ""), (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_600, "1.0 MB"), (1_234_567, "1.2 MB")],
)
def test_sizes(count: int | None, shown: str) -> None:
    assert text.size(count) == shown


def test_times_are_iso_8601_in_utc() -> None:
    assert text.iso(datetime(2024, 1, 1, 2, 3, 4)) == "2024-01-01T02:03:04.000000Z"
    assert text.iso(datetime(2024, 1, 1, 2, tzinfo=timezone(timedelta(hours=1)))) == "2024-01-01T01:00:00.000000Z"
    assert text.iso(datetime(2024, 1, 1, tzinfo=UTC)).endswith("Z")


@given(st.text())
def test_what_is_safe_is_one_printable_line(value: str) -> None:
    assert text.safe(value).isprintable()
    assert text.first_line(value).isprintable()


def test_an_escape_sequence_is_shown_and_not_obeyed() -> None:
    assert text.safe("a\x1b[31mb\nc") == "a\\x1b[31mb c"
