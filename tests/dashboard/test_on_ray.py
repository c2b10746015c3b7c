"""The dashboard beside a live manager: started and joined by `init`, and back after it was killed."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.dashboard.fakes import until
from tests.dashboard.test_stream import Listener
from tests.engine.world import World, local_ray
from wfstore import workflow
from wfstore.engine import dashboard

pytestmark = pytest.mark.ray
TOKEN = "of-the-test"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "X-Wfstore-Action": "1"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with local_ray():
        made = World(tmp_path_factory.mktemp("world"))
        yield made
        dashboard.stop(made.namespace)
        made.stop()


@pytest.fixture(scope="module")
def facts(world: World) -> dict[str, Any]:
    """What the dashboard says about itself."""
    link = workflow.init(storage=world.storage, namespace=world.namespace, dashboard={"port": 0, "token": TOKEN})
    found = dashboard.find(world.namespace)
    assert found is not None
    assert found["link"] == link
    return found


class Served:
    """What `Listener` needs to know of a server."""

    def __init__(self, url: str) -> None:
        self.url = url


def get(facts: dict[str, Any], path: str) -> Any:
    answer = httpx.get(facts["url"] + path, headers=HEADERS, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


@workflow.task
def quick() -> int:
    return 1


@workflow.task
def slow(path: str) -> int:
    while not os.path.exists(path):
        time.sleep(0.05)
    return 2


def test_init_starts_it_once(world: World, facts: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    link = workflow.init(namespace=world.namespace, dashboard=True)
    assert link == facts["link"]
    assert capsys.readouterr().out == f"{link}\n"
    assert workflow.init(namespace=world.namespace) is None
    assert httpx.get(facts["url"] + "/api/workflows").status_code == 401
    with pytest.raises(ValueError, match="'prt'"):
        workflow.init(namespace=world.namespace, dashboard={"prt": 1})


def test_it_shows_what_runs_and_acts_on_it(world: World, facts: dict[str, Any], tmp_path: Path) -> None:
    listener = _listening(facts)
    workflow.run_async(slow.bind(str(tmp_path / "go")), workflow_id="watched")
    until(lambda: listener.statuses().get("watched") == "RUNNING", "it is told to run")
    row = get(facts, "/api/workflows/watched")
    assert (row["status"], row["origin"]) == ("RUNNING", "live")
    answer = httpx.post(f"{facts['url']}/api/workflows/watched/cancel", headers=HEADERS, json={"by": "eva"}, timeout=30)
    assert answer.json().get("status") == "CANCELED", answer.text
    until(lambda: listener.statuses().get("watched") == "CANCELED", "it is told to be canceled")
    asked = [event for event in world.events(workflow_id="watched") if event.by == "eva"]
    assert asked and asked[0].request_id == answer.json()["request_id"]


def _listening(facts: dict[str, Any]) -> Listener:
    class Authorized(Listener):
        def _listen(self) -> None:
            self._headers.update(HEADERS)
            super()._listen()

    made = Authorized(Served(facts["url"]))  # type: ignore[arg-type]
    made.wait("ready")
    return made


@pytest.mark.fault
def test_killed_it_is_back_on_the_same_port(world: World, facts: dict[str, Any]) -> None:
    workflow.run(quick.bind(), workflow_id="before")
    listener = _listening(facts)
    workflow.run(quick.bind(), workflow_id="seen")
    until(lambda: listener.statuses().get("seen") == "SUCCESSFUL", "told")
    last = next(event.id for event in reversed(listener.events) if event.id)
    pid = dashboard.find(world.namespace)["pid"]  # type: ignore[index]
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    workflow.run(quick.bind(), workflow_id="missed")
    until(lambda: _answers(facts), "it answers again", timeout_s=30)
    took = time.monotonic() - began
    assert took < 10, f"{took:.1f} s"
    again = httpx.stream("GET", f"{facts['url']}/api/stream", headers={**HEADERS, "Last-Event-ID": last}, timeout=20)
    with again as answer:
        text = ""
        for piece in answer.iter_text():
            text += piece
            if "event: ready" in text:
                break
    assert '"missed"' in text or "snapshot-needed" in text
    found = dashboard.find(world.namespace)
    assert found is not None and found["pid"] != pid and found["link"] == facts["link"]
    assert get(facts, "/api/workflows/missed")["status"] == "SUCCESSFUL"


def _answers(facts: dict[str, Any]) -> bool:
    try:
        return httpx.get(facts["url"] + "/api/counts", headers=HEADERS, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.fault
def test_the_manager_is_killed(world: World, facts: dict[str, Any]) -> None:
    listener = _listening(facts)
    os.kill(world.describe()["pid"], signal.SIGKILL)
    workflow.run(quick.bind(), workflow_id="after-it")

    def told() -> bool:
        return listener.statuses().get("after-it") == "SUCCESSFUL" or bool(listener.named("snapshot-needed"))

    until(told, "the new manager's changes, or that a snapshot is needed", timeout_s=10)
    assert get(facts, "/api/workflows/after-it")["status"] == "SUCCESSFUL"
    assert get(facts, "/api/workflows/after-it/tasks")["total"] == 1


def test_a_port_that_is_taken(world: World, facts: dict[str, Any], tmp_path: Path) -> None:
    other = World(tmp_path)
    try:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(OSError, match=f"port {port} of 127.0.0.1 is in use"):
                workflow.init(namespace=other.namespace, dashboard={"port": port, "token": TOKEN})
            assert dashboard.find(other.namespace) is None
        assert workflow.init(namespace=other.namespace, dashboard={"port": port, "token": "x"})
        dashboard.stop(other.namespace)
    finally:
        other.stop()
        world.use()
