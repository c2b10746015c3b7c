"""The benchmark of the dashboard runs, and says what it should, on small stores."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="starlette is not installed (extra: dashboard)")

import wfstore
from benchmarks import dashboard
from benchmarks.dashboard_browser import Seen, lags
from benchmarks.dashboard_parts import Commit, Figures, busy, commits, pipeline
from wfstore.log import open_writer, verify

browser = pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium")


def measured(only: str, capfd: pytest.CaptureFixture[str], *more: str) -> dict[str, dict[str, Any]]:
    """Every line, by its figure. A goal that was not reached is not what this is about."""
    with contextlib.suppress(SystemExit):
        dashboard.main(["--only", only, "--runs", "1", "--seconds", "2", *more])
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
    assert all(row.keys() >= {"benchmark", "figure", "seen", "unit", "load"} for row in rows)
    assert all(("must" in row) == ("ok" in row) for row in rows)
    assert not [row for row in rows if "error" in row]
    return {row["figure"]: row for row in rows}


def test_there_are_no_other_figures(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        dashboard.main(["--only", "speed"])
    assert stop.value.code == 2 and "no figures called speed" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        dashboard.main(["--storage", "/nowhere/at/all"])
    assert stop.value.code == 2 and "nothing at /nowhere/at/all" in capsys.readouterr().err


def test_goals(capsys: pytest.CaptureFixture[str]) -> None:
    figures = Figures()
    figures.show("soon", 49.0, 50)
    figures.show("late", 51.0, 50)
    figures.show("many", 51.0, 50, least=True)
    figures.show("nothing", None, 50)
    assert figures.failed == ["late", "nothing"]
    assert [json.loads(line)["ok"] for line in capsys.readouterr().out.splitlines()] == [True, False, True, False]


def test_a_page_is_behind_until_it_shows_that_or_more() -> None:
    made = [Commit(10.0, "a", 1), Commit(10.5, "a", 2), Commit(11.0, "b", 1), Commit(12.0, "c", 2)]
    seen = [Seen("a", 2, 10.75, 11.0), Seen("b", 1, 10.9, 11.5), Seen("c", 1, 13.0, 13.0)]
    dom, painted, never = lags(made, seen)
    assert dom == [0.75, 0.25, 0.0] and painted == [1.0, 0.5, 0.5] and never == 1


@pytest.mark.parametrize("size", [10, 50, 1000])
def test_a_dag_is_as_large_as_it_says(size: int) -> None:
    dag = pipeline(size)
    assert len(dag.tasks) == size and dag.tasks[-1].name == "publish"
    taken = {place for task in dag.tasks for place in task.upstream}
    assert taken == set(range(size - 1))


def test_what_is_written_is_a_history(tmp_path: Path) -> None:
    storage = str(tmp_path / "store")
    events = busy(storage, ["a", "b"], 20, 30, "last")
    with contextlib.closing(open_writer(storage)) as writer:
        writer.append(events)
    store = wfstore.open(storage)
    assert verify(storage).ok and store.verify().ok
    assert set(store.workflows()["workflow_id"]) == {"a", "b", "last"}
    counted = {key: rank for _, key, rank in commits(events, [0.0] * len(events), "workflow", already=1)}
    assert counted == dict(store.sql("SELECT workflow_id, tasks_done FROM workflows WHERE tasks_done > 0").fetchall())
    ranks = {status for (status,) in store.sql("SELECT DISTINCT status FROM tasks WHERE name = 'map'").fetchall()}
    assert {"RUNNING", "SUCCESSFUL", "PENDING"} >= ranks >= {"SUCCESSFUL"}


@pytest.mark.slow
def test_the_api_and_the_stream_are_measured(capfd: pytest.CaptureFixture[str]) -> None:
    rows = measured("requests,clients", capfd)
    assert rows["/tasks of 1,000, 1 connection"]["seen"] > 0 and rows["/tasks of 1,000, 1 connection"]["kb"] > 100
    assert rows["200 clients of the stream, told of the last event"]["seen"] == 200
    assert rows["memory of the server with 200 clients"]["seen"] > 50


@browser
@pytest.mark.browser
@pytest.mark.slow
def test_pages_are_measured(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    storage = str(tmp_path / "store")
    busy(storage, ["a"], 5, 1)
    rows = measured("pages,overview,latency", capfd, "--storage", storage)
    shown = rows["page of 1,000 tasks drawn"]
    assert 0 < shown["first_byte"] < shown["seen"] <= shown["most"]
    assert rows["overview over 10 M events"]["seen"] > 0
    assert rows["commit to a workflow's page, 50 events/s, p50"]["n"] > 50


@browser
@pytest.mark.ray
@pytest.mark.browser
@pytest.mark.slow
def test_a_live_manager_is_measured(capfd: pytest.CaptureFixture[str]) -> None:
    rows = measured("live,cost,kills", capfd)
    assert rows["live manager's decision to a workflow's page, p50"]["n"] > 20
    assert rows["added to fan-out 500 by 3 pages of the manager's dashboard"]["dashboards_cpu_ms"] > 0
    assert rows["tasks wrong on the page after both kills"]["ok"]
