"""WfFormat executions as history: legal rows, the recorded DAG, times, sizes and machines, and clear refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import wfstore
from tests.index.test_laws import chosen, expected
from tests.traces.test_wfformat import FILES, needs_instances, written
from wfstore import errors
from wfstore.imports import import_wfformat
from wfstore.imports.recorded import BY, tell
from wfstore.imports.schedule import micros
from wfstore.index import Index
from wfstore.log import LogReader, MemoryLog, open_writer
from wfstore.model import events as ev
from wfstore.model.apply import replay
from wfstore.model.events import Event
from wfstore.model.statuses import TASK_MOVES, WORKFLOW_MOVES
from wfstore.schema.rows import pack
from wfstore.traces import TraceError, read

NOW = 1_800_000_000_000_000
T0 = 1_704_067_200_000_000


def told(path: Path) -> list[Event]:
    events = tell(read(path), "w", 0, NOW)
    check(events)
    return events


def check(events: list[Event]) -> None:
    """Every move is a legal one, and SQL says of the rows what a replay says."""
    pack(events)
    last: dict[str | None, str | None] = {}
    for event in events:
        assert event.by == BY
        status = event.status if event.task_id is None else event.task_status
        moves: Any = WORKFLOW_MOVES if event.task_id is None else TASK_MOVES
        assert status is None or last.get(event.task_id) == status or (last.get(event.task_id), status) in moves
        last[event.task_id] = status or last.get(event.task_id)
    log = MemoryLog()
    log.append(events)
    state = replay(events)
    assert state.running == 0 and not state.workflows["w"].open_attempts
    workflows, tasks = expected(state)
    index = Index(log)
    assert chosen(index.sql("FROM workflows").pl().to_dicts(), workflows[0]) == workflows
    assert chosen(index.sql("FROM tasks ORDER BY task_id").pl().to_dicts(), tasks[0]) == tasks


def test_a_small_trace(tmp_path: Path) -> None:
    events = told(written(tmp_path / "t.json"))
    (found,) = replay(events).workflows.values()
    assert (found.status, found.name, found.started_at, found.ended_at) == (
        "SUCCESSFUL", "diamond", T0, T0 + 7_000_000
    )  # fmt: skip
    tasks = found.tasks
    assert (tasks["first"].started_at, tasks["first"].duration_us) == (T0, 1_500_000)
    assert (tasks["left_1"].started_at, tasks["left_1"].output_bytes) == (T0 + 1_500_000, 15)
    assert tasks["first"].options.ray_options == {"num_cpus": 2} and tasks["first"].function == "sh"
    assert (tasks["left_2"].started_at, tasks["left_2"].duration_us) == (None, None), "no run time was recorded"
    assert tasks["last_ID4"].name == "last" and set(tasks["last_ID4"].upstream) == {"left_1", "left_2"}
    assert tasks["left_1"].metadata == {"input_bytes": 0, "memory_bytes": 3000}


def test_recorded_starts_and_the_only_machine(tmp_path: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        execution = document["workflow"]["execution"]
        execution["machines"] = [{"nodeName": "here", "cpu": {"coreCount": 4}}]
        execution["tasks"][0]["executedAt"] = "2024-01-01T00:00:02Z"
        execution["tasks"][1]["executedAt"] = "2024-01-01T00:00:03Z"  # before its parent has ended, by another clock

    events = told(written(tmp_path / "t.json", change))
    started = {event.task_id: event for event in events if event.type == ev.ATTEMPT_STARTED}
    assert (started["first"].ts_source, started["first"].node_id) == (T0 + 2_000_000, "here")
    order = [(event.task_id, event.type) for event in events]
    assert order.index(("first", ev.ATTEMPT_SUCCEEDED)) < order.index(("left_1", ev.ATTEMPT_SUBMITTED))
    assert started["left_1"].ts_source == T0 + 3_000_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("20200403T154235+0000", "2020-04-03T15:42:35+00:00"),
        ("2023-03-21T20:50:18-10:00", "2023-03-22T06:50:18+00:00"),
        ("05-04-23T10:46:27Z", "2023-05-04T10:46:27+00:00"),
        ("2024-01-01T00:00:00.5", "2024-01-01T00:00:00.500000+00:00"),
    ],
)
def test_times_as_traces_write_them(text: str, said: str) -> None:
    assert micros(text) == micros(said) is not None
    assert micros("yesterday") is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda d: d["workflow"].pop("execution"), "workflow.execution"),
        (lambda d: d["workflow"]["execution"].update(executedAt="then"), "workflow.execution.executedAt"),
        (lambda d: d["workflow"]["execution"].pop("executedAt"), "workflow.execution.executedAt"),
        (
            lambda d: d["workflow"]["execution"]["tasks"][0].update(runtimeInSeconds=1e300),
            "workflow.execution.tasks[id=first]",
        ),
        (
            lambda d: (
                d["workflow"]["execution"].update(machines=[{"nodeName": "a"}])
                or d["workflow"]["execution"]["tasks"][0].update(machines=["b"])
            ),
            "workflow.execution.tasks[0].machines[0]",
        ),
    ],
)
def test_what_no_history_can_be_made_of(tmp_path: Path, change: Callable[[dict[str, Any]], object], field: str) -> None:
    with pytest.raises(TraceError) as refused:
        tell(read(written(tmp_path / "t.json", change)), "w", 0, NOW)
    assert refused.value.field == field


def test_several_files(tmp_path: Path) -> None:
    storage = str(tmp_path / "store")
    good, other, bad = written(tmp_path / "good.json"), written(tmp_path / "other.json"), tmp_path / "bad.json"
    bad.write_text("{")
    files = [good, bad, tmp_path / "gone.json", good, other]
    seen: list[tuple[int, int]] = []
    dry = import_wfformat(files, storage, dry_run=True)
    assert [item.workflow_id for item in dry.imported] == ["good", "other"] and not Path(storage).exists()
    report = import_wfformat(files, storage, progress=lambda done, total: seen.append((done, total)))
    assert [(item.workflow_id, item.tasks) for item in report.imported] == [("good", 4), ("other", 4)]
    assert report.existing == ["good"] and seen[-1] == (5, 5)
    assert [problem.workflow_id for problem in report.broken] == ["bad", "gone"]
    assert all(str(path) in str(problem) for path, problem in zip(files[1:], report.broken, strict=False))
    assert import_wfformat([good], storage).existing == ["good"]
    store = wfstore.open(storage)
    assert store.verify().ok and store.workflows()["status"].to_list() == ["SUCCESSFUL"] * 2
    edges = store.history("good").edges.select("upstream_task_id", "task_id").rows()
    assert set(edges) == {("first", "left_1"), ("first", "left_2"), ("left_1", "last_ID4"), ("left_2", "last_ID4")}
    with pytest.raises(errors.NotCheckpointedError):
        store.output("good")


def test_an_id_of_ones_own_and_one_that_was_deleted(tmp_path: Path) -> None:
    storage, path = str(tmp_path / "store"), written(tmp_path / "t.json")
    import_wfformat([path], storage, workflow_id="mine")
    writer = open_writer(storage)
    writer.append([Event(ts=NOW, type=ev.WORKFLOW_DELETED, workflow_id="mine", run=1)])
    writer.close()
    assert [item.workflow_id for item in import_wfformat([path], storage, workflow_id="mine").imported] == ["mine"]
    assert wfstore.open(storage).history("mine").runs["run"].to_list() == [2]
    state = replay(LogReader(storage).events())
    assert state.workflows["mine"].run == 2
    with pytest.raises(ValueError, match="one id"):
        import_wfformat([path, path], storage, workflow_id="mine")
    assert import_wfformat([path], storage, workflow_id="a\nb").broken[0].reason.startswith(str(path))


@needs_instances
def test_real_files(tmp_path: Path) -> None:
    storage = str(tmp_path / "store")
    assert not import_wfformat(FILES, storage).broken
    store = wfstore.open(storage)
    assert store.verify().ok
    for path in FILES:
        raw = json.loads(path.read_bytes())["workflow"]
        found = store.history(path.stem)
        recorded = {task["id"]: task["runtimeInSeconds"] for task in raw["execution"]["tasks"]}
        durations = dict(found.tasks.select("task_id", "duration_s").iter_rows())
        assert durations == pytest.approx(recorded, abs=1e-6)
        assert found.edges.height == sum(len(task["parents"]) for task in raw["specification"]["tasks"])
        assert found.workflow["duration_s"] >= raw["execution"]["makespanInSeconds"] - 1e-6
        nodes = {machine["nodeName"] for machine in raw["execution"]["machines"]}
        assert set(found.attempts["node_id"].to_list()) <= nodes


@needs_instances
def test_a_real_file_is_legal() -> None:
    for path in FILES:
        if path.stat().st_size < 300_000:
            told(path)
