"""What users say in filters, as values that SQL compares: moments, spans, statuses, orders."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeAlias

from wfstore.schema.views import Column

Moment: TypeAlias = datetime | date | timedelta | str

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|w)")
#: What reaches back further cannot be counted from now.
_LONGEST_S = 1000 * 365 * 86400
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def seconds(span: str) -> float:
    """The length of a span such as "90s", "15m", "2h", "7d" or "1w". Raises ValueError."""
    found = _SPAN.fullmatch(span.strip())
    if found is None:
        raise ValueError(f"{span!r} is not a span of time such as 90s, 15m, 2h, 7d or 1w")
    length_s = float(found.group(1)) * _SECONDS[found.group(2)]
    if length_s > _LONGEST_S:
        raise ValueError(f"{span!r} is longer than a thousand years")
    return length_s


def length(span: timedelta | str) -> float:
    """Seconds of a timedelta, or of a span such as "10m". Raises ValueError for a negative one."""
    found = span.total_seconds() if isinstance(span, timedelta) else seconds(span)
    if not 0 <= found <= _LONGEST_S:
        raise ValueError(f"{span} is {'negative' if found < 0 else 'longer than a thousand years'}")
    return found


def utc(moment: Moment | None, present: datetime | None = None) -> datetime | None:
    """A moment as our columns have it: UTC without a zone.

    Takes a datetime or date (without a zone: UTC), ISO 8601 text of one, or how long ago: a timedelta or "7d".
    present: what that counts back from, UTC; None: now. Raises ValueError, TypeError.
    """
    if moment is None:
        return None
    if isinstance(moment, str):
        moment = timedelta(seconds=seconds(moment)) if _SPAN.fullmatch(moment.strip()) else _iso(moment)
    if isinstance(moment, timedelta):
        return (present or datetime.now(UTC).replace(tzinfo=None)) - moment
    if isinstance(moment, datetime):
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    if isinstance(moment, date):
        return datetime.combine(moment, time())
    raise TypeError(f"a datetime, ISO 8601 text or a span such as 7d is needed, not {type(moment).__name__}")


def _iso(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is neither ISO 8601 nor a span of time such as 15m, 2h or 7d") from None


def words(given: str | Collection[str] | None, known: Sequence[str], what: str) -> list[str] | None:
    """One word or several of `known`. Raises ValueError listing them."""
    if given is None:
        return None
    chosen = [str(given)] if isinstance(given, str) else [str(word) for word in given]
    unknown = [word for word in chosen if word not in known]
    if unknown:
        raise ValueError(f"no {what} is called {', '.join(map(repr, unknown))}; there are: {', '.join(known)}")
    return chosen


def json_object(given: Mapping[str, Any] | None) -> str | None:
    """Metadata to look for, as JSON text. Raises ValueError for what JSON cannot hold."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise ValueError(f"metadata takes a dict of what to look for, not {type(given).__name__}")
    try:
        return json.dumps(dict(given))
    except TypeError as error:
        raise ValueError(f"metadata cannot be looked for: {error}") from None


def order(given: str | Sequence[str] | None, columns: Sequence[Column], default: Sequence[str]) -> list[str]:
    """Column names, a leading minus means descending; "name desc" is taken too. `default` decides between equals."""
    asked = [given] if isinstance(given, str) else list(given or ())
    terms = [_term(text, [column.name for column in columns]) for text in asked]
    return terms + [term for term in default if term.removeprefix("-") not in {t.removeprefix("-") for t in terms}]


def _term(text: str, names: Sequence[str]) -> str:
    name, _, direction = text.strip().partition(" ")
    down = name.startswith("-") or direction.strip().lower() == "desc"
    name = name.removeprefix("-")
    if name not in names or direction.strip().lower() not in ("", "asc", "desc"):
        raise ValueError(f"cannot order by {text!r}; there are: {', '.join(names)}")
    return f"-{name}" if down else name


def limit(given: int | None) -> int | None:
    """How many rows at most. Raises ValueError."""
    if given is not None and (not isinstance(given, int) or isinstance(given, bool) or given < 0):
        raise ValueError(f"limit takes a whole number from 0, not {given!r}")
    return given
