"""What the first pages would have to wait for, done once the server listens: templates are compiled, the footers of
history files read, modules for drawing loaded.

It asks for the pages that are opened first, and throws them away: what they share stays in memory.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.requests import Request

from wfstore._observe import WorkflowObservability
from wfstore.dashboard import pages, views
from wfstore.dashboard.shapes import Query
from wfstore.dashboard.unusual import NOTHING
from wfstore.errors import WfstoreError

#: A page of a workflow of more tasks is work of its own, and shares no more with others than a small one.
_MOST_TASKS = 200
#: Whoever follows the link at once sees the overview first, and reads before going on.
_NEXT_PAGE_S = 2.0
_log = logging.getLogger("wfstore.dashboard")


class Warming:
    """The work on one application, in the background."""

    def __init__(self, app: Starlette, done: Callable[[], None] | None = None) -> None:
        """done: called once nothing is left to do."""
        self._app, self._done = app, done
        self._ended = threading.Event()
        # A daemon: a store that does not answer must not keep the process from its end.
        self._thread = threading.Thread(target=self._work, name="wfstore-warming", daemon=True)
        self._thread.start()

    def end(self, timeout_s: float) -> None:
        """Begin nothing more, and wait for what is under way: a process that ends meanwhile ends with an abort."""
        self._ended.set()
        self._thread.join(timeout_s)

    def _work(self) -> None:
        try:
            for pause_s in steps(self._app):
                if self._ended.wait(pause_s):
                    return
            if self._done is not None:
                self._done()
        except Exception as error:  # whatever it is, whoever opens a page is told
            known = isinstance(error, WfstoreError)
            _log.info("the first pages will take longer: %s", error, exc_info=None if known else error)


def steps(app: Starlette) -> Iterator[float]:
    """Draw the overview, and the newest of its workflows that is not large; in pieces of one answer each. Yields how
    long it may rest then, seconds."""
    observability: WorkflowObservability = app.state.observability
    request = Request({"type": "http", "app": app, "method": "GET", "path": "/", "query_string": b"", "headers": []})
    nothing = Query(QueryParams())
    view = views.Overview(observability, nothing)
    for part in ("table", "counts", "activity"):
        getattr(view, part)
        yield 0.0
    _draw(request, "overview.html.j2", {"view": view, "unusual": lambda: NOTHING})
    small = next((row for row in view.table.rows if row["tasks"] <= _MOST_TASKS), None)
    if small is not None:
        yield _NEXT_PAGE_S
        one = views.Workflow(observability, small["workflow_id"], nothing, views.Places())
        _draw(request, "workflow.html.j2", {"view": one})


def _draw(request: Request, template: str, context: dict[str, Any]) -> None:
    said = pages.common(request, request.app.state.observability)
    request.app.state.templates.get_template(template).render({**said, **context})
