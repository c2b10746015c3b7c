"""A disk that runs full beneath a manager: submitters hear so, what was accepted waits, and goes on when it can."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

import wfstore
from tests.engine.world import World
from wfstore import workflow
from wfstore.errors import StorageFullError

pytestmark = [pytest.mark.ray, pytest.mark.fault]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "wfstore-test", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting takes root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 65536)
        except OSError:
            return


@ray.remote
def slow(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def submit_until_refused() -> None:
    for number in range(200):
        workflow.run(slow.bind(0), workflow_id=f"n{number}", metadata={"text": "y" * 3000})


@ray.remote
def large(size: int) -> bytes:
    return os.urandom(size)


def test_work_goes_on_when_space_returns(cluster: None, small_disk: Path) -> None:
    world = World(small_disk)
    assert workflow.run(slow.bind(0), workflow_id="before") == 0
    waiting = workflow.run_async(slow.bind(6), workflow_id="accepted")
    ballast = small_disk / "ballast"
    fill(ballast)
    for _ in range(3):
        with pytest.raises(StorageFullError, match="No space left"):
            submit_until_refused()
    time.sleep(5)  # the next manager is there by now, and finds no space either
    with pytest.raises(StorageFullError, match="goes on by itself"):
        workflow.run(slow.bind(0), workflow_id="too-early")
    ballast.unlink()
    assert ray.get(waiting, timeout=60) == 6
    assert workflow.run(slow.bind(0), workflow_id="after") == 0
    statuses = dict(workflow.list_all())
    assert {statuses[name] for name in ("before", "accepted", "after")} == {"SUCCESSFUL"}
    assert len(world.events("attempt.submitted", "accepted")) == 1, "it ran on meanwhile"
    assert wfstore.open(world.storage).verify().ok
    world.stop()


def test_a_value_waits_for_space(cluster: None, small_disk: Path) -> None:
    world = World(small_disk)
    assert workflow.run(slow.bind(0)) == 0
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file:
        file.truncate(0)
        file.write(b"x" * (9 << 20))
    ref = workflow.run_async(large.bind(4 << 20), workflow_id="large")
    done, _ = ray.wait([ref], timeout=4)
    assert not done and workflow.get_status("large") == "RUNNING"
    ballast.unlink()
    assert len(ray.get(ref, timeout=60)) == 4 << 20
    assert len(world.events("attempt.submitted", "large")) == 1
    world.stop()
