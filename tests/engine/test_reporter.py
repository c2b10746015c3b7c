"""The thread that reports long attempts goes on, whatever goes wrong with one report."""

from __future__ import annotations

import time
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
    """Timeouts of attempts hang on these reports."""
    reported: list[str] = []
    troubles: list[Exception] = [ValueError("no such actor"), RuntimeError("the GCS does not answer")]

    def manager(name: Any) -> Any:
        if troubles:
            raise troubles.pop()
        report = SimpleNamespace(remote=lambda workflow_id, run, task_id, attempt, place: reported.append(task_id))
        return SimpleNamespace(report_started=report)

    monkeypatch.setattr(module, "_manager", manager)
    monkeypatch.setattr(module, "REPORT_AFTER_S", 0.01)
    reporter = StartReporter()
    for name in ("a", "b", "c"):
        with reporter.watch(job(name), PLACE, Told()):
            time.sleep(0.15)
    with reporter.watch(job("short"), PLACE, Told()):
        pass
    assert reported == ["c"]
    assert not troubles
