"""Estimates beside what runs: in `live_workflows`, in the background, as of an earlier moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import wfstore
from tests.cli.test_cli_eta import store_of
from wfstore import _estimates
from wfstore._estimates import Estimates, LiveRows
from wfstore.errors import WorkflowNotFoundError
from wfstore.index import Index


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    made = store_of(Path(tmp_path_factory.mktemp("eta-live")) / "store", 6)
    yield made.path
    made.close()


def until(what: Any, patience_s: float = 20.0) -> Any:
    deadline = time.monotonic() + patience_s
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def joined(path: str, ids: list[str]) -> wfstore.Store:
    """A store beside a manager that says that these run."""
    store = wfstore.open(path, live=False)
    store._live = LiveRows(store, lambda: ([{"workflow_id": name, "status": "RUNNING"} for name in ids], []))
    store._index = Index(store._reader, store._live.source, store._history)
    return store


def test_live_workflows_say_when_they_end(path: str) -> None:
    store = joined(path, ["now", "unknown"])
    asked = "SELECT workflow_id, eta_p50_at, eta_p90_at FROM live_workflows ORDER BY ALL"
    until(lambda: store.sql(asked).fetchall()[0][1])
    (_, half, most), unknown = store.sql(asked).fetchall()
    soon = datetime.now(UTC).replace(tzinfo=None)
    assert soon < half <= most < soon + timedelta(seconds=400)
    assert unknown == ("unknown", None, None)


def test_without_a_manager_nothing_is_worked_out(path: str) -> None:
    store = wfstore.open(path, live=False)
    assert store.sql("FROM live_workflows").fetchall() == []
    assert store._live.source is None and store._live._estimates.known() == {}


def test_nobody_waits_longer_than_he_wants(path: str) -> None:
    gate = threading.Event()

    def history(workflow_id: str) -> wfstore.History:
        gate.wait(20)
        return wfstore.open(path).history(workflow_id)

    estimates = Estimates(history)
    began = time.monotonic()
    assert estimates.of(["now"], 0.05) == {}
    assert time.monotonic() - began < 2
    gate.set()
    found = until(lambda: estimates.of(["now"], 0.0))["now"]
    assert found.p50 is not None and found.p90 is not None and found.reason is None
    assert estimates.of(["now"], 0.0)["now"] is found, "it serves for some seconds"


def test_an_old_estimate_is_waited_for_and_then_forgotten(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, clock = threading.Event(), [1000.0]
    gate.set()

    def history(workflow_id: str) -> wfstore.History:
        gate.wait(20)
        return wfstore.open(path).history(workflow_id)

    monkeypatch.setattr(_estimates.time, "monotonic", lambda: clock[0])
    estimates = Estimates(history)
    first = estimates.of(["now"], 20.0)["now"]
    clock[0] += 5  # a new one is made beside
    assert estimates.of(["now"], 20.0)["now"] is first
    until_made = estimates._under_way.get("now")
    if until_made is not None:
        until_made.result(20)
    clock[0] += 30
    waited = estimates.of(["now"], 20.0)["now"]
    assert waited is not first and waited.p50 is not first.p50
    gate.clear()
    clock[0] += 30
    assert estimates.of(["now"], 0.01)["now"] is waited, "better than none"
    clock[0] += 60
    assert estimates.of(["now"], 0.01) == estimates.known() == {}, "it may lie in the past by now"
    gate.set()


@pytest.mark.parametrize("q", [0, 1, 2, float("nan"), "x", True])
def test_what_is_no_probability(path: str, q: Any) -> None:
    for name in ("now", "past-1"):
        with pytest.raises(ValueError, match="a probability above 0 and below 1"):
            wfstore.open(path).history(name).eta(q)


def test_a_workflow_that_is_gone_has_a_reason() -> None:
    def history(workflow_id: str) -> wfstore.History:
        raise WorkflowNotFoundError(workflow_id)

    found = Estimates(history).of(["w"], 20.0)["w"]
    assert (found.p50, found.p90) == (None, None) and "id=w" in (found.reason or "")


def test_observers_are_told(path: str) -> None:
    observed = wfstore.WorkflowObservability(path, live=False)
    found = until(lambda: observed.expected(["now", "past-1"], patience_s=10.0))
    assert found["now"].p50.runs == 6
    assert found["past-1"].p50 is None and "SUCCESSFUL" in found["past-1"].reason


def test_an_earlier_moment_has_its_own_past(path: str) -> None:
    store = wfstore.open(path)
    now = store.history("now").workflow["submitted_at"] + timedelta(seconds=21)
    then = store.as_of(now).history("now")
    found = then.eta()
    assert found is not None and found.now == now
    assert found.remaining_s == pytest.approx(339, abs=30)
    first = store.history("past-3").workflow
    assert store.as_of(first["submitted_at"] + timedelta(seconds=30)).history("past-3").eta() is None
