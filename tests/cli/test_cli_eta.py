"""`wfstore eta`: when a running workflow will end, what that is computed from, and why it says nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import wfstore
from tests.browser.stores import Growing, dag, spec
from wfstore.cli import app
from wfstore.log import now_us
from wfstore.model.commands import Submit

CHAIN = dag(spec("load"), spec("train", 0), spec("publish", 1))
TOOK_S = {"load": 20.0, "train": 300.0, "publish": 40.0}


def store_of(path: Path, past: int) -> Growing:
    """So many runs of the chain, and one whose second task began a hundred seconds ago."""
    made = Growing(path, began_at_us=now_us() - 10_000_000_000)
    for number in range(past):
        made.do(Submit(f"past-{number}", CHAIN, {"name": "nightly"}))
        for task, seconds in TOOK_S.items():
            made.end(f"past-{number}", task, took_us=round(seconds * 1e6))
    made.simulation.now = now_us() - 120_000_000
    made.do(Submit("now", CHAIN, {"name": "nightly"}))
    made.end("now", "load", took_us=20_000_000)
    made.start("now", "train")
    return made


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = store_of(Path(tmp_path_factory.mktemp("eta")) / "store", 6)
    yield made.path
    made.close()


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert app.run(["eta", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_it_says_when_and_from_what(known: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["eta", "now", "--storage", known]) == 0
    said = capsys.readouterr().out
    assert "50 % by" in said and "90 % by" in said
    assert "6 past runs of the same DAG" in said


def test_machines_get_numbers(known: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "now", "--q", "0.25", "--storage", known)
    assert [one["q"] for one in found["estimates"]] == [0.25]
    assert found["estimates"][0]["remaining_s"] == pytest.approx(240, abs=30)
    assert (found["status"], found["runs"], found["same_dag"], found["reason"]) == ("RUNNING", 6, True, None)


def test_what_has_ended_has_no_estimate(known: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "past-1", "--storage", known)
    assert (found["estimates"], found["runs"]) == ([], None)
    assert found["reason"] == "past-1 is SUCCESSFUL: only what runs is estimated"


def test_python_says_the_same(known: str) -> None:
    found = wfstore.open(known).history("now")
    half, most = found.eta(), found.eta(0.9)
    assert half is not None and most is not None and found.why_no_eta is None
    assert half.at <= most.at and half.remaining_s == pytest.approx(240, abs=30)
    with pytest.raises(ValueError, match="probability"):
        found.eta(1.5)


def test_four_past_runs_are_too_few(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = store_of(tmp_path / "store", 4)
    try:
        assert wfstore.open(made.path).history("now").eta() is None
        assert app.run(["eta", "now", "--storage", made.path]) == 0
        assert "4 past successful runs of 'nightly', and fewer than 5 say too little" in capsys.readouterr().out
    finally:
        made.close()


@pytest.mark.parametrize("arguments", [["nobody"], ["now", "--q", "2"]])
def test_bad_input_is_refused(known: str, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert app.run(["eta", *arguments, "--storage", known]) in (1, 2)
    assert "Traceback" not in capsys.readouterr().err
