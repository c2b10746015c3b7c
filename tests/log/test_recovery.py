"""A writer killed at every named point: nothing acknowledged is lost, nothing is half there, and the log goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.log.events import plain
from wfstore.log import LogReader, failpoints, open_writer, verify
from wfstore.log.survey import CLAIM_GRACE_S

ROOT = Path(__file__).parents[2]
IN_PROCESS = {
    failpoints.APPEND_BEFORE_WRITE,
    failpoints.APPEND_HALF_WRITTEN,
    failpoints.APPEND_WRITTEN,
    failpoints.APPEND_SYNCED,
    failpoints.APPEND_CHECKED,
}


def appender(store: Path, commits: int, failpoint: str | None = None) -> subprocess.Popen[str]:
    environment = os.environ | ({"WFSTORE_FAILPOINT": failpoint} if failpoint else {})
    command = [sys.executable, "-m", "tests.log.appender", str(store), str(commits), "900"]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def check_goes_on(store: Path, acknowledged: int) -> int:
    """Nothing acknowledged is lost, commits are whole, and a new writer continues. Returns the last seq."""
    for claim in (store / "log").iterdir():
        past = time.time() - CLAIM_GRACE_S - 1
        os.utime(claim, (past, past))
    before = [event.task_id for event in LogReader(str(store)).events()]
    assert before == [f"t{seq}" for seq in range(1, len(before) + 1)]
    assert len(before) >= acknowledged
    assert len(before) % 2 == 0
    report = verify(str(store))
    assert all(problem.repairable for problem in report.problems), report.problems
    writer = open_writer(str(store))
    seq = writer.next_seq
    assert seq == len(before) + 1
    writer.append([plain(seq), plain(seq + 1)])
    writer.close()
    after = [event.task_id for event in LogReader(str(store)).events()]
    assert after == [*before, f"t{seq}", f"t{seq + 1}"]
    assert verify(str(store)).ok
    return seq + 1


@pytest.mark.parametrize("point", failpoints.ALL)
def test_a_kill_at_a_named_point(tmp_path: Path, point: str) -> None:
    store = tmp_path / "store"
    open_writer(str(store)).append([plain(1), plain(2)])
    count = 3 if point in IN_PROCESS else 1
    process = appender(store, 12, f"{point}=kill@{count}")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    acknowledged = max([2, *map(int, output.split())])
    check_goes_on(store, acknowledged)


def test_half_a_frame_is_left_by_a_kill_in_the_middle_of_a_write(tmp_path: Path) -> None:
    store = tmp_path / "store"
    process = appender(store, 5, f"{failpoints.APPEND_HALF_WRITTEN}=kill@3")
    process.communicate(timeout=30)
    (problem,) = verify(str(store)).problems
    assert problem.repairable
    assert "torn tail" in problem.message
    assert verify(str(store), repair=True).ok
    assert check_goes_on(store, 4) == 6


def test_unknown_failpoints_are_refused() -> None:
    with pytest.raises(KeyError):
        failpoints.arm("append.nowhere", lambda: None)


def test_what_a_claim_seals_is_durable_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that is killed between write and fdatasync leaves a frame that only the page cache has."""
    store = tmp_path / "store"
    open_writer(str(store)).append([plain(1), plain(2)])
    old = (store / "log" / "seg-00000001-000001.wfl").stat().st_ino
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda fd: synced.append(os.fstat(fd).st_ino))
    open_writer(str(store))
    header = (store / "log" / "seg-00000002-000001.wfl").stat().st_ino
    assert old in synced[: synced.index(header)]
