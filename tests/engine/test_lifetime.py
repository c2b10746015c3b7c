"""Workflows outlive their driver (catalogue section 20), and need no init (R8)."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from tests.engine.drivers import end_everything, launch, said
from tests.engine.world import World, eventually, executions
from wfstore import workflow

pytestmark = pytest.mark.ray


def address() -> dict[str, str]:
    return {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}


def test_z1_the_driver_exits(own_world: World) -> None:
    log = own_world.file("log")
    driver = launch("submit", own_world.storage, own_world.namespace, str(log), "leave", env=address())
    said(driver, "submitted")
    assert driver.wait(30) == 0
    driver.communicate()
    assert workflow.get_output("outlives").sum() == sum(range(200_000))
    assert executions(log) == {"z-begins": 1, "z-ends": 1}


@pytest.mark.fault
@pytest.mark.parametrize("moment", ["before it starts", "while it runs"])
def test_z1_z2_the_driver_is_killed(own_world: World, moment: str) -> None:
    log = own_world.file("log")
    driver = launch("submit", own_world.storage, own_world.namespace, str(log), "stay", env=address())
    said(driver, "submitted")
    if moment == "while it runs":
        eventually(lambda: executions(log)["z-begins"] == 1, "the task runs")
    end_everything(driver)
    # Its arguments were an object that the dead driver owned.
    assert workflow.get_output("outlives").sum() == sum(range(200_000))
    assert executions(log) == {"z-begins": 1, "z-ends": 1}


@pytest.fixture
def short_tmp() -> Iterator[str]:
    """Sockets have short names only."""
    folder = tempfile.mkdtemp(prefix="wf", dir="/tmp")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(("call", "answer"), [("list", "[]"), ("run", "1")])
def test_r8_no_init_at_all(short_tmp: str, call: str, answer: str) -> None:
    env = {name: value for name, value in os.environ.items() if "STORAGE" not in name and name != "RAY_ADDRESS"}
    program = launch("no_init", call, env={**env, "TMPDIR": short_tmp})
    out, err = program.communicate(timeout=120)
    assert program.returncode == 0, err
    said_answer, warned = out.strip().splitlines()[-2:]
    assert said_answer == answer
    storage = Path(short_tmp, "ray", "workflow_data")
    assert str(storage) in warned
    assert (storage / "store.json").exists()
