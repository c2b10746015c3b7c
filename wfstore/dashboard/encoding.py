"""Values of the read side as JSON text: times as ISO 8601 with Z, what is no number (NaN, infinity) as null, integers
whole however large, and any text a user may have stored."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from starlette.responses import Response

_ENCODER = msgspec.json.Encoder(enc_hook=lambda value: _other(value))


def dumps(value: Any) -> bytes:
    """`value` as JSON in UTF-8. Naive datetimes are UTC. Text that UTF-8 cannot hold is escaped."""
    prepared = _ready(value)
    try:
        return _ENCODER.encode(prepared)
    except UnicodeEncodeError:
        return json.dumps(_plain(prepared), separators=(",", ":"), allow_nan=False).encode()


def _ready(value: Any) -> Any:
    """Where containers hold what the encoder would write otherwise than we do, copies of them that hold what it is to
    write: times with their zone, spans as seconds, decimals as numbers. Nothing that was given is changed."""
    kind = type(value)
    if kind is dict:
        for item in value.values():
            if type(item) in _DEEP:
                return {key: _ready(item) if type(item) in _DEEP else item for key, item in value.items()}
        return value
    if kind is list or kind is tuple:
        return [_ready(item) if type(item) in _DEEP else item for item in value]
    if kind is datetime:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if kind is timedelta:
        return value.total_seconds()
    if kind is Decimal:
        return float(value)
    return base64.b64encode(value).decode() if kind is bytes else value


_DEEP = frozenset((dict, list, tuple, datetime, timedelta, Decimal, bytes))


def _other(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _ready(dict(value))
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    return str(value)


def _plain(value: Any) -> Any:
    """The same value for the standard library's encoder, which takes more time over it and any string."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return value.isoformat() if isinstance(value, date | time) else _plain(_other(value))


class JsonResponse(Response):
    """An answer of the API."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return content if isinstance(content, bytes) else dumps(content)
