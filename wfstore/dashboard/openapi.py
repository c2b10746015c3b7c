"""The description of the HTTP API, OpenAPI 3.1, made from the routes themselves: none is described that is not there,
and none is there that is not described.

An endpoint says what it is by `describe`, with its docstring's first sentence as the summary. Schemas of rows are those
of the SQL views.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from wfstore._version import __version__
from wfstore.dashboard.encoding import JsonResponse
from wfstore.dashboard.security import ACTION_HEADER, MACHINE_PATHS
from wfstore.model.statuses import WORKFLOW_STATUSES
from wfstore.schema.views import VIEWS, Column

Schema = Mapping[str, Any]
_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])
_ATTRIBUTE = "wfstore_operation"
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
_TYPES: Final = {
    "VARCHAR": {"type": "string"},
    "TIMESTAMP": {"type": "string", "format": "date-time"},
    "DOUBLE": {"type": "number"},
    "BIGINT": {"type": "integer"},
    "INTEGER": {"type": "integer"},
    "SMALLINT": {"type": "integer"},
    "BOOLEAN": {"type": "boolean"},
    "JSON": {},
}
#: Names of parameters in paths -> what they are.
_IN_PATHS: Final = {
    "workflow_id": "The workflow's id, percent-encoded, slashes too.",
    "task_id": "The task's id, percent-encoded, slashes too.",
}
STRING: Final[Schema] = {"type": "string"}
INTEGER: Final[Schema] = {"type": "integer"}
BOOLEAN: Final[Schema] = {"type": "boolean"}
STATUS: Final[Schema] = {"type": "string", "enum": list(WORKFLOW_STATUSES)}


@dataclass(frozen=True)
class Operation:
    """What an endpoint takes and gives. query: name -> (schema, sentence); body and answer: schemas; media: of the
    answer; refusals: statuses besides those that every operation has."""

    answer: Schema = field(default_factory=dict)
    query: Mapping[str, tuple[Schema, str]] = field(default_factory=dict)
    body: Schema | None = None
    media: str = "application/json"
    refusals: tuple[int, ...] = ()
    headers: Mapping[str, tuple[Schema, str]] = field(default_factory=dict)


def describe(**facts: Any) -> Callable[[_Endpoint], _Endpoint]:
    """Decorates an endpoint with its `Operation`."""

    def attach(endpoint: _Endpoint) -> _Endpoint:
        setattr(endpoint, _ATTRIBUTE, Operation(**facts))
        return endpoint

    return attach


def object_of(properties: Mapping[str, Schema], *, required: Iterable[str] | None = None) -> Schema:
    """The schema of an object; all its properties are required unless said otherwise."""
    needed = list(properties) if required is None else list(required)
    return {"type": "object", "properties": dict(properties), **({"required": needed} if needed else {})}


def rows_of(schema: str) -> Schema:
    """The schema of an array of rows: Workflow, Task, Attempt, Run or Event."""
    return {"type": "array", "items": row_of(schema)}


def row_of(schema: str) -> Schema:
    return {"$ref": f"#/components/schemas/{schema}"}


# -- the document -----------------------------------------------------------------------------------------------------

_REFUSALS: Final = {
    400: "The request is wrong; the message says what.",
    401: "No valid token.",
    403: "Host, origin, Sec-Fetch-Site or the action header is not as it must be.",
    404: "No such workflow.",
    409: "Refused in this state, or no manager is alive.",
    413: "The body is too large.",
    503: "No manager is alive that could take it; try again later.",
}


def document(routes: Iterable[BaseRoute]) -> dict[str, Any]:
    """The OpenAPI document of those routes that machines use."""
    paths: dict[str, dict[str, Any]] = {}
    for route in machine_routes(routes):
        operations = paths.setdefault(shown_path(route), {})
        for method in sorted((route.methods or set()) - {"HEAD"}):
            operations[method.lower()] = _operation(route, method)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "wfstore",
            "version": __version__,
            "description": f"Every request needs the token. Requests that change something also need {ACTION_HEADER}: "
            "1. Times are ISO 8601 in UTC, `*_s` are seconds, `*_bytes` are bytes; more columns may come.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"cookie": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {**_schemas(), "Error": _error()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "wfstore-PORT",
                    "description": "Set by the link that is printed at start.",
                },
            },
        },
    }


def machine_routes(routes: Iterable[BaseRoute]) -> list[Route]:
    """Those below /api and /event."""
    return [route for route in routes if isinstance(route, Route) and route.path.startswith(MACHINE_PATHS)]


def shown_path(route: Route) -> str:
    """The path as OpenAPI writes it."""
    return _PARAMETER.sub(r"{\1}", route.path)


def _operation(route: Route, method: str) -> dict[str, Any]:
    facts: Operation = getattr(route.endpoint, _ATTRIBUTE, None) or Operation()
    summary, _, description = (inspect.getdoc(route.endpoint) or route.name).partition("\n\n")
    made: dict[str, Any] = {
        "operationId": f"{method.lower()}_{route.name}",
        "summary": " ".join(summary.split()),
        "parameters": _parameters(route, facts, method),
        "responses": _responses(route, facts),
    }
    if description:
        made["description"] = description
    if facts.body is not None:
        made["requestBody"] = {"content": {"application/json": {"schema": facts.body}}}
    return made


def _parameters(route: Route, facts: Operation, method: str) -> list[dict[str, Any]]:
    made = [
        {"name": name, "in": "path", "required": True, "schema": STRING, "description": _IN_PATHS.get(name, name)}
        for name in _PARAMETER.findall(route.path)
    ]
    for place, declared in (("query", facts.query), ("header", facts.headers)):
        made += [
            {"name": name, "in": place, "schema": schema, "description": text}
            for name, (schema, text) in declared.items()
        ]
    if method != "GET" and route.path.startswith("/api/"):
        text = "Says that the request comes from no other site's page."
        schema = {"type": "string", "const": "1"}
        made.append({"name": ACTION_HEADER, "in": "header", "required": True, "schema": schema, "description": text})
    return made


def _responses(route: Route, facts: Operation) -> dict[str, Any]:
    answers: dict[str, Any] = {
        "200": {"description": "Done.", "content": {facts.media: {"schema": facts.answer}}},
    }
    known = {400, 401, 403, *facts.refusals} | ({404} if "{workflow_id" in route.path else set())
    refused = {"application/json": {"schema": row_of("Error")}}
    for status in sorted(known):
        answers[str(status)] = {"description": _REFUSALS.get(status, "Refused."), "content": refused}
    return answers


def _error() -> Schema:
    return object_of({"error": object_of({"type": STRING, "message": STRING})})


def _schemas() -> dict[str, Any]:
    said = (
        Column("origin", "VARCHAR", "Where the row comes from: live (the manager's memory) or store."),
        Column("as_of_seq", "BIGINT", "The last event that the row takes into account."),
    )
    views = {"Workflow": "workflows", "Task": "live_tasks", "Attempt": "attempts", "Run": "runs", "Event": "events"}
    made = {}
    for name, view in views.items():
        extra = said if name in ("Workflow", "Task") else ()
        columns = {column.name: _column(column) for column in (*VIEWS[view], *extra)}
        made[name] = {"type": "object", "properties": columns}
    return made


def _column(column: Column) -> dict[str, Any]:
    """Every column may be null: what has not happened yet has no value."""
    kind = column.type.removesuffix("[]")
    schema = dict(_TYPES.get(kind, STRING))
    if column.type.endswith("[]"):
        schema = {"type": "array", "items": schema}
    if "type" in schema:
        schema["type"] = [schema["type"], "null"]
    return {**schema, "description": column.text}


@describe(answer={"type": "object"})
async def openapi_document(request: Request) -> Response:
    """This description."""
    return JsonResponse(document(request.app.routes))


routes: list[BaseRoute] = [Route("/api/openapi.json", openapi_document, methods=["GET"])]
