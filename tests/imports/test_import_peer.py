"""Stores that ray.workflow itself wrote, a moment ago: its answers, and the workflows that it left unfinished.

$WFSTORE_PEER_PYTHON names an interpreter of a virtual environment of its own with ray==2.47.1, and
$WFSTORE_OLDEST_PEER_PYTHON one with ray==2.3.0; docs/how-to/import-from-ray-workflow.md says how they are made.
"""

from __future__ import annotations

import calendar
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import ray

import wfstore
from tests.engine.conftest import cluster
from tests.engine.world import World, executions
from tests.imports.test_import_history import check_moves
from tests.index.test_laws import chosen, expected
from wfstore import workflow
from wfstore.errors import WfstoreError
from wfstore.imports import ImportReport, import_ray_workflow
from wfstore.log import LogReader
from wfstore.model.apply import replay

__all__ = ["cluster"]

PROGRAM = Path(__file__).with_name("old_program.py")
PEERS = {"2.47.1": "WFSTORE_PEER_PYTHON", "2.3.0": "WFSTORE_OLDEST_PEER_PYTHON"}
pytestmark = [pytest.mark.peer, pytest.mark.timeout(400)]

#: What it kept no output of, and raised for; the error that a task caught is an output here (catalogue E7).
CAUGHT = {"caught", "caught-below"}


class Old(NamedTuple):
    """A store of ray.workflow, what it answered about each workflow, and a folder of flags that tasks look for."""

    folder: Path
    answers: dict[str, Any]
    flags: Path
    report: ImportReport


@pytest.fixture(scope="module", params=PEERS)
def old(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Old:
    python = os.environ.get(PEERS[request.param])
    if python is None:
        pytest.skip(f"{PEERS[request.param]} names no interpreter with ray=={request.param}")
    folder = tmp_path_factory.mktemp("peer")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [python, str(PROGRAM), str(folder / "old")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    answers = json.loads(done.stdout[done.stdout.index("{") :])
    return Old(folder / "old", answers, folder / "flags", import_ray_workflow(folder / "old", folder / "store"))


def storage(old: Old) -> str:
    return old.report.storage


def test_everything_is_there(old: Old) -> None:
    assert not old.report.broken and not old.report.not_resumable and not old.report.notes
    found = {item.workflow_id: item.status for item in old.report.imported}
    listed = {name: said["status"] for name, said in old.answers.items()}
    assert found.keys() - listed.keys() == {"team/slash"}  # it vanished from list_all: catalogue I5
    open_ = {"RUNNING", "PENDING"}
    assert {name: found[name] for name in listed} == {
        name: "RESUMABLE" if status in open_ else status for name, status in listed.items()
    }


def test_rows_are_legal_and_sql_says_what_a_replay_says(old: Old) -> None:
    events = list(LogReader(storage(old)).events())
    for name in old.answers:
        check_moves([event for event in events if event.workflow_id == name])
    store = wfstore.open(storage(old))
    assert store.verify().ok
    workflows, tasks = expected(replay(events))
    assert chosen(store.sql("FROM workflows ORDER BY workflow_id").pl().to_dicts(), workflows[0]) == workflows
    assert chosen(store.sql("FROM tasks ORDER BY workflow_id, task_id").pl().to_dicts(), tasks[0]) == tasks


def test_outputs_are_the_old_ones(old: Old) -> None:
    store = wfstore.open(storage(old))
    for name, said in old.answers.items():
        if "output" in said:
            assert plain(repr(store.output(name))) == plain(said["output"]), name
        elif name in CAUGHT:
            nothing, error = store.output(name)
            assert nothing is None and isinstance(error, ValueError)
        else:
            with pytest.raises(WfstoreError):
                store.output(name)


def plain(shown: str) -> str:
    """Without what is another one in each process; an ObjectRef is its content where no Ray is."""
    return re.sub(r" at 0x\w+", "", re.sub(r"ObjectRef\(\w+\)", "'inside'", shown))


def test_times_and_metadata_are_the_old_ones(old: Old) -> None:
    rows = wfstore.open(storage(old)).workflows()
    for row in rows.to_dicts():
        said = old.answers.get(row["workflow_id"], {}).get("metadata")
        if said is None:
            continue
        assert json.loads(row["metadata"]) == said["user_metadata"]
        if "end_time" in said["stats"]:
            assert abs(_seconds(row["ended_at"]) - said["stats"]["end_time"]) < 1e-5, row["workflow_id"]
    (task,) = wfstore.open(storage(old)).tasks("done", name="second").to_dicts()
    assert json.loads(task["metadata"]) == {"rows": 3} and task["function"] == "__main__.add"


def _seconds(moment: Any) -> float:
    return calendar.timegm(moment.timetuple()) + moment.microsecond / 1e6


@pytest.mark.ray
def test_what_was_left_goes_on(old: Old, cluster: None, tmp_path: Path) -> None:
    for flag in ("half", "spread", "shapes", "go"):
        (old.flags / flag).touch()
    before = executions(old.flags / "ran")
    shutil.copytree(storage(old), tmp_path / "store")
    world = World(tmp_path)
    shapes = [1, 1, 3, 9, 1]
    assert {name: workflow.resume(name) for name in ("failed-half", "failed-continuation", "running", "pending")} == {
        "failed-half": 21, "failed-continuation": 3, "running": 6, "pending": 5
    }  # fmt: skip
    assert [workflow.resume(name) for name in ("failed-nested", "failed-refs")] == [shapes, shapes]
    assert [workflow.resume(name) for name in ("not-kept", "continuation-not-kept")] == [1, 6]
    assert executions(old.flags / "ran") - before == {"pending": 1}
    for name in ("canceled", "never-there"):
        with pytest.raises(workflow.WorkflowNotResumableError):
            workflow.resume(name)
    said = old.answers["done"]
    found = workflow.get_metadata("done")
    assert (found["status"], found["user_metadata"]) == ("SUCCESSFUL", said["metadata"]["user_metadata"])
    assert found["stats"] == pytest.approx(said["metadata"]["stats"], abs=1e-5)
    for task_id, known in said["tasks"].items():
        found = workflow.get_metadata("done", task_id)
        assert found["stats"] == pytest.approx(known["stats"], abs=1e-5)
        assert (found["user_metadata"], found["workflow_refs"]) == (known["user_metadata"], known["workflow_refs"])
    (reference, two) = workflow.get_output("ref-output")["refs"]
    assert (ray.get(reference), two) == ("inside", 2)
    world.stop()
