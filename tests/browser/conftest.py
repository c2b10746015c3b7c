"""A real browser on real servers. It may ask this machine and nobody else, and has nothing to complain about."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import stores
from wfstore._observe import WorkflowObservability
from wfstore.dashboard.app import create_app
from wfstore.dashboard.server import Background, listen
from wfstore.dashboard.settings import Settings

Serve = Callable[..., str]

TOKEN = "a-token-of-the-browser-tests"
_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    executable = os.environ.get("WFSTORE_CHROMIUM") or shutil.which("chromium")
    if executable is None:
        pytest.skip("there is no chromium; name one with WFSTORE_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, headless=True, args=list(_ARGUMENTS))
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Any, serve: Serve) -> Iterator[Callable[..., Any]]:
    """Opens tabs, each with a context of its own; options as of playwright's `new_context`, and `expected`: a part of
    what the console may say.

    At the end of the test no request may have gone elsewhere, and no page may have said anything on its console. It is
    made after `serve`, so that pages are closed before a server goes away under them.
    """
    contexts, complaints, elsewhere = [], [], []

    def guard(route: Any) -> None:
        if route.request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            route.continue_()
        else:
            elsewhere.append(route.request.url)
            route.abort()

    def opened(*, expected: str | None = None, **options: Any) -> Any:
        settings = {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce", "timezone_id": "UTC"}
        context = browser.new_context(**{**settings, "locale": "en-US", "service_workers": "block", **options})
        context.set_default_timeout(15_000)
        context.route("**/*", guard)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: (expected and expected in said.text) or complaints.append(said.text))
        return page

    yield opened
    for context in contexts:
        context.close()
    assert elsewhere == []
    assert complaints == []


@pytest.fixture(scope="session")
def serve_session() -> Iterator[Serve]:
    yield from _servers()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves what it is given, or the store at a path; gives its address."""
    yield from _servers()


def _servers() -> Iterator[Serve]:
    running = []

    def start(served: str | WorkflowObservability) -> str:
        settings = Settings(TOKEN, port=0)
        observability = WorkflowObservability(served, live=False) if isinstance(served, str) else served
        server = Background(create_app(observability, settings), listen(settings))
        server.start()
        running.append(server)
        return f"http://127.0.0.1:{server.port}"

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a store with one of everything."""
    store = stores.shop(Path(tmp_path_factory.mktemp("stores")) / "shop")
    store.close()
    return store.path


@pytest.fixture(scope="session")
def shop_url(shop: str, serve_session: Serve) -> str:
    return serve_session(shop)
