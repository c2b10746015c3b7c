"""`?as_of=`: pages and API about an earlier moment say so, offer nothing that changes, and lead back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import wfstore
from tests.browser import stores
from tests.dashboard.test_pages import Page, client_of

#: Of the shop's log: the etl is under way.
SEQ = 24


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    store = stores.shop(Path(tmp_path_factory.mktemp("past")) / "shop")
    store.close()
    return store.path


@pytest.fixture(scope="module")
def client(path: str) -> Iterator[TestClient]:
    with client_of(path) as client:
        yield client


@pytest.fixture(scope="module")
def first(path: str) -> str:
    """The id of the only workflow there was."""
    (found,) = wfstore.open(path, live=False).as_of(SEQ).workflows()["workflow_id"].to_list()
    return str(found)


def shown(page: str) -> set[str]:
    return set(re.findall(r'<tr data-workflow="([^"]+)"', page))


def test_the_overview_as_of_an_event(client: TestClient, first: str) -> None:
    page = client.get(f"/?as_of={SEQ}")
    assert page.status_code == 200
    assert shown(page.text) == {first}
    assert Page(page.text).wrong == []
    (banner,) = re.findall(r'<p class="banner".*?</p>', page.text, re.S)
    assert f"event {SEQ}: not live." in banner
    assert re.search(r'<a href="\?">Back to now</a>', banner)


def test_nothing_can_be_done_and_nothing_is_live(client: TestClient, first: str) -> None:
    for url in (f"/?as_of={SEQ}", f"/workflows/{first}?as_of={SEQ}"):
        page = client.get(url).text
        assert "data-action" not in page, url
        assert "<script" not in page, url


def test_links_stay_in_the_past(client: TestClient, first: str) -> None:
    page = client.get(f"/?as_of={SEQ}").text
    assert f'href="/workflows/{first}?as_of={SEQ}"' in page
    page = client.get(f"/workflows/{first}?as_of={SEQ}").text
    assert f'<a href="/?as_of={SEQ}">Workflows</a>' in page
    (task, *_) = re.findall(rf'href="(/workflows/{first}/tasks/[^"]*)"', page)
    assert task.endswith(f"?as_of={SEQ}")
    assert client.get(task).status_code == 200


def test_the_forms_need_no_script(client: TestClient, first: str, path: str) -> None:
    last = wfstore.open(path, live=False).sql("SELECT max(seq) FROM events").fetchall()[0][0]
    for url in ("/?status=FAILED", f"/workflows/{first}?task_status=FAILED"):
        page = client.get(url).text
        assert f'<input type="range" name="as_of" min="1" max="{last}" value="{last}">' in page
        assert re.search(r'<input type="datetime-local" name="as_of" step="1" value="" required>', page)
        assert page.count('type="hidden" name="status" value="FAILED"') >= 2 or "task_status" in url
        assert 'class="banner" role="status"' not in page
    page = client.get(f"/?as_of={SEQ}").text
    assert f'max="{last}" value="{SEQ}"' in page


def test_the_api(client: TestClient, first: str) -> None:
    answer = client.get(f"/api/workflows?as_of={SEQ}").json()
    assert [row["workflow_id"] for row in answer["workflows"]] == [first]
    assert (answer["total"], answer["as_of_seq"]) == (1, SEQ)
    row = client.get(f"/api/workflows/{first}?as_of={SEQ}").json()
    assert (row["status"], row["origin"], row["as_of_seq"]) == ("RUNNING", "store", SEQ)
    now = client.get(f"/api/workflows/{first}/tasks").json()
    tasks = client.get(f"/api/workflows/{first}/tasks?as_of={SEQ}").json()
    assert {task["status"] for task in tasks["tasks"]} <= {"PENDING", "RUNNING"}
    assert {task["status"] for task in now["tasks"]} & {"SUCCESSFUL", "FAILED"}


@pytest.mark.parametrize("url", ["/", "/workflows/x", "/api/workflows", "/api/workflows/x", "/api/workflows/x/tasks"])
@pytest.mark.parametrize(("when", "message"), [("soon", "neither ISO 8601"), ("99999", "is in the future")])
def test_a_moment_that_is_none(client: TestClient, url: str, when: str, message: str) -> None:
    answer = client.get(f"{url}?as_of={when}")
    assert answer.status_code == 400
    assert message in answer.text


def test_who_was_not_there_yet(client: TestClient, first: str) -> None:
    answer = client.get(f"/workflows/nobody?as_of={SEQ}")
    assert answer.status_code == 404
    assert f"as of seq {SEQ}" in answer.text


def test_a_time_that_a_browser_sends(client: TestClient, path: str) -> None:
    store = wfstore.open(path, live=False)
    at = store.as_of(SEQ).at
    assert at is not None
    moment = at.replace(microsecond=0).isoformat()
    page = client.get(f"/?as_of={at.isoformat()}")
    assert f"event {store.as_of(at).seq}: not live." in page.text
    assert f'value="{moment}" required' in page.text
