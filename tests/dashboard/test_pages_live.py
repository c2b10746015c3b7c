"""The pages of a workflow that runs, from rows as the manager's memory has them; and words made for people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.browser import stores
from tests.dashboard.test_pages import BEARER
from wfstore._observe import WorkflowObservability
from wfstore._observe.opening import LiveTasks
from wfstore.dashboard import shapes, templating
from wfstore.dashboard.app import create_app
from wfstore.dashboard.settings import Settings
from wfstore.log import now_us, open_reader
from wfstore.model.apply import replay
from wfstore.model.commands import Submit
from wfstore.model.rows import live_workflow_row, task_facts


class FromMemory(WorkflowObservability):
    """Its rows of what runs are the model's own."""

    @property
    def live(self) -> bool:
        return True

    def _snapshot(self, workflow_id: str, tasks: bool) -> dict[str, Any]:
        events = list(open_reader(self.store.storage).events())
        found = replay(events).workflows[workflow_id]
        facts = [tuple(task_facts(found, task)) for task in found.tasks.values()]
        row = live_workflow_row(found, len(events), now_us())
        return {"workflows": [row], "tasks": LiveTasks(facts, len(events), now_us())}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[stores.Growing]:
    made = stores.Growing(tmp_path / "store")
    yield made
    made.close()


def test_every_page_of_what_runs(store: stores.Growing) -> None:
    store.do(Submit("w", stores.fan(3), {"name": "shop"}))
    store.start("w", "list")
    app = create_app(FromMemory(store.path, live=False), Settings("t0ken", port=8266))
    with TestClient(app, base_url="http://127.0.0.1:8266", headers=BEARER) as client:
        for path in ("/", "/workflows/w", "/workflows/w/tasks/list", "/workflows/w/tasks/total?fragment=1"):
            answer = client.get(path)
            assert answer.status_code == 200, path
        assert "the manager" in client.get("/workflows/w/fragment/head").text
        assert "RUNNING" in client.get("/workflows/w/tasks/list?fragment=1").text


def test_a_message_becomes_a_sentence() -> None:
    said = templating.sentence("no manager of /tmp/<b> runs: use `wfstore resume <ID>`, and wait")
    assert said == "No manager of /tmp/&lt;b&gt; runs: use <code>wfstore resume &lt;ID&gt;</code>, and wait."
    assert templating.sentence("Done.") == "Done."
    assert templating.sentence("an `open end") == "An <code>open end</code>."


def test_options_that_are_pickled_are_only_named() -> None:
    options = {"max_retries": 2, "retry_exceptions": {"hash": "ab", "bytes": 1042, "data": "gAWV"}}
    assert shapes.readable(options) == {"max_retries": 2, "retry_exceptions": "pickled, 1,042 bytes"}
    assert shapes.readable(None) is None
    assert shapes.readable({"runtime_env": {"pip": ["x"]}}) == {"runtime_env": {"pip": ["x"]}}
