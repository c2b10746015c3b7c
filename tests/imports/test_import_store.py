"""Importing into a store: what is there afterwards, twice, beside a cluster, and with broken workflows."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pyarrow.fs
import pytest

import wfstore
from tests.imports.folders import T0, Call, OldFolder, add, dumps, one, script_function, upstream
from tests.imports.test_import_pickles import Bomb
from wfstore.errors import StorageError, WorkflowExecutionError
from wfstore.imports import ImportReport, Problem, import_ray_workflow
from wfstore.log import LogReader, now_us, open_writer, own_lease, remove_lease, write_lease
from wfstore.model import events as ev
from wfstore.model.events import Event
from wfstore.traces.errors import TraceError
from wfstore.traces.rayworkflow.files import ArrowFiles


@pytest.fixture
def folder(tmp_path: Path) -> OldFolder:
    return OldFolder(tmp_path / "old")


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return str(tmp_path / "store")


def imported(folder: OldFolder, storage: str, **options: Any) -> ImportReport:
    report = import_ray_workflow(folder.root, storage, **options)
    if os.path.exists(storage):
        assert wfstore.open(storage).verify().ok
    return report


def statuses(storage: str) -> dict[str, str]:
    rows = wfstore.sql("FROM workflows SELECT workflow_id, status", storage=storage).fetchall()
    return dict(rows)


def half_done(folder: OldFolder, workflow_id: str, body: Any = add) -> None:
    made = folder.workflow(workflow_id, "FAILED", "b", started=T0, ended=T0 + 5)
    made.task("a", one, started=T0 + 1, ended=T0 + 2, output=1)
    made.task("b", body, [upstream(0)], refs=["a"], started=T0 + 3, error=ValueError("no"))


def test_the_old_answers(folder: OldFolder, storage: str) -> None:
    folder.chain("w")
    half_done(folder, "half")
    report = imported(folder, storage)
    assert report.statuses == {"FAILED": 1, "SUCCESSFUL": 1} and not report.broken and not report.not_resumable
    store = wfstore.open(storage)
    assert (store.output("w"), store.output("w", "shop.one"), store.output("half", "a")) == (3, 1, 1)
    with pytest.raises(WorkflowExecutionError, match="ValueError: no"):
        store.output("half")
    tasks = store.tasks("w", order_by="task_id")
    assert tasks["output_repr"].to_list() == ["2", "3", "1"]
    assert tasks["duration_s"].round(3).to_list() == [0.1, 0.1, 0.1]
    events = store.events("w")
    assert set(events["by"]) == {"import:ray-workflow"}
    assert store.history("w").status == "SUCCESSFUL"
    first, *_, last = LogReader(storage).events()
    assert (first.type, last.type) == (ev.MANAGER_STARTED, ev.MANAGER_STOPPED)


def test_twice_adds_nothing(folder: OldFolder, storage: str) -> None:
    folder.chain("w")
    imported(folder, storage)
    before = len(list(LogReader(storage).events()))
    again = imported(folder, storage)
    assert (again.imported, again.existing) == ([], ["w"])
    assert len(list(LogReader(storage).events())) == before
    folder.chain("new")
    assert [item.workflow_id for item in imported(folder, storage).imported] == ["new"]


def test_a_dry_run_writes_nothing(folder: OldFolder, storage: str) -> None:
    folder.chain("w")
    half_done(folder, "half", body=script_function("def f(x):\n    import gone\n", "f"))
    report = imported(folder, storage, dry_run=True)
    assert report.dry_run and len(report.imported) == 2 and not os.path.exists(storage)


def test_runs_number_on_after_a_deleted_workflow(folder: OldFolder, storage: str) -> None:
    folder.chain("w")
    imported(folder, storage)
    writer = open_writer(storage)
    writer.append([Event(ts=now_us(), type=ev.WORKFLOW_DELETED, workflow_id="w", run=1)])
    writer.close()
    assert statuses(storage) == {}
    assert len(imported(folder, storage).imported) == 1
    assert wfstore.open(storage).history("w").runs["run"].to_list() == [2]


def test_beside_a_cluster_it_is_refused(folder: OldFolder, storage: str) -> None:
    folder.chain("w")
    open_writer(storage).close()
    write_lease(storage, own_lease(now_us(), "session", 1))
    with pytest.raises(StorageError, match="Stop that cluster first, or import into another, fresh storage"):
        import_ray_workflow(folder.root, storage)
    assert import_ray_workflow(folder.root, storage, dry_run=True).imported
    remove_lease(storage)
    assert import_ray_workflow(folder.root, storage).imported


def test_a_broken_workflow_stops_nothing(folder: OldFolder, storage: str) -> None:
    folder.chain("a")
    folder.workflow("b", "SUCCESSFUL", "t").json("tasks/t/inputs.json", [])
    folder.workflow("c" * 200, "SUCCESSFUL", "t\x00").task("t", one, output=1)
    folder.chain("d")
    report = imported(folder, storage)
    assert sorted(statuses(storage)) == ["a", "c" * 200, "d"]
    (broken,) = report.broken
    assert broken.workflow_id == "b" and "tasks/t/inputs.json" in broken.reason


def test_finished_workflows_are_not_opened(folder: OldFolder, storage: str, tmp_path: Path) -> None:
    bang = tmp_path / "bang"
    made = folder.workflow("w", "SUCCESSFUL", "t")
    made.task("t", one, [Bomb(bang)], output=Bomb(bang))
    made.file("tasks/t/func_body.pkl", pickle.dumps(Bomb(bang)))
    imported(folder, storage)
    assert not bang.exists()
    wfstore.open(storage).output("w")
    assert bang.exists()


def test_what_would_not_resume_is_named(folder: OldFolder, storage: str) -> None:
    half_done(folder, "module")
    body = folder.root / "workflows/module/tasks/b/func_body.pkl"
    body.write_bytes(b"cno_such_module\nf\n.")
    half_done(folder, "api")
    (folder.root / "workflows/api/tasks/b/func_body.pkl").write_bytes(dumps(Call("gone_for_good")))
    half_done(folder, "body")
    (folder.root / "workflows/body/tasks/b/func_body.pkl").unlink()
    half_done(folder, "arguments")
    (folder.root / "workflows/arguments/tasks/b/args.pkl").write_bytes(b"torn")
    folder.workflow("entry", "RUNNING", started=T0).task("t", one)
    half_done(folder, "exits")
    (folder.root / "workflows/exits/tasks/b/func_body.pkl").write_bytes(b"csys\nexit\n(I3\ntR.")
    report = imported(folder, storage)
    found = {problem.workflow_id: problem for problem in report.not_resumable}
    assert {name: problem.task_id for name, problem in found.items()} == {
        "module": "b", "api": "b", "body": "b", "arguments": "b", "entry": None, "exits": "b"
    }  # fmt: skip
    assert "No module named 'no_such_module'" in found["module"].reason
    assert "wfstore.workflow does not have" in found["api"].reason
    assert "kept no function" in found["body"].reason and "kept no arguments" in found["arguments"].reason
    assert "did not keep its DAG" in found["entry"].reason and "SystemExit" in found["exits"].reason
    assert set(statuses(storage).values()) == {"FAILED", "RESUMABLE"}
    assert [note.workflow_id for note in report.notes] == ["arguments"]


def test_large_values_are_files_of_their_own(folder: OldFolder, storage: str) -> None:
    made = folder.workflow("w", "SUCCESSFUL", "t", started=T0, ended=T0 + 1)
    made.task("t", one, [b"x" * 100_000], started=T0, ended=T0 + 1, output=b"y" * 200_000)
    imported(folder, storage)
    assert wfstore.open(storage).output("w") == b"y" * 200_000
    (row,) = wfstore.open(storage).events("w", type="attempt.succeeded").to_dicts()
    assert row["uri"] == f"payloads/{row['hash'][:2]}/{row['hash']}" and row["bytes"] > 200_000


def test_what_was_never_accepted_is_a_note(folder: OldFolder, storage: str) -> None:
    folder.workflow("rejected", None).task("t", one)
    report = imported(folder, storage)
    assert report.notes == [Problem("rejected", None, "ray.workflow never accepted it: there is no status")]
    assert not os.path.exists(storage)


def test_progress_is_told(folder: OldFolder, storage: str) -> None:
    for name in "abc":
        folder.chain(name)
    told: list[tuple[int, int]] = []
    import_ray_workflow(folder.root, storage, progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_stopped_halfway_it_leaves_whole_workflows(folder: OldFolder, storage: str) -> None:
    for name in "abc":
        folder.chain(name)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_ray_workflow(folder.root, storage, progress=stop)
    assert statuses(storage) == {"a": "SUCCESSFUL", "b": "SUCCESSFUL"}
    assert [item.workflow_id for item in imported(folder, storage).imported] == ["c"]


def test_a_remote_storage_is_read_ahead(folder: OldFolder, storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"w{number:02}" for number in range(40)]
    for number, name in enumerate(names):
        folder.chain(name, start=T0 + number)
    folder.workflow("broken", "SUCCESSFUL", started=T0 + 20).file("workflow_meta.json", b"{")
    remote = ArrowFiles("s3://old", pyarrow.fs.LocalFileSystem(), str(folder.root))
    monkeypatch.setattr("wfstore.traces.rayworkflow.store.open_files", lambda source: remote)
    report = imported(folder, storage)
    assert [item.workflow_id for item in report.imported] == names
    assert (report.source, [item.workflow_id for item in report.broken]) == ("s3://old", ["broken"])


def test_an_old_store_and_a_new_one_may_share_a_folder(folder: OldFolder) -> None:
    folder.chain("w")
    imported(folder, str(folder.root))
    assert wfstore.open(folder.root).output("w") == 3
    assert imported(folder, str(folder.root)).existing == ["w"]


def test_what_is_no_old_store_makes_no_new_one(tmp_path: Path, storage: str) -> None:
    with pytest.raises(TraceError):
        import_ray_workflow(tmp_path / "nowhere", storage)
    assert not os.path.exists(storage)
