"""The WfFormat reader: invalid files are refused by file and field, real files are read whole."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wfstore.traces import Trace, TraceError, read

INSTANCES = Path("/work/shared/data/wfinstances")
FILES = sorted(INSTANCES.glob("*.json"))
needs_instances = pytest.mark.skipif(not FILES, reason=f"no WfFormat instances in {INSTANCES}")

SMALL: dict[str, Any] = {
    "name": "diamond",
    "schemaVersion": "1.5",
    "workflow": {
        "specification": {
            "tasks": [
                {"id": "last_ID4", "name": "last_ID4", "parents": ["left_1", "left_2"], "children": []},
                {"id": "left_1", "name": "left_1", "parents": ["first"], "outputFiles": ["a", "b"]},
                {"id": "left_2", "name": "left_2", "parents": [], "inputFiles": ["a"]},
                {"id": "first", "name": "first", "parents": [], "children": ["left_1", "left_2"]},
            ],
            "files": [{"id": "a", "sizeInBytes": 10}, {"id": "b", "sizeInBytes": 5}],
        },
        "execution": {
            "makespanInSeconds": 7,
            "executedAt": "2024-01-01T00:00:00Z",
            "tasks": [
                {"id": "first", "runtimeInSeconds": 1.5, "command": {"program": "sh"}, "coreCount": 2},
                {"id": "left_1", "runtimeInSeconds": 0, "memoryInBytes": 3000},
            ],
        },
    },
}


def written(path: Path, change: Callable[[dict[str, Any]], object] | None = None) -> Path:
    document = copy.deepcopy(SMALL)
    if change:
        change(document)
    path.write_text(json.dumps(document))
    return path


def tasks(document: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document["workflow"]["specification"]["tasks"]
    return found


def test_a_small_file_is_read_whole(tmp_path: Path) -> None:
    trace = read(written(tmp_path / "t.json"))

    assert (trace.name, trace.edges, trace.makespan_s) == ("diamond", 4, 7)
    by_id = {task.id: task for task in trace.tasks}
    assert next(task.id for task in trace.tasks) == "first"
    assert [task.id for task in trace.tasks][-1] == "last_ID4"
    assert by_id["left_2"].parents == ("first",), "an edge that only the parent names counts"
    assert set(by_id["first"].children) == {"left_1", "left_2"}
    assert (by_id["left_1"].output_bytes, by_id["left_2"].input_bytes) == (15, 10)
    assert (by_id["first"].runtime_s, by_id["left_1"].runtime_s, by_id["left_2"].runtime_s) == (1.5, 0, None)
    assert (by_id["first"].program, by_id["first"].cores, by_id["left_1"].memory_bytes) == ("sh", 2, 3000)
    assert {task.category for task in trace.tasks} == {"first", "left", "last"}


def test_execution_and_files_may_be_absent(tmp_path: Path) -> None:
    def bare(document: dict[str, Any]) -> None:
        del document["workflow"]["execution"], document["workflow"]["specification"]["files"]
        for task in tasks(document):
            task.pop("inputFiles", None), task.pop("outputFiles", None)

    trace = read(written(tmp_path / "t.json", bare))
    assert (len(trace.tasks), trace.makespan_s, trace.files) == (4, None, {})


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        (lambda d: d.update(schemaVersion="1.4"), "schemaVersion", "'1.4'"),
        (lambda d: d.pop("schemaVersion"), "schemaVersion", "missing"),
        (lambda d: d.update(name=3), "name", "a text is expected"),
        (lambda d: d.pop("workflow"), "workflow", "missing"),
        (lambda d: d["workflow"].update(specification=[]), "workflow.specification", "an object is expected"),
        (lambda d: tasks(d).clear(), "workflow.specification.tasks", "no task"),
        (lambda d: tasks(d)[1].pop("id"), "workflow.specification.tasks[1].id", "missing"),
        (lambda d: tasks(d)[1].update(id="first"), "workflow.specification.tasks[3].id", "twice"),
        (
            lambda d: d["workflow"]["specification"]["tasks"].append("x"),
            "workflow.specification.tasks[4]",
            "an object is expected",
        ),
        (lambda d: tasks(d)[0].update(parents=["gone"]), "workflow.specification.tasks[0].parents[0]", "'gone'"),
        (lambda d: tasks(d)[0].update(parents=[1]), "workflow.specification.tasks[0].parents[0]", "a text is expected"),
        (lambda d: tasks(d)[0].update(children=["first"]), "workflow.specification.tasks", "a cycle: "),
        (lambda d: tasks(d)[0].update(parents=["last_ID4"]), "workflow.specification.tasks", "a cycle: "),
        (lambda d: tasks(d)[0].update(inputFiles=["c"]), "workflow.specification.tasks[0].inputFiles[0]", "'c'"),
        (
            lambda d: d["workflow"]["specification"]["files"][0].update(sizeInBytes=-1),
            "workflow.specification.files[0].sizeInBytes",
            "not negative",
        ),
        (
            lambda d: d["workflow"]["specification"]["files"][0].update(sizeInBytes=1.5),
            "workflow.specification.files[0].sizeInBytes",
            "whole number",
        ),
        (
            lambda d: d["workflow"]["execution"]["tasks"][0].update(runtimeInSeconds=float("nan")),
            "workflow.execution.tasks[0].runtimeInSeconds",
            "finite",
        ),
        (
            lambda d: d["workflow"]["execution"]["tasks"][0].update(runtimeInSeconds="2"),
            "workflow.execution.tasks[0].runtimeInSeconds",
            "a number is expected",
        ),
        (
            lambda d: d["workflow"]["execution"]["tasks"][0].update(runtimeInSeconds=10**400),
            "workflow.execution.tasks[0].runtimeInSeconds",
            "finite",
        ),
        (
            lambda d: d["workflow"]["execution"]["tasks"][0].update(id="gone"),
            "workflow.execution.tasks[0].id",
            "'gone'",
        ),
    ],
)
def test_an_invalid_file_is_refused_by_file_and_field(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], field: str, words: str
) -> None:
    path = written(tmp_path / "bad.json", change)

    with pytest.raises(TraceError) as refused:
        read(path)

    assert isinstance(refused.value, ValueError)
    assert (refused.value.path, refused.value.field) == (str(path), field)
    assert words in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe{", b"[" * 100_000, b"[1]", b"null"])
def test_what_is_not_a_json_object_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(TraceError, match=r"bad\.json"):
        read(path)


def test_an_unreadable_file_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.json")


@needs_instances
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_real_file_agrees_with_its_own_json(path: Path) -> None:
    raw = json.loads(path.read_bytes())["workflow"]
    specified, recorded = raw["specification"]["tasks"], raw["execution"]["tasks"]
    sizes = {file["id"]: file["sizeInBytes"] for file in raw["specification"]["files"]}

    trace = read(path)

    assert {task.id for task in trace.tasks} == {task["id"] for task in specified}
    assert trace.edges == sum(len(task["parents"]) for task in specified)
    assert {(task.id, parent) for task in trace.tasks for parent in task.parents} == {
        (task["id"], parent) for task in specified for parent in task["parents"]
    }
    assert sum(task.runtime_s or 0 for task in trace.tasks) == pytest.approx(
        sum(task["runtimeInSeconds"] for task in recorded)
    )
    assert sum(task.output_bytes for task in trace.tasks) == sum(
        sizes[name] for task in specified for name in task["outputFiles"]
    )
    assert parents_come_first(trace)


def parents_come_first(trace: Trace) -> bool:
    seen: set[str] = set()
    for task in trace.tasks:
        if not seen.issuperset(task.parents):
            return False
        seen.add(task.id)
    return True


@needs_instances
def test_the_largest_real_file_has_1004_tasks_and_4000_edges() -> None:
    trace = read(INSTANCES / "bwa-chameleon-large-001.json")
    assert (len(trace.tasks), trace.edges) == (1004, 4000)
