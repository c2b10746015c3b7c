"""`tail`: the newest events, for people and for machines, and those that come."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.stores import LOUD_ID
from wfstore.log import LogReader, open_writer
from wfstore.model.events import Event


def test_the_newest_come_last(wfstore: Command, store: str) -> None:
    last = max(event.seq or 0 for event in LogReader(store).events())
    answer = wfstore("tail", "--storage", store, "-n", "3", "--json")

    lines = [json.loads(line) for line in answer.out.splitlines()]
    assert (answer.code, answer.err) == (0, "")
    assert [line["seq"] for line in lines] == [last - 2, last - 1, last]
    assert all(line["ts"].endswith("Z") for line in lines)
    assert "payload" not in lines[0]


def test_twenty_lines_unless_asked_otherwise(wfstore: Command, store: str) -> None:
    assert len(wfstore("tail", "--storage", store).out.splitlines()) == 20
    assert wfstore("tail", "--storage", store, "-n", "0").out == ""


def test_one_workflow_and_attributes_as_an_object(wfstore: Command, store: str) -> None:
    answer = wfstore("tail", "good", "--storage", store, "-n", "1000", "--json")
    lines = [json.loads(line) for line in answer.out.splitlines()]
    assert {line["workflow_id"] for line in lines} == {"good"}
    assert lines[0]["type"] == "workflow.submitted"
    assert lines[0]["attributes"]["metadata"] == {"name": "shop", "team": "data"}


def test_text_does_not_drive_the_terminal(wfstore: Command, store: str) -> None:
    answer = wfstore("tail", LOUD_ID, "--storage", store, "-n", "1000")
    assert "ValueError: first line\\x1b[2J" in answer.out
    assert "\x1b" not in answer.out
    assert "second line" not in answer.out


@pytest.mark.parametrize("given", ["missing", "file"])
def test_no_store_is_one_line_on_stderr(wfstore: Command, tmp_path: Path, given: str) -> None:
    (tmp_path / "file").touch()
    answer = wfstore("tail", "--storage", str(tmp_path / given))
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("wfstore: ")
    assert given in answer.err
    assert answer.err.count("\n") == 1


def test_follow_prints_what_is_committed_later_and_stops_at_ctrl_c(tmp_path: Path) -> None:
    place = tmp_path / "store"
    writer = open_writer(str(place))
    writer.append([Event(ts=1, type="config.set", attributes="{}")])
    command = [sys.executable, "-m", "wfstore", "tail", "-f", "-n", "1", "--json", "--storage", str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = json.loads(process.stdout.readline())
        writer.append([Event(ts=2, type="manager.stopped")])
        second = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130
        assert process.stderr.read() == "wfstore: interrupted\n"
    writer.close()
    assert (first["type"], second["type"]) == ("config.set", "manager.stopped")
    assert second["seq"] == first["seq"] + 1


def test_an_id_that_has_no_events_is_not_found(wfstore: Command, store: str) -> None:
    answer = wfstore("tail", "nope", "--storage", store)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.count("\n") == 1
    assert "nope" in answer.err
