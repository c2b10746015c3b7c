"""Makes the pictures of the documentation anew: ``python -m tests.browser.pictures docs/images``."""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.browser import stores
from wfstore._observe import WorkflowObservability
from wfstore.dashboard.app import create_app
from wfstore.dashboard.server import Background, listen
from wfstore.dashboard.settings import Settings
from wfstore.model.commands import Submit

_SIZE = {"width": 1360, "height": 880}
_CUT = {"width": 1360, "height": 740}


class _Managed(WorkflowObservability):
    """As if a manager answered, so that the buttons are to be seen."""

    @property
    def live(self) -> bool:
        return True


def main(folder: Path) -> None:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for store, size, pictures in (
            (stores.shop(Path(place) / "shop"), _SIZE, _SHOP),
            (_thousand(Path(place) / "big"), {"width": 1360, "height": 700}, _LARGE),
        ):
            url, server = _served(store.path)
            page = browser.new_context(viewport=size, reduced_motion="reduce", locale="en-US").new_page()
            page.goto(f"{url}/?token=pictures")
            for name, path, anchor in pictures:
                page.goto(f"{url}{path}")
                if "/diff" not in path:
                    _live(page)
                _ready(page, anchor)
                # as much as fits below 300 kB: a thousand nodes do not compress well
                page.screenshot(
                    path=folder / f"{name}.png", clip={"x": 0, "y": 0, **(_CUT if anchor == "#timeline" else size)}
                )
            server.stop()
            store.close()
        browser.close()


def _thousand(path: Path) -> stores.Growing:
    store = stores.Growing(path)
    store.do(Submit("backtest-2026-w47", stores.pipeline(330), {"name": "backtest"}), write=False)
    stores.busy(store, "backtest-2026-w47", random.Random(3), stop=640, flaky=0.02)
    store.write()
    return store


#: file -> what it shows: a path, and the part of the page at its top.
_SHOP = (
    ("dashboard-overview", "/", None),
    ("dashboard-dag", "/workflows/nightly-etl-8", None),
    ("dashboard-timeline", "/workflows/nightly-etl-8", "#timeline"),
    ("dashboard-task", "/workflows/nightly-etl-5/tasks/score_2", None),
    ("dashboard-compare", "/diff?a=nightly-etl-2&b=nightly-etl-4", None),
)
_LARGE = (("dashboard-dag-1000", "/workflows/backtest-2026-w47", "#dag"),)


def _live(page: Any) -> None:
    page.wait_for_selector("#live[data-state=on]")
    page.wait_for_selector("[data-again]", state="detached")


def _ready(page: Any, anchor: str | None) -> None:
    if anchor:
        page.locator(anchor).evaluate("part => part.scrollIntoView()")
    page.wait_for_timeout(300)


def _served(path: str) -> tuple[str, Background]:
    settings = Settings("pictures", port=0)
    server = Background(create_app(_Managed(path, live=False), settings), listen(settings))
    server.start()
    return f"http://127.0.0.1:{server.port}", server


if __name__ == "__main__":
    main(Path(sys.argv[1]))
