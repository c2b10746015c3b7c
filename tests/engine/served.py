"""The dashboard's server over a world of tests: a real uvicorn on a free port of the loopback, asked by httpx."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import httpx

from tests.engine.world import World
from wfstore import WorkflowObservability
from wfstore.dashboard.app import create_app
from wfstore.dashboard.server import Background, listen
from wfstore.dashboard.settings import Settings

TOKEN = "token-of-tests"


class Served:
    """Use it as a context manager."""

    def __init__(self, world: World) -> None:
        settings = Settings(TOKEN, port=0)
        app = create_app(WorkflowObservability(world.storage), settings)
        self._server = Background(app, listen(settings))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self._server.port}", headers=headers, timeout=60)

    def __enter__(self) -> Served:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self._server.stop()

    def post(self, workflow_id: str, key: str | None = None, payload: Any = None, **more: Any) -> httpx.Response:
        body = {"event_key": key, "event_payload": payload, **more}
        return self.http.post(f"/event/send_event/{quote(workflow_id, safe='')}", json=body)

    def send(self, workflow_id: str, key: str, payload: Any = None, **more: Any) -> str:
        """What the 200 says."""
        answer = self.post(workflow_id, key, payload, **more)
        assert answer.status_code == 200, answer.text
        status: str = answer.json()["status"]
        return status

    def events(self, workflow_id: str) -> list[dict[str, Any]]:
        answer = self.http.get(f"/event/events/{quote(workflow_id, safe='')}")
        assert answer.status_code == 200, answer.text
        rows: list[dict[str, Any]] = answer.json()["events"]
        return rows

    def states(self, workflow_id: str) -> list[tuple[str, str]]:
        return [(row["event_key"], row["state"]) for row in self.events(workflow_id)]

    def ask_until_200(self, workflow_id: str, key: str, payload: Any, request_id: str, timeout_s: float = 60) -> None:
        """As a client does that wants to be sure: send it again until it is acknowledged."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                if self.post(workflow_id, key, payload, request_id=request_id).status_code == 200:
                    return
            except httpx.TransportError:
                pass  # not acknowledged either
            assert time.monotonic() < deadline
            time.sleep(0.05)
