"""The JSON API's questions. What they answer is `WorkflowObservability`'s; here it only becomes JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import anyio.to_thread
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from wfstore.dashboard import past, paths  # noqa: F401 - paths makes {workflow_id:segment} known
from wfstore.dashboard.encoding import JsonResponse, dumps
from wfstore.dashboard.kept import Made
from wfstore.dashboard.openapi import INTEGER, STATUS, STRING, Schema, describe, object_of, row_of, rows_of
from wfstore.model.statuses import PENDING, RETRYING, RUNNING

_T = TypeVar("_T")
DEFAULT_LIMIT, MOST_ROWS = 100, 1_000
DEFAULT_EVENTS, MOST_EVENTS = 1_000, 10_000
_METADATA = "metadata."
#: Statuses of tasks that are not over.
_UNDER_WAY = frozenset({PENDING, RUNNING, RETRYING})

#: Filters that queries and bulk actions share: name -> (schema, sentence).
FILTERS: dict[str, tuple[Schema, str]] = {
    "status": (STATUS, "Only this status; several, repeated or with commas between, mean any of them."),
    "name": (STRING, "Only workflows of this name."),
    "id": (STRING, "Only those whose id contains this text."),
    "since": (STRING, "Only those submitted at or after: ISO 8601 in UTC, or how long ago (7d, 12h, 30m)."),
    "until": (STRING, "Only those submitted before."),
    "metadata.KEY": (STRING, "Only those whose metadata has this value at KEY: JSON, or else text. Any number."),
}


async def in_thread(call: Callable[..., _T], *args: Any, **named: Any) -> _T:
    """A blocking call, off the event loop."""
    return await anyio.to_thread.run_sync(lambda: call(*args, **named))


# -- what was asked ---------------------------------------------------------------------------------------------------


def whole_number(query: QueryParams, name: str, default: int, least: int, most: int | None = None) -> int:
    """A number of the query. Raises ValueError naming it."""
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal()) or int(text[:19]) < least or (most is not None and int(text) > most):
        upper = "" if most is None else f" to {most:,}"
        raise ValueError(f"{name} is {text[:40]!r}; it must be a whole number from {least}{upper}")
    return min(int(text[:19]), 2**62)


def only(query: QueryParams, known: Collection[str]) -> None:
    """Raises ValueError for a parameter there is not: a filter that was misspelt must not show everything."""
    for name in query:
        if name not in known and not (name.startswith(_METADATA) and "metadata.KEY" in known):
            raise ValueError(f"there is no parameter {name[:40]!r}; there are {', '.join(known) or 'none'}")


def filters(query: QueryParams) -> dict[str, Any]:
    """Filters of a query as `WorkflowObservability` takes them."""
    statuses = [word.strip().upper() for item in query.getlist("status") for word in item.split(",") if word.strip()]
    metadata = {name[len(_METADATA) :]: _value(text) for name, text in query.items() if name.startswith(_METADATA)}
    return {
        "status": statuses or None,
        "name": query.get("name") or None,
        "text": query.get("id") or None,
        "since": query.get("since") or None,
        "until": query.get("until") or None,
        "metadata": metadata or None,
    }


def _value(text: str) -> Any:
    """``3``, ``true`` and ``"3"`` are JSON; what is none is text as it stands."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _no_constant(text: str) -> Any:
    raise ValueError(text)


# -- questions --------------------------------------------------------------------------------------------------------

_PAGING = {
    "limit": ({**INTEGER, "minimum": 0, "maximum": MOST_ROWS, "default": DEFAULT_LIMIT}, "At most so many rows."),
    "offset": ({**INTEGER, "minimum": 0, "default": 0}, "Rows to pass over."),
    "order_by": (STRING, "Columns with commas between; -column for the largest first. Default: newest submitted."),
}
_PAGED = object_of(
    {
        "workflows": rows_of("Workflow"),
        "total": INTEGER,
        "limit": INTEGER,
        "offset": INTEGER,
        "next_offset": {"type": ["integer", "null"], "description": "Of the next page; null on the last one."},
        "as_of_seq": INTEGER,
    }
)


@describe(query={**FILTERS, **_PAGING, **past.PARAMETER}, answer=_PAGED)
async def workflows(request: Request) -> Response:
    """Workflows that the filters leave, newest submitted first, and how many there are.

    `total` counts all that the filters leave, whatever `limit` says."""
    query = request.query_params
    only(query, [*FILTERS, *_PAGING, past.AS_OF])
    limit = whole_number(query, "limit", DEFAULT_LIMIT, 0, MOST_ROWS)
    offset = whole_number(query, "offset", 0, 0)
    order = [word.strip() for word in query.get("order_by", "").split(",") if word.strip()] or None
    ask = (await in_thread(past.asked, request)).workflows
    page = await in_thread(ask, **filters(query), order_by=order, limit=limit, offset=offset)
    after = offset + len(page.rows)
    return JsonResponse(
        {
            "workflows": page.rows,
            "total": page.total,
            "limit": limit,
            "offset": offset,
            "next_offset": after if page.rows and after < page.total else None,
            "as_of_seq": page.as_of_seq,
        }
    )


@describe(answer=object_of({"counts": {"type": "object", "additionalProperties": INTEGER}}))
async def counts(request: Request) -> Response:
    """How many workflows there are of each status."""
    only(request.query_params, ())
    return JsonResponse({"counts": await in_thread(request.app.state.observability.counts)})


@describe(query=past.PARAMETER, answer=row_of("Workflow"))
async def workflow(request: Request) -> Response:
    """One workflow."""
    only(request.query_params, past.PARAMETER)
    ask = (await in_thread(past.asked, request)).workflow
    return JsonResponse(await in_thread(ask, _id(request)))


@describe(query=past.PARAMETER, answer=object_of({"workflow_id": STRING, "tasks": rows_of("Task"), "total": INTEGER}))
async def tasks(request: Request) -> Response:
    """All tasks of a workflow, in the order of their definition."""
    only(request.query_params, past.PARAMETER)
    workflow_id = _id(request)
    observability = await in_thread(past.asked, request)
    ask = observability.tasks

    def make() -> Made:
        rows = list(ask(workflow_id).values())
        body = dumps({"workflow_id": workflow_id, "tasks": rows, "total": len(rows)})
        live = any(row["origin"] == "live" for row in rows)
        return Made(body, live, not live and any(row["status"] in _UNDER_WAY for row in rows))

    if observability is not request.app.state.observability:
        return JsonResponse((await in_thread(make)).body)
    return JsonResponse(await in_thread(request.app.state.kept_tasks.get, workflow_id, make))


@describe(
    query={"task_id": (STRING, "Only those of this task.")},
    answer=object_of({"workflow_id": STRING, "attempts": rows_of("Attempt"), "total": INTEGER}),
)
async def attempts(request: Request) -> Response:
    """All attempts of a workflow, in the order in which they were made."""
    only(request.query_params, ("task_id",))
    return await _list(request, "attempts", request.query_params.get("task_id"))


@describe(answer=object_of({"workflow_id": STRING, "runs": rows_of("Run"), "total": INTEGER}))
async def runs(request: Request) -> Response:
    """The runs of a workflow: one execution, and one for each time it was resumed."""
    only(request.query_params, ())
    return await _list(request, "runs")


async def _list(request: Request, what: str, *args: Any) -> Response:
    workflow_id = _id(request)
    rows = await in_thread(getattr(request.app.state.observability, what), workflow_id, *args)
    return JsonResponse({"workflow_id": workflow_id, what: rows, "total": len(rows)})


_EVENTS = object_of(
    {
        "workflow_id": STRING,
        "events": rows_of("Event"),
        "next_after_seq": {"type": ["integer", "null"], "description": "Ask again with it; null: there was no more."},
    }
)


@describe(
    query={
        "after_seq": ({**INTEGER, "minimum": 0, "default": 0}, "Only those behind this one in the log."),
        "limit": ({**INTEGER, "minimum": 1, "maximum": MOST_EVENTS, "default": DEFAULT_EVENTS}, "At most so many."),
    },
    answer=_EVENTS,
)
async def events(request: Request) -> Response:
    """The events of a workflow, in the order of the log."""
    only(request.query_params, ("after_seq", "limit"))
    workflow_id = _id(request)
    after = whole_number(request.query_params, "after_seq", 0, 0)
    limit = whole_number(request.query_params, "limit", DEFAULT_EVENTS, 1, MOST_EVENTS)
    ask = request.app.state.observability.events
    # One more than is told shows whether there is more.
    rows = await in_thread(ask, workflow_id, after_seq=after, limit=limit + 1)
    told = rows[:limit]
    more = told[-1]["seq"] if len(rows) > limit else None
    return JsonResponse({"workflow_id": workflow_id, "events": told, "next_after_seq": more})


def _id(request: Request) -> str:
    found: str = request.path_params["workflow_id"]
    return found


_ONE = "/api/workflows/{workflow_id:segment}"
routes: list[BaseRoute] = [
    Route("/api/workflows", workflows, methods=["GET"]),
    Route("/api/counts", counts, methods=["GET"]),
    Route(_ONE, workflow, methods=["GET"]),
    Route(f"{_ONE}/tasks", tasks, methods=["GET"]),
    Route(f"{_ONE}/attempts", attempts, methods=["GET"]),
    Route(f"{_ONE}/runs", runs, methods=["GET"]),
    Route(f"{_ONE}/events", events, methods=["GET"]),
]
