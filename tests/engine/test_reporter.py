"""The thread that reports long attempts goes on, whatever goes wrong with one report."""

from __future__ import annotations

import time
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from wfstore.engine import reporter as module
from wfstore.engine.assignment import Assignment
from wfstore.engine.context import Told
from wfstore.engine.reporter import StartReporter
from wfstore.model.commands import Place

PLACE = Place(1, "node", 1, "task")


def job(name: str) -> Assignment:
    manager = ("M", "space", "node", 1)
    return Assignment("w", 1, name, 1, "/s", "id", manager, "hash", None, None, (), (), False, True, False)


def test_a_report_that_fails_does_not_silence_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timeouts of attempts hang on these reports: each is made until it is heard, or the attempt is over."""
    reported: list[str] = []
    troubles: list[Exception] = [ValueError("no such actor"), RuntimeError("the GCS does not answer")]

    def manager(name: Any) -> Any:
        if troubles:
            raise troubles.pop()
        return SimpleNamespace(report_started=SimpleNamespace(remote=report))

    def report(workflow_id: str, run: int, task_id: str, attempt: int, place: Place) -> Any:
        reported.append(task_id)
        heard: Future[None] = Future()
        if len(reported) == 1:
            heard.set_exception(ConnectionError("the manager has died before that was in the log"))
        else:
            heard.set_result(None)
        return SimpleNamespace(future=lambda: heard)

    manager.cache_clear = lambda: None  # type: ignore[attr-defined]

    monkeypatch.setattr(module, "_manager", manager)
    monkeypatch.setattr(module, "REPORT_AFTER_S", 0.01)
    monkeypatch.setattr(module, "_AGAIN_AFTER_S", 0.05)
    reporter = StartReporter()
    for name in ("a", "b"):
        with reporter.watch(job(name), PLACE, Told()):
            time.sleep(0.6)
    with reporter.watch(job("short"), PLACE, Told()):
        pass
    assert reported == ["a", "a", "b"]
    assert not troubles
