"""How the time on a page is cut: into spans long enough that a chart stays readable. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

#: How many spans of time a chart has at most; one more where the first begins before the time asked for.
MOST = 60
_LENGTHS = (
    *((timedelta(seconds=n), f"{n} s") for n in (1, 5, 15)),
    *((timedelta(minutes=n), f"{n} min") for n in (1, 5, 15)),
    *((timedelta(hours=n), f"{n} h") for n in (1, 3, 6)),
    (timedelta(days=1), "1 day"),
    (timedelta(weeks=1), "1 week"),
)


def span(first: datetime | None, last: datetime | None) -> tuple[timedelta, str]:
    """The shortest round length of which at most `MOST` reach from `first` to `last`, and its name."""
    if first is None or last is None:
        return _LENGTHS[0]
    for length, name in _LENGTHS:
        if (last - first) / length <= MOST:
            return length, name
    weeks = -int((first - last) // timedelta(weeks=MOST))
    return timedelta(weeks=weeks), f"{weeks} weeks"
