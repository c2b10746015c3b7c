"""Ctrl-C while DuckDB is at work is Ctrl-C, at once, and no error of a statement."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import pytest

from wfstore.index import Index, database
from wfstore.index.interrupting import interruptible
from wfstore.log import MemoryLog, open_writer

_ENDLESS = "SELECT count(*) FROM range(100000000000) AS a, range(1000) AS b"


def test_what_duckdb_makes_of_ctrl_c_is_ctrl_c_again() -> None:
    with pytest.raises(KeyboardInterrupt), database.translated():
        raise RuntimeError("Query interrupted")


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="of ours"), database.translated():
        raise RuntimeError("of ours")


def test_a_signal_ends_a_statement_and_the_next_one_is_answered() -> None:
    index = Index(MemoryLog())
    index.sql("SELECT 1")
    threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        index.sql(_ENDLESS)
    assert time.monotonic() - began < 20  # it is 0.3, but for a busy machine
    assert index.sql("SELECT 42").fetchall() == [(42,)]


def test_answers_and_errors_come_through_and_asking_within_a_question_does_not_block() -> None:
    connection = duckdb.connect()
    assert interruptible(connection, lambda: interruptible(connection, lambda: 42)) == 42
    with pytest.raises(duckdb.ParserException):
        interruptible(connection, lambda: connection.execute("SELEC"))


def test_a_child_of_a_fork_asks_a_thread_of_its_own() -> None:
    connection = duckdb.connect()
    interruptible(connection, lambda: None)
    child = os.fork()
    if not child:
        os._exit(interruptible(connection, lambda: 42))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


def test_ctrl_c_in_a_terminal(tmp_path: Path) -> None:
    storage = str(tmp_path / "store")
    open_writer(storage).close()
    process = subprocess.Popen(
        [sys.executable, "-m", "wfstore", "sql", _ENDLESS, "--storage", storage],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _wait_until_at_work(process.pid)
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert time.monotonic() - began < 20  # it is one, but for a busy machine
    assert (process.returncode, out, err) == (130, "", "wfstore: interrupted\n")


def _wait_until_at_work(pid: int) -> None:
    """Until a thread beside the main one has used the processor for 0.3 s, which the statement's alone do."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for task in Path(f"/proc/{pid}/task").glob("*/stat"):
            spent_ticks = int(task.read_text().rpartition(")")[2].split()[11])
            if task.parent.name != str(pid) and spent_ticks >= 30:
                return
        time.sleep(0.05)
    raise AssertionError("it never came to the statement")
