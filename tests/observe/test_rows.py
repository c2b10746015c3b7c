"""What there is: pages, rows, where they come from, and that they agree with the store."""

from __future__ import annotations

import time

import pytest

from tests.index.worlds import dag, fan, spec
from tests.observe.conftest import Stage
from wfstore import WorkflowObservability, errors
from wfstore._observe.snapshots import SHARED_S
from wfstore.model.commands import Cancel
from wfstore.model.progress import Progress
from wfstore.schema.views import VIEWS


def three(stage: Stage) -> None:
    """Two that have ended, one that runs."""
    stage.world.submit("old-1", fan(2), {"team": "a"})
    stage.world.finish()
    stage.world.submit("old-2", dag(spec("solo")), {"team": "b"})
    stage.world.finish()
    stage.world.submit("w", dag(spec("a"), spec("b", 0)), {"team": "a", "name": "nightly"})
    stage.commit()


def test_a_page_says_where_its_rows_come_from(stage: Stage, live: WorkflowObservability) -> None:
    three(stage)
    page = live.workflows(limit=2)
    assert [row["workflow_id"] for row in page.rows] == ["w", "old-2"]
    assert [row["origin"] for row in page.rows] == ["live", "store"]
    assert page.total == 3
    assert page.as_of_seq == stage.committed
    assert page.rows[0]["metadata"] == {"team": "a", "name": "nightly"}
    assert live.workflows(limit=2, offset=2).rows[0]["workflow_id"] == "old-1"
    assert live.workflows(offset=7) == ([], 3, stage.committed)
    assert set(page.rows[1]) == {column.name for column in VIEWS["workflows"]} | {"origin", "as_of_seq"}


def test_filters_and_order(stage: Stage, stored: WorkflowObservability) -> None:
    three(stage)

    def ids(**given: object) -> list[str]:
        page = stored.workflows(**given)  # type: ignore[arg-type]
        assert page.total == len(page.rows)
        return [row["workflow_id"] for row in page.rows]

    assert ids(text="OLD") == ["old-2", "old-1"]
    assert ids(text="OLD", order_by="workflow_id") == ["old-1", "old-2"]
    assert ids(text="%") == []
    assert ids(metadata={"team": "a"}, status="SUCCESSFUL") == ["old-1"]
    assert ids(name="nightly") == ["w"]
    assert ids(since="1h") == []
    with pytest.raises(ValueError, match="no status is called 'LOST'"):
        stored.workflows(status="LOST")
    with pytest.raises(ValueError, match="cannot order by 'nothing'"):
        stored.workflows(order_by="nothing")
    with pytest.raises(ValueError, match="limit takes a whole number"):
        stored.workflows(limit=-1)
    assert stored.counts()["SUCCESSFUL"] == 2
    assert stored.counts()["FAILED"] == 0


def test_progress_is_live_at_once_and_in_the_store_when_it_is_logged(
    stage: Stage, live: WorkflowObservability, stored: WorkflowObservability
) -> None:
    stage.world.submit("w", dag(spec("a"), spec("b", 0)))
    key = stage.begin("a")
    stage.says(key, Progress(0.5, "half", {"loss": 0.25}))
    stage.ask("changes", None, 0.0)  # the loop has done what was before
    task = live.tasks("w")["a"]
    assert (task["progress"], task["progress_message"], task["progress_metrics"]) == (0.5, "half", {"loss": 0.25})
    assert (task["run"], task["attempt"], task["node_id"], task["worker_pid"]) == (1, 1, "node", 7)
    assert (task["origin"], live.workflow("w")["progress"]) == ("live", 0.25)
    assert live.workflows().rows[0]["progress"] == 0.25
    assert stored.tasks("w")["a"]["progress"] is None
    stage.logs(key, Progress(0.5, "half", {"loss": 0.25}))
    task = stored.tasks("w")["a"]
    assert (task["progress"], task["progress_metrics"], task["origin"]) == (0.5, {"loss": 0.25}, "store")
    assert stored.workflow("w")["progress"] == 0.25
    stage.world.end("a", "w", progress=Progress(0.9))
    stage.commit()
    assert stored.tasks("w")["a"]["progress"] == 0.9
    assert stored.attempts("w", "a")[0]["progress"] == 0.9
    assert stored.workflow("w")["progress"] == 0.5
    stage.world.finish()
    stage.commit()
    time.sleep(SHARED_S)
    assert live.workflow("w")["progress"] == stored.workflow("w")["progress"] == 1.0
    assert live.workflow("w")["origin"] == "store"


def test_a_task_that_runs_has_all_columns_and_says_what_the_log_says(
    stage: Stage, live: WorkflowObservability, stored: WorkflowObservability
) -> None:
    options = {"max_retries": 1, "retry_exceptions": True, "timeout_s": 9.5}
    stage.world.submit("w", dag(spec("a", **options), spec("b", 0)))
    stage.world.fail("a", retryable=True)
    stage.commit()
    ours, theirs = live.tasks("w"), stored.tasks("w")
    assert [task["origin"] for task in (*ours.values(), *theirs.values())] == ["live"] * 2 + ["store"] * 2
    assert {column.name for column in VIEWS["live_tasks"]} | {"origin"} == set(ours["a"])
    for name in ("options", "retries", "defined_seq"):
        assert [task[name] for task in ours.values()] == [task[name] for task in theirs.values()]
    assert (ours["a"]["options"], ours["a"]["retries"], ours["b"]["options"]) == (options, 1, {})


def test_what_was_said_last_survives_a_cancel(stage: Stage, stored: WorkflowObservability) -> None:
    stage.world.submit("w", dag(spec("a")))
    key = stage.begin("a")
    stage.logs(key, Progress(0.25, "on the way"))
    stage.do(Cancel("w", "r1", "me"))
    attempt = stored.attempts("w")[0]
    assert (attempt["status"], attempt["progress"], attempt["progress_message"]) == ("CANCELED", 0.25, "on the way")


def test_one_workflow_from_every_side(stage: Stage, stored: WorkflowObservability) -> None:
    three(stage)
    tasks = stored.tasks("old-1")
    assert list(tasks) == ["list", "map", "map_1", "total"]
    assert [attempt["task_id"] for attempt in stored.attempts("old-1")] == list(tasks)
    assert [run["outcome"] for run in stored.runs("old-1")] == ["SUCCESSFUL"]
    assert len(stored.edges("old-1")) == 4
    events = stored.events("old-1")
    assert stored.events("old-1", after_seq=events[4]["seq"], limit=2) == events[5:7]
    assert events[0]["attributes"]["tasks"] == 4
    with pytest.raises(errors.WorkflowNotFoundError):
        stored.workflow("nobody")
    with pytest.raises(errors.WorkflowNotFoundError):
        stored.events("nobody")


def test_a_history_that_has_not_gone_on_is_not_folded_again(stage: Stage, stored: WorkflowObservability) -> None:
    three(stage)
    first = stored._rows.history("old-1")
    assert stored._rows.history("old-1") is first
    stage.do(Cancel("w"))
    assert stored._rows.history("old-1") is first, "something else went on"
    stage.world.submit("old-3", dag(spec("solo")))
    stage.commit()
    assert stored._rows.history("w") is not first


def test_a_manager_that_does_not_answer_is_no_trouble_to_readers(stage: Stage, live: WorkflowObservability) -> None:
    three(stage)
    assert live.live
    stage.down = True
    live._link._up_until = 0.0
    assert not live.live
    assert "does not answer at the moment" in live.why_not_live()
    assert live.workflows().total == 3
    assert live.workflow("w")["origin"] == "store"
    asked = len(stage.asked)
    live.workflow("w")
    assert len(stage.asked) == asked, "for a moment it is not asked again"
