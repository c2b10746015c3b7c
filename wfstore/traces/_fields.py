"""Typed access to a parsed JSON document, where every refusal names the file and the field."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wfstore.traces.errors import TraceError

_MISSING = object()
_KINDS: dict[type, str] = {dict: "an object", list: "a list", str: "a text"}


class Field:
    """One JSON object of the file, with the place where it lies."""

    __slots__ = ("_data", "_path", "place")

    def __init__(self, path: str, place: str, data: object) -> None:
        if not isinstance(data, dict):
            raise TraceError(path, place, f"an object is expected, not {_name(data)}")
        self._path = path
        self.place = place
        self._data = data

    @classmethod
    def of_file(cls, path: Path) -> Field:
        """The document in `path`. Raises TraceError when it is not a JSON object, OSError when it cannot be read."""
        try:
            return cls(str(path), "", json.loads(path.read_bytes()))
        except (ValueError, RecursionError) as error:
            if isinstance(error, TraceError):
                raise
            reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise TraceError(str(path), "", f"not a JSON document: {reason}") from error

    def error(self, key: str, message: str) -> TraceError:
        return TraceError(self._path, self._at(key), message)

    def has(self, key: str) -> bool:
        return self._data.get(key) is not None

    def child(self, key: str) -> Field:
        return Field(self._path, self._at(key), self._get(key, dict))

    def children(self, key: str) -> Iterator[Field]:
        """The objects of a list."""
        for position, item in enumerate(self._get(key, list)):
            yield Field(self._path, f"{self._at(key)}[{position}]", item)

    def text(self, key: str, default: str | None = None) -> str:
        return str(self._get(key, str, _MISSING if default is None else default))

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; empty where there is none."""
        items = self._get(key, list, [])
        for position, item in enumerate(items):
            if not isinstance(item, str):
                raise self.error(f"{key}[{position}]", f"a text is expected, not {_name(item)}")
        return tuple(items)

    def number(self, key: str) -> float | None:
        """A finite number that is not negative; None where there is none."""
        value = self._data.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(key, f"a number is expected, not {_name(value)}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number) or number < 0:
            raise self.error(key, f"a finite number that is not negative is expected, not {value!r:.40}")
        return number

    def size(self, key: str) -> int | None:
        """A number of bytes; None where there is none."""
        value = self.number(key)
        if value is not None and not value.is_integer():
            raise self.error(key, f"a whole number of bytes is expected, not {value}")
        return None if value is None else int(value)

    def rest(self, *known: str) -> dict[str, Any]:
        """What else is there, as it is."""
        return {key: value for key, value in self._data.items() if key not in known}

    def _get(self, key: str, kind: type, default: object = _MISSING) -> Any:
        value = self._data.get(key)
        if value is None:
            if default is _MISSING:
                raise self.error(key, "is missing")
            return default
        if not isinstance(value, kind):
            raise self.error(key, f"{_KINDS[kind]} is expected, not {_name(value)}")
        return value

    def _at(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key


def _name(value: object) -> str:
    if isinstance(value, bool | int | float):
        return str(value)[:40]
    return "null" if value is None else _KINDS.get(type(value), type(value).__name__)
