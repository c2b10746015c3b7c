"""`show --watch` through a pipe: a line for each change, until the workflow has ended or Ctrl-C; and on a terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.cli.test_tail_follow import Growing
from tests.index.worlds import dag, lease, spec
from wfstore import WorkflowObservability, workflow
from wfstore.cli import app
from wfstore.cli import watching as watching_
from wfstore.engine import client
from wfstore.log import write_lease
from wfstore.model.commands import Place, RecordProgress, RecordStarted
from wfstore.model.progress import Progress


@pytest.fixture
def growing(tmp_path: Path) -> Any:
    growing = Growing(str(tmp_path / "store"))
    write_lease(growing.storage, lease())
    yield growing
    growing.close()


def started(growing: Growing) -> tuple[str, int, str, int]:
    growing.world.submit("w", dag(spec("a"), spec("b", 0)))
    (key,) = growing.world.simulation.open_attempts()
    growing.world.do(RecordStarted(*key, Place(1, "node", 7, "ray")))
    growing.commit()
    return key


def watching(storage: str, *more: str, **how: Any) -> subprocess.Popen[Any]:
    command = [sys.executable, "-m", "wfstore", "show", "w", "--watch", "--storage", storage, *more]
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **how}
    return subprocess.Popen(command, **how)


def test_a_pipe_gets_a_line_for_each_change(growing: Growing) -> None:
    key = started(growing)
    process = watching(growing.storage)
    assert process.stdout is not None
    first = [process.stdout.readline() for _ in range(3)]
    assert first == ["  a  RUNNING\n", "  b  PENDING\n", "w  RUNNING  0 of 2 tasks done\n"]
    growing.world.do(RecordProgress(*key, Progress(0.5, "half\x1b[2J way")))
    growing.commit()
    assert process.stdout.readline() == "  a  RUNNING  50 %: half\\x1b[2J way\n"
    assert process.stdout.readline() == "w  RUNNING  0 of 2 tasks done\n"
    growing.world.finish()
    growing.commit()
    out, err = process.communicate(timeout=60)
    assert "w  SUCCESSFUL  2 of 2 tasks done\n" in out
    assert "Slowest tasks" in out, "and how it stands at the end"
    assert (err, process.returncode) == ("", 0)


def test_machines_get_documents(growing: Growing) -> None:
    started(growing)
    process = watching(growing.storage, "--json")
    assert process.stdout is not None
    kinds = [json.loads(process.stdout.readline())["kind"] for _ in range(3)]
    assert kinds == ["task", "task", "workflow"]
    growing.world.finish()
    growing.commit()
    out, _ = process.communicate(timeout=60)
    assert json.loads(out.splitlines()[-1])["status"] == "SUCCESSFUL"


def test_ctrl_c_stops_the_watching_only(growing: Growing) -> None:
    started(growing)
    process = watching(growing.storage)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "wfstore: interrupted\n")


def test_a_terminal_is_redrawn_in_place(growing: Growing) -> None:
    started(growing)
    mine, theirs = pty.openpty()
    process = watching(growing.storage, stdout=theirs, stderr=theirs, stdin=theirs, text=False)
    os.close(theirs)
    seen = b""
    while b"PENDING" not in seen:
        seen += os.read(mine, 4096)
    growing.world.finish()
    growing.commit()
    while True:
        try:
            data = os.read(mine, 4096)
        except OSError:
            break
        if not data:
            break
        seen += data
    assert process.wait(timeout=60) == 0
    os.close(mine)
    assert b"\x1b[" in seen
    assert b"SUCCESSFUL" in seen


def test_what_a_task_continues_with_is_drawn_when_it_is_there(growing: Growing) -> None:
    growing.world.submit("w", dag(spec("grows"), spec("after", 0)))
    growing.commit()
    observed = WorkflowObservability(growing.storage, live=False)
    screen = Console(width=100, height=40, record=True, file=io.StringIO())
    picture = watching_._Picture(observed, screen.height, watching_._Expected(observed))

    def drawn() -> str:
        screen.print(picture.of(watching_._look(observed, "w")))
        return screen.export_text()

    before = drawn()
    assert "grows" in before and "after" in before and "more-1" not in before
    growing.world.end("grows", output=None, output_repr=None, continuation=dag(spec("more-1"), spec("more-2", 0)))
    growing.commit()
    after = drawn()
    assert [name for name in ("grows", "after", "more-1", "more-2") if name not in after] == []
    assert "0 of 2" in before and "of 4" in after
    growing.world.finish()
    growing.commit()
    assert "4 of 4" in drawn()


class _Observed:
    """A workflow whose status each look finds as the next of `statuses`, the last of them for good."""

    def __init__(self, *statuses: str) -> None:
        self._statuses = list(statuses)

    def workflow(self, workflow_id: str) -> dict[str, Any]:
        status = self._statuses[0] if len(self._statuses) == 1 else self._statuses.pop(0)
        return {"workflow_id": workflow_id, "status": status}

    def tasks(self, workflow_id: str) -> dict[str, Any]:
        return {}

    def seen(self) -> list[str]:
        first = watching_._look(self, "w")
        return [first.status] + [after.status for after in watching_._until_its_end(self, first)]


def test_another_manager_may_go_on_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching_, "_behind_what_works", lambda: None)
    monkeypatch.setattr(watching_, "_RESTART_S", 0.2)
    monkeypatch.setattr(watching_, "_LOOK_EVERY_S", 0.0)
    goes_on = ["RUNNING", "RESUMABLE", "RESUMABLE", "RUNNING", "SUCCESSFUL"]
    assert _Observed(*goes_on).seen() == goes_on
    left = _Observed("RUNNING", "RESUMABLE").seen()
    assert left[:2] == ["RUNNING", "RESUMABLE"] and set(left[2:]) == {"RESUMABLE"}, "nobody does"
    assert _Observed("RESUMABLE").seen() == ["RESUMABLE"]


def test_one_that_has_ended_or_never_was(growing: Growing) -> None:
    growing.world.submit("w", dag(spec("a")))
    growing.world.finish()
    growing.commit()
    done = watching(growing.storage)
    assert "w  SUCCESSFUL" in done.communicate(timeout=60)[0]
    none = subprocess.run(
        [sys.executable, "-m", "wfstore", "show", "nobody", "-w", "--storage", growing.storage],
        capture_output=True,
        text=True,
    )
    assert (none.returncode, none.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize("verb", [["cancel", "w"], ["delete", "w", "--yes"], ["resume", "w"], ["rerun", "w"]])
def test_the_verbs_do_not_take_the_log_from_a_manager_elsewhere(
    verb: list[str], growing: Growing, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lease is that of this process, whose cluster cannot be joined."""
    started(growing)
    monkeypatch.setattr(client, "join", lambda: None)
    monkeypatch.setattr(workflow, "init", lambda **_: pytest.fail("a manager is started"))
    assert app.run([*verb, "--storage", growing.storage]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"as process {os.getpid()}, in a Ray cluster that cannot be joined from here" in line
    assert "RAY_ADDRESS" in line
