"""What changes: nothing is missed and nothing told twice, from a manager, from a store, and from one to the other."""

from __future__ import annotations

import asyncio
import threading
import time
from unittest.mock import Mock

import pytest

from tests.index.worlds import World, dag, fan, spec
from tests.observe.conftest import Stage
from wfstore import WorkflowObservability
from wfstore._observe import Changes, following, opening
from wfstore.engine import changes as engine
from wfstore.model.commands import Cancel, Delete
from wfstore.model.progress import Progress
from wfstore.model.rows import task_facts


def told(changes: Changes) -> dict[str, str]:
    """Statuses of workflows and tasks."""
    tasks = {f"{row['workflow_id']}/{row['task_id']}": row["status"] for row in changes.tasks}
    return {row["workflow_id"]: row["status"] for row in changes.workflows} | tasks


@pytest.fixture(params=["live", "stored"])
def observed(request: pytest.FixtureRequest) -> WorkflowObservability:
    found: WorkflowObservability = request.getfixturevalue(request.param)
    return found


def test_what_changed_is_told_once(stage: Stage, observed: WorkflowObservability) -> None:
    stage.world.submit("before", dag(spec("a")))
    stage.commit()
    start = observed.changes()
    assert (start.workflows, start.tasks, start.resync) == ([], [], False)
    stage.world.submit("w", dag(spec("a"), spec("b", 0)))
    stage.commit()
    first = observed.changes(start.cursor, timeout_s=5)
    assert told(first) == {"w": "RUNNING", "w/a": "PENDING", "w/b": "PENDING"}
    assert first.as_of_seq == stage.committed
    assert told(observed.changes(first.cursor, timeout_s=0.05)) == {}
    stage.world.end("a", "w")
    stage.commit()
    second = observed.changes(first.cursor, timeout_s=5)
    assert told(second) == {"w": "RUNNING", "w/a": "SUCCESSFUL", "w/b": "PENDING"}
    stage.rest()
    again = observed.changes(start.cursor, timeout_s=5)
    assert told(again) == told(second), "each row once, as it is now"
    assert {row["origin"] for row in again.tasks} == {"live" if observed.live else "store"}


def test_it_waits_for_a_change_and_no_longer(stage: Stage, observed: WorkflowObservability) -> None:
    cursor = observed.changes().cursor
    stage.world.submit("w", dag(spec("a")))
    timer = threading.Timer(0.3, stage.commit)
    timer.start()
    began = time.monotonic()
    assert told(observed.changes(cursor, timeout_s=10)) == {"w": "RUNNING", "w/a": "PENDING"}
    assert 0.25 < time.monotonic() - began < 3
    timer.join()


def test_one_workflow_only(stage: Stage, observed: WorkflowObservability) -> None:
    cursor = observed.changes(workflow_id="w").cursor
    stage.world.submit("other", dag(spec("a")))
    stage.commit()
    none = observed.changes(cursor, timeout_s=0.1, workflow_id="w")
    assert told(none) == {}
    stage.world.submit("w", dag(spec("a")))
    stage.commit()
    assert told(observed.changes(none.cursor, timeout_s=5, workflow_id="w")) == {"w": "RUNNING", "w/a": "PENDING"}


def test_deleted_and_used_anew(stage: Stage, observed: WorkflowObservability) -> None:
    stage.world.submit("w", fan(2))
    stage.do(Cancel("w"))
    cursor = observed.changes().cursor
    stage.do(Delete("w"))
    gone = observed.changes(cursor, timeout_s=5)
    assert (gone.deleted, gone.workflows, gone.tasks) == (["w"], [], [])
    stage.world.submit("w", dag(spec("solo")))
    stage.commit()
    stage.rest()
    new = observed.changes(cursor, timeout_s=5)
    assert (new.deleted, told(new)) == (["w"], {"w": "RUNNING", "w/solo": "PENDING"})


def test_too_much_at_once_is_a_reason_to_look_anew(
    stage: Stage, stored: WorkflowObservability, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "MOST_TASKS", 5)
    cursor = stored.changes().cursor
    stage.world.submit("w", fan(6))
    stage.commit()
    lost = stored.changes(cursor, timeout_s=5)
    assert (lost.resync, lost.workflows) == (True, [])
    assert told(stored.changes(lost.cursor, timeout_s=0.05)) == {}


def test_behind_what_the_manager_keeps(
    stage: Stage, live: WorkflowObservability, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "MOST_TOUCHED", 5)
    cursor = live.changes().cursor
    stage.world.submit("w", fan(6))
    stage.commit()
    lost = live.changes(cursor, timeout_s=5)
    assert (lost.resync, lost.workflows) == (True, [])
    stage.world.end("list", "w")
    stage.commit()
    assert live.changes(lost.cursor, timeout_s=5).resync, "seven attempts at once, again"


def test_a_large_answer_comes_in_parts(
    stage: Stage, live: WorkflowObservability, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "MOST_ROWS", 10)
    cursor = live.changes().cursor
    stage.world.submit("w", fan(30))
    stage.commit()
    seen: dict[str, str] = {}
    rounds = 0
    while len(seen) < 33:
        answer = live.changes(cursor, timeout_s=5)
        assert len(answer.tasks) <= 10
        assert len(answer.workflows) == (rounds < 3), "how far it is comes with each part, and not only with the last"
        seen |= told(answer)
        cursor, rounds = answer.cursor, rounds + 1
    assert rounds == 4
    assert told(live.changes(cursor, timeout_s=0.05)) == {}


def test_progress_is_a_change(stage: Stage, live: WorkflowObservability) -> None:
    stage.world.submit("w", dag(spec("a")))
    key = stage.begin("a")
    cursor = live.changes().cursor
    stage.says(key, Progress(0.5, "half"))
    answer = live.changes(cursor, timeout_s=5)
    assert [(row["progress"], row["progress_message"]) for row in answer.tasks] == [(0.5, "half")]
    assert answer.workflows[0]["progress"] == 0.5


def test_from_the_manager_to_the_log_and_to_the_next_manager(stage: Stage, live: WorkflowObservability) -> None:
    stage.world.submit("w", dag(spec("a"), spec("b", 0)))
    stage.commit()
    cursor = live.changes().cursor
    stage.down = True
    lost = live.changes(cursor, timeout_s=5)
    assert (lost.resync, lost.cursor[0]) == (True, "s")
    stage.world.end("a", "w")
    stage.commit()
    assert told(live.changes(lost.cursor, timeout_s=5))["w/a"] == "SUCCESSFUL", "out of the log meanwhile"
    stage.start()
    live._link._down_until = 0.0
    back = live.changes(lost.cursor, timeout_s=5)
    assert (back.resync, back.cursor[0]) == (True, "m")
    stage.start()
    again = live.changes(back.cursor, timeout_s=5)
    assert again.resync, "the cursor of another manager"
    stage.world.finish()
    stage.commit()
    assert told(live.changes(again.cursor, timeout_s=5))["w"] == "SUCCESSFUL"


def test_nobody_asks_and_nothing_is_noted(
    stage: Stage, live: WorkflowObservability, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.world.submit("w", dag(spec("a"), spec("b", 0)))
    stage.commit()
    cursor = live.changes().cursor
    monkeypatch.setattr(engine, "_FORGOTTEN_AFTER_S", -1.0)
    stage.world.end("a", "w")
    stage.commit()
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), stage.loop).result()  # it has been noted
    monkeypatch.setattr(engine, "_FORGOTTEN_AFTER_S", 60.0)
    assert live.changes(cursor, timeout_s=5).resync


def test_those_who_ask_together_share_one_answer(stage: Stage, live: WorkflowObservability) -> None:
    cursor = live.changes().cursor
    answers: list[Changes] = []
    threads = [threading.Thread(target=lambda: answers.append(live.changes(cursor, timeout_s=5))) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    stage.world.submit("w", fan(3))
    stage.commit()
    for thread in threads:
        thread.join()
    assert len(answers) == 3
    assert answers[0] == answers[1] == answers[2]
    assert len(stage.changes._made) == 1


def test_what_left_the_memory_is_read_from_the_store(stage: Stage, live: WorkflowObservability) -> None:
    cursor = live.changes().cursor
    stage.world.submit("w", dag(spec("a")))
    stage.world.finish()
    stage.commit()
    stage.world.simulation.state.workflows["w"].cold = True
    answer = live.changes(cursor, timeout_s=5)
    assert [(row["workflow_id"], row["status"], row["origin"]) for row in answer.workflows] == [
        ("w", "SUCCESSFUL", "store")
    ]


def test_cursors_of_nobody(stage: Stage, observed: WorkflowObservability) -> None:
    with pytest.raises(ValueError, match="cursor"):
        observed.changes("7")
    assert observed.changes("m9.9.9", timeout_s=0.1).resync
    assert observed.changes("s1-1-1", timeout_s=0.1).resync


def test_rows_of_tasks_are_made_when_they_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Mock(wraps=opening.live_task_row)
    monkeypatch.setattr(opening, "live_task_row", made)
    world = World()
    world.submit("w", dag(spec("a"), spec("b", 0)))
    workflow = world.simulation.state.workflows["w"]
    facts = [tuple(task_facts(workflow, task)) for task in workflow.tasks.values()]
    rows = opening.LiveTasks(facts, 7, 0)
    assert (len(rows), bool(rows), made.call_count) == (2, True, 0)
    assert [row["task_id"] for row in rows] == ["a", "b"]
    assert rows == list(rows) == [*rows[:1], rows[-1]] and rows != []
    assert {(row["origin"], row["as_of_seq"]) for row in rows} == {("live", 7)}
    assert made.call_count == 2
    assert opening.LiveTasks([], 7, 0) == []
