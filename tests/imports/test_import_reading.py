"""The reader of the old layout: values out of a folder, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pyarrow.fs
import pytest

from tests.imports.folders import T0, OldFolder, add, dumps, one, upstream
from wfstore.traces.errors import TraceError
from wfstore.traces.rayworkflow import OldStore, OldWorkflow
from wfstore.traces.rayworkflow.files import ArrowFiles, LocalFiles
from wfstore.traces.rayworkflow.workflow import read_workflow


@pytest.fixture
def folder(tmp_path: Path) -> OldFolder:
    return OldFolder(tmp_path / "old")


def read(folder: OldFolder) -> dict[str, OldWorkflow]:
    store = OldStore(folder.root)
    return {found.workflow_id: store.read(found) for found in store.find() if found.accepted}


def test_a_workflow_is_what_its_files_say(folder: OldFolder) -> None:
    made = folder.workflow("w", "FAILED", "named_1", metadata={"a": 1}, started=T0, ended=T0 + 2)
    made.task("named", one, started=T0 + 0.5, ended=T0 + 1, output=1, metadata={"k": "v"})
    made.task("named_1", add, [upstream(0)], refs=["named"], started=T0 + 1, error=ValueError("no"), max_retries=7)
    found = read(folder)["w"]
    assert (found.status, found.metadata, found.entry, found.times_kept) == ("FAILED", {"a": 1}, "named_1", True)
    assert (found.started_us, found.ended_us) == (1_700_000_000_000_000, 1_700_000_002_000_000)
    first, second = found.tasks["named"], found.tasks["named_1"]
    assert (first.name, second.name, second.upstream) == ("named", "named", ("named",))
    assert first.output is not None and first.output.data == dumps(1) and first.exception is None
    assert second.exception is not None and second.output is None and second.options["max_retries"] == 7
    assert (first.started_us, first.ended_us, second.ended_us) == (1_700_000_000_500_000, 1_700_000_001_000_000, None)
    assert first.metadata == {"k": "v"}


def test_an_explicit_name_that_looks_like_a_suffix_is_a_name(folder: OldFolder) -> None:
    made = folder.workflow("w", "SUCCESSFUL", "f_1")
    made.task("f_1", one, name="f_1")
    made.task("f", one)
    assert {task.name for task in read(folder)["w"].tasks.values()} == {"f", "f_1"}


def test_workflows_come_in_the_order_of_their_submission(folder: OldFolder) -> None:
    for number, name in enumerate("cab"):
        folder.workflow(name, "SUCCESSFUL", started=T0 + number)
    own = f"12345678-1234-1234-1234-123456789abc.{int(T0) + 1}.500000000"
    folder.workflow(own, "PENDING")
    assert [found.workflow_id for found in OldStore(folder.root).find()] == ["c", "a", own, "b"]


def test_ids_with_slashes_lie_in_nested_folders(folder: OldFolder) -> None:
    for name in ("team", "team/a", "x/y/z"):
        folder.workflow(name, "SUCCESSFUL", "t").task("t", one, output=name)
    assert sorted(read(folder)) == ["team", "team/a", "x/y/z"]
    assert all(list(found.tasks) == ["t"] for found in read(folder).values())


def test_what_was_never_accepted_has_no_status(folder: OldFolder) -> None:
    folder.workflow("rejected", None).task("t", one)
    assert [(found.workflow_id, found.accepted) for found in OldStore(folder.root).find()] == [("rejected", False)]


def test_a_file_that_a_crash_cut_off_counts_as_not_there(folder: OldFolder) -> None:
    made = folder.workflow("w", "RUNNING", "t", started=T0)
    made.task("t", one, started=T0, ended=T0 + 1)
    made.file("tasks/t/output.pkl", dumps([1] * 100)[:-20])
    made.file("tasks/t/post_task_metadata.json", b'{"end_ti')
    found = read(folder)["w"]
    assert found.tasks["t"].output is None and found.tasks["t"].ended_us is None
    assert len(found.notes) == 2 and "tasks/t/output.pkl: is cut off" in "".join(found.notes)


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("workflow_meta.json", b"{"),
        ("workflow_meta.json", b'{"status": "SOMEHOW"}'),
        ("tasks/t/inputs.json", b"[]"),
        ("tasks/t/inputs.json", b'{"workflow_refs": [1]}'),
        ("tasks/outputs.json", b"\xff"),
    ],
)
def test_damage_names_the_file(folder: OldFolder, path: str, data: bytes) -> None:
    made = folder.workflow("w", "SUCCESSFUL", "t")
    made.task("t", one)
    made.file(path, data)
    with pytest.raises(TraceError, match=path):
        read(folder)


def test_times_of_a_copied_store_are_not_believed(folder: OldFolder) -> None:
    made = folder.workflow("w", "SUCCESSFUL", started=T0)
    made.json("pre_run_metadata.json", {"start_time": T0})
    assert not read(folder)["w"].times_kept


def test_the_inner_folder_may_be_given_too(folder: OldFolder) -> None:
    folder.chain("w")
    assert [found.workflow_id for found in OldStore(folder.root / "workflows").find()] == ["w"]
    assert [found.workflow_id for found in OldStore(folder.root.as_uri()).find()] == ["w"]


@pytest.mark.parametrize("name", ["nowhere", "empty", "other", "unknown://bucket/x"])
def test_what_is_no_old_store_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other" / "documents").mkdir(parents=True)
    with pytest.raises(TraceError, match=r"no such folder|no storage of ray.workflow|cannot be reached"):
        OldStore(name if "://" in name else tmp_path / name)


def test_any_filesystem_of_pyarrow_reads_the_same(folder: OldFolder) -> None:
    folder.chain("w")
    local = LocalFiles(str(folder.root))
    arrow = ArrowFiles("arrow", pyarrow.fs.LocalFileSystem(), str(folder.root))
    assert read_workflow(arrow, "workflows/w", "w", None) == read_workflow(local, "workflows/w", "w", None)
    assert arrow.children("workflows")[1] == local.children("workflows")[1]
    assert arrow.children("nowhere") == local.children("nowhere") == ({}, [])
    assert arrow.last_byte("workflows/w/tasks/shop.one/output.pkl") == b"."
