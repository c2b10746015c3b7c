"""HTTP events: somebody outside tells a workflow something, and a listener in it goes on.

``POST /event/send_event/{workflow_id}`` with ``{"event_key": ..., "event_payload": ...}`` is answered 200 once the
event is durable. What nobody waits for yet is kept. When a listener waits, the answer is held for a moment until it has
confirmed the event: 500 says that it reported a failure, as the provider of ray.workflow did; the event is durable all
the same. A resend with the same request id counts once. Only a live manager takes events: 503 without one.
"""

from __future__ import annotations

import json
import re
import uuid
from datetime import datetime
from typing import Any, Final

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from wfstore import errors
from wfstore.dashboard import paths  # noqa: F401 - makes {workflow_id:segment} known
from wfstore.dashboard.api import in_thread, whole_number
from wfstore.dashboard.encoding import JsonResponse
from wfstore.dashboard.openapi import INTEGER, STRING, describe, object_of
from wfstore.model import events as ev

DEFAULT_BY: Final = "http"
#: How long an answer is held for a listener's confirmation. Less than clients wait by default.
HOLD_S: Final = 4.0
#: Ray starts the manager again in about so many seconds.
RETRY_AFTER_S: Final = 2
#: Answers that are held at a time, each in a thread; more of them wait for these.
MOST_HELD: Final = 64
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,200}")
_FIELDS: Final = ("event_key", "event_payload")
_TYPES: Final = (
    ev.EVENT_SENT,
    ev.EVENT_DELIVERED,
    ev.EVENT_RECEIVED,
    ev.EVENT_CHECKPOINTED,
    ev.WORKFLOW_DELETED,
)

_SENT: Final = {
    "event_key": {**STRING, "maxLength": 1024, "description": "Under which a listener waits for it."},
    "event_payload": {"description": "Any JSON value."},
    "request_id": {**STRING, "maxLength": 200, "description": "Makes a resend count once; or as Idempotency-Key."},
    "by": {**STRING, "maxLength": 200, "default": DEFAULT_BY, "description": "Who sends it, kept with the event."},
}
_STATUS: Final = {
    "enum": ["kept", "delivered", "checkpointed"],
    "description": "Kept for a listener to come; given to one; made durable by it as its task's output.",
}
_ANSWER = object_of({"workflow_id": STRING, "event_key": STRING, "status": _STATUS, "request_id": STRING})
_TIME: Final = {"type": ["string", "null"], "format": "date-time"}
_ROW = object_of(
    {
        "number": {**INTEGER, "description": "Counts the workflow's events from 1, as they came."},
        "event_key": STRING,
        "state": {"enum": ["kept", "delivered", "used"]},
        "sent_at": _TIME,
        "delivered_at": _TIME,
        "used_at": {**_TIME, "description": "When it was durable as the output of the task."},
        "task_id": {"type": ["string", "null"], "description": "The task that it was given to."},
        "bytes": {**INTEGER, "description": "Of the pickled payload."},
        "request_id": STRING,
        "by": STRING,
    }
)


# -- sending ----------------------------------------------------------------------------------------------------------


@describe(
    body=object_of(_SENT, required=_FIELDS),
    answer=_ANSWER,
    headers={"Idempotency-Key": (STRING, "A request id.")},
    refusals=(404, 409, 413, 500, 503),
)
async def send_event(request: Request) -> Response:
    """Send an event to a workflow; answers once it is durable.

    404 for a workflow that is not there (yet) and for a missing field, 409 for one that has ended, 500 when the
    listener that has it reports a failure, 503 without a live manager.
    """
    body = await _body(request)
    if missing := [name for name in _FIELDS if name not in body]:
        return _error(404, "KeyError", f"the JSON has no {' and no '.join(missing)}")
    key, payload = body["event_key"], body["event_payload"]
    if not isinstance(key, str):
        raise ValueError(f"event_key has to be text, not {json.dumps(key)[:40]}")
    request_id = _text("request_id", body.get("request_id", request.headers.get("idempotency-key"))) or uuid.uuid4().hex
    by = _text("by", body.get("by")) or DEFAULT_BY
    workflow_id: str = request.path_params["workflow_id"]
    state = request.app.state

    def send() -> str:
        link = _link(state.observability)
        outcome: str = link.send_event(workflow_id, key, payload, request_id, by, HOLD_S)
        return outcome

    try:
        outcome = await anyio.to_thread.run_sync(send, limiter=_limiter(state))
    except errors.ManagerLostError as error:
        return _error(503, type(error).__name__, str(error), RETRY_AFTER_S)
    if outcome == "refused":
        told = f"the listener reported that it could not handle the event {key!r}; the event is durable"
        return _error(500, "WorkflowEventHandleError", told)
    said = {"workflow_id": workflow_id, "event_key": key, "status": outcome, "request_id": request_id}
    return JsonResponse(said)


def _link(observability: Any) -> Any:
    """The client of the manager of this storage. Blocking. Raises ManagerLostError where none is alive."""
    storage = observability.store.storage
    if not observability.live:
        raise errors.ManagerLostError(storage, f"no event can be taken now: {observability.why_not_live()}")
    from wfstore.engine.live import manager  # imports Ray, which only a live store needs

    link = manager(storage, join=True)
    if link is None:
        raise errors.ManagerLostError(storage, "no event can be taken now: its manager has just gone; try again")
    return link


def _limiter(state: Any) -> anyio.CapacityLimiter:
    if not hasattr(state, "event_limiter"):
        state.event_limiter = anyio.CapacityLimiter(MOST_HELD)
    limiter: anyio.CapacityLimiter = state.event_limiter
    return limiter


async def _body(request: Request) -> dict[str, Any]:
    data = await request.body()
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("the body is not JSON") from None
    if not isinstance(found, dict):
        raise ValueError("the body must be a JSON object with event_key and event_payload")
    return found


def _text(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _PRINTABLE.fullmatch(value):
        raise ValueError(f"{name} must be text of 1 to 200 printable characters")
    return value


def _error(status: int, kind: str, message: str, retry_after_s: int | None = None) -> Response:
    response = JsonResponse({"error": {"type": kind, "message": message}}, status)
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    return response


# -- listing ----------------------------------------------------------------------------------------------------------


@describe(
    query={
        "limit": ({**INTEGER, "default": 1000, "maximum": 10000}, "How many, at most."),
        "offset": ({**INTEGER, "default": 0}, "How many to pass over."),
    },
    answer=object_of(
        {"workflow_id": STRING, "events": {"type": "array", "items": _ROW}, "total": INTEGER},
    ),
    refusals=(404,),
)
async def list_events(request: Request) -> Response:
    """Events that were sent to a workflow, in the order in which they came, and what became of them.

    Payloads are not shown: they are what the tasks get."""
    workflow_id: str = request.path_params["workflow_id"]
    limit = whole_number(request.query_params, "limit", 1000, 1, 10_000)
    offset = whole_number(request.query_params, "offset", 0, 0)
    observability = request.app.state.observability

    def read() -> list[dict[str, Any]]:
        rows = sent_events(observability.store, workflow_id)
        if not rows:
            observability.workflow(workflow_id)  # raises WorkflowNotFoundError
        return rows

    rows = await in_thread(read)
    return JsonResponse({"workflow_id": workflow_id, "events": rows[offset : offset + limit], "total": len(rows)})


def sent_events(store: Any, workflow_id: str) -> list[dict[str, Any]]:
    """One dict per event that was sent to the workflow since its id was last deleted: number, event_key, state (kept,
    delivered, used), sent_at, delivered_at, used_at (naive UTC), task_id, bytes, request_id, by."""
    sent: dict[int, dict[str, Any]] = {}
    given: dict[str, set[int]] = {}
    for row in store.events(workflow_id, type=_TYPES, order_by="seq").iter_rows(named=True):
        kind, task_id = row["type"], row["task_id"]
        if kind == ev.WORKFLOW_DELETED:
            sent, given = {}, {}
        elif kind == ev.EVENT_SENT:
            number = _number(row)
            sent[number] = _row(number, row)
        elif kind == ev.EVENT_DELIVERED and (number := _number(row)) in sent:
            given.get(sent[number]["task_id"] or "", set()).discard(number)
            given.setdefault(task_id, set()).add(number)
            sent[number] |= {"state": "delivered", "task_id": task_id, "delivered_at": row["ts"]}
        else:
            for number in given.pop(task_id, ()):
                sent[number] |= {"state": "used", "used_at": row["ts"]}
    return list(sent.values())


def _number(row: dict[str, Any]) -> int:
    return int(json.loads(row["attributes"])["number"])


def _row(number: int, row: dict[str, Any]) -> dict[str, Any]:
    nothing: datetime | None = None
    return {
        "number": number,
        "event_key": row["name"],
        "state": "kept",
        "sent_at": row["ts"],
        "delivered_at": nothing,
        "used_at": nothing,
        "task_id": None,
        "bytes": row["bytes"],
        "request_id": row["request_id"],
        "by": row["by"],
    }


routes: list[BaseRoute] = [
    Route("/event/send_event/{workflow_id:segment}", send_event, methods=["POST"]),
    Route("/event/events/{workflow_id:segment}", list_events, methods=["GET"]),
]
