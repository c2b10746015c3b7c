"""Questions over all workflows: SQL in a sandbox, and the named reports, as pages and for programs.

A query runs in a process of its own with limits (`wfstore.index.sandbox`), whoever asks. Pages work without a script:
their forms use GET, which is right for what only reads.
"""

from __future__ import annotations

import json
import threading
import time
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from wfstore.cli import output
from wfstore.dashboard import tables
from wfstore.dashboard.api import in_thread, only
from wfstore.dashboard.encoding import JsonResponse
from wfstore.dashboard.openapi import BOOLEAN, INTEGER, STRING, describe, object_of
from wfstore.dashboard.tables import Answer
from wfstore.errors import QueryError
from wfstore.index import catalog
from wfstore.index.catalog import Query
from wfstore.index.sandbox import Sandbox, SandboxBusyError
from wfstore.schema.views import VIEWS

#: Rows of a table on a page; a file has as many as the sandbox gives.
ROWS_A_PAGE = 1_000
DEFAULT_ROWS = 10_000
_lock = threading.Lock()


class Example(NamedTuple):
    """A question people ask, and a statement that answers it."""

    title: str
    sql: str


def examples() -> list[Example]:
    """Those of `queries/examples/`."""
    return [Example(query.summary, query.sql) for query in catalog.folder("examples").values()]


def sandbox_of(app: Starlette) -> Sandbox:
    """The application's, made when it is first asked for. `close` ends it."""
    with _lock:
        if getattr(app.state, "sandbox", None) is None:
            store = app.state.observability.store

            def live() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
                workflows, tasks = (store.sql(f"FROM {view}").pl().to_dicts() for view in LIVE)
                return workflows, tasks

            app.state.sandbox = Sandbox(store.storage, live_source=live)
        found: Sandbox = app.state.sandbox
        return found


LIVE = ("live_workflows", "live_tasks")


def close(app: Starlette) -> None:
    """End the processes of the application's sandbox, where there is one."""
    with _lock:
        if getattr(app.state, "sandbox", None) is not None:
            app.state.sandbox.close()
            app.state.sandbox = None


def ask(app: Starlette, sql: str, most_rows: int | None = None) -> Answer:
    """Run a query in the sandbox. Raises what `Sandbox.query` raises."""
    found = sandbox_of(app).query(sql, most_rows=most_rows)
    return Answer(found.table, found.types, found.truncated, found.total_rows, found.elapsed_s)


# -- SQL --------------------------------------------------------------------------------------------------------------


def sql_page(request: Request) -> Response:
    """GET /sql?q=: the box, the views and their columns, and the answer; with format= the answer as a file."""
    said = request.query_params
    query, how = said.get("q", "").strip(), said.get("format")
    sandbox = sandbox_of(request.app)  # so that its process is ready when the first query comes
    context: dict[str, Any] = {"q": query, "answer": None, "problem": None, "most": sandbox.limits.most_rows}
    status = 200
    if query:
        try:
            answer = ask(request.app, query, None if how else ROWS_A_PAGE)
            if how:
                return tables.download(answer, how, "query")
            context["answer"] = _shown(answer)
        except QueryError as error:
            status = 429 if isinstance(error, SandboxBusyError) else 400
            context["problem"] = str(error)
    summaries = catalog.folder("views")
    context["views"] = [(name, summaries[name].summary, columns) for name, columns in VIEWS.items()]
    context["examples"] = examples()
    return _render(request, "sql.html.j2", context, status)


_ANSWER = object_of(
    {
        "columns": {"type": "array", "items": STRING},
        "types": {"type": "array", "items": STRING, "description": "As DuckDB calls them."},
        "rows": {"type": "array", "items": {"type": "array"}, "description": "One array for each row."},
        "truncated": {**BOOLEAN, "description": "Whether there are more rows than these."},
        "total_rows": {"type": ["integer", "null"], "description": "How many there are in all, where that is known."},
        "elapsed_s": {"type": "number"},
    }
)
_LIMIT = {**INTEGER, "minimum": 0, "description": f"At most so many rows; {DEFAULT_ROWS:,} of JSON, else all it gives."}


@describe(
    query={"format": ({**STRING, "enum": list(tables.FORMATS), "default": "json"}, "As a file in this format.")},
    body=object_of({"query": STRING, "limit": _LIMIT}, required=["query"]),
    answer=_ANSWER,
    refusals=(429,),
)
async def sql(request: Request) -> Response:
    """Run one SELECT over the views, with limits on memory, time and the size of the answer.

    429: other queries are running; try again."""
    only(request.query_params, ("format",))
    how = request.query_params.get("format", "json")
    if how not in tables.FORMATS:
        raise ValueError(f"there is no format {how[:40]!r}; there are {', '.join(tables.FORMATS)}")
    query, limit = _body(await request.body())
    if limit is None and how == "json":
        limit = DEFAULT_ROWS
    try:
        answer = await in_thread(ask, request.app, query, limit)
    except SandboxBusyError as error:
        told = {"error": {"type": type(error).__name__, "message": str(error)}}
        return JsonResponse(told, 429, {"Retry-After": "1"})
    if how == "json":
        return await in_thread(tables.document, answer)
    return await in_thread(tables.download, answer, how, "query")


def _body(data: bytes) -> tuple[str, int | None]:
    """The statement, and how many rows at most. Raises ValueError."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError('the body is not JSON; it should be {"query": "SELECT ..."}') from None
    query = body.get("query") if isinstance(body, dict) else None
    if not isinstance(query, str) or not query.strip():
        raise ValueError('the body has no "query"; it should be {"query": "SELECT ..."}')
    if unknown := set(body) - {"query", "limit"}:
        raise ValueError(f"the body has {sorted(unknown)[0][:40]!r}; it may have query and limit")
    limit = body.get("limit")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 0):
        raise ValueError("limit takes a whole number from 0")
    return query, limit


# -- reports ----------------------------------------------------------------------------------------------------------


def reports_page(request: Request) -> Response:
    """GET /reports: which there are."""
    return _render(request, "reports.html.j2", {"reports": list(catalog.folder("reports").values())})


def report_page(request: Request) -> Response:
    """GET /reports/{name}: a report with its parameters as a form; with format= its rows as a file."""
    report = catalog.folder("reports").get(request.path_params["name"])
    if report is None:
        raise HTTPException(404)
    said = request.query_params
    how = said.get("format")
    given = {param.name: said[param.name] for param in report.params if said.get(param.name, "").strip()}
    context: dict[str, Any] = {"report": report, "given": given, "answer": None, "problem": None}
    status = 200
    try:
        answer = _reported(request, report, given)
        if how:
            return tables.download(answer, how, report.name)
        context["answer"] = _shown(answer, human=True)
    except ValueError as error:
        context["problem"], status = str(error), 400
    return _render(request, "report.html.j2", context, status)


def _reported(request: Request, report: Query, given: dict[str, str]) -> Answer:
    began = time.perf_counter()
    table = request.app.state.observability.store.report(report.name, **given).to_arrow()
    return Answer(
        table,
        [column.type for column in report.columns],
        total=table.num_rows,
        elapsed_s=time.perf_counter() - began,
    )


# -- pages ------------------------------------------------------------------------------------------------------------


def _shown(answer: Answer, *, human: bool = False) -> dict[str, Any]:
    """What the templates need to know of an answer."""
    rows = tables.cells(answer, ROWS_A_PAGE, human=human)
    numbers = [any(row[place].number for row in rows[:50]) for place in range(len(answer.columns))]
    heads = [output.header(name) if human else name for name in answer.columns]
    return {
        "heads": list(zip(heads, answer.types, numbers, strict=True)),
        "rows": rows,
        "total": answer.total,
        "more": answer.truncated or answer.table.num_rows > len(rows),
        "elapsed_s": answer.elapsed_s,
    }


def _render(request: Request, template: str, context: dict[str, Any], status: int = 200) -> Response:
    page: Response = request.app.state.templates.TemplateResponse(request, template, context, status)
    return page


routes: list[BaseRoute] = [
    Route("/sql", sql_page),
    Route("/api/sql", sql, methods=["POST"]),
    Route("/reports", reports_page),
    Route("/reports/{name}", report_page),
]
