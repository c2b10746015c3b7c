"""Actions: who asked is in the log, what is refused says why, and nothing is done where no manager answers."""

from __future__ import annotations

import pytest

from tests.index.worlds import dag, lease, spec
from tests.observe.conftest import Stage
from wfstore import WorkflowObservability, errors
from wfstore._observe.actions import Actions
from wfstore._observe.link import Link
from wfstore.log import remove_lease, write_lease
from wfstore.model import events as ev
from wfstore.model.state import WorkflowState


def some(stage: Stage) -> None:
    stage.world.submit("done", dag(spec("a")), {"team": "a"})
    stage.world.finish()
    stage.world.submit("failed", dag(spec("a", max_retries=0)), {"team": "a"})
    stage.world.fail("a")
    stage.world.submit("running", dag(spec("a")), {"team": "b"})
    stage.commit()


def state(stage: Stage, workflow_id: str) -> WorkflowState:
    return stage.world.simulation.state.workflows[workflow_id]


def test_each_is_an_event_that_says_who_asked(stage: Stage, live: WorkflowObservability) -> None:
    some(stage)
    live.cancel("running", by="ada", request_id="r1")
    live.resume("failed", by="ada", request_id="r2")
    live.delete("done", by="ada", request_id="r3")
    said = {event.type: (event.by, event.request_id) for event in stage.world.simulation.log if event.by}
    assert said[ev.WORKFLOW_CANCELED] == ("ada", "r1")
    assert said[ev.WORKFLOW_STARTED] == ("ada", "r2")
    assert said[ev.WORKFLOW_DELETED] == ("ada", "r3")
    before = stage.committed
    live.cancel("running", by="ada", request_id="r1")
    live.resume("failed", by="ada", request_id="r2")
    live.delete("done", by="ada", request_id="r3")
    assert stage.committed == before, "a request that was carried out is not carried out again"
    live.cancel("failed")
    last = stage.world.simulation.log[-1]
    assert "@" in (last.by or "")
    assert last.request_id


def test_an_order_asks_anew_after_a_look_that_was_not_answered() -> None:
    class Busy:
        def __init__(self) -> None:
            self.asked = 0

        def ask(self, method: str, *args: object, timeout_s: float = 5.0) -> str:
            self.asked += 1
            if self.asked == 1:
                raise errors.ManagerLostError("store", "no answer in time")
            return "CANCELED"

        def cancel(self, *args: object) -> None:
            pass

    busy = Busy()
    link = Link("store", lambda: busy, None)  # type: ignore[arg-type, return-value]
    assert not link.alive()
    assert not link.alive(), "for a moment nobody asks"
    Actions("store", link).do("cancel", "w")
    assert busy.asked == 3


def test_what_cannot_be_done_is_said(stage: Stage, live: WorkflowObservability) -> None:
    some(stage)
    with pytest.raises(errors.WorkflowError, match="done is SUCCESSFUL: there is nothing to cancel"):
        live.cancel("done")
    with pytest.raises(errors.WorkflowStillActiveError):
        live.delete("running")
    with pytest.raises(errors.WorkflowNotFoundError):
        live.cancel("nobody")
    with pytest.raises(ValueError, match="there is no action 'explode'"):
        live.bulk("explode")  # type: ignore[arg-type]


def test_many_at_once_after_a_dry_run(stage: Stage, live: WorkflowObservability) -> None:
    some(stage)
    dry = live.bulk("delete", metadata={"team": "a"})
    assert [(row["workflow_id"], row["done"], row["error"]) for row in dry] == [
        ("done", False, None),
        ("failed", False, None),
    ]
    refused = live.bulk("delete", ids=["running", "done"])
    assert [row["error"] for row in refused] == [None, "workflow running is RUNNING: cancel it first"]
    assert set(stage.world.simulation.state.workflows) == {"done", "failed", "running"}
    done = live.bulk("delete", dry_run=False)
    assert [(row["workflow_id"], row["done"]) for row in done] == [("done", True), ("failed", True), ("running", False)]
    assert "RUNNING" not in str(done[2]["status"]) or done[2]["error"]


def test_resume_all_with_failed(stage: Stage, live: WorkflowObservability) -> None:
    some(stage)
    assert live.resume_all() == []
    rows = live.resume_all(include_failed=True, by="ada")
    assert [(row["workflow_id"], row["status"], row["done"]) for row in rows] == [("failed", "FAILED", True)]
    assert state(stage, "failed").status == "RUNNING"


def test_without_a_manager_nothing_is_done(stage: Stage, stored: WorkflowObservability) -> None:
    some(stage)
    write_lease(stage.storage, lease())
    for act in (stored.cancel, stored.resume, stored.rerun, stored.delete):
        with pytest.raises(errors.ManagerLostError, match=r"runs on host .* as process \d+, and live state was not"):
            act("running")
    assert [row["error"] for row in stored.bulk("cancel", ids=["running"])] == [None], "a dry run needs none"
    with pytest.raises(errors.ManagerLostError):
        stored.bulk("cancel", ids=["running"], dry_run=False)
    remove_lease(stage.storage)
    with pytest.raises(errors.ManagerLostError, match=r"no manager runs: start one with workflow.init"):
        stored.cancel("running")
    assert not stored.live
