"""`wfstore import wfformat` and `wfstore export wfformat`: what they print, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.traces.test_wfformat import written
from wfstore.cli import app as cli


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WFSTORE_STORAGE", "store")


def test_in_and_out_again(capsys: pytest.CaptureFixture[str]) -> None:
    written(Path("a.json")), written(Path("b.json")), Path("c.json").write_text("[]")
    assert cli.run(["import", "wfformat", "a.json", "c.json", "b.json"]) == 1
    out, err = capsys.readouterr()
    assert "imported 2 workflows (2 SUCCESSFUL)" in out and "c.json: an object is expected" in out
    assert err == "wfstore: 1 workflow could not be imported\n"
    assert cli.run(["import", "wfformat", "a.json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["existing"] == ["a"]
    assert cli.run(["import", "wfformat", "a.json", "--id", "mine"]) == 0
    assert cli.run(["export", "wfformat", "mine", "-o", "out.json"]) == 0
    assert capsys.readouterr().out.count("imported") == 1, "a file that was written needs no word"
    assert cli.run(["export", "wfformat", "mine", "-o", "out.json", "--json"]) == 0
    said = {"workflow_id": "mine", "format": "wfformat", "path": "out.json", "tasks": 4}
    assert json.loads(capsys.readouterr().out) == said
    assert cli.run(["export", "wfformat", "mine"]) == 0
    assert capsys.readouterr().out == Path("out.json").read_text()
    assert cli.run(["import", "wfformat", "out.json", "--dry-run"]) == 0


def test_refusals(capsys: pytest.CaptureFixture[str]) -> None:
    written(Path("a.json"))
    assert cli.run(["import", "wfformat", "a.json", "a.json", "--id", "x"]) == 2
    assert cli.run(["import", "ray-workflow", "a", "b"]) == 2
    assert cli.run(["import", "wfformat", "a.json"]) == 0
    assert cli.run(["export", "airflow", "a"]) == 2
    capsys.readouterr()
    assert cli.run(["export", "wfformat", "gone"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert cli.run(["export", "wfformat", "a", "-o", "no/where.json"]) == 1
    assert "no/where.json" in capsys.readouterr().err
