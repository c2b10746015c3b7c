"""What the dashboard serves and what docs/reference/http-api.md lists are the same; its pictures are shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import BaseRoute, Mount, Route

from wfstore.dashboard import openapi
from wfstore.dashboard.app import all_routes
from wfstore.dashboard.frames import CHANGES, HEARTBEAT, READY, SNAPSHOT, UNAVAILABLE

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reference/http-api.md").read_text()
#: What a request may hold is said there, or where what it is for is explained.
PAGES = [PAGE, *((DOCS / "how-to" / name).read_text() for name in ("dashboard.md", "query-from-the-dashboard.md"))]
LISTED = re.compile(r"^(?:\| )?`(GET|POST) (/[^`]*)`", re.MULTILINE)
EVENT = re.compile(r"^\| `([a-z-]+)` \|", re.MULTILINE)

#: What pages load for themselves, and other ways to pages; nobody else is to rely on them.
OURS = {
    "/fragment/{part}",
    "/workflows",
    "/workflows/{rest}",
    "/workflows/{workflow_id}/fragment/{part}",
    "/draw.css",
    "/static",
}


def served(routes: list[BaseRoute]) -> Iterator[tuple[str, str]]:
    """(method, path) of each."""
    for route in routes:
        assert isinstance(route, Route | Mount), route
        path = re.sub(r":\w+}", "}", route.path)
        methods = (route.methods or set()) - {"HEAD"} if isinstance(route, Route) else {"GET"}
        yield from ((method, path) for method in methods)


def test_the_reference_lists_what_is_served_and_nothing_else() -> None:
    there = set(served(all_routes()))
    assert {path for _, path in there} >= OURS, "what is no route any more need not be left out"
    assert set(LISTED.findall(PAGE)) == {(method, path) for method, path in there if path not in OURS}


def test_nothing_is_listed_twice() -> None:
    listed = LISTED.findall(PAGE)
    assert len(listed) == len(set(listed))


def test_the_stream_has_the_events_that_are_listed() -> None:
    section = PAGE.partition("\n## The stream\n")[2].partition("\n## ")[0]
    assert set(EVENT.findall(section)) == {CHANGES, HEARTBEAT, READY, SNAPSHOT, UNAVAILABLE}


def operations() -> dict[str, dict[str, Any]]:
    paths = openapi.document(all_routes())["paths"]
    return {f"{method.upper()} {path}": said for path, found in paths.items() for method, said in found.items()}


@pytest.mark.parametrize("name", sorted(operations()))
def test_every_parameter_and_field_of_a_request_is_explained(name: str) -> None:
    operation = operations()[name]
    names = {parameter["name"] for parameter in operation["parameters"]}
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    names |= body.get("properties", {}).keys()
    missing = {word for word in names if not any(re.search(rf"[`?&]{re.escape(word)}\b", page) for page in PAGES)}
    missing -= {word for word in names if f"{{{word}}}" in name}
    assert missing == set()


def test_every_picture_is_shown_by_some_page() -> None:
    pages = [DOCS.parent / "README.md", *DOCS.glob("**/*.md")]
    shown = {Path(found).name for page in pages for found in re.findall(r"!\[[^]]+\]\(([^)\s]+)\)", page.read_text())}
    assert {picture.name for picture in (DOCS / "images").iterdir()} == shown


def test_every_page_of_the_navigation_has_its_word_in_the_how_to() -> None:
    template = (DOCS.parent / "wfstore/dashboard/templates/base.html.j2").read_text()
    words = re.findall(r'\("\w+", "(/[a-z]*)", "(\w+)"\)', template)
    assert len(words) >= 3
    said = "".join(PAGES[1:])
    assert [label for _, label in words if f"**{label}**" not in said] == []
