"""The pages of the past, of differences and of what became worse, in a real browser: by keyboard alone and without a
script, narrow and wide, dark and light."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.test_pages_in_browser import CONTRASTS, go

pytestmark = pytest.mark.browser

PATHS = (
    "/", "/workflows/nightly-etl-8", "/workflows/nightly-etl-8?as_of=600", "/?as_of=600", "/regressions", "/reports",
    "/diff?a=nightly-etl-4&b=nightly-etl-5", "/diff?a=nobody&b=nightly-etl-5", "/reports/where_time_goes",
)  # fmt: skip


def tab_to(page: Any, selector: str) -> Any:
    """Press Tab until it has the focus."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.locator(f"{selector}:focus").count():
            return page.locator(selector)
    raise AssertionError(f"{selector} is not reached")


def test_the_past_by_keyboard_and_without_a_script(open_page: Callable[..., Any], shop_url: str) -> None:
    page = go(open_page(java_script_enabled=False), shop_url)
    now = page.locator("#workflows tbody tr").count()
    tab_to(page, ".past summary")
    page.keyboard.press("Enter")
    tab_to(page, ".past input[type=range]")
    for _ in range(3):
        page.keyboard.press("PageDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"as_of=[0-9]+"))
    expect(page.get_by_text("not live")).to_be_visible()
    assert 0 < page.locator("#workflows tbody tr").count() < now
    tab_to(page, "#workflows tbody tr:first-child a.id")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/workflows/.*as_of="))
    assert page.locator("#dag g.node").count() and not page.get_by_role("button", name="Cancel").count()
    page.get_by_role("link", name="Back to now").click()
    page.wait_for_url(lambda url: "as_of" not in url)


def test_differences_by_keyboard_and_without_a_script(open_page: Callable[..., Any], shop_url: str) -> None:
    page = go(open_page(java_script_enabled=False), shop_url, "/diff")
    tab_to(page, "input[name=a]")
    page.keyboard.type("nightly-etl-4")
    tab_to(page, "input[name=b]")
    page.keyboard.type("nightly-etl-5")
    page.keyboard.press("Enter")
    page.wait_for_url("**/diff?a=nightly-etl-4&b=nightly-etl-5")
    assert page.get_by_role("row", name="elapsed").inner_text().count("min") == 2, "times have units"
    assert page.locator("svg.dag").count() == 2
    page.goto(f"{shop_url}/regressions")
    tab_to(page, "input[name=since]")
    page.keyboard.type("1h")
    page.keyboard.press("Enter")
    page.wait_for_url("**since=1h*")
    expect(page.get_by_text("Nothing became worse")).to_be_visible()
    assert page.locator("input[name=since]").input_value() == "1h"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1360])
def test_every_page_fits_and_can_be_read(open_page: Callable[..., Any], shop_url: str, scheme: str, width: int) -> None:
    refused = "404 (Not Found)"
    page = open_page(color_scheme=scheme, viewport={"width": width, "height": 800}, expected=refused)
    for path in PATHS:
        go(page, shop_url, path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.evaluate(CONTRASTS) == [], path
        assert page.evaluate(_UNREACHED) == [], path


#: What can be scrolled, but not by keyboard.
_UNREACHED = """() => [...document.querySelectorAll("main *")].filter((one) => {
  const style = getComputedStyle(one);
  const wide = one.scrollWidth > one.clientWidth + 1 && /auto|scroll/.test(style.overflowX);
  const high = one.scrollHeight > one.clientHeight + 1 && /auto|scroll/.test(style.overflowY);
  const within = one.querySelector("a, button, input, [tabindex]");
  return (wide || high) && one.tabIndex < 0 && !within && one.checkVisibility();
}).map((one) => `${one.tagName}.${one.className}`)"""
