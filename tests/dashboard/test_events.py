"""The routes below /event, without a manager: what is refused and how, what goes on to the manager, what is listed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

import wfstore
from tests.dashboard.fakes import ACTION, BEARER, TOKEN, FakeObservability
from tests.index.worlds import dag, spec
from tests.model.dags import ref
from tests.model.driving import BAD, end
from tests.model.histories import Simulation
from wfstore import errors
from wfstore.dashboard import events
from wfstore.dashboard.app import create_app
from wfstore.dashboard.settings import Settings
from wfstore.log import open_writer
from wfstore.model.commands import AwaitEvent, Cancel, Delete, SendEvent, Submit
from wfstore.model.dag import EVENT

URL = "/event/send_event/w"
GO = {"event_key": "go", "event_payload": {"a": [1, None, "é"]}}


class Link:
    """Stands for the client of a manager."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.answer: str | Exception = "checkpointed"

    def send_event(self, *args: Any) -> str:
        self.calls.append(args)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch) -> Link:
    made = Link()
    monkeypatch.setattr(events, "_link", lambda observability: made)
    return made


def post(client: TestClient, body: Any = GO, url: str = URL, headers: Any = BEARER) -> Any:
    return client.post(url, json=body, headers=headers)


def test_what_is_sent_goes_to_the_manager_and_its_answer_comes_back(client: TestClient, link: Link) -> None:
    answer = post(client, {**GO, "request_id": "r1", "by": "me", "more": "is ignored"})
    assert answer.status_code == 200
    assert answer.json() == {"workflow_id": "w", "event_key": "go", "status": "checkpointed", "request_id": "r1"}
    assert link.calls == [("w", "go", {"a": [1, None, "é"]}, "r1", "me", events.HOLD_S)]


def test_a_request_id_of_its_own_or_by_the_header(client: TestClient, link: Link) -> None:
    made = post(client).json()["request_id"]
    assert len(made) == 32
    assert post(client, headers={**BEARER, "Idempotency-Key": "mine"}).json()["request_id"] == "mine"
    assert [call[3:5] for call in link.calls] == [(made, "http"), ("mine", "http")]


@pytest.mark.parametrize("workflow_id", ["a/b", "50% é?#<b>", "x" * 300])
def test_any_id_is_one_segment(client: TestClient, link: Link, workflow_id: str) -> None:
    assert post(client, url=f"/event/send_event/{quote(workflow_id, safe='')}").status_code == 200
    assert link.calls[0][0] == workflow_id


def test_null_is_a_payload(client: TestClient, link: Link) -> None:
    assert post(client, {"event_key": "go", "event_payload": None}).status_code == 200
    assert link.calls[0][2] is None


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"event_key": "go"}, "no event_payload"),
        ({"event_payload": 1}, "no event_key"),
        ({}, "no event_key and no event_payload"),
    ],
)
def test_a_missing_field_is_404_as_ever(client: TestClient, link: Link, body: Any, told: str) -> None:
    answer = post(client, body)
    assert answer.status_code == 404
    assert told in answer.json()["error"]["message"]
    assert link.calls == []


@pytest.mark.parametrize(
    "body", [[1], "text", {**GO, "event_key": 7}, {**GO, "event_key": None}, {**GO, "by": "a\nb"}, {**GO, "by": 1},
             {**GO, "request_id": ""}, {**GO, "request_id": "x" * 201}]
)  # fmt: skip
def test_what_is_wrong_is_400(client: TestClient, link: Link, body: Any) -> None:
    assert post(client, body).status_code == 400
    assert link.calls == []


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000, b'{"event_key": "a", "event_payload": NaN'])
def test_what_is_no_json_is_400(client: TestClient, link: Link, data: bytes) -> None:
    assert client.post(URL, content=data, headers=BEARER).status_code == 400
    assert link.calls == []


def test_what_is_too_large_is_413(observability: FakeObservability, link: Link) -> None:
    app = create_app(observability, Settings(TOKEN, max_body_bytes=1000))  # type: ignore[arg-type]
    with TestClient(app, base_url="http://127.0.0.1:8266") as client:
        assert post(client, {**GO, "event_payload": "x" * 2000}).status_code == 413
    assert link.calls == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.WorkflowNotFoundError("w"), 404),
        (errors.WorkflowEventHandleError("w", "it is SUCCESSFUL"), 409),
        (errors.InvalidCommandError("event_key is empty"), 400),
        (errors.ManagerLostError("/store", "the manager does not answer"), 503),
        (errors.StorageFullError("/store", "no space left"), 503),
    ],
)
def test_what_the_manager_refuses(client: TestClient, link: Link, error: Exception, status: int) -> None:
    link.answer = error
    answer = post(client)
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, type(error).__name__)


def test_a_listener_that_reports_a_failure_is_500(client: TestClient, link: Link) -> None:
    link.answer = "refused"
    answer = post(client)
    assert answer.status_code == 500
    assert "the event is durable" in answer.json()["error"]["message"]


def test_without_a_live_manager_it_is_503_and_says_why(observability: FakeObservability) -> None:
    observability.live = False
    observability.store = type("Store", (), {"storage": "/store"})()
    app = create_app(observability, Settings(TOKEN))  # type: ignore[arg-type]
    with TestClient(app, base_url="http://127.0.0.1:8266") as client:
        answer = post(client)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "No manager of this storage runs" in answer.json()["error"]["message"]


def test_nobody_gets_in_without_the_token_or_by_another_host(client: TestClient, link: Link) -> None:
    assert post(client, headers={}).status_code == 401
    assert post(client, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert post(client, headers={**BEARER, "Host": "evil.example"}).status_code == 403
    assert post(client, headers={**BEARER, "Origin": "http://evil.example"}).status_code == 403
    assert post(client, headers={**ACTION, "Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.get("/event/events/w").status_code == 401
    assert client.get(URL, headers=BEARER).status_code == 405
    assert link.calls == []


# -- listing ----------------------------------------------------------------------------------------------------------


def story(path: Path) -> str:
    """One event used, one with a task that has failed, two kept; those of another workflow, and of a deleted one."""
    simulation = Simulation()

    def send(key: str, workflow_id: str = "w") -> None:
        simulation.do(SendEvent(workflow_id, key, ref(key), f"r-{workflow_id}-{key}", "me"))

    def wait(task_id: str, key: str) -> None:
        simulation.do(AwaitEvent("w", 1 if simulation.state.workflows["w"].run == 1 else 2, task_id, 1, key))

    listeners = dag(*(spec(name, max_retries=0)._replace(type=EVENT) for name in ("one", "two")), spec("use", 0, 1))
    simulation.do(Submit("w", listeners))
    send("before")
    simulation.do(Cancel("w"))
    simulation.do(Delete("w"))
    simulation.do(Submit("w", listeners))
    simulation.do(Submit("other", listeners))
    send("elsewhere", "other")
    wait("one", "a")
    for key in ("a", "<b>", "c", "c"):
        simulation.do(SendEvent("w", key, ref(key), None if key == "c" else f"r-{key}", "me"))
    wait("two", "<b>")
    end(simulation, "one")
    end(simulation, "two", BAD)
    writer = open_writer(str(path))
    writer.append(simulation.log)
    writer.close()
    return str(path)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    return story(tmp_path_factory.mktemp("told"))


@pytest.fixture
def reader(observability: FakeObservability, told: str) -> Iterator[TestClient]:
    observability.store = wfstore.open(told, live=False)
    app = create_app(observability, Settings(TOKEN))  # type: ignore[arg-type]
    with TestClient(app, base_url="http://127.0.0.1:8266", headers=BEARER) as made:
        yield made


def test_events_are_listed_with_what_became_of_them(reader: TestClient) -> None:
    answer = reader.get("/event/events/w").json()
    rows = answer["events"]
    assert (answer["workflow_id"], answer["total"]) == ("w", 4)
    assert [(row["number"], row["event_key"], row["state"], row["task_id"]) for row in rows] == [
        (1, "a", "used", "one"), (2, "<b>", "delivered", "two"), (3, "c", "kept", None), (4, "c", "kept", None),
    ]  # fmt: skip
    first = rows[0]
    assert first["sent_at"].endswith("Z") and first["sent_at"] <= first["delivered_at"] <= first["used_at"]
    assert (first["bytes"], first["request_id"], first["by"]) == (1, "r-a", "me")
    assert rows[2]["delivered_at"] is rows[2]["used_at"] is None
    assert "payload" not in "".join(first)


def test_the_list_has_pages(reader: TestClient) -> None:
    answer = reader.get("/event/events/w?limit=2&offset=1").json()
    assert ([row["number"] for row in answer["events"]], answer["total"]) == ([2, 3], 4)
    assert reader.get("/event/events/w?limit=0").status_code == 400


def test_the_list_of_a_workflow_without_events_and_of_none(reader: TestClient) -> None:
    assert reader.get("/event/events/good").json() == {"workflow_id": "good", "events": [], "total": 0}
    assert reader.get("/event/events/unknown").status_code == 404
