"""`compact` and `retain`, and what `stats` says about them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.stores import LOUD_ID, fan, finish
from tests.model.histories import Simulation
from wfstore.index import Index
from wfstore.log import open_writer
from wfstore.model.commands import Submit


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`good` SUCCESSFUL, one FAILED, `open` RESUMABLE; they ended in 2023."""
    path = tmp_path_factory.mktemp("retain") / "store"
    simulation = Simulation()
    simulation.do(Submit("good", fan(2)))
    finish(simulation)
    simulation.do(Submit(LOUD_ID, fan(2)))
    finish(simulation, failing="total")
    simulation.do(Submit("open", fan(2)))
    writer = open_writer(str(path))
    writer.append(simulation.log)
    writer.close()
    return path


@pytest.fixture
def own(ended: Path, tmp_path: Path) -> str:
    shutil.copytree(ended, tmp_path / "store")
    return str(tmp_path / "store")


def test_compact_says_what_it_did(wfstore: Command, own: str) -> None:
    answer = wfstore("compact", "--storage", own, "--grace", "0s")
    assert (answer.code, answer.err) == (0, "")
    assert "took in" in answer.out and " -> " in answer.out and "payload files that nobody needs" in answer.out
    document = json.loads(wfstore("compact", "--storage", own, "--grace", "0s", "--json").out)
    assert (document["events"], document["stats"]["tail_events"], document["stats"]["tail_bytes"]) == (0, 0, 0)
    assert document["payload_files"] == 0
    assert set(document["bytes_before"]) == set(document["bytes_after"]) >= {"log_bytes", "history_bytes", "pack_bytes"}


def test_compact_asks_nothing_of_the_log_that_it_has_yet_to_take_in(
    wfstore: Command, own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log of millions of events would be in this process's memory as a whole."""

    def read(*_: object) -> None:
        raise AssertionError("it was read")

    monkeypatch.setattr(Index, "_refresh", read)
    answer = wfstore("compact", "--storage", own)
    assert (answer.code, answer.err) == (0, "")
    assert "took in" in answer.out and "took in 0" not in answer.out


def test_retain_prints_what_goes_and_what_it_weighs(wfstore: Command, own: str) -> None:
    dry = wfstore("retain", "--keep", "90d", "--payloads", "7d", "--dry-run", "--storage", own)
    assert dry.code == 0
    assert "would delete 2 workflows (1 SUCCESSFUL, 1 FAILED)" in dry.out
    assert "would drop the values of 0 more" in dry.out and " -> " not in dry.out
    real = wfstore("retain", "--keep", "90d", "--payloads", "7d", "--storage", own)
    assert (real.code, real.err) == (0, "")
    assert (
        dry.out.replace("would delete", "deleted").replace("would drop", "dropped").replace("would remove", "removed")
        in real.out
    )
    for kind in ("log", "history", "pack", "payload"):
        assert any(line.startswith(f"{kind}:") and " -> " in line for line in real.out.splitlines())
    assert "after the grace of 10m" in real.out
    listed = json.loads(wfstore("ls", "--storage", own, "--json").out)
    assert [(row["workflow_id"], row["status"]) for row in listed] == [("open", "RESUMABLE")]


def test_retain_as_a_document(wfstore: Command, own: str) -> None:
    document = json.loads(wfstore("retain", "--keep-failed", "1d", "--grace", "0s", "--json", "--storage", own).out)
    assert document["workflows"] == {"FAILED": 1}
    assert document["policy"] == {"keep_s": None, "keep_failed_s": 86400.0, "payloads_s": None}
    assert set(document) >= {"dry_run", "payload_workflows", "payload_files", "bytes_before", "bytes_after"}
    assert document["bytes_before"]["log_bytes"] > document["bytes_after"]["log_bytes"]


def test_a_policy_of_the_store(wfstore: Command, own: str) -> None:
    refused = wfstore("retain", "--storage", own)
    assert refused.code == 2 and "this store has no policy: say --keep, --keep-failed or --payloads" in refused.err
    refused = wfstore("retain", "--store-policy", "--storage", own)
    assert refused.code == 2 and "--store-policy keeps spans: say --keep" in refused.err
    assert "none" in wfstore("stats", "--storage", own).out
    assert wfstore("retain", "--keep", "10000d", "--payloads", "90m", "--store-policy", "--storage", own).code == 0
    shown = wfstore("stats", "--storage", own).out
    assert "retention" in shown and "--keep 10000d --payloads 90m" in shown
    assert json.loads(wfstore("stats", "--storage", own, "--json").out)["retention"]["payloads_s"] == 5400
    assert "deleted 0 workflows" in wfstore("retain", "--storage", own).out
    assert "would delete 2" in wfstore("retain", "--keep", "1d", "--dry-run", "--storage", own).out
    assert wfstore("retain", "--keep-failed", "1w", "--store-policy", "--storage", own).code == 0
    assert "--keep-failed 7d\n" in wfstore("stats", "--storage", own).out, "it replaces the one before as a whole"


@pytest.mark.parametrize(
    ("option", "span"),
    [("--keep", "soon"), ("--keep-failed", "5"), ("--payloads", "-5d"), ("--grace", ""), ("--keep", "99999999999d")],
)
def test_a_bad_span_is_one_clear_line(wfstore: Command, ended: Path, option: str, span: str) -> None:
    answer = wfstore("retain", "--keep", "1d", f"{option}={span}", "--storage", str(ended))
    assert answer.code == 2 and answer.out == ""
    last = answer.err.strip().splitlines()[-1]
    assert option in last and repr(span) in last and "Traceback" not in answer.err


@pytest.mark.parametrize("verb", [("retain", "--keep", "1d"), ("compact",), ("stats",), ("retain",)])
def test_a_store_that_is_not_there(wfstore: Command, tmp_path: Path, verb: tuple[str, ...]) -> None:
    answer = wfstore(*verb, "--storage", str(tmp_path / "nothing"))
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.count("\n") == 1 and "nothing" in answer.err
    assert not (tmp_path / "nothing").exists()


def test_stats_of_the_tail(wfstore: Command, own: str) -> None:
    before = json.loads(wfstore("stats", "--storage", own, "--json").out)
    assert before["tail_events"] == before["events"] and before["tail_bytes"] == before["log_bytes"] > 0
    wfstore("compact", "--storage", own)
    after = json.loads(wfstore("stats", "--storage", own, "--json").out)
    assert (after["events"], after["tail_events"], after["tail_bytes"]) == (before["events"], 0, 0)
    assert after["history_bytes"] > 0 and after["bytes_per_event"] > 0 and after["history_parts"] == 1
    assert (after["oldest"], after["newest"]) == (before["oldest"], before["newest"])
    shown = wfstore("stats", "--storage", own).out
    for name in ("events", "workflows", "log bytes", "pack bytes", "bytes per event", "files", "oldest", "newest",
                 "tail events", "tail bytes", "retention"):  # fmt: skip
        assert any(line.startswith(name) for line in shown.splitlines()), name


def test_help(wfstore: Command) -> None:
    said = wfstore("retain", "--help").out
    for option in ("--keep", "--keep-failed", "--payloads", "--dry-run", "--store-policy", "--grace", "--json"):
        assert option in said
