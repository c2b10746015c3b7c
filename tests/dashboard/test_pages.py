"""The pages as they leave the server: what is on them, whom they escape, what they refuse."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.datastructures import QueryParams
from starlette.testclient import TestClient

from tests.browser import stores
from tests.model.histories import random_history
from wfstore import _text as text
from wfstore._observe import WorkflowObservability
from wfstore.answers.paths_frames import Critical
from wfstore.dashboard import shapes, templating
from wfstore.dashboard.app import create_app
from wfstore.dashboard.settings import Settings
from wfstore.errors import InvalidCommandError
from wfstore.index import Index, catalog, reports
from wfstore.log import MemoryLog
from wfstore.model.commands import Submit

BEARER = {"Authorization": "Bearer t0ken"}
_VOID = {"meta", "link", "input", "br", "img"}


def client_of(path: str) -> TestClient:
    app = create_app(WorkflowObservability(path, live=False), Settings("t0ken", port=8266))
    return TestClient(app, base_url="http://127.0.0.1:8266", headers=BEARER, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    store = stores.shop(Path(tmp_path_factory.mktemp("pages")) / "shop")
    store.close()
    with client_of(store.path) as client:
        yield client


@pytest.fixture
def store(tmp_path: Path) -> Iterator[stores.Growing]:
    made = stores.Growing(tmp_path / "store")
    yield made
    made.close()


class Page(HTMLParser):
    """Elements that stand in each other as HTML wants them, and what may not be on a page of ours."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.wrong: list[str] = []
        self.text = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag not in _VOID:
            self.open.append(tag)
        if "id" in found:
            self.ids.append(found["id"] or "")
        self.wrong += [f"{tag} {name}" for name in found if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and not found.get("src")):
            self.wrong.append(tag)
        for name in ("src", "href", "action"):
            value = found.get(name) or "/"
            if not value.startswith(("/", "?", "#")) or value.startswith("//"):
                self.wrong.append(f"{tag} {name}={value}")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID and (not self.open or self.open.pop() != tag):
            self.wrong.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.text += data


def page(client: TestClient, path: str, status: int = 200) -> Page:
    answer = client.get(path)
    assert answer.status_code == status, answer.text[:2000]
    found = Page(answer.text)
    assert found.wrong == []
    assert found.open == []
    assert sorted(set(found.ids)) == sorted(found.ids), "ids that stand twice"
    return found


def rows(found: Page, key: str) -> list[str]:
    return [attrs[key] or "" for tag, attrs in found.tags if tag == "tr" and key in attrs]


def test_the_overview_shows_all_workflows(shop: TestClient) -> None:
    found = page(shop, "/")
    assert rows(found, "data-workflow")[:2] == ["nightly-etl-8", "backfill"]
    assert len(rows(found, "data-workflow")) == 9
    assert "1 to 9 of 9 workflows" in found.text
    assert re.search(r"Task attempts ended\s+\d+ successful\s+\d+ failed", found.text)


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("status=FAILED", ["nightly-etl-5"]),
        ("status=CANCELED&status=FAILED", ["backfill", "nightly-etl-5"]),
        ("name=backfill&q=", ["backfill"]),
        ("q=etl-3", ["nightly-etl-3"]),
        ("metadata=team%3Ddata&status=FAILED", ["nightly-etl-5"]),
        ("metadata=team%3Dnone", []),
        ("since=1000d&q=fill", ["backfill"]),
        ("until=1000d", []),
        ("sort=workflow&q=etl-", [f"nightly-etl-{n}" for n in range(1, 9)]),
        ("sort=-failed&status=FAILED&page=7", ["nightly-etl-5"]),
    ],
)
def test_filters(shop: TestClient, query: str, ids: list[str]) -> None:
    assert rows(page(shop, f"/?{query}"), "data-workflow") == ids


@pytest.mark.parametrize(
    "query", ["status=DONE", "since=soon", "sort=colour", "page=0", "page=x", "metadata=team", "span=2y"]
)
def test_a_filter_that_cannot_be_is_one_clear_page(shop: TestClient, query: str) -> None:
    found = page(shop, f"/?{query}", 400)
    assert query.split("=")[1] in found.text or query.split("=")[0] in found.text


def test_pages_of_workflows_lose_none(store: stores.Growing) -> None:
    for number in range(120):
        store.do(Submit(f"w{number:03}", stores.dag(stores.spec("a"))), write=False)
    store.write()
    with client_of(store.path) as client:
        seen = [row for number in (1, 2, 3) for row in rows(page(client, f"/?page={number}"), "data-workflow")]
        assert "101 to 120 of 120 workflows" in page(client, "/?page=3").text
    assert seen == [f"w{number:03}" for number in range(119, -1, -1)]


def test_a_workflow_has_all_its_parts(shop: TestClient) -> None:
    found = page(shop, "/workflows/nightly-etl-8")
    titles = ("DAG", "Timeline", "Tasks", "Errors", "Runs and attempts", "Events", "Metadata")
    assert all(title in found.text for title in titles)
    nodes = {attrs["data-task"] for tag, attrs in found.tags if tag == "g" and "node" in str(attrs.get("class"))}
    assert nodes == set(rows(found, "data-task"))
    assert {"shard_1", "merge"} <= nodes
    assert "Expected end" in found.text
    assert '"team": "data"' in found.text


def test_when_it_will_end_is_worked_out_in_the_background(shop: TestClient) -> None:
    deadline = time.monotonic() + 30
    while "from 6 past runs" not in (head := page(shop, "/workflows/nightly-etl-8/fragment/head").text):
        assert "being worked out" in head and time.monotonic() < deadline
        time.sleep(0.05)
    assert re.search(r"as likely sooner as later; with 90 % by .+; from 6 past runs", head)
    assert "to go" in page(shop, "/fragment/workflows").text
    assert "Expected end" not in page(shop, "/workflows/nightly-etl-5/fragment/head").text


def test_tasks_can_be_found(shop: TestClient) -> None:
    def found(query: str) -> list[str]:
        return rows(page(shop, f"/workflows/nightly-etl-5?{query}"), "data-task")

    assert found("task_status=FAILED") == ["score_2"]
    assert set(found("task_name=train")) == {"train"}
    assert found("task_q=SCORE_2") == ["score_2"]
    assert found("task_q=warehouse&task_status=FAILED") == ["score_2"]
    assert found("task_sort=-task")[0] == "train"
    assert found("task_q=nothing") == []


def test_a_task_tells_all_about_its_attempts(shop: TestClient) -> None:
    found = page(shop, "/workflows/nightly-etl-5/tasks/score_2")
    for words in (
        "client.fetch(partition, timeout=30)",
        "ConnectionError",
        stores.RAY_TASK,
        "4f1d0b6e9a2c77d08a1",
        "clean_2",
    ):
        assert words in found.text
    assert "the warehouse is slow" in found.text


def test_where_the_time_of_a_workflow_went(shop: TestClient) -> None:
    found = page(shop, "/workflows/nightly-etl-5/fragment/spent")
    store = shop.app.state.observability.store  # type: ignore[attr-defined]
    (row,) = store.report("where_time_goes", id="nightly-etl-5", by="workflow").to_dicts()
    assert f"all {row['attempts']:,} attempts that have ended" in found.text
    assert f"user code {text.duration(row['user_s'])}" in found.text
    assert "Along the critical path" in found.text and "earlier attempts" in found.text
    for key in store.report("where_time_goes", id="nightly-etl-5")["task_key"]:
        assert key in found.text
    for part in ("Ray's queue", "fetching arguments", "storing the output"):
        assert part in page(shop, "/workflows/nightly-etl-5/fragment/timeline").text


def test_slack_stands_in_the_table_of_tasks(shop: TestClient) -> None:
    history = shop.app.state.observability.store.history("backfill")  # type: ignore[attr-defined]
    listed = shop.get("/workflows/backfill/fragment/tasks?task_sort=-slack").text
    assert "<th" in listed and "Slack" in listed
    shown = re.findall(r'<tr data-task="([^"]+)"', listed)
    slack = dict(history.tasks.select("task_id", "slack_s").iter_rows())
    known = [slack[one] for one in shown if slack[one] is not None]
    assert known == sorted(known, reverse=True)
    assert listed.count('title="on the critical path"') == len(set(shown) & set(history.critical_path["task_id"]))


def test_events_come_when_asked_for(shop: TestClient) -> None:
    assert "attempt.submitted" not in page(shop, "/workflows/nightly-etl-5").text
    found = page(shop, "/workflows/nightly-etl-5?events_page=1")
    assert "workflow.failed" in found.text
    assert "<bdi>ada</bdi>" in shop.get("/workflows/backfill?events_page=1").text


def test_parts_are_those_of_the_page(shop: TestClient) -> None:
    whole = shop.get("/workflows/nightly-etl-5").text
    for part in ("dag", "spent", "tasks", "attempts"):
        alone = shop.get(f"/workflows/nightly-etl-5/fragment/{part}").text
        assert "<html" not in alone
        assert _fixed(alone) in _fixed(whole)
    assert _fixed(shop.get("/fragment/workflows").text) in _fixed(shop.get("/").text)


def _fixed(text: str) -> str:
    """Without how long ago anything was, and when it is expected to end, which is worked out meanwhile."""
    told = r'class="ago">[^<]*|data-since[^>]*>[^<]*<span[^>]*>[^<]*|<small>(?:(?!</small>).)*? to go.*?</small>'
    return re.sub(told, "", text).strip()


@pytest.mark.parametrize(
    "path", ["/workflows/none", "/workflows/nightly-etl-5/tasks/none", "/workflows", "/workflows/none/fragment/dag"]
)
def test_what_is_not_there_is_said(shop: TestClient, path: str) -> None:
    assert "none" in page(shop, path, 404).text or path == "/workflows"


def test_a_part_there_is_not_is_said(shop: TestClient) -> None:
    assert "timeline" in page(shop, "/workflows/backfill/fragment/nothing", 404).text
    assert "summary" in page(shop, "/fragment/nothing", 404).text


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    store = stores.hostile(tmp_path / "store")
    path = f"/workflows/{quote(stores.HOSTILE_ID, safe='')}"
    with client_of(store.path) as client:
        for one in ("/", path, f"{path}?events_page=1", f"{path}/tasks/{quote(stores.HOSTILE_NAME, safe='')}"):
            found = page(client, one)
            assert [attrs.get("src", "")[:8] for tag, attrs in found.tags if tag in ("script", "img")] == ["/static/"]
            assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in found.text
    store.close()


@pytest.mark.parametrize("name", ["...", "a/b", "a%2Fb", "a/tasks/b", "a b?c#d&e=f", "é/日本", "fragment"])
def test_any_id_has_a_page(store: stores.Growing, name: str) -> None:
    store.do(Submit(name, stores.dag(stores.spec(name))))
    with client_of(store.path) as client:
        for path in (templating.workflow_path(name), templating.task_path(name, name)):
            found = page(client, path)
            assert f"<h1><bdi>{templating.shown(name).unescape()[5:-6]}" in client.get(path).text.replace("&amp;", "&")
            assert [attrs["data-workflow"] for tag, attrs in found.tags if tag == "body"] == [name]
        assert client.get(templating.workflow_path(name, "head")).status_code == 200


def test_without_a_manager_actions_are_disabled_and_say_why(shop: TestClient) -> None:
    found = page(shop, "/workflows/nightly-etl-5")
    buttons = [attrs for tag, attrs in found.tags if tag == "button" and attrs.get("aria-describedby") == "why"]
    assert len(buttons) == 3
    assert all("disabled" in attrs for attrs in buttons)
    assert "manager" in found.text


def test_pages_need_the_token(shop: TestClient) -> None:
    for path in ("/", "/workflows/backfill", "/static/wfstore.css", "/draw.css", "/fragment/summary"):
        assert shop.get(path, headers={"Authorization": ""}).status_code == 401
        answer = shop.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    assert shop.get("/static/wfstore.mjs").headers["content-type"].startswith("text/javascript")


# -- shapes ------------------------------------------------------------------------------------------------------------

NOW = datetime(2026, 5, 4, 12, 30, 10)


def query(text: str) -> shapes.Query:
    return shapes.Query(QueryParams(text))


def test_pages_of_a_table() -> None:
    found = shapes.paging(query("page=2&status=FAILED"), "page", 120, 50)
    assert (found.first, found.last, found.pages) == (51, 100, 3)
    assert (found.previous, found.next) == ("?status=FAILED&page=1", "?status=FAILED&page=3")
    assert shapes.paging(query("page=9"), "page", 120, 50).page == 3
    assert shapes.paging(query(""), "page", 0, 50) == shapes.Paging(0, 0, 0, 1, 1, None, None)


def test_the_chart_covers_what_happened_last() -> None:
    assert shapes.window(None, NOW - timedelta(minutes=5), NOW).span.key == "1h"
    assert shapes.window(None, NOW - timedelta(days=3), NOW).span.key == "7d"
    old = shapes.window(None, NOW - timedelta(days=300), NOW)
    assert old.begin < NOW - timedelta(days=300) <= old.end
    hour = shapes.window("1h", None, NOW)
    assert (hour.begin, hour.end) == (datetime(2026, 5, 4, 11, 31), datetime(2026, 5, 4, 12, 31))


def test_bars_are_as_high_as_their_numbers() -> None:
    found = shapes.activity(shapes.window("1h", None, NOW), [(0, 3, 1), (59, 0, 1)])
    assert (found.most, found.succeeded, found.failed) == (4, 3, 2)
    assert found.bars[0].good + found.bars[0].bad == pytest.approx(96)
    assert found.bars[-1].x + found.bars[-1].width < 600


def test_metadata_is_looked_for_as_json_or_text() -> None:
    assert shapes.metadata_filter('a=1, b=x y,c="1"') == {"a": 1, "b": "x y", "c": "1"}
    assert shapes.metadata_filter(" ") is None
    with pytest.raises(InvalidCommandError, match="key=value"):
        shapes.metadata_filter("a")


def test_rows_without_a_value_come_last() -> None:
    some = [{"n": None}, {"n": 1}, {"n": 3}]
    assert [row["n"] for row in shapes.ordered(some, ("n", True))] == [3, 1, None]
    assert [row["n"] for row in shapes.ordered(some, ("n", False))] == [1, 3, None]


def test_how_long_ago() -> None:
    def said(**span: float) -> str:
        return templating.ago(NOW - timedelta(**span), NOW)

    assert [said(seconds=0), said(seconds=59), said(minutes=90), said(days=40)] == [
        "just now",
        "59 s ago",
        "1 h ago",
        "40 d ago",
    ]
    assert said(seconds=-20) == "in 20 s"
    assert said(days=800) == "2 years ago"


def test_the_critical_path_is_that_of_the_report() -> None:
    for seed in range(4):
        log = MemoryLog()
        log.append(random_history(seed, 80).log)
        index = Index(log)
        query = catalog.folder("reports")["critical_path"]
        for (workflow_id,) in index.sql("SELECT workflow_id FROM workflows WHERE tasks > 0").fetchall():
            chosen = {"id": workflow_id}
            tasks = index.sql("FROM tasks WHERE workflow_id = $id ORDER BY defined_seq", chosen).pl().to_dicts()
            edges = index.sql("FROM edges WHERE workflow_id = $id", chosen).pl().to_dicts()
            said = index.run(query, reports.bind(query, chosen)).pl()["task_id"].to_list()
            assert Critical.of_rows(tasks, edges).ids == said, (seed, workflow_id)


def test_the_critical_path_of_nothing_and_of_a_circle() -> None:
    assert Critical.of_rows([], []).ids == []
    rows = [{"task_id": one, "ended_at": None, "duration_s": 1.0, "creator": None} for one in "abc"]
    circle = [{"upstream_task_id": a, "task_id": b, "kind": "argument"} for a, b in ("ab", "ba")]
    assert Critical.of_rows(rows, circle).ids == ["c"]


def test_a_browser_keeps_files_of_the_version_it_asked_for(shop: TestClient) -> None:
    found = page(shop, "/workflows/backfill")
    links = [attrs["href"] or "" for tag, attrs in found.tags if tag == "link" and "href" in attrs]
    named = [link for link in links if link.startswith("/static/")]
    assert len(named) == len(templating.MODULES) + 2
    (script,) = [attrs["src"] for tag, attrs in found.tags if tag == "script"]
    assert script == templating.module("wfstore.mjs")
    assert script in named
    for path in named:
        answer = shop.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable", path


def test_other_versions_of_files_are_not_kept(shop: TestClient) -> None:
    for path in ("wfstore.css", "wfstore.css?v=0", "parts.mjs", "0/parts.mjs", f"parts.mjs?v={'0' * 12}"):
        answer = shop.get(f"/static/{path}")
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache"), path
    for path in ("0/wfstore.css", "0/nothing.mjs", "nothing.css?v=0"):
        assert shop.get(f"/static/{path}").status_code == 404, path


def test_the_modules_that_a_page_asks_for_are_all_that_there_are() -> None:
    folder = Path(templating.__file__).parent / "static"
    imported, open_ = set[str](), ["wfstore.mjs"]
    while open_:
        name = open_.pop()
        imported.add(name)
        open_ += set(re.findall(r'from "\./([\w.]+)"', (folder / name).read_text())) - imported
    assert imported == set(templating.MODULES)
