"""WfFormat out of any history: valid, and the same DAG, run times and sizes when it is read back."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wfstore
from tests.index.worlds import World, dag, fan, spec
from tests.model.histories import random_history
from tests.traces.test_wfformat import FILES, needs_instances
from wfstore._history import History
from wfstore.exports import to_wfformat
from wfstore.imports import import_wfformat
from wfstore.index import Index
from wfstore.log import MemoryLog
from wfstore.traces import Trace, read

HERE = Path(__file__).parent
SCHEMA = json.loads((HERE / "wfformat.schema.json").read_text())
PYTHON = os.environ.get("WFSTORE_WFCOMMONS_PYTHON", "")


def exported(history: History, path: Path) -> Trace:
    document = to_wfformat(history)
    assert problems(document) == []
    path.write_text(json.dumps(document, allow_nan=False))
    return read(path)


def problems(document: dict[str, Any]) -> list[str]:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed: the documents go unvalidated")
    return [error.message for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(document)]


def shape(trace: Trace) -> dict[str, Any]:
    return {
        task.id: (set(task.parents), task.runtime_s, task.output_bytes, task.input_bytes, task.machines, task.cores)
        for task in trace.tasks
    }


def test_a_workflow_of_ours(tmp_path: Path) -> None:
    world = World()
    world.submit("w", fan(2))
    world.finish()
    history = History("w", world.index.scan("w"))
    trace = exported(history, tmp_path / "w.json")
    assert {task.id: set(task.parents) for task in trace.tasks} == {
        "list": set(), "map": {"list"}, "map_1": {"list"}, "total": {"map", "map_1"}
    }  # fmt: skip
    rows = {row["task_id"]: row for row in history.tasks.to_dicts()}
    for task in trace.tasks:
        assert task.runtime_s == rows[task.id]["duration_s"] and task.output_bytes == rows[task.id]["output_bytes"]
        assert (task.machines, task.cores, task.program) == (("node",), 1, f"shop.{rows[task.id]['name']}")
    assert trace.makespan_s == pytest.approx(
        (history.workflow["ended_at"] - history.workflow["started_at"]).total_seconds()
    )


def test_ids_that_the_format_does_not_take(tmp_path: Path) -> None:
    world = World()
    world.submit("w", dag(spec("m.<locals>.f"), spec("m._locals_.f", 0), spec("m:<locals>.f", 1), spec("ü", 2)))
    world.finish()
    document = to_wfformat(History("w", world.index.scan("w")))
    assert problems(document) == []
    tasks = document["workflow"]["specification"]["tasks"]
    assert len({task["id"] for task in tasks}) == 4 and tasks[1]["id"] == "m._locals_.f"
    assert [len(task["parents"]) for task in tasks] == [0, 1, 1, 1]


def test_one_that_never_ran_has_no_execution(tmp_path: Path) -> None:
    world = World()
    world.submit("w", fan(1))
    trace = exported(History("w", world.index.scan("w")), tmp_path / "w.json")
    assert not trace.executed and len(trace.tasks) == 3


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_any_history(seed: int, tmp_path: Path) -> None:
    for number, (history, trace) in enumerate(random_exports(seed, tmp_path)):
        ran = {task.id for task in trace.tasks if task.runtime_s is not None}
        assert len(trace.tasks) == history.tasks.height
        assert len(ran) == history.tasks["duration_s"].drop_nulls().len()
        if not ran:
            continue
        storage = str(tmp_path / f"store{number}")
        report = import_wfformat([trace.path], storage, workflow_id="w")
        assert not report.broken
        again = exported(wfstore.open(storage).history("w"), tmp_path / "again.json")
        assert shape(again) == shape(trace)


def random_exports(seed: int, folder: Path) -> Iterator[tuple[History, Trace]]:
    log = MemoryLog()
    log.append(random_history(seed, 80).log)
    index = Index(log)
    for (workflow_id,) in index.sql("SELECT workflow_id FROM workflows ORDER BY 1").fetchall():
        history = History(workflow_id, index.scan(workflow_id))
        yield history, exported(history, folder / f"{workflow_id}.json")


@needs_instances
def test_our_schema_takes_what_others_wrote() -> None:
    for path in FILES:
        assert problems(json.loads(path.read_bytes())) == []


@needs_instances
def test_real_traces_come_back_as_they_were(tmp_path: Path) -> None:
    storage = str(tmp_path / "store")
    import_wfformat(FILES, storage)
    store = wfstore.open(storage)
    for path in FILES:
        before, after = read(path), exported(store.history(path.stem), tmp_path / path.name)
        assert shape(after) == shape(before)
        assert {task.id: (task.name, task.program, task.arguments, task.facts) for task in after.tasks} == {
            task.id: (task.name, task.program, task.arguments, task.facts) for task in before.tasks
        }
        assert (after.makespan_s, after.files, after.machines) == (before.makespan_s, before.files, before.machines)


@pytest.mark.peer
@pytest.mark.skipif(not PYTHON, reason="WFSTORE_WFCOMMONS_PYTHON names no Python with wfcommons")
def test_wfcommons_takes_them(tmp_path: Path) -> None:
    traces = [trace for seed in range(4) for _, trace in random_exports(seed, _made(tmp_path / str(seed)))]
    storage = str(tmp_path / "store")
    import_wfformat(FILES, storage)
    store = wfstore.open(storage)
    traces += [exported(store.history(path.stem), tmp_path / path.name) for path in FILES]
    command = [PYTHON, str(HERE / "wfcommons_program.py"), str(HERE / "wfformat.schema.json")]
    done = subprocess.run([*command, *(trace.path for trace in traces)], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(traces) > 9
    for trace, theirs in zip(traces, found, strict=True):
        assert theirs["tasks"] == len(trace.tasks)
        edges = sorted([parent, task.id] for task in trace.tasks for parent in task.parents)
        assert theirs["edges"] == edges
        assert theirs["bytes"] == sum(task.output_bytes for task in trace.tasks)
        # what has no run time counts as 0 there, and they keep three digits
        assert theirs["runtimes"] == pytest.approx({task.id: task.runtime_s or 0 for task in trace.tasks}, abs=1e-3)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
