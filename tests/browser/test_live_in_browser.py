"""Pages that stay open while their store grows: nothing is loaded again, and what happens is there to see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import stores
from tests.browser.conftest import TOKEN
from wfstore._observe import WorkflowObservability
from wfstore.dashboard.app import create_app
from wfstore.dashboard.server import Background, listen
from wfstore.dashboard.settings import Settings
from wfstore.model.commands import Cancel, Delete, Submit

pytestmark = pytest.mark.browser


@pytest.fixture
def store(tmp_path: Path) -> Iterator[stores.Growing]:
    made = stores.Growing(tmp_path / "store")
    yield made
    made.close()


def watch(page: Any, url: str, path: str = "/") -> Any:
    page.goto(f"{url}{path}?token={TOKEN}")
    page.wait_for_selector("#live[data-state=on]")
    page.evaluate("window.loadedOnce = true")
    return page


def same_page(page: Any) -> bool:
    return bool(page.evaluate("window.loadedOnce === true"))


def test_a_workflow_from_pending_to_done(
    open_page: Callable[..., Any], serve: Callable[[str], str], store: stores.Growing
) -> None:
    store.do(Submit("w", stores.fan(3), {"name": "shop"}))
    page = watch(open_page(), serve(store.path), "/workflows/w")
    assert page.locator("g.node[data-task=list].st-PENDING").count() == 1
    store.start("w", "list")
    page.wait_for_selector("g.node[data-task=list].st-RUNNING")
    page.wait_for_selector("#task-table tr[data-task=list] .status.st-RUNNING")
    store.end("w", "list")
    page.wait_for_selector("g.node[data-task=list].st-SUCCESSFUL")
    page.wait_for_selector("#head [data-f=tasks_done] >> text=1")
    store.finish("w")
    page.wait_for_selector("#head[data-status=SUCCESSFUL]")
    page.wait_for_selector("#head .status >> text=SUCCESSFUL")
    page.wait_for_selector("#task-table tr[data-task=total] .status.st-SUCCESSFUL")
    page.wait_for_selector("#timeline g.bar[data-task=total]")
    assert page.locator("g.node.st-SUCCESSFUL").count() == 5
    assert same_page(page)


def test_a_part_that_was_drawn_before_a_change_does_not_hide_it(
    open_page: Callable[..., Any], serve: Callable[[str], str], store: stores.Growing
) -> None:
    store.do(Submit("w", stores.fan(3)))
    page = watch(open_page(), serve(store.path), "/workflows/w")
    held: list[Any] = []
    page.route("**/fragment/dag*", lambda route: held.append((route, route.fetch())))
    store.start("w", "list")
    for _ in range(500):
        if held:
            break
        page.wait_for_timeout(50)
    page.evaluate("document.querySelector('[data-dag]').dataset.before = ''")
    store.end("w", "list")
    page.wait_for_selector("g.node[data-task=list].st-SUCCESSFUL")
    route, drawn_before = held[0]
    route.fulfill(response=drawn_before)
    page.wait_for_selector("[data-dag]:not([data-before])")
    assert page.locator("g.node[data-task=list].st-SUCCESSFUL").count() == 1


def test_what_is_out_of_sight_waits_until_somebody_looks(
    open_page: Callable[..., Any], serve: Callable[[str], str], store: stores.Growing
) -> None:
    store.do(Submit("w", stores.fan(3)))
    page = open_page()
    page.set_viewport_size({"width": 1280, "height": 360})
    watch(page, serve(store.path), "/workflows/w")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/fragment/timeline" in request.url else None)
    store.start("w", "list")
    page.wait_for_selector("g.node[data-task=list].st-RUNNING", state="attached")
    page.wait_for_timeout(6500)  # in sight it had come after three or five seconds
    assert not asked
    page.locator("#timeline").scroll_into_view_if_needed()
    page.wait_for_selector("#timeline g.bar[data-task=list].st-RUNNING", timeout=5000)
    assert len(asked) == 1
    assert same_page(page)


def test_a_continuation_appears_and_nothing_else_moves(
    open_page: Callable[..., Any], serve: Callable[[str], str], store: stores.Growing
) -> None:
    store.do(Submit("w", stores.fan(3)))
    store.end("w", "list")
    page = watch(open_page(), serve(store.path), "/workflows/w")
    places = "nodes => nodes.map(node => [node.dataset.task, node.getAttribute('transform')])"
    before = dict(page.locator("g.node").evaluate_all(places))
    assert len(before) == 5
    more = stores.dag(stores.spec("shard"), stores.spec("shard"), stores.spec("merge", 0, 1))
    store.end("w", "map", output=None, output_repr=None, continuation=more)
    page.wait_for_selector("g.node[data-task=merge]", state="attached")
    page.wait_for_selector("#task-table tr[data-task=shard]")
    after = dict(page.locator("g.node").evaluate_all(places))
    assert len(after) == 8
    assert page.locator("[data-n=tasks]").inner_text() == "8"
    assert {name: after[name] for name in before if name != "total"} == {
        name: place for name, place in before.items() if name != "total"
    }
    assert same_page(page)


def test_a_failure_shows_its_traceback(
    open_page: Callable[..., Any], serve: Callable[[str], str], store: stores.Growing
) -> None:
    store.do(Submit("w", stores.dag(stores.spec("only", max_retries=0))))
    page = watch(open_page(), serve(store.path), "/workflows/w")
    store.fail("w", "only")
    page.wait_for_selector("#head[data-status=FAILED]")
    page.wait_for_selector("#task-table tr[data-task=only] [data-f=error] >> text=ConnectionError")
    page.locator("#errors summary", has_text="Traceback").click()
    assert page.locator("#errors pre", has_text="client.fetch").is_visible()
    page.wait_for_selector("#head .failure")
    assert same_page(page)


def test_the_overview_lives(open_page: Callable[..., Any], serve: Callable[[str], str], store: stores.Growing) -> None:
    store.do(Submit("first", stores.fan(2)))
    page = watch(open_page(), serve(store.path))
    store.do(Submit("second", stores.fan(2)))
    page.wait_for_selector("tr[data-workflow=second]")
    store.finish("first")
    page.wait_for_selector("tr[data-workflow=first] .status.st-SUCCESSFUL")
    page.wait_for_selector("[data-count=SUCCESSFUL] >> text=1")
    page.wait_for_selector("tr[data-workflow=first] [data-f=tasks_done] >> text=4")
    store.do(Cancel("second", "c", by="ada"))
    page.wait_for_selector("tr[data-workflow=second] .status.st-CANCELED")
    store.do(Delete("second", "d"))
    page.wait_for_selector("tr[data-workflow=second]", state="detached")
    assert same_page(page)


def test_a_lost_connection_is_said_and_made_up_for(open_page: Callable[..., Any], store: stores.Growing) -> None:
    store.do(Submit("w", stores.fan(2)))

    def started(port: int) -> Background:
        settings = Settings(TOKEN, port=port)
        app = create_app(WorkflowObservability(store.path, live=False), settings)
        server = Background(app, listen(settings))
        server.start()
        return server

    server = started(0)
    port = server.port
    page = open_page(expected="net::ERR_")
    watch(page, f"http://127.0.0.1:{port}", "/workflows/w")
    server.stop()
    page.wait_for_selector("#banner:not([hidden]) >> text=connection")
    store.finish("w")
    again = started(port)
    try:
        page.wait_for_selector("#head[data-status=SUCCESSFUL]")
        page.wait_for_selector("#banner", state="hidden")
        assert same_page(page)
    finally:
        again.stop()


def test_the_words_of_the_script_are_those_of_the_server(open_page: Callable[..., Any], shop_url: str) -> None:
    from wfstore import _text as text

    page = open_page()
    page.goto(f"{shop_url}/?token={TOKEN}")
    spans = [0.0004, 0.0312, 0.1, 1.2345, 9.996, 59.96, 75, 3599.6, 3700, 86400, 180000, 1e6]
    sizes = [0, 999, 1000, 1234, 99500, 123456, 999499, 999500, 1234567, 5 * 10**12]
    texts = [
        "a\x1b[31mb\nc\td",
        "\u202eabc\u2066",
        "a\u00a0b\u3000c",
        "tag \U000e0041 \U0001f600",
        "\\x1b <b>&amp;",
        "é中",
    ]
    script = "async ([spans, sizes, texts]) => { const f = await import('/static/format.mjs'); "
    script += "return [spans.map((s) => f.duration(s)), sizes.map((n) => f.size(n)), texts.map((t) => f.shown(t))]; }"
    assert page.evaluate(script, [spans, sizes, texts]) == [
        [text.duration(span) for span in spans],
        [text.size(size) for size in sizes],
        [text.safe(words) for words in texts],
    ]
