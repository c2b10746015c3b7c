"""The ASGI application: every part's routes behind one security, and errors as whoever asked can read them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wfstore import errors
from wfstore.dashboard import actions, api, comparing, events, openapi, pages, queries, stream, templating
from wfstore.dashboard.api import in_thread
from wfstore.dashboard.encoding import JsonResponse
from wfstore.dashboard.kept import Kept
from wfstore.dashboard.paths import ExactPaths
from wfstore.dashboard.security import MACHINE_PATHS, Refusal, Security
from wfstore.dashboard.settings import Settings
from wfstore.dashboard.unusual import Unusual

if TYPE_CHECKING:
    from wfstore._observe import WorkflowObservability

_log = logging.getLogger("wfstore.dashboard")

#: The first that fits says which status an error has; what is none of them is a fault of ours.
_STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (errors.WorkflowNotFoundError, 404),
    (errors.OutputNotFoundError, 404),
    (errors.StorageNotFoundError, 404),
    (errors.WorkflowQueueFullError, 409),
    (errors.InvalidCommandError, 400),
    (errors.QueryError, 400),
    (errors.WorkflowError, 409),
    (errors.ManagerLostError, 409),
    (errors.StorageError, 503),
    (ValueError, 400),
)


def create_app(observability: WorkflowObservability, settings: Settings) -> Starlette:
    """The application over one storage. `request.app.state` has observability, settings, templates, hub (streams),
    kept_tasks (answers) and unusual (lines)."""
    hub = stream.Hub(observability)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        hub.close()
        await in_thread(queries.close, app)
        await in_thread(app.state.unusual.close)

    app = Starlette(
        routes=all_routes(),
        middleware=[Middleware(Security, settings=settings), Middleware(Faults), Middleware(ExactPaths)],
        exception_handlers={
            HTTPException: _http,
            Refusal: _refusal,
            errors.WfstoreError: _known,
            ValueError: _known,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # a redirect would be made of the Host that was sent
    app.state.observability = observability
    app.state.settings = settings
    app.state.templates = templating.templates()
    app.state.hub = hub
    app.state.kept_tasks = Kept(observability)
    app.state.unusual = Unusual(observability)
    return app


def all_routes() -> list[BaseRoute]:
    """Of every part, and the description of the API among them."""
    return [
        *api.routes,
        *actions.routes,
        *events.routes,
        *stream.routes,
        *queries.routes,
        *comparing.routes,
        *openapi.routes,
        *pages.routes,
    ]


class Faults:
    """Answers for what no handler knows. Inside the security middleware: those answers need its headers too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            # Nothing is wrong here, and nobody is there to be answered.
            _log.info("%s %s: the client left in the middle of its request", scope["method"], scope["path"])
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            request = Request(scope, receive)
            _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
            # Its text is in the log of the server and goes to nobody else.
            answer = _answer(request, 500, type(error).__name__, "The server failed at this; its log says why.")
            await answer(scope, receive, send)


def status_of(error: Exception) -> int:
    """The HTTP status that says what kind of error this is."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


async def _known(request: Request, error: Exception) -> Response:
    status = status_of(error)
    if status >= 500:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer(request, status, type(error).__name__, str(error))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    message = f"There is nothing at {request.url.path}." if error.status_code == 404 else f"{error.detail}."
    response = _answer(request, error.status_code, phrase, message)
    response.headers.update(error.headers or {})
    return response


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return _answer(request, error.status, HTTPStatus(error.status).phrase, error.message)


def _answer(request: Request, status: int, kind: str, message: str) -> Response:
    if request.url.path.startswith(MACHINE_PATHS):
        return JsonResponse({"error": {"type": kind, "message": message}}, status)
    context = {"status": status, "title": HTTPStatus(status).phrase, "message": message}
    page: Response = request.app.state.templates.TemplateResponse(request, "error.html.j2", context, status)
    return page
