"""Named queries with typed parameters: what the user gave becomes what the SQL file's header asks for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from wfstore.index.catalog import Param, Query, folder
from wfstore.index.filters import seconds, utc

_WORDS = {"NULL": None}


def find(name: str) -> Query:
    """The report of that name. Raises ValueError listing those there are."""
    reports = folder("reports")
    if name not in reports:
        raise ValueError(f"no report is called {name!r}; there are: {', '.join(reports)}")
    return reports[name]


def bind(report: Query, given: Mapping[str, Any], present: datetime | None = None) -> dict[str, Any]:
    """A value for every parameter. Raises ValueError for one it does not take, or a value of the wrong kind.

    present: what ages count back from, and what a parameter `at` is without a value, UTC; None: now.
    """
    known = {param.name: param for param in report.params}
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ValueError(f"report {report.name} does not take {', '.join(unknown)}; it takes: {', '.join(known)}")
    if present is not None and "at" in known:
        given = {"at": present, **{name: value for name, value in given.items() if value is not None}}
    return {name: _value(report, param, given.get(name), present) for name, param in known.items()}


def _value(report: Query, param: Param, given: Any, present: datetime | None) -> Any:
    value = param.default if given is None else given
    if given is None and param.default in _WORDS:
        return _WORDS[param.default]
    if param.values and not (isinstance(value, str) and param.takes(value)):
        raise ValueError(f"report {report.name}: {param.name} is one of {', '.join(param.values)}, not {value!r}")
    try:
        return utc(value, present) if param.type == "TIMESTAMP" else _CONVERT[param.type](value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"report {report.name}: {param.name} takes {param.type}, not {value!r}: {error}") from None


def _count(value: Any) -> int:
    with _needed("a whole number from 0"):
        number = int(value)
        if not 0 <= number < 2**63 or isinstance(value, bool | float):
            raise ValueError(value)
    return number


def _number(value: Any) -> float:
    with _needed("a number from 0"):
        number = float(value)
        if not 0 <= number < float("inf"):
            raise ValueError(value)
    return number


def _object(value: Any) -> str:
    """A JSON text, whose keys are of the user's own."""
    with _needed('an object of numbers from 0 such as {"cpu": 0.04}'):
        for number in json.loads(value).values():
            _number(number)
    return str(value)


@contextmanager
def _needed(what: str) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError, AttributeError, OverflowError):
        raise ValueError(f"{what} is needed") from None


def _interval(value: Any) -> timedelta:
    length = value if isinstance(value, timedelta) else timedelta(seconds=seconds(str(value)))
    if length <= timedelta(0):
        raise ValueError("it has to be longer than nothing")
    return length


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text is needed")
    return value


_CONVERT = {
    "BIGINT": _count,
    "DOUBLE": _number,
    "VARCHAR": _text,
    "JSON": _object,
    "INTERVAL": _interval,
}
