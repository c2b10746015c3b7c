"""The few lines of the overview about what is out of the ordinary: what they say, where they lead, what they cost."""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from starlette.testclient import TestClient

from tests.browser import stores
from wfstore._observe import WorkflowObservability
from wfstore.dashboard import unusual
from wfstore.dashboard.app import create_app
from wfstore.dashboard.settings import Settings
from wfstore.dashboard.unusual import NOTHING, Answer, Line, Unusual
from wfstore.errors import QueryError

STUCK = {"workflow_id": "w/1", "task_id": "fit", "running_s": 75.0, "n": 1200, "p99_s": 3.0}
ERROR = {
    "error_type": "OSError", "fingerprint": "no host <n>", "n": 4, "workflows": 2,
    "first_at": datetime(2026, 1, 2, 3, 4, 5), "last_workflow_id": "w2", "last_task_id": "load",
}  # fmt: skip
OUTPUT = {"workflow_id": "w3", "task_id": "map", "output_bytes": 5_000_000, "n": 40, "min_bytes": 10, "max_bytes": 900}


class Reports:
    """Stands for a store whose reports have these rows."""

    def __init__(self, **rows: dict[str, Any]) -> None:
        self.rows = rows
        self.asked: list[str] = []
        self.go = threading.Event()
        self.go.set()

    def report(self, name: str, limit: int) -> pl.DataFrame:
        self.go.wait(10)
        self.asked.append(name)
        if isinstance(self.rows.get(name), Exception):
            raise self.rows[name]
        return pl.DataFrame([self.rows[name]] if name in self.rows else [])


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is: what is made is waited for."""
    monkeypatch.setattr(unusual, "WAIT_S", 10)


def over(reports: Reports) -> Unusual:
    return Unusual(SimpleNamespace(store=reports))


def test_each_line_says_what_it_was_compared_with_and_leads_to_it() -> None:
    found = over(Reports(stuck=STUCK, new_errors=ERROR, unusual_outputs=OUTPUT)).lines().lines
    assert [(line.kind, line.href, line.report) for line in found] == [
        ("stuck", "/workflows/w%2F1/tasks/fit", "stuck"),
        ("new error", "/workflows/w2/tasks/load", "new_errors"),
        ("output size", "/workflows/w3", "unusual_outputs"),
    ]
    assert [line.said for line in found] == [
        "fit of w/1 has been running for 1 min 15 s; 99 % of 1,200 took at most 3.00 s",
        "OSError: no host <n> (4 attempts in 2 workflows since 2026-01-02 03:04:05 UTC, none before)",
        "map of w3 made 5.0 MB; 40 before it had 10 B to 900 B",
    ]


def test_it_is_asked_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = Reports(stuck=STUCK)
    made = over(reports)
    assert made.lines() == made.lines() != NOTHING
    assert len(reports.asked) == 3
    monkeypatch.setattr(unusual, "KEPT_S", 0.0)
    made.lines()
    assert len(reports.asked) == 6


def test_nobody_waits_for_a_slow_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unusual, "WAIT_S", 0.01)
    reports = Reports(stuck=STUCK)
    reports.go.clear()
    made = over(reports)
    assert made.lines() == made.lines() == ((), True), "it is to be asked for again"
    reports.go.set()
    monkeypatch.setattr(unusual, "WAIT_S", 10)
    assert [line.kind for line in made.lines().lines] == ["stuck"]
    assert len(reports.asked) == 3  # by one thread, whoever asked


def test_a_large_store_is_looked_at_once_the_page_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unusual, "DRAWN_S", 0.05)
    reports = Reports(stuck=STUCK)
    made = over(reports)
    assert made.lines(large=True) == ((), True)
    assert reports.asked == []
    assert made._making is not None
    made._making.join(10)
    assert [line.kind for line in made.lines(large=True).lines] == ["stuck"]


def test_nothing_is_looked_at_after_the_end() -> None:
    reports = Reports(stuck=STUCK)
    made = over(reports)
    assert made.lines(large=True) == ((), True)
    made.close()
    assert made._making is not None and not made._making.is_alive()
    assert reports.asked == []


def test_a_store_that_cannot_be_read_has_nothing_unusual() -> None:
    assert over(Reports(stuck=QueryError("gone"))).lines() == NOTHING


def test_the_overview_shows_them_escaped_and_nothing_where_there_is_nothing(tmp_path: Path) -> None:
    store = stores.shop(tmp_path / "shop")
    store.close()
    app = create_app(WorkflowObservability(store.path, live=False), Settings("t0ken", port=8266))
    with TestClient(app, base_url="http://127.0.0.1:8266", headers={"Authorization": "Bearer t0ken"}) as client:
        assert "unusual-title" not in client.get("/").text
        lines = (Line("stuck", "<b>fit</b>", "/workflows/w1", "stuck"),)
        app.state.unusual = SimpleNamespace(lines=lambda **_: Answer(lines, True), close=lambda: None)
        for path in ("/", "/fragment/summary"):
            page = client.get(path).text
            assert "unusual-title" in page and "&lt;b&gt;fit" in page and "<b>fit" not in page
            assert 'data-again="summary"' in page
            assert 'href="/workflows/w1"' in page and 'href="/reports/stuck"' in page
        assert "unusual-title" not in client.get("/?as_of=1").text
