"""The benchmark of history at any size runs, and says what it should, on a small store."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numpy", reason="numpy is not installed (extra: test)")

import wfstore
from benchmarks import history, history_writing
from benchmarks.generate import generate
from benchmarks.measuring import Bench, alone, linked, peak_mb, percentile
from tests.benchmarks.test_generate import UNTIL

EVENTS = 3_000


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = str(tmp_path_factory.mktemp("history") / "store")
    generate(EVENTS, place, 6.0, 1, UNTIL, lambda row: None)
    return place


def measured(storage: str, only: str, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    """Every line, by its figure. A goal that was not reached is not what this is about."""
    with contextlib.suppress(SystemExit):
        history.main(["--storage", storage, "--only", only, "--runs", "1", "--raw-events", str(EVENTS)])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(row.keys() >= {"benchmark", "figure", "seen", "unit", "load"} for row in rows)
    assert all(("must" in row) == ("ok" in row) for row in rows)
    return {row["figure"]: row for row in rows}


@pytest.mark.slow
def test_single_figures(storage: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(str(path) for path in Path(storage).rglob("*"))
    rows = measured(storage, "task_stats,reports,refresh,sizes", capsys)
    reports = wfstore.open(storage).reports()["name"].to_list()
    assert {f"report {name}" for name in reports} <= set(rows)
    assert rows["any report"]["worst"] in reports
    assert rows["any report"]["seen"] == max(rows[f"report {name}"]["seen"] for name in reports)
    assert rows["added by 1,000 new events, count of events"]["with_ms"] > 0
    assert "bytes per event, all history files" in rows
    assert sorted(str(path) for path in Path(storage).rglob("*")) == before
    assert not list(Path(storage).parent.glob(".wfstore-bench-*"))


def test_there_are_no_other_figures(storage: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        history.main(["--storage", storage, "--only", "speed"])
    assert stop.value.code == 2 and "no figures called speed" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        history.main(["--storage", f"{storage}-not-there"])
    assert stop.value.code == 2 and "--events makes a store" in capsys.readouterr().err


def test_the_others_are_measured_when_one_fails(
    storage: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(bench: Bench) -> None:
        raise wfstore.errors.StorageError(bench.storage, "it is gone")

    monkeypatch.setitem(history.FIGURES, "ls", broken)
    rows = measured(storage, "ls,task_stats", capsys)
    assert "it is gone" in rows["ls"]["error"] and rows["task_stats over everything"]["seen"] > 0
    assert rows["not reached"]["names"] == ["ls"]


def test_goals(capsys: pytest.CaptureFixture[str]) -> None:
    small, large = Bench("store", 10_000_000), Bench("store", 100_000_000)
    for bench in (small, large):
        bench.show("time", 50.0, (25, 80))
        bench.show("rate", 50.0, (25, 80), least=True)
    assert (small.failed, large.failed) == (["time"], ["rate"])
    musts = [json.loads(line)["must"] for line in capsys.readouterr().out.splitlines()]
    assert musts == ["<= 25", ">= 25", "<= 80", ">= 80"]
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0 and percentile([float(i) for i in range(1, 101)], 0.99) == 99.0


def test_memory_of_a_process_is_its_own() -> None:
    ballast = b"x" * 200_000_000
    assert alone(peak_mb) + 100 < peak_mb()
    assert ballast


def test_a_copy_is_as_large_as_what_changes(tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "log").mkdir(parents=True)
    (store / "log/large").write_bytes(bytes(2 << 20))
    (store / "store.json").write_text("{}")
    with linked(str(store)) as copy:
        assert Path(copy, "log/large").stat().st_ino == (store / "log/large").stat().st_ino
        assert Path(copy, "store.json").stat().st_ino != (store / "store.json").stat().st_ino
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.slow
def test_a_store_is_made_and_all_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_writing, "SECONDS", 6.0)
    storage = str(tmp_path / "store")
    with contextlib.suppress(SystemExit):
        history.main(["--storage", storage, "--events", "20000", "--only", "history,ls,memory,readers", "--runs", "1"])
    rows = {row["figure"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert rows["generated"]["seen"] > 0 and rows["compaction"]["seen"] > 0
    assert rows["history(id) warm, every frame, p50"]["n"] == 200
    assert rows["peak memory of the reader"]["seen"] > 50
    found = rows["8 readers beside a writer: errors and wrong rows"]
    assert found["ok"], found
    assert found["queries"] > 10 and found["writer_events_per_s"] > 500


@pytest.mark.slow
def test_compaction_is_measured(
    storage: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_writing, "QUIET_S", 1.0)
    rows = measured(storage, "compaction,commits", capsys)
    assert rows["compaction"]["seen"] > 0 and rows["peak memory of compaction"]["ok"]
    assert rows["p99 of commits, added by a compaction"]["without_ms"] > 0


@pytest.mark.ray
@pytest.mark.slow
def test_the_manager_is_measured(storage: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = measured(storage, "manager", capsys)
    assert rows["manager ready, init"]["seen"] > 0 and rows["manager ready after kill -9"]["seen"] > 0
    assert rows["run() of a closed id, p50"]["n"] > 20
    assert rows['list_all("FAILED")']["rows"] == wfstore.open(storage).workflows(status="FAILED").height
