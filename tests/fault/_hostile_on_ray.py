"""A few of the hostile results on a real Ray, and tasks that end their worker: the manager outlives all of them."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import wfstore
from tests.engine.world import World, eventually, local_ray
from tests.fault._hostile_results import RESULTS, Trap, act
from wfstore import workflow
from wfstore.errors import WfstoreError

_NAMES = (
    "a lock", "pickling that exits", "pickling that is interrupted", "100,000 lists in each other",
    "a trap among other values", "half a surrogate pair", "a repr: huge", "a repr: exits", "an error whose text exits",
    "an error for terminals", "exit", "an interrupt", "no end",
)  # fmt: skip
_NUMBERS = {case.name: number for number, case in enumerate(RESULTS)}


class TrapError(Exception):
    """Whoever unpickles it is gone."""

    def __reduce__(self) -> Any:
        return Trap().__reduce__()


@workflow.task(max_retries=0)
def hostile(number: int) -> Any:
    return act(number)


@workflow.task(max_retries=1)
def leaves() -> None:
    os._exit(7)


@workflow.task(max_retries=1)
def raises_a_trap() -> None:
    raise TrapError


@workflow.task(max_retries=0)
def reads_nothing() -> None:
    ctypes.string_at(0)


@workflow.task(max_retries=0)
def mute() -> int:
    """Takes away what the worker speaks with."""
    for fd in (1, 2):
        os.close(fd)
    return 7


_TASKS = {
    "leaves": leaves,
    "raises a trap": raises_a_trap,
    "breaks the interpreter": reads_nothing,
    "closes stdout": mute,
}
CASES = (*_NAMES, *_TASKS)


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[World]:
    folder.mkdir(exist_ok=True)
    with local_ray():
        world = World(folder)
        yield world
        world.stop()


def run(world: World, case: int) -> str:
    """Raises AssertionError unless the workflow ends as it has to, and the manager goes on."""
    name = CASES[case]
    node = _TASKS[name].bind() if name in _TASKS else hostile.bind(_NUMBERS[name])
    before = world.describe()["pid"]
    workflow_id = f"hostile-{case}"
    workflow.run_async(node, workflow_id=workflow_id)
    ended = ("SUCCESSFUL", "FAILED")
    eventually(lambda: str(workflow.get_status(workflow_id)) in ended, f"{name!r} ends", timeout_s=120)
    status = str(workflow.get_status(workflow_id))
    wanted = RESULTS[_NUMBERS[name]].ends if name in _NUMBERS else "kept" if name == "closes stdout" else "failed"
    assert status == ("FAILED" if wanted == "failed" else "SUCCESSFUL"), f"{name}: {status}"
    if wanted == "failed":
        try:
            workflow.get_output(workflow_id)
        except WfstoreError as error:
            str(error).encode()
        else:
            raise AssertionError(f"{name}: it failed, and has an output")
    elif wanted == "kept" and name in _NUMBERS:
        assert type(workflow.get_output(workflow_id)) is type(act(_NUMBERS[name])), name
    assert world.describe()["pid"] == before, f"{name}: the manager was lost"
    row = wfstore.open(world.storage, live=False).history(workflow_id).to_dict()["workflow"]
    assert row["status"] == status, f"{name}: SQL says {row['status']}"
    return wanted
