"""kill -9 of writers in processes of their own: what they were told is durable is there."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from tests.engine.conftest import ROOT
from wfstore.log import failpoints, open_reader, resolve_storage, verify

pytestmark = [pytest.mark.s3, pytest.mark.fault]
_POINTS = (
    failpoints.CLAIM_SCANNED,
    failpoints.CLAIM_SYNCED,
    failpoints.APPEND_BEFORE_WRITE,
    failpoints.APPEND_WRITTEN,
    failpoints.CLOSE_BEFORE_WITNESS,
)


def appender(storage: str, commits: int, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.log.appender", storage, str(commits), "1"]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True)


def check(storage: str, acknowledged: int) -> None:
    found = list(open_reader(resolve_storage(storage)).events())
    assert [event.seq for event in found] == list(range(1, len(found) + 1))
    assert len(found) >= acknowledged
    assert all(event.task_id == f"t{event.seq}" for event in found), "as the writer that had the log wrote them"
    assert verify(resolve_storage(storage)).ok


@pytest.mark.parametrize("point", _POINTS)
def test_killed_at_each_point(storage: str, point: str) -> None:
    acknowledged = 0
    for count in (1, 3):
        with appender(storage, 5, WFSTORE_FAILPOINT=f"{point}=kill@{count}") as process:
            said = process.communicate(timeout=60)[0].split()
        acknowledged = max([acknowledged, *map(int, said)])
    with appender(storage, 2) as process:
        acknowledged = max(map(int, process.communicate(timeout=60)[0].split()))
    check(storage, acknowledged)


def test_killed_at_any_moment(storage: str) -> None:
    chance, acknowledged = random.Random(5), 0
    for _ in range(8):
        with appender(storage, 10_000) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 30)):
                acknowledged = max(acknowledged, int(process.stdout.readline()))
            process.kill()
            acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
    check(storage, acknowledged)
