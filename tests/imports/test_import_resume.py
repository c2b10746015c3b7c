"""Imported workflows go on, on the Ray of today."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import wfstore
from tests.engine.conftest import cluster
from tests.engine.world import World, executions
from tests.imports.folders import KEYS, T0, OldFolder, add, object_ref, one, script_function, upstream
from wfstore import workflow
from wfstore.imports import import_ray_workflow

__all__ = ["cluster"]

Resume = Callable[[str], Any]

pytestmark = pytest.mark.ray

MARK = """
def mark(path, value):
    with open(path, "a") as file:
        file.write("ran\\n")
    return value
"""
LOOK = """
def look(direct, nested, table, *, key):
    import ray
    return [direct, ray.get(nested[0]), ray.get(table["ref"]), key, direct]
"""


@pytest.fixture
def folder(tmp_path: Path) -> OldFolder:
    return OldFolder(tmp_path / "old")


@pytest.fixture
def resume(cluster: None, folder: OldFolder, tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Imports `folder` while no manager holds the store, and resumes a workflow of it."""
    worlds: list[World] = []

    def import_and_resume(workflow_id: str) -> Any:
        report = import_ray_workflow(folder.root, tmp_path / "store")
        assert [item.workflow_id for item in report.imported] == [workflow_id]
        worlds.append(World(tmp_path))
        return workflow.resume(workflow_id)

    yield import_and_resume
    for world in worlds:
        world.stop()


def test_a_failed_workflow_runs_only_what_is_missing(resume: Resume, folder: OldFolder, tmp_path: Path) -> None:
    ran = str(tmp_path / "ran")
    mark = script_function(MARK, "mark")
    made = folder.workflow("w", "FAILED", "last", started=T0, ended=T0 + 9)
    made.task("first", mark, [ran, 20], started=T0 + 1, ended=T0 + 2, output=20)
    made.task("middle", mark, [ran, upstream(0)], refs=["first"], started=T0 + 3, error=ValueError("no"))
    made.task("last", add, [upstream(0), 1], refs=["middle"])
    assert resume("w") == 21
    assert executions(Path(ran)) == {"ran": 1}


def test_arguments_of_every_kind(resume: Resume, folder: OldFolder) -> None:
    made = folder.workflow("w", "RUNNING", "look", started=T0)
    made.task("one", one, started=T0 + 1, ended=T0 + 2, output=1)
    made.object(KEYS[0], {"in": "object"})
    shared = upstream(0)
    args = [shared, [shared], {"ref": object_ref(KEYS[0])}]
    made.task("look", script_function(LOOK, "look"), args, kwargs={"key": object_ref(KEYS[0])}, refs=["one"])
    assert resume("w") == [1, 1, {"in": "object"}, {"in": "object"}, 1]


def test_one_that_waited(resume: Resume, folder: OldFolder) -> None:
    made = folder.workflow("w", "PENDING", "b")
    made.task("a", one)
    made.task("b", add, [upstream(0), 1], refs=["a"])
    assert resume("w") == 2


def test_what_cannot_run_again_says_so(resume: Resume, folder: OldFolder, tmp_path: Path) -> None:
    made = folder.workflow("w", "FAILED", "t", started=T0, ended=T0 + 1)
    made.task("t", one, started=T0, error=ValueError("no"))
    (made.folder / "tasks/t/args.pkl").unlink()
    with pytest.raises(workflow.WorkflowExecutionError):
        resume("w")
    failed = wfstore.open(tmp_path / "store").attempts("w", order_by="run").to_dicts()[-1]
    assert (failed["run"], failed["kind"], failed["error_type"]) == (2, "serialization", "LookupError")
    assert failed["error_message"] == "ray.workflow kept no arguments of this task: it cannot run again"
