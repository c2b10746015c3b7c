"""`?as_of=` of pages and API: what a request is about, now or an earlier moment, and what its page shows of that."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request

from wfstore import _text
from wfstore._observe import WorkflowObservability
from wfstore._observe.past import PastObservability, Pasts
from wfstore.dashboard import templating
from wfstore.dashboard.openapi import STRING, Schema
from wfstore.dashboard.shapes import Query

AS_OF = "as_of"
#: For the description of the API.
PARAMETER: dict[str, tuple[Schema, str]] = {
    AS_OF: (
        STRING,
        "As it stood then, out of the store alone: ISO 8601 in UTC, how long ago (2h), or the seq of an event.",
    )
}
_lock = threading.Lock()


class Shown(NamedTuple):
    """What the banner and the forms need. last: the newest event there is now; past: None on a page about now; now: the
    same page about now; query: of the page."""

    last: int
    past: PastObservability | None
    now: str
    query: Query

    @property
    def seq(self) -> int:
        """Where the slider stands."""
        return self.last if self.past is None else self.past.past.seq

    @property
    def at(self) -> str:
        """The moment, for people."""
        return "" if self.past is None else _text.clock(self.past.at)

    @property
    def home(self) -> str:
        """The page of all workflows at the same moment."""
        at = self.query.one(AS_OF)
        return "/" if at is None else f"/?{urlencode({AS_OF: at})}"

    @property
    def field(self) -> str:
        """What stands in the field of the time, as browsers want it."""
        at = None if self.past is None else self.past.at
        return "" if at is None else at.isoformat(timespec="seconds")


def asked(request: Request) -> WorkflowObservability:
    """What a request asks: the store as it is, or as it was. Blocks; raises ValueError for what is no past of it."""
    observability: WorkflowObservability = request.app.state.observability
    when = Query(request.query_params).one(AS_OF)
    return observability if when is None else pasts(request.app).get(when)


def pasts(app: Starlette) -> Pasts:
    """The application's."""
    with _lock:
        if getattr(app.state, "pasts", None) is None:
            app.state.pasts = Pasts(app.state.observability.store)
        found: Pasts = app.state.pasts
        return found


def moment(observability: WorkflowObservability) -> datetime:
    """When what is shown was so; UTC without a zone."""
    at = observability.at if isinstance(observability, PastObservability) else None
    return at or datetime.now(UTC).replace(tzinfo=None)


def context(request: Request, observability: WorkflowObservability) -> dict[str, Any]:
    """For templates: `shown`, and links that stay in the past where the page is about it."""
    query = Query(request.query_params)
    past = observability if isinstance(observability, PastObservability) else None
    last = request.app.state.observability.store._index.refresh()[0]
    shown = Shown(last, past, query.link(**{AS_OF: None}), query)
    return {"when": shown, **({} if past is None else links(query))}


def links(query: Query) -> dict[str, Callable[..., str]]:
    """`workflow_path` and `task_path` as `templating` has them, to pages about the same moment."""
    said = {AS_OF: query.one(AS_OF)}

    def workflow_path(workflow_id: str, fragment: str | None = None, **more: Any) -> str:
        return templating.workflow_path(workflow_id, fragment, **{**said, **more})

    def task_path(workflow_id: str, task_id: str) -> str:
        return templating.task_path(workflow_id, task_id, **said)

    return {"workflow_path": workflow_path, "task_path": task_path}
