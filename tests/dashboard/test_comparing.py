"""/regressions and /diff, over stores on disk."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.answers.stories import resumed, slower, two
from tests.dashboard.fakes import BEARER, TOKEN
from tests.index.worlds import dag, spec
from tests.reports.stories import START, Story, store_of
from wfstore.dashboard.app import create_app
from wfstore.dashboard.settings import Settings

HOSTILE = "<script>alert(1)</script>\"'&?#/é"


def client_of(story: Story, path: Path) -> TestClient:
    app = create_app(SimpleNamespace(store=store_of(story, path)), Settings(TOKEN, port=8266))  # type: ignore[arg-type]
    return TestClient(app, base_url="http://127.0.0.1:8266", raise_server_exceptions=False, headers=BEARER)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    return client_of(two(), tmp_path_factory.mktemp("two") / "store")


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    return client_of(slower(), tmp_path_factory.mktemp("slow") / "store")


def test_two_workflows_beside_each_other(client: TestClient) -> None:
    page = client.get("/diff", params={"a": "a", "b": "b"}).text
    assert page.count('<svg xmlns="http://www.w3.org/2000/svg" class="wf-draw dag"') == 2
    assert "2 added, 0 gone, 3 changed of 6" in page
    assert 'href="/workflows/b/tasks/save"' in page
    assert page.index(">save<") < page.index(">map<"), "worst first"


def test_without_a_it_is_the_one_of_the_name_before(client: TestClient) -> None:
    assert 'value="a"' in client.get("/diff", params={"b": "b"}).text
    first = client.get("/diff", params={"b": "a"})
    assert first.status_code == 400 and "there is no workflow of the name" in first.text


def test_the_form_alone_and_what_is_not_there(client: TestClient) -> None:
    assert client.get("/diff").status_code == 200
    unknown = client.get("/diff", params={"a": "a", "b": "nobody"})
    assert unknown.status_code == 404 and "id=nobody" in unknown.text
    assert 'value="nobody"' in unknown.text, "what was filled in is still there"
    missing = client.get("/diff", params={"a": "a@7", "b": "b"})
    assert missing.status_code == 400 and "has no run 7" in missing.text


def test_two_runs_of_one(tmp_path: Path) -> None:
    page = client_of(resumed(), tmp_path / "store").get("/diff", params={"a": "w@1", "b": "w@2"}).text
    assert "FAILED → SUCCESSFUL" in page


def test_text_of_users_is_escaped(tmp_path: Path) -> None:
    story = Story()
    for number, name in enumerate((HOSTILE, "plain")):
        story.now(number)
        story.submit(name, dag(spec(HOSTILE)), {"name": HOSTILE, HOSTILE: number})
    page = client_of(story, tmp_path / "store").get("/diff", params={"a": HOSTILE, "b": "plain"})
    assert page.status_code == 200 and "<script>alert" not in page.text


def params(**more: Any) -> dict[str, str]:
    since: datetime = START + timedelta(seconds=2_000)
    return {"since": since.isoformat(), "baseline": "1h", **more}


def test_what_became_worse(slow: TestClient) -> None:
    page = slow.get("/regressions", params=params()).text
    assert "shop.work" in page and "2.00x" in page
    assert 'href="/workflows/w20"' in page and 'href="/diff?b=w20"' in page
    assert "1 task key compared" in page


def test_nothing_became_worse_and_too_few(slow: TestClient) -> None:
    page = slow.get("/regressions", params=params(min_ratio="3")).text
    assert "Nothing became worse" in page
    page = slow.get("/regressions", params=params(least="25")).text
    assert "1 left out: fewer than 25 workflows on a side" in page


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"since": "<b>"}, "neither ISO 8601"),
        ({"measure": "<i>"}, "no measure is called"),
        ({"min_ratio": "x"}, "has to be a number"),
    ],
)
def test_bad_input_is_said_and_not_repeated_raw(slow: TestClient, given: dict[str, str], words: str) -> None:
    answer = slow.get("/regressions", params=params(**given))
    assert (answer.status_code, words in answer.text) == (400, True)
    assert "<b>" not in answer.text and "<i>" not in answer.text
