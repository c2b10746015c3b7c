"""How far a task is, as its own code says it; and how far a workflow is, which follows from its tasks."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from wfstore.model.statuses import SUCCESSFUL

#: Fractions are kept to so many parts, so that sums of them do not depend on the order.
PARTS = 1_000_000
_MESSAGE_CHARACTERS = 1_000
_METRICS_BYTES = 8_192
_MARK = '"progress":'


class Progress(NamedTuple):
    """What a task last said. fraction: 0 to 1; metrics: names and JSON scalars."""

    fraction: float
    message: str | None = None
    metrics: Mapping[str, Any] | None = None


def checked(fraction: Any, message: Any = None, metrics: Mapping[str, Any] | None = None) -> Progress:
    """What user code gave, as it is kept. A long message is cut at 1,000 characters.

    Raises TypeError for what is no number, no text or no JSON scalar; ValueError for a fraction outside of 0 to 1, for
    a metric that is not finite, and for more than 8 KiB of metrics.
    """
    number = _plain(fraction)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TypeError(f"progress takes a fraction from 0 to 1, not {type(fraction).__name__}")
    if not 0 <= number <= 1:  # NaN, too
        raise ValueError(f"progress takes a fraction from 0 to 1, not {number!r}")
    if message is not None and not isinstance(message, str):
        raise TypeError(f"message takes text, not {type(message).__name__}")
    kept = {_clean(name): _scalar(name, _plain(value)) for name, value in (metrics or {}).items()}
    if kept and len(json.dumps(kept)) > _METRICS_BYTES:
        raise ValueError(f"metrics take {_METRICS_BYTES:,} bytes of JSON at most, not {len(json.dumps(kept)):,}")
    text = None if message is None else _clean(message[:_MESSAGE_CHARACTERS])
    return Progress(round(number * PARTS) / PARTS, text or None, kept or None)


def _plain(value: Any) -> Any:
    """A scalar of numpy, torch and their like as Python's own."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "ndim", 0) == 0 else value


def _scalar(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return _clean(value)
    if value is not None and not isinstance(value, bool | int | float):
        raise TypeError(f"metric {name!r} is a {type(value).__name__}; metrics are numbers, text, booleans or None")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"metric {name!r} is {value}, which JSON cannot hold; leave it out or give None")
    return value


def _clean(text: str) -> str:
    """Text that UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode()


def attributes_of(progress: Progress | None) -> dict[str, Any]:
    """What an event's attributes say about it."""
    if progress is None:
        return {}
    return {
        "progress": progress.fraction,
        "progress_message": progress.message,
        "progress_metrics": progress.metrics,
    }


def progress_in(attributes: str | None) -> Progress | None:
    """What an event's attributes say about it; None where they say nothing."""
    if attributes is None or _MARK not in attributes:
        return None
    said = json.loads(attributes)
    if "progress" not in said:
        return None
    return Progress(said["progress"], said.get("progress_message"), said.get("progress_metrics"))


def workflow_fraction(status: str, tasks: int, done: int, parts: int) -> float | None:
    """How far a workflow is, 0 to 1: tasks that are done, and the fractions of those that run, over all tasks it has so
    far; a SUCCESSFUL one is at 1. parts: those fractions in `PARTS`, summed. None without tasks."""
    if status == SUCCESSFUL:
        return 1.0
    return (done * PARTS + parts) / (tasks * PARTS) if tasks else None


def parts(progress: Progress | None) -> int:
    """A task's fraction in `PARTS`."""
    return 0 if progress is None else round(progress.fraction * PARTS)
