"""The JSON API's questions and orders, over a store in memory."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.dashboard.fakes import ACTION, BEARER, FakeObservability, task_row, workflow_row
from wfstore.dashboard.encoding import dumps
from wfstore.dashboard.paths import exact

HOSTILE = "<script>alert(1)</script>\"'&\u202e\u0000\x1b[2J\U0001f600"


def get(client: TestClient, path: str, status: int = 200) -> Any:
    answer = client.get(path, headers=BEARER)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def post(client: TestClient, path: str, body: Any = None, status: int = 200) -> Any:
    answer = client.post(path, headers=ACTION, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


# -- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, 678), '"2026-01-02T03:04:05.000678Z"'),
        (datetime(2026, 1, 2, 3, 4, 5), '"2026-01-02T03:04:05Z"'),
        (datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), '"2026-01-02T01:00:00Z"'),
        (datetime(2026, 1, 2, 3, tzinfo=UTC), '"2026-01-02T03:00:00Z"'),
        ({"a": [{"b": datetime(2026, 1, 2)}]}, '{"a":[{"b":"2026-01-02T00:00:00Z"}]}'),
        ([float("nan"), float("inf"), float("-inf"), 1.5], "[null,null,null,1.5]"),
        ([2**53 + 1, 2**63, -(2**63), 2**200], f"[{2**53 + 1},{2**63},{-(2**63)},{2**200}]"),
        ((timedelta(seconds=90), Decimal("1.5")), "[90.0,1.5]"),
        ({1: True, "x": None}, '{"1":true,"x":null}'),
        ("\ud800 é", '"\\ud800 \\u00e9"'),
        (["\udfff", float("nan"), datetime(2026, 1, 2), b"x"], '["\\udfff",null,"2026-01-02T00:00:00Z","eA=="]'),
        ("\u2028 </script>", '"\u2028 </script>"'),
    ],
)
def test_values(value: Any, text: str) -> None:
    assert dumps(value).decode() == text


def test_what_is_given_is_not_changed() -> None:
    row = {"at": datetime(2026, 1, 2), "rows": [{"at": datetime(2026, 1, 2)}]}
    dumps(row)
    assert row == {"at": datetime(2026, 1, 2), "rows": [{"at": datetime(2026, 1, 2)}]}


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/a/b", "/a/b"),
        ("/a%2Fb/c", "/a%2Fb/c"),
        ("/a%252Fb", "/a%252Fb"),
        ("/%C3%A9 ", "/é "),
        ("/50%25", "/50%25"),
        ("/%zz", "/%25zz"),
        ("/%ff", "/\ufffd"),
    ],
)
def test_paths_keep_their_segments(raw: str, path: str) -> None:
    assert exact(raw) == path


# -- questions --------------------------------------------------------------------------------------------------------


def test_workflows_come_in_pages_and_the_total_is_told(client: TestClient) -> None:
    first = get(client, "/api/workflows?limit=2")
    assert [row["workflow_id"] for row in first["workflows"]] == ["good", "open"]
    assert {key: first[key] for key in ("total", "limit", "offset", "next_offset", "as_of_seq")} == {
        "total": 5,
        "limit": 2,
        "offset": 0,
        "next_offset": 2,
        "as_of_seq": 7,
    }
    last = get(client, "/api/workflows?limit=2&offset=4")
    assert (len(last["workflows"]), last["next_offset"]) == (1, None)
    assert get(client, "/api/workflows?limit=0")["next_offset"] is None
    assert first["workflows"][0]["submitted_at"] == "2026-01-02T03:04:05.678000Z"
    assert first["workflows"][0]["metadata"] == {"team": "data"}


def test_filters(client: TestClient, observability: FakeObservability) -> None:
    get(
        client,
        "/api/workflows?status=failed,RUNNING&status=PENDING&name=shop&id=oo&since=7d&until=2026-01-01T00:00:00Z"
        "&metadata.team=data&metadata.size=3&metadata.a.b=%22x%22&metadata.n=NaN&order_by=-name",
    )
    assert observability.asked[-1] == (
        "workflows",
        {
            "status": ["FAILED", "RUNNING", "PENDING"],
            "name": "shop",
            "text": "oo",
            "since": "7d",
            "until": "2026-01-01T00:00:00Z",
            "metadata": {"team": "data", "size": 3, "a.b": "x", "n": "NaN"},
            "order_by": ["-name"],
            "limit": 100,
            "offset": 0,
        },
    )
    get(client, "/api/workflows?name=&status=")
    assert observability.asked[-1][1]["status"] is None and observability.asked[-1][1]["name"] is None


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("limit=-1", "limit is '-1'"),
        ("limit=1001", "0 to 1,000"),
        ("limit=1e3", "whole number"),
        ("limit=", "whole number"),
        ("limit=٣", "whole number"),
        ("offset=x", "offset is 'x'"),
        ("staus=FAILED", "there is no parameter 'staus'"),
        ("order_by=nothing", "there is no column 'nothing'"),
        ("limit=" + "9" * 4000, "limit is '999"),
    ],
)
def test_wrong_filters(client: TestClient, query: str, words: str) -> None:
    error = get(client, f"/api/workflows?{query}", 400)["error"]
    assert error["type"] == "ValueError"
    assert words in error["message"]
    assert len(error["message"]) < 300


def test_one_workflow_and_what_it_is_made_of(client: TestClient) -> None:
    assert get(client, "/api/workflows/good")["status"] == "SUCCESSFUL"
    tasks = get(client, "/api/workflows/good/tasks")
    assert ([row["task_id"] for row in tasks["tasks"]], tasks["total"]) == (["list", "map", "total"], 3)
    assert get(client, "/api/workflows/good/attempts")["total"] == 3
    assert [row["task_id"] for row in get(client, "/api/workflows/good/attempts?task_id=map")["attempts"]] == ["map"]
    assert get(client, "/api/workflows/good/runs")["runs"][0]["reason"] == "new"
    assert get(client, "/api/counts") == {"counts": {"RUNNING": 1, "FAILED": 0}}


def test_events_go_on_where_they_ended(client: TestClient) -> None:
    first = get(client, "/api/workflows/good/events?limit=4")
    assert [row["seq"] for row in first["events"]] == [1, 2, 3, 4]
    assert first["events"][0]["attributes"] == {"a": 1}
    rest = get(client, f"/api/workflows/good/events?limit=4&after_seq={first['next_after_seq']}")
    assert ([row["seq"] for row in rest["events"]], rest["next_after_seq"]) == ([5, 6, 7], None)


@pytest.mark.parametrize("part", ["", "/tasks", "/attempts", "/runs", "/events"])
@pytest.mark.parametrize("workflow_id", ["nope", "%3Cscript%3E", "a", "..%2F..%2Fetc%2Fpasswd", "%00", "x" * 5000])
def test_a_workflow_that_is_not_there(client: TestClient, workflow_id: str, part: str) -> None:
    error = get(client, f"/api/workflows/{workflow_id}{part}", 404)["error"]
    assert error["type"] == "WorkflowNotFoundError"


def test_ids_hold_anything(client: TestClient) -> None:
    assert get(client, "/api/workflows/a%2Ftasks")["workflow_id"] == "a/tasks"
    assert get(client, "/api/workflows/a%2Ftasks/tasks")["workflow_id"] == "a/tasks"
    assert get(client, "/api/workflows/50%252F%20%C3%A9%3F%23%3Cb%3E")["workflow_id"] == "50%2F é?#<b>"
    get(client, "/api/workflows/a/tasks", 404)


def test_hostile_text_stays_what_it_is(client: TestClient, observability: FakeObservability) -> None:
    observability.rows["good"] = workflow_row("good", name=HOSTILE, error_message=HOSTILE, metadata={HOSTILE: HOSTILE})
    observability.task_rows["good"] = {HOSTILE: task_row("good", HOSTILE, output_repr="\udcff")}
    row = get(client, "/api/workflows/good")
    assert (row["name"], row["error_message"], row["metadata"]) == (HOSTILE, HOSTILE, {HOSTILE: HOSTILE})
    assert get(client, "/api/workflows/good/tasks")["tasks"][0]["task_id"] == HOSTILE


# -- orders -----------------------------------------------------------------------------------------------------------


def test_actions_say_who_and_under_which_id(client: TestClient, observability: FakeObservability) -> None:
    told = post(client, "/api/workflows/open/cancel", {"by": "eva", "request_id": "r1"})
    assert told == {"workflow_id": "open", "action": "cancel", "status": "CANCELED", "request_id": "r1"}
    assert observability.actions == [("cancel", "open", {"by": "eva", "request_id": "r1"})]
    again = post(client, "/api/workflows/bad/resume", {"code": "current"})
    assert again["status"] == "RUNNING"
    facts = observability.actions[-1][2]
    assert (facts["by"], facts["code"], facts["request_id"]) == ("dashboard", "current", again["request_id"])
    rerun = post(client, "/api/workflows/good/rerun")
    assert (rerun["workflow_id"], rerun["rerun_of"], rerun["status"]) == ("again", "good", "PENDING")
    assert post(client, "/api/workflows/a%2Ftasks/delete")["status"] == "DELETED"
    get(client, "/api/workflows/a%2Ftasks", 404)


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("good/cancel", 409, "WorkflowError"),
        ("nope/cancel", 404, "WorkflowNotFoundError"),
        ("nope/rerun", 404, "WorkflowNotFoundError"),
        ("open/delete", 409, "WorkflowStillActiveError"),
        ("open/explode", 404, "Not Found"),
    ],
)
def test_refused_actions(client: TestClient, path: str, status: int, kind: str) -> None:
    assert post(client, f"/api/workflows/{path}", status=status)["error"]["type"] == kind


@pytest.mark.parametrize("action", ["cancel", "resume", "rerun", "delete"])
def test_without_a_manager(client: TestClient, observability: FakeObservability, action: str) -> None:
    observability.live = False
    error = post(client, f"/api/workflows/open/{action}", status=409)["error"]
    assert error["type"] == "ManagerLostError"
    assert "wfstore dashboard --ray" in error["message"]


def test_bulk_is_a_dry_run_unless_told_otherwise(client: TestClient, observability: FakeObservability) -> None:
    order = {"action": "delete", "filter": {"status": "FAILED", "metadata": {"team": "data"}, "id": "a", "since": "1d"}}
    told = post(client, "/api/workflows/bulk", order)
    assert (told["dry_run"], told["total"], told["done"], told["refused"]) == (True, 3, 0, 0)
    facts = next(facts for name, facts in observability.asked if name == "bulk")
    assert facts == {
        "action": "delete",
        "dry_run": True,
        "status": ["FAILED"],
        "name": None,
        "text": "a",
        "since": "1d",
        "until": None,
        "metadata": {"team": "data"},
        "ids": None,
        "code": "stored",
        "by": "dashboard",
        "request_id": told["request_id"],
    }
    done = post(client, "/api/workflows/bulk", {**order, "dry_run": False})
    assert (done["done"], [row["done"] for row in done["results"]]) == (3, [True] * 3)
    observability.live = False
    assert post(client, "/api/workflows/bulk", order)["refused"] == 3


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not JSON"),
        (b"[]", "JSON object"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'"x"', "JSON object"),
        (b"{}", "action is"),
        (b'{"action": "explode", "filter": {}}', "cancel, resume, rerun, delete"),
        (b'{"action": ["cancel"], "filter": {}}', "must be one of"),
        (b'{"action": "cancel"}', "filter is missing"),
        (b'{"action": "cancel", "filter": []}', "filter must be"),
        (b'{"action": "cancel", "filter": {"x": 1}}', "filter has 'x'"),
        (b'{"action": "cancel", "filter": {"status": 1}}', "filter.status"),
        (b'{"action": "cancel", "filter": {"status": [1]}}', "filter.status"),
        (b'{"action": "cancel", "filter": {"name": {}}}', "filter.name"),
        (b'{"action": "cancel", "filter": {"metadata": 3}}', "metadata"),
        (b'{"action": "cancel", "filter": {}, "dry_run": "no"}', "dry_run must be"),
        (b'{"action": "cancel", "filter": {}, "dry_run": null}', "dry_run must be"),
        (b'{"action": "cancel", "filter": {}, "by": "a\\nb"}', "by must be"),
        (b'{"action": "cancel", "filter": {}, "by": 7}', "by must be"),
        (b'{"action": "cancel", "filter": {}, "dryrun": false}', "the body has 'dryrun'"),
    ],
)
def test_wrong_orders(client: TestClient, observability: FakeObservability, body: bytes, words: str) -> None:
    answer = client.post("/api/workflows/bulk", headers=ACTION, content=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert observability.asked == []


def test_an_error_elsewhere_is_a_page(client: TestClient) -> None:
    answer = client.get("/nowhere/%3Cscript%3E", headers={**BEARER, "Accept": "*/*"})
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "<script>" not in answer.text


def test_json_is_one_document(client: TestClient) -> None:
    assert json.loads(client.get("/api/workflows", headers=BEARER).content)["total"] == 5
