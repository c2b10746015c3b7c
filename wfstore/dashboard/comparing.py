"""The pages of differences: what became worse over time, and what is not alike in two workflows.

Both are drawn whole on the server; what was asked is in the query. Errors of this package go to the application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from wfstore._comparing import before
from wfstore.answers import regressions as answer
from wfstore.answers.diff_html import dags
from wfstore.dashboard.shapes import Query
from wfstore.dashboard.templating import task_path
from wfstore.errors import WfstoreError, WorkflowNotFoundError

if TYPE_CHECKING:
    from wfstore._store import Store
    from wfstore.answers.diff import Diff

#: Rows of the table of a diff; the command gives all.
ROWS = 500
_TEXTS = ("since", "baseline", "until", "workflow", "task", "measure")


def regressions(request: Request) -> Response:
    """GET /regressions?since=7d&baseline=28d&min_ratio=1.1&...: a form, and what became worse."""
    query = Query(request.query_params)
    given = {name: said for name in (*_TEXTS, "min_ratio") if (said := query.one(name))}
    least = query.whole("least", 10, 2, 10**6)
    context: dict[str, Any] = {
        "given": given,
        "least": least,
        "answer": answer,
        "rows": [],
        "counted": "",
        "problem": "",
    }
    status = 200
    try:
        found = _store(request).regressions(
            given.get("since", "7d"),
            given.get("baseline"),
            _number("min_ratio", given.get("min_ratio", "1.1")),
            until=given.get("until"),
            workflow=given.get("workflow"),
            task=given.get("task"),
            measure=given.get("measure"),
            least=least,
            verdict=answer.ANY,
        )
        context["rows"] = found.filter(verdict=answer.WORSE).to_dicts()
        context["counted"] = answer.counted(found, least)
    except ValueError as error:
        context["problem"], status = str(error), 400
    return _render(request, "regressions.html.j2", context, status)


def diff(request: Request) -> Response:
    """GET /diff?a=&b=: a form, and two workflows beside each other; without a, b and the one of its name before it."""
    query = Query(request.query_params)
    store, a, b = _store(request), query.one("a"), query.one("b")
    context: dict[str, Any] = {"a": a, "b": b, "found": None, "problem": "", "rows": [], "most": ROWS}
    status = 200
    try:
        if b is not None and a is None:
            a = context["a"] = before(store, b)
            if a is None:
                raise ValueError(f"there is no workflow of the name of {b!r} before it")
        if a is not None and b is not None:
            found = store.diff(a, b)
            context |= {"found": found, "rows": _rows(found), "dags": dags(found, link=task_path)}
    except WorkflowNotFoundError as error:
        context["problem"], status = str(error), 404
    except ValueError as error:
        if isinstance(error, WfstoreError):
            raise
        context["problem"], status = str(error), 400
    return _render(request, "diff.html.j2", context, status)


def _rows(found: Diff) -> list[tuple[list[str], str]]:
    """Cells of the table, and the path of the task's page."""
    ids = [str(one.workflow["workflow_id"]) for one in (found.a, found.b)]
    shown = found.differing.head(ROWS)
    named = zip(shown["task_id_a"], shown["task_id_b"], strict=True)
    paths = [task_path(ids[0], a) if b is None else task_path(ids[1], b) for a, b in named]
    return list(zip(found.cells(ROWS), paths, strict=True))


def _number(name: str, said: str) -> float:
    try:
        return float(said)
    except ValueError:
        raise ValueError(f"{name} has to be a number such as 1.1, not {said[:40]!r}") from None


def _store(request: Request) -> Store:
    store: Store = request.app.state.observability.store
    return store


def _render(request: Request, template: str, context: dict[str, Any], status: int) -> Response:
    page: Response = request.app.state.templates.TemplateResponse(request, template, context, status)
    page.headers["Cache-Control"] = "no-store"
    return page


routes: list[BaseRoute] = [Route("/regressions", regressions), Route("/diff", diff)]
