"""Old workflows told as events: rows that the model accepts, and the answers that ray.workflow gave."""

from __future__ import annotations

import json
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.imports.folders import KEYS, T0, OldFolder, add, dumps, object_ref, one, upstream
from tests.index.test_laws import chosen, expected
from wfstore.imports.history import tell
from wfstore.imports.keeping import Keeper
from wfstore.index import Index
from wfstore.log import MemoryLog
from wfstore.model import events as ev
from wfstore.model.apply import replay
from wfstore.model.events import Event
from wfstore.model.state import WorkflowState
from wfstore.model.statuses import TASK_MOVES, WORKFLOW_MOVES
from wfstore.payloads import loads
from wfstore.schema.rows import pack
from wfstore.traces.errors import TraceError
from wfstore.traces.rayworkflow import Blob, OldStore, OldTask, OldWorkflow

NOW = 1_800_000_000_000_000
STATUSES = ("RUNNING", "PENDING", "SUCCESSFUL", "FAILED", "CANCELED", "RESUMABLE")


@pytest.fixture
def folder(tmp_path: Path) -> OldFolder:
    return OldFolder(tmp_path / "old")


def told(folder: OldFolder, workflow_id: str = "w") -> list[Event]:
    store = OldStore(folder.root)
    (found,) = [item for item in store.find() if item.workflow_id == workflow_id]
    return checked(tell(store.read(found), Keeper(None, store.data), 0, "here", NOW).events)


def checked(events: list[Event]) -> list[Event]:
    """The events, once they are legal ones and SQL says of them what a replay says."""
    pack(events)
    check_moves(events)
    log = MemoryLog()
    log.append(events)
    state = replay(events)
    assert state.running == 0 and not state.queue
    assert not any(workflow.open_attempts for workflow in state.workflows.values())
    workflows, tasks = expected(state)
    index = Index(log)
    found = index.sql("FROM workflows ORDER BY workflow_id").pl().to_dicts()
    assert chosen(found, workflows[0]) == workflows
    found = index.sql("FROM tasks ORDER BY workflow_id, task_id").pl().to_dicts()
    assert chosen(found, tasks[0] if tasks else {}) == tasks
    return events


def check_moves(events: list[Event]) -> None:
    last: dict[str | None, str | None] = {}
    attempts: dict[tuple[int | None, str | None], int] = {}
    for event in events:
        status = event.status if event.task_id is None else event.task_status
        moves: Any = WORKFLOW_MOVES if event.task_id is None else TASK_MOVES
        before = last.get(event.task_id)
        if status is not None:
            assert before == status or (before, status) in moves, (before, event)
            last[event.task_id] = status
        if event.type == ev.ATTEMPT_SUBMITTED:
            key = (event.run, event.task_id)
            attempts[key] = attempts.get(key, 0) + 1
            assert event.attempt == attempts[key]
        assert event.by == "import:ray-workflow"


def state(events: list[Event]) -> WorkflowState:
    (workflow,) = replay(events).workflows.values()
    return workflow


def types(events: list[Event], task_id: str | None = None) -> list[str]:
    return [event.type for event in events if event.task_id == task_id]


def test_a_finished_chain(folder: OldFolder) -> None:
    folder.chain("w")
    events = told(folder)
    assert types(events) == [ev.WORKFLOW_SUBMITTED, ev.WORKFLOW_STARTED, ev.WORKFLOW_SUCCEEDED]
    whole = [ev.TASK_DEFINED, ev.ATTEMPT_SUBMITTED, ev.ATTEMPT_STARTED, ev.ATTEMPT_SUCCEEDED]
    assert types(events, "shop.add") == whole
    submitted = json.loads(events[0].attributes or "")
    assert (submitted["source"], submitted["imported_at"], submitted["tasks"]) == ("here", NOW, 3)
    found = state(events)
    assert (found.status, found.name, found.runs, found.output_task) == ("SUCCESSFUL", "shop.add", 1, "shop.add_1")
    assert (found.run_started_at, found.ended_at) == (1_700_000_000_000_000, 1_700_000_001_000_000)
    task = found.tasks["shop.add"]
    assert (task.function, task.upstream, task.kinds) == ("tests.imports.folders.add", ["shop.one"], ["argument"])
    assert (task.started_at, task.ended_at) == (1_700_000_000_200_000, 1_700_000_000_300_000)
    assert task.output is not None and task.output.data == dumps(2)
    assert json.loads(task.output_repr or "")["output_repr"] == "2"


def test_metadata_options_and_names(folder: OldFolder) -> None:
    made = folder.workflow("w", "SUCCESSFUL", "t", metadata={"name": "nightly", "nan": float("nan")}, started=T0)
    rays = {"num_cpus": 2, "_metadata": {"workflow.io/options": {}}, "max_retries": 0, "memory": None}
    made.task("t", one, output=1, metadata={"k": [1]}, max_retries=5, retry_exceptions=True, ray_options=rays)
    found = state(told(folder))
    assert (found.name, dict(found.metadata)) == ("nightly", {"name": "nightly", "nan": None})
    task = found.tasks["t"]
    assert (task.metadata, task.options.max_retries, task.options.retry_exceptions) == ({"k": [1]}, 5, True)
    assert task.options.ray_options == {"num_cpus": 2}


def test_a_continuation_of_a_continuation(folder: OldFolder) -> None:
    made = folder.workflow("w", "SUCCESSFUL", "f", started=T0, ended=T0 + 9)
    made.task("f", one, [3], started=T0 + 1, ended=T0 + 2, continued_to="f_1")
    made.task("f_1", one, [2], started=T0 + 3, ended=T0 + 4, continued_to="f_2")
    made.task("g", one, started=T0 + 5, ended=T0 + 6, output=10)
    made.task("f_2", add, [upstream(0)], refs=["g"], started=T0 + 7, ended=T0 + 8, output=11)
    events = told(folder)
    found = state(events)
    assert [event.task_id for event in events if event.type == ev.TASK_DEFINED] == ["f", "f_1", "g", "f_2"]
    assert {name: task.creator for name, task in found.tasks.items()} == {
        "f": None, "f_1": "f", "f_2": "f_1", "g": "f_1"
    }  # fmt: skip
    assert found.tasks["f_2"].root == "f" and found.tasks["f"].resolved
    assert events[-1].attribute("output_task") == "f_2" and events[-1].hash == found.tasks["f_2"].output.hash  # type: ignore[union-attr]


def test_a_failed_workflow_names_its_task_and_error(folder: OldFolder) -> None:
    made = folder.workflow("w", "FAILED", "last", started=T0, ended=T0 + 5)
    made.task("first", one, started=T0 + 1, ended=T0 + 2, output=1)
    made.task("last", add, [upstream(0)], refs=["first"], started=T0 + 3, failed=T0 + 4, error=KeyError("missing"))
    found = state(told(folder))
    assert (found.status, found.error_type, found.error_message) == ("FAILED", "KeyError", "missing")
    task = found.tasks["last"]
    assert (found.failed_task_id, task.status, task.ended_at) == ("last", "FAILED", 1_700_000_004_000_000)
    assert task.error is not None and task.error.data is not None
    nothing, error = loads(task.error.data)
    assert nothing is None and isinstance(error, KeyError)


def test_a_worker_that_died_leaves_no_error(folder: OldFolder) -> None:
    made = folder.workflow("w", "FAILED", "t", started=T0, ended=T0 + 5)
    made.task("t", one, started=T0 + 1)
    found = state(told(folder))
    assert (found.failed_task_id, found.error_type) == ("t", "WorkerCrashedError")
    assert found.tasks["t"].status == "FAILED"


def test_caught_errors_are_outputs(folder: OldFolder) -> None:
    made = folder.workflow("w", "SUCCESSFUL", "outer", started=T0, ended=T0 + 9)
    made.task("outer", one, started=T0 + 1, ended=T0 + 2, continued_to="inner", catch_exceptions=True)
    made.task("unused", one)
    made.task("inner", one, [upstream(0)], refs=["unused"], started=T0 + 3, error=ValueError("no"))
    found = state(told(folder))
    assert {name: task.status for name, task in found.tasks.items()} == {
        "outer": "CAUGHT", "inner": "FAILED", "unused": "SKIPPED"
    }  # fmt: skip
    assert found.tasks["outer"].caught is not None and found.output is not None
    assert loads(found.tasks["outer"].caught.data or b"")[1].args == ("no",)


def test_a_retried_task_has_both_attempts(folder: OldFolder) -> None:
    made = folder.workflow("w", "SUCCESSFUL", "t", started=T0, ended=T0 + 9)
    made.task("t", one, started=T0 + 3, ended=T0 + 4, output=1, error=ValueError("once"), failed=T0 + 2)
    events = told(folder)
    failed, scheduled = ev.ATTEMPT_FAILED, ev.ATTEMPT_RETRY_SCHEDULED
    assert types(events, "t")[1:5] == [ev.ATTEMPT_SUBMITTED, failed, scheduled, ev.ATTEMPT_SUBMITTED]
    assert (state(events).attempts, state(events).retries, state(events).runs) == (2, 1, 1)


def test_what_was_before_the_last_run_is_an_earlier_one(folder: OldFolder) -> None:
    made = folder.workflow("w", "SUCCESSFUL", "last", started=T0 + 100, ended=T0 + 109)
    made.task("first", one, started=T0 + 1, ended=T0 + 2, output=1)
    error = {"error": ValueError("once"), "failed": T0 + 3}
    made.task("middle", add, [upstream(0)], refs=["first"], started=T0 + 101, ended=T0 + 102, output=1, **error)
    made.task("last", add, [upstream(0)], refs=["middle"], started=T0 + 103, ended=T0 + 104, output=1)
    events = told(folder)
    assert [(event.type, event.run, event.kind) for event in events if event.task_id is None][1:] == [
        (ev.WORKFLOW_STARTED, 1, "new"),
        (ev.WORKFLOW_FAILED, 1, None),
        (ev.WORKFLOW_STARTED, 2, "resume"),
        (ev.WORKFLOW_SUCCEEDED, 2, None),
    ]
    assert ev.TASK_REUSED in types(events, "first") and ev.TASK_RESET in types(events, "middle")
    assert state(events).submitted_at == 1_700_000_001_000_000


def test_an_interrupted_workflow_is_resumable(folder: OldFolder) -> None:
    made = folder.workflow("w", "RUNNING", "b", started=T0)
    made.task("a", one, started=T0 + 1, ended=T0 + 2, output=1)
    made.task("b", add, [upstream(0)], refs=["a"], started=T0 + 3)
    found = state(told(folder))
    assert (found.status, found.tasks["a"].status, found.tasks["b"].status) == ("RESUMABLE", "SUCCESSFUL", "PENDING")
    assert found.tasks["b"].error_type == "AttemptLost"


def test_one_that_waited_never_ran(folder: OldFolder) -> None:
    folder.workflow("w", "PENDING", "a").task("a", one)
    found = state(told(folder))
    assert (found.status, found.runs, found.started_at) == ("RESUMABLE", 0, None)


def test_one_that_was_resumed_and_waited(folder: OldFolder) -> None:
    made = folder.workflow("w", "PENDING", "b", started=T0, ended=T0 + 5)
    made.task("a", one, started=T0 + 1, ended=T0 + 2, output=1)
    made.task("b", add, [upstream(0)], refs=["a"], started=T0 + 3, error=ValueError("no"))
    events = told(folder)
    assert types(events)[1:] == [ev.WORKFLOW_STARTED, ev.WORKFLOW_FAILED, ev.WORKFLOW_QUEUED, ev.WORKFLOW_INTERRUPTED]
    assert state(events).runs == 1


def test_canceled(folder: OldFolder) -> None:
    made = folder.workflow("w", "CANCELED", "b", started=T0)
    made.task("a", one, started=T0 + 1)
    made.task("b", add, [upstream(0)], refs=["a"])
    found = state(told(folder))
    assert (found.status, {task.status for task in found.tasks.values()}) == ("CANCELED", {"CANCELED"})


def test_a_canceled_id_that_never_was(folder: OldFolder) -> None:
    folder.workflow("w", "CANCELED")
    assert (state(told(folder)).status, state(told(folder)).tasks) == ("CANCELED", {})


def test_what_was_not_kept_is_said(folder: OldFolder) -> None:
    made = folder.workflow("w", "SUCCESSFUL", "f", started=T0, ended=T0 + 9)
    made.task("f", one, started=T0 + 1, ended=T0 + 2, checkpoint=False)
    for number in (1, 2):
        made.task(f"f_{number}", started=T0 + 1 + 2 * number, ended=T0 + 2 + 2 * number)
    found = state(told(folder))
    assert {name: task.creator for name, task in found.tasks.items()} == {"f": None, "f_1": "f", "f_2": "f_1"}
    assert {task.status for task in found.tasks.values()} == {"SUCCESSFUL"} and found.output is None


def test_arguments_in_the_form_of_a_task(folder: OldFolder) -> None:
    made = folder.workflow("w", "FAILED", "c", started=T0, ended=T0 + 1)
    made.task("a", one, output=1)
    made.task("b", one, output=2)
    made.object(KEYS[0], "content")
    made.object(KEYS[1], {"inner": object_ref(KEYS[2])})
    made.object(KEYS[2], "bottom")
    both = upstream(1)
    args = [both, [upstream(0), both], object_ref(KEYS[0])]
    made.task("c", add, args, kwargs={"k": {"r": object_ref(KEYS[1])}}, refs=["a", "b"], error=ValueError())
    task = state(told(folder)).tasks["c"]
    assert task.args is not None and task.args.data is not None
    assert (task.upstream, task.kinds) == (["a", "b", "b"], ["nested", "argument", "nested"])
    assert loads(task.args.data)[0][1] == [loads(b"cwfstore.payloads.placeholders\nUpstream\n(I0\ntR."), loads(
        b"cwfstore.payloads.placeholders\nUpstream\n(I2\ntR."
    )]  # fmt: skip
    assert [loads(ref.data or b"") for ref in task.shared] == ["content", {"inner": "bottom"}]


def test_plain_arguments_need_no_stand_ins(folder: OldFolder) -> None:
    folder.workflow("w", "FAILED", "t").task("t", add, [1, [2]], kwargs={"y": "z"}, error=ValueError())
    args = state(told(folder)).tasks["t"].args
    assert args is not None and pickle.loads(args.data or b"") == ((1, [2]), {"y": "z"})


def test_tasks_that_wait_for_each_other_are_refused(folder: OldFolder) -> None:
    made = folder.workflow("w", "FAILED", "a")
    made.task("a", one, [upstream(0)], refs=["b"])
    made.task("b", one, [upstream(0)], refs=["a"])
    with pytest.raises(TraceError, match="a cycle"):
        told(folder)


def test_continuations_in_a_circle_are_refused(folder: OldFolder) -> None:
    made = folder.workflow("w", "FAILED", "a")
    made.task("a", one, continued_to="b")
    made.task("b", one, continued_to="a")
    with pytest.raises(TraceError, match="a cycle"):
        told(folder)


def moment(rng: random.Random, within_s: int) -> int:
    return (int(T0) + rng.randint(0, within_s)) * 1_000_000


def random_old(rng: random.Random) -> OldWorkflow:
    """Any mixture of files, also such as no ray.workflow would have left."""
    blob = Blob("x", 5, None, dumps(1))
    names = [f"t{i}" for i in range(rng.randint(0, 7))]
    named = [*names, "unknown"]
    tasks = {}
    for position, name in enumerate(names):
        start = rng.choice([None, moment(rng, 40)])
        end = rng.choice([None, moment(rng, 60)])
        tasks[name] = OldTask(
            name,
            rng.choice(["f", name]),
            known=True,
            options={"catch_exceptions": rng.random() < 0.3, "checkpoint": rng.random() < 0.8},
            upstream=tuple(rng.sample(named[:position], rng.randint(0, min(position, 2)))),
            started_us=start,
            ended_us=end,
            args=rng.choice([None, Blob("x", 5, None, dumps([]))]),
            body=rng.choice([None, blob]),
            output=rng.choice([None, None, blob]),
            exception=rng.choice([None, None, Blob("e", 5, moment(rng, 60), dumps(ValueError("e")))]),
            continued_to=rng.choice([None, None, None, *named[position + 1 :]]),
        )
    return OldWorkflow(
        "w",
        rng.choice(STATUSES),
        {},
        rng.choice([None, *named]),
        tasks,
        {},
        started_us=rng.choice([None, moment(rng, 50)]),
        ended_us=rng.choice([None, 1_700_000_070_000_000]),
        times_kept=rng.random() < 0.5,
    )


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_the_files_say_the_rows_are_legal(seed: int) -> None:
    old = random_old(random.Random(seed))
    checked(tell(old, Keeper(None, lambda path: b""), 0, "here", NOW).events)
