"""The JSON API's orders: cancel, resume, rerun, delete, and one of them on many workflows.

Each leaves events that say who asked (`by`) and under which `request_id`; an order that is sent again with the same one
is not carried out again. Without a live manager they are refused with 409 and a text that says why.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from wfstore.dashboard import paths  # noqa: F401 - makes {workflow_id:segment} known
from wfstore.dashboard.api import in_thread
from wfstore.dashboard.encoding import JsonResponse
from wfstore.dashboard.openapi import BOOLEAN, INTEGER, STATUS, STRING, Schema, describe, object_of
from wfstore.model.define import check_metadata
from wfstore.model.statuses import CANCELED

ACTIONS: Final = ("cancel", "resume", "rerun", "delete")
CODES: Final = ("stored", "current")
DEFAULT_BY: Final = "dashboard"
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]{1,200}")

_ASKED: Final[dict[str, Schema]] = {
    "by": {**STRING, "maxLength": 200, "default": DEFAULT_BY, "description": "Who asks, kept with the event."},
    "request_id": {**STRING, "maxLength": 200, "description": "Makes the order idempotent; a fresh one by default."},
}
_CODE: Final[Schema] = {
    "enum": list(CODES),
    "default": "stored",
    "description": "Resume with the functions that were submitted, or as their modules define them now.",
}
_DONE = object_of({"workflow_id": STRING, "action": {"enum": list(ACTIONS)}, "status": STRING, "request_id": STRING})


# -- what was sent ----------------------------------------------------------------------------------------------------


async def _body(request: Request, known: tuple[str, ...]) -> dict[str, Any]:
    """The JSON object that was sent; empty where there is no body. Raises ValueError for anything else."""
    data = await request.body()
    if not data.strip():
        return {}
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("the body is not JSON") from None
    if not isinstance(found, dict):
        raise ValueError("the body must be a JSON object")
    for name in found:
        if name not in known:
            raise ValueError(f"the body has {name[:40]!r}; it may have {', '.join(known)}")
    return found


def _text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not _PRINTABLE.fullmatch(value):
        raise ValueError(f"{name} must be text of 1 to 200 printable characters")
    return value


def _choice(body: dict[str, Any], name: str, choices: tuple[str, ...], default: str | None = None) -> str:
    value = body.get(name, default)
    if value not in choices:
        raise ValueError(f"{name} is {str(value)[:40]!r}; it must be one of {', '.join(choices)}")
    return str(value)


def _flag(body: dict[str, Any], name: str, default: bool) -> bool:
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false")
    return value


def _who(body: dict[str, Any]) -> dict[str, str]:
    return {"by": _text(body, "by") or DEFAULT_BY, "request_id": _text(body, "request_id") or uuid.uuid4().hex}


# -- one workflow -----------------------------------------------------------------------------------------------------


_AFTER: Final = {"cancel": CANCELED, "delete": "DELETED"}


async def _ordered(request: Request, action: str) -> Response:
    body = await _body(request, ("by", "request_id", "code") if action == "resume" else ("by", "request_id"))
    who = _who(body)
    code = {"code": _choice(body, "code", CODES, "stored")} if action == "resume" else {}
    workflow_id: str = request.path_params["workflow_id"]
    observability = request.app.state.observability

    def carry_out() -> dict[str, Any]:
        made = getattr(observability, action)(workflow_id, **code, **who)
        named = made if action == "rerun" else workflow_id
        # What has ended for good is known; a look would only show it later.
        status = _AFTER.get(action) or observability.workflow(named)["status"]
        rerun_of = {"rerun_of": workflow_id} if action == "rerun" else {}
        return {"workflow_id": named, "action": action, "status": status, "request_id": who["request_id"], **rerun_of}

    return JsonResponse(await in_thread(carry_out))


@describe(body=object_of(_ASKED, required=()), answer=_DONE, refusals=(409,))
async def cancel(request: Request) -> Response:
    """Cancel a workflow that waits or runs; answers once it is CANCELED."""
    return await _ordered(request, "cancel")


@describe(body=object_of({**_ASKED, "code": _CODE}, required=()), answer=_DONE, refusals=(409,))
async def resume(request: Request) -> Response:
    """Go on with a workflow that failed or was interrupted; answers once that is in the log."""
    return await _ordered(request, "resume")


@describe(body=object_of(_ASKED, required=()), answer=_DONE, refusals=(409,))
async def rerun(request: Request) -> Response:
    """Run a workflow's DAG and inputs again, under a new id, which is the answer's `workflow_id`."""
    return await _ordered(request, "rerun")


@describe(body=object_of(_ASKED, required=()), answer=_DONE, refusals=(409,))
async def delete(request: Request) -> Response:
    """Delete a workflow that neither waits nor runs, with its history."""
    return await _ordered(request, "delete")


# -- many -------------------------------------------------------------------------------------------------------------

_FILTER: Final[dict[str, Schema]] = {
    "status": {"type": ["string", "array"], "items": STATUS, "description": "One or several."},
    "name": STRING,
    "id": {**STRING, "description": "Text that the id contains."},
    "ids": {"type": "array", "items": STRING, "description": "Only these ids."},
    "since": STRING,
    "until": STRING,
    "metadata": {"type": "object"},
}
_OUTCOME = object_of(
    {
        "workflow_id": STRING,
        "status": {**STRING, "description": "Before the action."},
        "done": BOOLEAN,
        "error": {"type": ["string", "null"], "description": "Why it was, or would be, refused."},
    }
)
_BULK = object_of(
    {
        "action": {"enum": list(ACTIONS)},
        "dry_run": BOOLEAN,
        "results": {"type": "array", "items": _OUTCOME},
        "total": INTEGER,
        "done": INTEGER,
        "refused": INTEGER,
        "request_id": STRING,
    }
)
_ORDER = {
    "action": {"enum": list(ACTIONS)},
    "filter": object_of(_FILTER, required=()),
    "dry_run": {**BOOLEAN, "default": True, "description": "Say what would be done, and do nothing."},
    "code": _CODE,
    **_ASKED,
}


def _filter(body: dict[str, Any]) -> dict[str, Any]:
    """The bulk filter as `WorkflowObservability.bulk` takes it. Raises ValueError for what it cannot be."""
    given = body.get("filter", {})
    if not isinstance(given, dict):
        raise ValueError("filter must be a JSON object")
    for name in given:
        if name not in _FILTER:
            raise ValueError(f"filter has {name[:40]!r}; it may have {', '.join(_FILTER)}")
    named = {name: _short_text(given, name) for name in ("name", "id", "since", "until")}
    metadata = given.get("metadata") or None
    check_metadata(metadata)
    return {
        "status": _texts(given, "status") or None,
        "ids": _texts(given, "ids") if given.get("ids") is not None else None,
        "text": named.pop("id"),
        "metadata": metadata,
        **named,
    }


def _short_text(given: dict[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"filter.{name} must be text")
    return value or None


def _texts(given: dict[str, Any], name: str) -> list[str]:
    value = given.get(name)
    if value is None:
        return []
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
        raise ValueError(f"filter.{name} must be text, or a list of it")
    return values


@describe(body=object_of(_ORDER, required=("action", "filter")), answer=_BULK, refusals=(409,))
async def bulk(request: Request) -> Response:
    """One action on every workflow that a filter leaves, or, by default, what it would be.

    Without `dry_run: false` nothing is done. An empty filter means every workflow, and has to be sent as such."""
    body = await _body(request, tuple(_ORDER))
    action = _choice(body, "action", ACTIONS)
    dry_run = _flag(body, "dry_run", True)
    who = _who(body)
    code = _choice(body, "code", CODES, "stored")
    if "filter" not in body:
        raise ValueError("filter is missing; {} means every workflow")
    ask = request.app.state.observability.bulk
    results = await in_thread(ask, action, **_filter(body), dry_run=dry_run, code=code, **who)
    refused = sum(row["error"] is not None for row in results)
    done = sum(bool(row["done"]) for row in results)
    said = {"action": action, "dry_run": dry_run, "total": len(results), "done": done, "refused": refused}
    return JsonResponse({**said, "results": results, "request_id": who["request_id"]})


_ONE = "/api/workflows/{workflow_id:segment}"
routes: list[BaseRoute] = [
    Route("/api/workflows/bulk", bulk, methods=["POST"]),
    Route(f"{_ONE}/cancel", cancel, methods=["POST"]),
    Route(f"{_ONE}/resume", resume, methods=["POST"]),
    Route(f"{_ONE}/rerun", rerun, methods=["POST"]),
    Route(f"{_ONE}/delete", delete, methods=["POST"]),
]
