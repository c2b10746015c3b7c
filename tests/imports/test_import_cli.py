"""`wfstore import`: what it prints, and its exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import typer

from tests.imports.folders import OldFolder
from wfstore.cli import app as cli
from wfstore.cli.importing import import_


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The verb in an application of its own, with the exit codes of the real one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    if "import" not in cli._COMMANDS:
        app = typer.Typer(pretty_exceptions_enable=False)
        app.callback()(lambda: None)
        app.command("import")(import_)
        monkeypatch.setattr(cli, "app", app)


@pytest.fixture
def folder(tmp_path: Path) -> OldFolder:
    folder = OldFolder(tmp_path / "old")
    folder.chain("w")
    return folder


def run(*arguments: str, kind: str = "ray-workflow") -> int:
    return cli.run(["import", kind, *arguments, "--storage", "store"])


def test_it_says_what_it_did(folder: OldFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(folder.root)) == 0
    out, err = capsys.readouterr()
    assert "imported 1 workflow (1 SUCCESSFUL)" in out and err == ""
    assert run(str(folder.root)) == 0
    assert "left as they are, because the store has their ids: w" in capsys.readouterr().out


def test_for_machines(folder: OldFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(folder.root), "--json", "--dry-run") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["imported"] == [{"workflow_id": "w", "status": "SUCCESSFUL", "tasks": 3}]
    assert (found["dry_run"], found["broken"], found["existing"], found["not_resumable"]) == (True, [], [], [])
    assert not Path("store").exists()


def test_a_broken_workflow_is_a_line_and_an_exit_code(folder: OldFolder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.workflow("broken", "SUCCESSFUL", "t").file("workflow_meta.json", b"{")
    assert run(str(folder.root)) == 1
    out, err = capsys.readouterr()
    assert "imported 1 workflow" in out and "workflows/broken/workflow_meta.json: is not JSON" in out
    assert err == "wfstore: 1 workflow could not be imported\n"


def test_refused_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(tmp_path / "nowhere")) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "there is no such folder" in err
    assert run(str(tmp_path), kind="airflow") == 2
