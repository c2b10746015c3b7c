"""`tail -f` in a process of its own: line by line through a pipe, until its workflow has ended or Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.index.waiting import Counter
from tests.index.worlds import World, dag, spec
from wfstore.log import LogWriter, open_writer
from wfstore.model.commands import Cancel, Delete
from wfstore.model.events import Event

Tail = Callable[..., Any]


class Growing:
    """A world whose events reach the store when `commit` is called."""

    def __init__(self, storage: str) -> None:
        self.storage = storage
        self.world = World()
        self._writer: LogWriter = open_writer(storage)
        self._committed = 0

    def commit(self) -> list[Event]:
        new = self.world.simulation.log[self._committed :]
        self._committed += len(new)
        self._writer.append(new)
        return new

    def close(self) -> None:
        self._writer.close()


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[Growing]:
    growing = Growing(str(tmp_path / "store"))
    yield growing
    growing.close()


@contextmanager
def tail(storage: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "wfstore", "tail", "-f", "--storage", storage, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(process: subprocess.Popen[str], count: int) -> list[dict[str, Any]]:
    assert process.stdout is not None
    return [json.loads(process.stdout.readline()) for _ in range(count)]


def rest(process: subprocess.Popen[str]) -> tuple[list[str], int]:
    """What it still prints by itself, and its exit code."""
    out, err = process.communicate(timeout=15)
    assert err == ""
    return out.splitlines(), process.returncode


def test_an_id_is_followed_to_its_end(growing: Growing) -> None:
    growing.world.submit("other", dag(spec("a")))
    growing.world.submit("one", dag(spec("a"), spec("b", 0)))
    first = [event for event in growing.commit() if event.workflow_id == "one"]
    with tail(growing.storage, "one", "--json", "-n", "1000") as process:
        assert [line["type"] for line in lines(process, len(first))] == [event.type for event in first]
        growing.world.end("a", "one")
        more = growing.commit()
        assert [line["type"] for line in lines(process, len(more))] == [event.type for event in more]
        growing.world.end("b", "one")
        growing.world.submit("later", dag(spec("a")))
        last = [event.type for event in growing.commit() if event.workflow_id == "one"]
        said, code = rest(process)
    assert [json.loads(line)["type"] for line in said] == last
    assert "workflow.succeeded" in last
    assert code == 0


def test_all_of_the_commit_that_ends_it_is_printed(growing: Growing) -> None:
    growing.world.submit("one", dag(spec("a"), spec("b")))
    growing.commit()
    with tail(growing.storage, "one", "-n", "1") as process:
        assert process.stdout is not None
        process.stdout.readline()
        growing.world.do(Cancel("one"))
        events = growing.commit()
        said, code = rest(process)
    assert code == 0
    assert len(said) == len(events) > 1
    assert "task.canceled" in said[-1] or "workflow.canceled" in said[-1]


def test_one_that_has_ended_is_printed_and_that_is_all(wfstore: Command, store: str) -> None:
    followed = wfstore("tail", "-f", "good", "--storage", store, "-n", "5", "--json")
    assert followed.code == 0
    assert followed == wfstore("tail", "good", "--storage", store, "-n", "5", "--json")


def test_forever_goes_on_after_the_end(growing: Growing) -> None:
    growing.world.submit("one", dag(spec("a")))
    growing.world.end("a", "one")
    growing.commit()
    with tail(growing.storage, "one", "--json", "-n", "1", "--forever") as process:
        assert lines(process, 1)[0]["type"] == "workflow.succeeded"
        growing.world.do(Delete("one"))
        growing.commit()
        assert lines(process, 1)[0]["type"] == "workflow.deleted"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130


def test_one_that_is_deleted_is_done(growing: Growing) -> None:
    growing.world.submit("one", dag(spec("a")))
    growing.world.end("a", "one")
    growing.world.do(Delete("one"))
    growing.commit()
    with tail(growing.storage, "one", "--json", "-n", "1") as process:
        said, code = rest(process)
    assert [json.loads(line)["type"] for line in said] == ["workflow.deleted"]
    assert code == 0


def test_one_that_is_yet_to_come_is_waited_for(growing: Growing) -> None:
    growing.world.submit("other", dag(spec("a")))
    growing.commit()
    # What another one prints says that both have had the time to begin.
    with tail(growing.storage, "one", "--json") as process, tail(growing.storage, "--json", "-n", "1") as witness:
        lines(witness, 1)
        growing.world.submit("one", dag(spec("a")))
        growing.world.end("a", "one")
        events = [event.type for event in growing.commit() if event.workflow_id == "one"]
        said, code = rest(process)
    assert [json.loads(line)["type"] for line in said] == events
    assert code == 0


def test_a_virtual_actor_that_is_idle_has_not_ended(growing: Growing) -> None:
    counter = Counter(growing.world)
    counter.end(counter.call(), 1, 1)
    known = [event for event in growing.commit() if event.workflow_id == "c"]
    with tail(growing.storage, "c", "--json", "-n", "1000") as process:
        lines(process, len(known))
        counter.end(counter.call(), 2, 2)
        more = growing.commit()
        assert len(lines(process, len(more))) == len(more)
        growing.world.do(Cancel("c"))
        growing.world.do(Delete("c"))
        growing.commit()
        said, code = rest(process)
    assert code == 0
    assert said


def test_everything_is_followed_line_by_line(growing: Growing) -> None:
    growing.world.submit("before", dag(spec("a")))
    growing.commit()
    with tail(growing.storage, "-n", "1") as process:
        assert process.stdout is not None
        assert "before" in process.stdout.readline()
        for number in range(3):
            growing.world.submit(f"w{number}", dag(spec("a")))
            for event in growing.commit():
                line = process.stdout.readline()
                assert event.type in line
                assert f"w{number}" in line
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130


@pytest.mark.parametrize("arguments", [["--forever"], ["--forever", "good"], ["-f", "--forever"]])
def test_forever_needs_a_workflow_that_is_followed(wfstore: Command, store: str, arguments: list[str]) -> None:
    answer = wfstore("tail", "--storage", store, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert "--forever goes with -f and an ID" in answer.err


def test_a_store_that_is_not_there(wfstore: Command, tmp_path: Path) -> None:
    answer = wfstore("tail", "-f", "--storage", str(tmp_path / "none"))
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("wfstore: ")
    assert answer.err.count("\n") == 1
