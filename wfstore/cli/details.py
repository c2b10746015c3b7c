"""What an event says besides its columns, in a few words for a person. Machines get the attributes themselves."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from wfstore import _text as text
from wfstore.model import events as ev

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Type of event -> the attributes that a line about it shows.
_SHOWN: dict[str, tuple[str, ...]] = {
    ev.WORKFLOW_SUBMITTED: ("rerun_of", "actor", "timeout_s"),
    ev.WORKFLOW_STARTED: ("deadline_at",),
    ev.WORKFLOW_FAILED: ("failed_task_id",),
    ev.WORKFLOW_INTERRUPTED: ("failed_task_id",),
    ev.TASK_DEFINED: ("type",),
    ev.TASK_CONTINUED: ("output_task",),
    ev.TASK_ERROR_CAUGHT: ("failed_task_id",),
    ev.ATTEMPT_RETRY_SCHEDULED: ("due_at",),
    ev.TIMER_STARTED: ("due_at",),
    ev.EVENT_WAIT_STARTED: ("listener",),
    ev.WAIT_DECIDED: ("ready",),
    ev.ACTOR_CREATED: ("class",),
    ev.ACTOR_CALL_STARTED: ("method",),
    ev.ACTOR_CALL_SUCCEEDED: ("method", "duration_s"),
    ev.ACTOR_CALL_FAILED: ("method", "duration_s"),
}


def of(type_: str, attributes: str | None) -> str:
    """ "due 2026-01-01 12:00:00 UTC", "method incr", ...; often nothing."""
    names = _SHOWN.get(type_)
    if names is None or not attributes:
        return ""
    found = json.loads(attributes)
    return ", ".join(_said(name, found[name]) for name in names if found.get(name) is not None)


def _said(name: str, value: Any) -> str:
    label, _, unit = name.rpartition("_")
    if unit == "at":
        return f"{label} {text.clock(_EPOCH + timedelta(microseconds=value))} UTC"
    if unit == "s":
        return f"{label} {text.duration(value)}"
    if isinstance(value, dict):
        value = value.get("class", "")
    if isinstance(value, list):
        value = ", ".join(map(str, value)) or "none"
    return text.safe(f"{name.removesuffix('_id').replace('_', ' ')} {value}")
