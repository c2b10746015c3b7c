"""What a server does before anybody asks, what it leaves when it ends, and pages that are sent in pieces."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from tests.browser import stores
from wfstore._observe import WorkflowObservability
from wfstore.dashboard import pages, templating, views, warming
from wfstore.dashboard.app import create_app
from wfstore.dashboard.settings import Settings
from wfstore.dashboard.shapes import Query
from wfstore.dashboard.unusual import NOTHING, Unusual
from wfstore.errors import StorageError


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    store = stores.shop(tmp_path / "shop")
    store.close()
    app = create_app(WorkflowObservability(store.path, live=False), Settings("t0ken", port=8266))
    with TestClient(app, base_url="http://127.0.0.1:8266", headers={"Authorization": "Bearer t0ken"}) as made:
        yield made


#: The query in links and forms, and what time it is.
_CHANGING = re.compile(
    r'(\?|&amp;)page=1|<input type="hidden"[^>]*>|<small class="ago">[^<]*|<span title="[\d.]+ s">[^<]*|\?|&amp;'
)


def failing(*_: Any, **__: Any) -> Any:
    raise StorageError("/data", "the disk is `gone`")


def test_the_pages_that_are_opened_first_are_drawn(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, Any]] = []
    draw = warming._draw

    def noted(request: Any, template: str, context: dict[str, Any]) -> None:
        draw(request, template, context)
        drawn.append((template, context["view"]))

    monkeypatch.setattr(warming, "_draw", noted)
    pauses = list(warming.steps(client.app))  # type: ignore[arg-type]
    assert [template for template, _ in drawn] == ["overview.html.j2", "workflow.html.j2"]
    assert drawn[1][1].workflow_id == drawn[0][1].table.rows[0]["workflow_id"]
    assert pauses[-1] > max(pauses[:-1]), "who opens the overview at once is not disturbed"


def test_a_store_that_fails_is_a_line_of_the_log(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(WorkflowObservability, "counts", failing)
    with caplog.at_level(logging.INFO, "wfstore.dashboard"):
        warming.Warming(client.app)._thread.join(10)  # type: ignore[arg-type]
    assert "the first pages will take longer: /data: the disk is `gone`" in caplog.text


def test_nothing_more_is_begun_after_the_end(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, go = threading.Event(), threading.Event()
    asked: list[str] = []

    def table(_: views.Overview) -> None:
        asked.append("table")
        inside.set()
        go.wait(10)

    monkeypatch.setattr(views.Overview, "table", property(table))
    monkeypatch.setattr(views.Overview, "counts", property(lambda _: asked.append("counts")))
    made = warming.Warming(client.app)  # type: ignore[arg-type]
    assert inside.wait(10)
    made.end(0)
    assert made._thread.is_alive()
    go.set()
    made.end(10)
    assert not made._thread.is_alive()
    assert asked == ["table"]


@pytest.mark.parametrize("path", ["/", "/workflows/nightly-etl-5", "/workflows/backfill"])
def test_a_page_is_the_same_in_pieces_and_in_one(
    client: TestClient, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is worked out in the background could be ready in between.
    monkeypatch.setattr(Unusual, "lines", lambda *_, **__: NOTHING)
    monkeypatch.setattr(WorkflowObservability, "expected", lambda *_, **__: {})
    in_pieces, whole = client.get(path), client.get(f"{path}?page=1")
    assert "content-length" not in in_pieces.headers and "content-length" in whole.headers
    assert in_pieces.headers["content-type"] == whole.headers["content-type"]
    assert in_pieces.headers["cache-control"] == whole.headers["cache-control"] == "no-store"
    texts = [_CHANGING.sub("", answer.text) for answer in (in_pieces, whole)]
    assert len(texts[0]) > 10_000
    assert texts[0] == texts[1]


def test_the_dag_is_sent_before_the_timeline_is_drawn(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request({"type": "http", "app": client.app, "path": "/", "query_string": b"", "headers": []})
    observability = client.app.state.observability  # type: ignore[attr-defined]
    view = views.Workflow(observability, "nightly-etl-5", Query(request.query_params), views.Places())
    asked: list[str] = []
    drawn = type(view).timeline.func  # type: ignore[attr-defined]
    monkeypatch.setattr(views.Workflow, "timeline", property(lambda self: (asked.append("timeline"), drawn(self))[1]))
    pieces = templating.in_pieces("workflow.html.j2", {**pages.common(request, observability), "view": view})
    head, dag = next(pieces), next(pieces)
    assert "</head>" in head and "<main" in head and "part-head" not in head
    assert 'class="wf-draw dag"' in dag and dag.endswith('id="timeline" aria-labelledby="timeline-title">')
    assert not asked
    rest = "".join(pieces)
    assert asked and 'id="part-timeline"' in rest and rest.rstrip().endswith("</html>")


def test_what_fails_after_the_head_is_said_on_the_page(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorkflowObservability, "counts", failing)
    assert client.get("/?sort=took").status_code == 503
    page = client.get("/")
    assert page.status_code == 200
    assert page.text.rstrip().endswith(
        '<p class="banner" role="alert">/data: the disk is <code>gone</code>. Load the page again.</p>'
    )
    assert client.get("/?status=NOTHING").status_code == 400
    assert client.get("/workflows/nobody").status_code == 404
