"""A history in a notebook: header, DAG, timeline, whole in itself, whatever the history is."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

import wfstore
from tests.draw.graphs import HOSTILE, START, SVG, attempt, parsed, row, with_class
from tests.index.worlds import dag as spec_dag
from tests.index.worlds import spec
from tests.reports.pages import Page
from tests.reports.stories import Story, shop, store_of
from wfstore.draw import page
from wfstore.imports import import_wfformat

LARGE = Path("/work/shared/data/wfinstances/bwa-chameleon-large-001.json")


def whole(html: str) -> Page:
    """The piece of page, having made sure that it runs nothing and fetches nothing."""
    found = Page(html)
    assert {tag for tag, _ in found.tags}.isdisjoint({"script", "link", "img", "iframe", "object", "form", "input"})
    for _, attributes in found.tags:
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        assert all(value.startswith("#") for name, value in attributes.items() if name in ("href", "src"))
    assert "url(" not in html and "@import" not in html
    for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        parsed(svg)
    return found


def test_a_history_in_a_notebook(tmp_path: Path) -> None:
    store = store_of(shop(), tmp_path / "s")
    html = store.history("one")._repr_html_()
    found = whole(html)
    words = " ".join(found.words)
    assert "one" in found.words and "4 of 4 tasks done, 0 failed, 1 retries" in words
    assert [attributes.get("class") for tag, attributes in found.tags if tag == "svg"] == [
        "wf-draw legend", "wf-draw dag", "wf-draw legend", "wf-draw timeline",
    ]  # fmt: skip
    root = parsed(re.findall(r"<svg.*?</svg>", html, re.DOTALL)[1])
    nodes = with_class(root, "node")
    assert [node.get("data-task") for node in nodes] == ["list", "map", "map_1", "total"]
    titles = [node.findtext(f"{SVG}title") or "" for node in nodes]
    assert ["on the critical path" in title for title in titles] == [True, True, False, True]
    assert "slack 2.00 s" in titles[2]
    bars = parsed(re.findall(r"<svg.*?</svg>", html, re.DOTALL)[3])
    assert with_class(bars, "before") and with_class(bars, "critical")
    failed = whole(store.history("three")._repr_html_())
    assert "load: ValueError: cannot read '/data/2.csv' at row 9" in failed.words


def test_two_histories_on_one_page_share_no_id(tmp_path: Path) -> None:
    store = store_of(shop(), tmp_path / "s")
    ids = [
        {attributes["id"] for _, attributes in whole(store.history(name)._repr_html_()).tags if "id" in attributes}
        for name in ("one", "two")
    ]
    assert ids[0] and ids[1] and not ids[0] & ids[1]


def test_one_that_has_only_just_begun(tmp_path: Path) -> None:
    story = Story()
    story.now(0)
    story.submit("w", spec_dag(spec("a"), spec("b", 0)))
    found = whole(store_of(story, tmp_path / "s").history("w")._repr_html_())
    assert any("RUNNING" in word or "PENDING" in word for word in found.words)


@pytest.mark.parametrize("bad", HOSTILE)
def test_odd_and_hostile_histories(bad: str) -> None:
    workflow = {"workflow_id": bad, "status": bad, "name": bad, "error_type": bad, "error_message": bad}
    whole(page(workflow, [], [], now=START))
    tasks, tries = [row(bad, status=bad)], [attempt(bad, 0, 1, None, status="RUNNING", error_message=bad)]
    html = page({**workflow, "status": "RUNNING", "tasks": 1}, tasks, tries, now=START + timedelta(seconds=9))
    whole(html)
    assert "<script" not in html and "\u202e" not in html


@pytest.mark.skipif(not LARGE.exists(), reason=f"the recorded workflows are not on this machine: {LARGE.parent}")
def test_a_recorded_workflow_of_a_thousand_tasks(tmp_path: Path) -> None:
    import_wfformat([LARGE], tmp_path / "s")
    history = wfstore.open(tmp_path / "s").history(LARGE.stem)
    html = history._repr_html_()
    found = whole(html)
    assert len(html) < 300_000
    assert "bwa x1,000" in found.words
    assert "and 904 more tasks in .attempts" in found.words
