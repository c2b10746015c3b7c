"""The pages that people look at: all workflows, one workflow, one task; and their parts, for the script that keeps them
fresh.

They are drawn here and work without a script; what a page was asked is in its query. Errors of this package go to the
application, which makes an error page of them.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, NamedTuple
from urllib.parse import unquote

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from wfstore import draw
from wfstore._observe import WorkflowObservability
from wfstore.dashboard import (
    past,
    paths,  # noqa: F401 - the convertor "segment"
    shapes,
    templating,
    views,
)
from wfstore.dashboard.shapes import Query
from wfstore.dashboard.unusual import MANY_EVENTS, NOTHING, Answer
from wfstore.errors import WorkflowNotFoundError

#: Parts of pages that can be had alone: the names of their templates.
OVERVIEW_PARTS = ("summary", "workflows")
WORKFLOW_PARTS = ("head", "dag", "timeline", "spent", "tasks", "errors", "attempts", "events")

_PAGES = ("overview.html.j2", "workflow.html.j2")
_places = views.Places()


def overview(request: Request) -> Response:
    """GET / and its fragments GET /fragment/{part}."""
    part = request.path_params.get("part")
    if part is not None and part not in OVERVIEW_PARTS:
        return _no_part(request, part, OVERVIEW_PARTS)
    observability = past.asked(request)
    view = views.Overview(observability, Query(request.query_params))

    def unusual() -> Answer:
        if observability is not request.app.state.observability:  # what was unusual in the past, reports say
            return NOTHING
        # First what the page cannot do without: the other takes long, and both processors.
        view.prepare(part is None)
        many = observability.store._index.as_of_seq > MANY_EVENTS
        found: Answer = request.app.state.unusual.lines(large=many)
        return found

    if part != "summary":
        view.table  # noqa: B018 - what is wrong with the filters is said before anything is drawn
    context = {"view": view, "unusual": unusual}
    return _render(request, f"parts/{part}.html.j2" if part else "overview.html.j2", observability, context)


def workflow(request: Request) -> Response:
    """GET /workflows/{id}, its fragments /workflows/{id}/fragment/{part}, and /workflows/{id}/tasks/{task_id}."""
    asked = _asked(request)
    query = Query(request.query_params)
    observability = past.asked(request)
    view = views.Workflow(observability, asked.workflow_id, query, _places)
    if asked.task_id is not None:
        part = "parts/task.html.j2" if query.one("fragment") else "task.html.j2"
        return _render(request, part, observability, {"view": view, "task": views.Task(view, asked.task_id)})
    if asked.part is not None and asked.part not in WORKFLOW_PARTS:
        return _no_part(request, asked.part, WORKFLOW_PARTS)
    view.row  # noqa: B018 - who is not there is said before anything is drawn
    template = f"parts/{asked.part}.html.j2" if asked.part else "workflow.html.j2"
    return _render(request, template, observability, {"view": view})


def style(request: Request) -> Response:
    """GET /draw.css: the meaning of the classes in drawings."""
    return Response(draw.STYLE, media_type="text/css", headers={"Cache-Control": "max-age=3600"})


class Assets(StaticFiles):
    """Files that a browser keeps for good where their URL says which version it wants; others it asks about again."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        version, _, name = path.partition("/")
        if name in templating.MODULES:
            current = version == templating.static_version(*templating.MODULES)
            response = await super().get_response(name, scope)
        else:
            response = await super().get_response(path, scope)
            said = QueryParams(scope["query_string"]).get("v")
            current = said is not None and response.status_code < 400 and said == templating.static_version(path)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if current else "no-cache"
        return response


class _Asked(NamedTuple):
    workflow_id: str
    task_id: str | None = None
    part: str | None = None


def _asked(request: Request) -> _Asked:
    """What a path below /workflows names. Raises WorkflowNotFoundError where that is nothing."""
    named, said = request.path_params, request.query_params
    if "rest" in named:
        return _Asked(unquote(named["rest"]))
    if "workflow_id" in named:
        return _Asked(named["workflow_id"], named.get("task_id"), named.get("part"))
    if not said.get("id"):
        raise WorkflowNotFoundError("", "No workflow id was given.")
    return _Asked(said["id"], said.get("task"), said.get("fragment"))


def _render(request: Request, template: str, observability: WorkflowObservability, context: dict[str, Any]) -> Response:
    """A page or a part of one; context: what its template takes. Raises as its view does; of a page without a query,
    what its view raises once the head is sent stands at its end."""
    said = {**common(request, observability), **context}
    response: Response
    if template in _PAGES and not request.url.query:  # whatever a query says can be refused
        pieces = templating.in_pieces(template, said)
        response = StreamingResponse(chain((next(pieces),), pieces), media_type="text/html")
    else:
        response = request.app.state.templates.TemplateResponse(request, template, said)
    # what is shown is true for a moment only; a browser that goes back asks again
    response.headers["Cache-Control"] = "no-store"
    return response


def common(request: Request, observability: WorkflowObservability) -> dict[str, Any]:
    """What every template takes."""
    live = observability.live
    found = {"live": live, "why_not_live": "" if live else observability.why_not_live(), "shapes": shapes}
    return {**found, **past.context(request, observability)}


def _no_part(request: Request, part: str, known: tuple[str, ...]) -> Response:
    message = f"There is no part {part[:40]!r}; there are: {', '.join(known)}."
    context = {"status": 404, "title": "Not found", "message": message}
    response: Response = request.app.state.templates.TemplateResponse(request, "error.html.j2", context, 404)
    return response


routes: list[BaseRoute] = [
    Route("/", overview),
    Route("/fragment/{part}", overview),
    Route("/workflows", workflow),
    Route("/workflows/{workflow_id:segment}", workflow),
    Route("/workflows/{workflow_id:segment}/tasks/{task_id:segment}", workflow),
    Route("/workflows/{workflow_id:segment}/fragment/{part}", workflow),
    # an id whose slashes were not encoded
    Route("/workflows/{rest:path}", workflow),
    Route("/draw.css", style),
    Mount("/static", Assets(packages=[("wfstore.dashboard", "static")])),
]
