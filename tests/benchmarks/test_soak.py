"""The soak sees what grows and what is lost; and a short one runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks import soak_parts
from benchmarks.soak_parts import Sample, Samples, Verdicts, ledger
from wfstore.log import now_us, open_writer
from wfstore.model.apply import apply
from wfstore.model.commands import Cancel, Command, Delete, Submit
from wfstore.model.dag import DagSpec, TaskSpec
from wfstore.model.decide import decide
from wfstore.model.state import State
from wfstore.payloads import PayloadStore


def lines(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    return {row["figure"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}


def sampled(sizes: list[float], fds: list[float]) -> Samples:
    samples = Samples()
    for at, (size, count) in enumerate(zip(sizes, fds, strict=True)):
        samples.add("reader", Sample(at + 0.5, 1, size, size, size, count))
    return samples


def test_what_grows_is_seen(capsys: pytest.CaptureFixture[str]) -> None:
    verdicts = Verdicts()
    verdicts.flat(sampled([50, 100, 109], [1, 10, 15]), 0, 3)
    assert verdicts.failed == []
    verdicts.flat(sampled([100, 100, 111], [10, 10, 16]), 0, 3)
    assert verdicts.failed == ["uss of reader, last third", "fds of reader, last third"]
    verdicts.flat(sampled([100], [10]), 0, 3)
    assert len(verdicts.failed) == 4, "no samples of the last third are no good news"
    assert lines(capsys)["uss of reader, last third"]["thirds"] == [100, None, None]


def test_a_process_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = Samples()
    monkeypatch.setattr(soak_parts, "_YOUNG_S", 1e9)
    samples.take("this", os.getpid())
    assert samples.names() == []
    monkeypatch.setattr(soak_parts, "_YOUNG_S", 0.0)
    samples.take("this", os.getpid())
    samples.take("nobody", 1 << 30)
    assert samples.names() == ["this"]
    assert samples.last("this", "rss") > samples.last("this", "uss") > 5
    assert samples.most("this", "fds") >= 3


def write(storage: str, commands: list[Command]) -> None:
    """A log that the model has made of these."""
    state, writer = State(), open_writer(storage)
    for command in commands:
        events = decide(state, command, now_us())
        for event in events:
            apply(state, event)
        writer.append(events)
    writer.close()


def test_every_workflow_has_to_be_accounted_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = PayloadStore(str(tmp_path / "store")).put_file(b"body").hash
    dag = DagSpec((TaskSpec("t", "module.t", body, None),), 0)
    commands: list[Command] = []
    for name in ("kept", "otherwise", "gone", "unknown"):
        commands += [Submit(name, dag, {}, {"job_id": "1"}, name), Cancel(name)]
    write(str(tmp_path / "store"), [*commands, Delete("gone")])
    words = [{"id": name, "status": "CANCELED"} for name in ("kept", "gone", "lost")]
    words += [{"id": "otherwise", "status": "CANCELED"}, {"id": "otherwise", "status": "SUCCESSFUL"}]
    words += [{"id": "kept", "wrong": "1 instead of 2"}]
    (tmp_path / "ledger").write_text("".join(json.dumps(each) + "\n" for each in words))
    assert ledger(tmp_path)[0]["otherwise"] == "SUCCESSFUL"
    verdicts = Verdicts()
    verdicts.accounts("store", tmp_path)
    verdicts.sound("store", str(tmp_path / "store"))
    said = lines(capsys)
    assert said["store: workflows missing"]["which"] == ["lost"]
    assert sorted(said["store: workflows that ended otherwise"]["which"]) == [
        "otherwise: CANCELED",
        "unknown: CANCELED",
    ]
    assert said["store: wrong answers"]["which"] == ["kept: 1 instead of 2"]
    assert said["store: deleted by retention"]["seen"] == 1
    assert len(verdicts.failed) == 3, said


def test_a_reader_that_says_nothing_is_no_good_news() -> None:
    verdicts = Verdicts()
    verdicts.answers("store", "sql", [{"answers": 5, "wrong": []}])
    assert verdicts.failed == []
    verdicts.answers("store", "sql", [{"answers": 5, "wrong": ["no"]}])
    verdicts.answers("store", "follow", [])
    assert verdicts.failed == ["store: wrong answers to sql", "store: wrong answers to follow"]


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.fault
def test_a_short_one_runs(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from benchmarks import soak

    soak.main(["--minutes", "0.7", "--folder", str(tmp_path / "soak")])
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
    figures = {row["figure"]: row for row in rows if "figure" in row}
    grows = {name for name in figures if name.startswith(("uss", "fds"))}
    assert len(grows) == 16, "the managers and three readers each, of two stores"
    summary = figures["summary"]
    assert set(summary["failed"]) <= grows, "in so short a time caches still fill"
    assert all(count > 0 for count in (*summary["workflows"].values(), *summary["kills"].values()))
