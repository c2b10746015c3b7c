"""The HTML page: whole in itself, harmless whatever names are in it, and its numbers those of SQL."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

import wfstore
from tests.index.worlds import dag, spec
from tests.model.histories import ref
from tests.reports.pages import Page
from tests.reports.stories import Story, at, shop, store_of
from wfstore.cli import output
from wfstore.reports import ReportExtraMissingError, _page, html
from wfstore.reports._page import _place
from wfstore.reports._spans import MOST, span

pytest.importorskip("vl_convert", reason="the extra `report` is not installed")
pytest.importorskip("jinja2", reason="the extra `report` is not installed")

HOSTILE = "</svg></td><script>alert('1')</script><img src=x onerror=\"alert(2)\">&amp; é\u202e\x1b[2J"
HOSTILE_ID = "</svg></td><script>alert(1)</script>'\"&amp;"
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> wfstore.Store:
    return store_of(shop(), tmp_path_factory.mktemp("page") / "shop")


@pytest.fixture(scope="module")
def text(store: wfstore.Store) -> str:
    return html(store)


def whole(text: str) -> Page:
    """The page, having made sure that it fetches nothing, runs nothing and is small."""
    page = Page(text)
    assert len(text.encode()) < MEGABYTE
    assert {"script", "link", "iframe", "img", "object", "base", "form", "foreignobject"}.isdisjoint(
        tag for tag, _ in page.tags
    )
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if "://" in value:
                assert name.startswith("xmlns"), (tag, name, value)
            if name in ("href", "src", "xlink:href"):
                assert value.startswith("#"), (tag, name, value)
    assert "url(http" not in text and "@import" not in text and "@font-face" not in text
    policy = {"http-equiv": "Content-Security-Policy", "content": "default-src 'none'; style-src 'unsafe-inline'"}
    assert ("meta", policy) in page.tags
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(svg)
    return page


def test_it_is_whole_in_itself(text: str) -> None:
    page = whole(text)
    drawings = [attributes.get("class") for tag, attributes in page.tags if tag == "svg"]
    pictures = ["wf-draw legend", "wf-draw dag", "wf-draw legend", "wf-draw timeline"]
    assert len(drawings) == 7 and drawings[-4:] == pictures
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)), "each drawing has ids of its own"
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r'"#0[01]0[01][0-9a-f]{2}"', text), "a colour of the drawing has not become the page's"
    titles = ["Attempts over time", "Durations over time", "Sizes over time", "Failures", "Slowest tasks"]
    assert [title for title in page.words if title in titles][-5:] == titles


def test_the_numbers_are_those_of_sql(store: wfstore.Store, text: str) -> None:
    page = whole(text)
    assert len(page.tables) == 8
    for command, (head, *rows) in zip(page.commands, page.tables, strict=True):
        words = shlex.split(command)
        assert words[:2] == ["wfstore", "report"]
        given = dict(word.split("=", 1) for word in words[3:] if word != "--param")
        expected = store.report(words[2], **given)
        assert [name for name, _ in head] == [output.header(name) for name in expected.columns]
        assert len(rows) == expected.height > 0
        for row, values in zip(rows, expected.rows(), strict=True):
            for (shown, raw), name, value in zip(row, expected.columns, values, strict=True):
                assert shown == output.fact(name, value)
                if isinstance(value, int | float):
                    assert (raw or shown) == repr(value), name


def test_the_overview_is_the_report(store: wfstore.Store, text: str) -> None:
    row = store.report("overview").row(0, named=True)
    found = dict(re.findall(r"<dt>([^<]+)</dt><dd(?: data-value=\"[^\"]*\")?>([^<]*)</dd>", text))
    assert found["workflows"] == str(row["workflows"]) == "3"
    assert found["failed attempts"] == "3"
    assert found["busy"] == "20.0 s"
    assert found["output size"] == "25 B"


def test_the_charts_show_the_same_numbers(text: str) -> None:
    first = re.findall(r"<svg.*?</svg>", text, re.DOTALL)[0]
    bars = [e for e in ElementTree.fromstring(first).iter() if e.get("fill") in ("var(--good)", "var(--bad)")]
    heights = [float(h) for e in bars for h in re.findall(r"v(\d+(?:\.\d+)?)", e.get("d") or "")]
    # day one: 4 succeeded and 1 failed, day two: 2 and 2; two more are the squares of the legend
    tall = sorted(height for height in heights if height > 20)
    assert [round(height / max(tall) * 4) for height in tall] == [1, 2, 2, 4]


def test_the_time_and_the_workflow_can_be_chosen(store: wfstore.Store) -> None:
    page = whole(html(store, since=at(86_400), until=at(2 * 86_400), workflow="mill"))
    # shop is the module of the functions too
    words = "".join(word for word in page.words if word != store.storage).replace(store.storage, "")
    assert "shop" not in words.replace("shop.load", "").replace("shop.work", "")
    failures = next(t for t, c in zip(page.tables, page.commands, strict=True) if "report failures" in c)
    assert [row[1][0] for row in failures[1:]] == ["load", "work"]
    assert "Workflows named mill. From 2023-11-15 22:13:20 to 2023-11-16 22:13:20 UTC." in " ".join(page.words)


def test_a_store_without_anything_and_a_time_without_anything(store: wfstore.Store, tmp_path: Path) -> None:
    for page in (whole(html(store_of(Story(), tmp_path / "s"))), whole(html(store, since=at(9e6)))):
        assert page.words.count("There are none.") == 7
        assert page.tables == []


def test_one_running_workflow_is_enough(tmp_path: Path) -> None:
    story = Story()
    story.now(0)
    story.submit("w", dag(spec("a")))
    assert whole(html(store_of(story, tmp_path / "s"))).words.count("There are none.") == 7


def test_hostile_names_are_text(tmp_path: Path) -> None:
    story = Story()
    story.now(0)
    story.submit(HOSTILE_ID, dag(spec(HOSTILE), spec("b", 0, max_retries=0)), {"name": HOSTILE})
    story.ok(HOSTILE_ID, HOSTILE, 1, 2)
    story.bad(HOSTILE_ID, "b", 3, 4, HOSTILE, error_type=HOSTILE)
    text = html(store_of(story, tmp_path / "a&b <i>"), workflow=HOSTILE)
    page = whole(text)
    assert "a&b <i>" in " ".join(page.words)
    assert "\x1b" not in text and "\u202e" not in text
    said = "</svg></td><script>alert('1')</script><img src=x onerror=\"alert(2)\">&amp; é\\u202e\\x1b[2J"
    assert sum(cell[0] == said for table in page.tables for row in table for cell in row) >= 8


@pytest.mark.slow
@pytest.mark.parametrize("different", [False, True])
def test_the_longest_names_and_many_of_them_stay_below_a_megabyte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, different: bool
) -> None:
    story = Story()
    for number in range(60):
        story.now(86_400 * number)
        names = [f"{i}{HOSTILE * 50}" for i in range(8)]
        tasks = dag(*(spec(name, *range(i)) for i, name in enumerate(names)))
        story.submit(f"{number}{HOSTILE_ID * 20}", tasks, {"name": f"{number if different else ''}{'&' * 5000}"})
        while opened := story.simulation.open_attempts():
            workflow_id, _, task_id, _ = opened[0]
            second = (story.simulation.now - story.simulation.log[0].ts) / 1e6
            if number % 2 and task_id.startswith("7"):
                message = "&" * (number + 50_000) if different else f"{'&' * 300}{number}"
                story.bad(workflow_id, task_id, second, second + 1, message)
                break
            story.ok(workflow_id, task_id, second, second + 1.25, output=ref("x" * (number + 1)))
    store = store_of(story, tmp_path / "s")
    assert len(whole(html(store)).tables[1]) == 1 + (6 if different else 6 * 60)
    # where even that is not enough, fewer rows are shown, and it is said
    monkeypatch.setattr(_page, "_MOST_BYTES", 350_000)
    text = html(store)
    assert len(text.encode()) < 350_000 or not different
    assert re.search(r"\b[12]0 of \d+ rows\. ", text) or not different
    whole(text)


@pytest.mark.parametrize("module", ["jinja2", "vl_convert"])
def test_the_extra_is_named_where_it_is_missing(
    store: wfstore.Store, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ReportExtraMissingError, match=r"pip install 'wfstore\[report\]'") as caught:
        html(store)
    assert isinstance(caught.value, ImportError)
    assert caught.value.name == module


def test_nothing_of_the_extra_is_imported_before_a_page_is_made() -> None:
    code = "import sys, wfstore.cli.app, wfstore.reports; print({'jinja2', 'vl_convert', 'ray'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "set()\n"


@pytest.mark.parametrize(
    ("storage", "shown"),
    [
        ("/data/a?b", "/data/a?b"),
        ("s3://bucket/path?access_key=A&secret_key=B", "s3://bucket/path"),
        ("s3://A:B@bucket/path", "s3://bucket/path"),
    ],
)
def test_who_may_go_to_the_store_is_not_said(storage: str, shown: str) -> None:
    assert _place(storage) == shown


@pytest.mark.parametrize("seconds", [0, 1, 59, 61, 3600, 86_400, 86_400 * 59, 86_400 * 400, 86_400 * 365 * 30])
def test_spans_are_few_and_not_longer_than_needed(seconds: int) -> None:
    first = datetime(2020, 1, 1)
    length, name = span(first, first + timedelta(seconds=seconds))
    assert timedelta(seconds=seconds) / length <= MOST
    assert name[0] in "123456789"
    assert length <= max(timedelta(seconds=seconds / MOST * 7.1), timedelta(seconds=1))
    assert span(None, None)[0] == timedelta(seconds=1)
