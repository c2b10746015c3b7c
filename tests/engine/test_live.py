"""What the manager holds in memory, as rows beside those of the log."""

from __future__ import annotations

import pytest

import wfstore
from tests.engine.world import World
from wfstore import errors, workflow

pytestmark = pytest.mark.ray


@workflow.task
def waits_for(path: str) -> str:
    import os
    import time

    while not os.path.exists(path):
        time.sleep(0.02)
    return "done"


def test_live_rows_are_those_of_the_log_and_run_on(world: World) -> None:
    flag = world.file("live-flag")
    ref = workflow.run_async(waits_for.bind(str(flag)), workflow_id="live", metadata={"k": 1})
    with wfstore.open(world.storage, live=True).connect() as connection:
        live = connection.sql("FROM live_workflows WHERE workflow_id = 'live'").pl().to_dicts()[0]
        logged = connection.sql("FROM workflows WHERE workflow_id = 'live'").pl().to_dicts()[0]
    assert live["status"] == logged["status"] == workflow.get_status("live") == "RUNNING"
    assert live["elapsed_s"] > 0
    assert live["as_of_seq"] > 0
    assert live["metadata"] == logged["metadata"]
    store = wfstore.open(world.storage)  # joined because this process is connected to the manager already
    assert store.sql("SELECT count(*) FROM live_tasks WHERE workflow_id = 'live'").fetchall() == [(1,)]
    flag.touch()
    import ray

    assert ray.get(ref) == "done"
    joined = store.sql(
        "SELECT l.status, t.status, l.duration_s = t.duration_s, l.output_repr = t.output_repr, "
        "l.options = t.options, l.retries = t.retries, l.defined_seq = t.defined_seq "
        "FROM live_tasks l JOIN tasks t USING (workflow_id, task_id) WHERE workflow_id = 'live'"
    ).fetchall()
    assert joined == [("SUCCESSFUL", "SUCCESSFUL", *[True] * 5)]


def test_without_its_manager_a_store_has_no_live_rows(world: World) -> None:
    store = wfstore.open(world.storage, live=False)
    assert store.sql("SELECT count(*) FROM live_workflows").fetchall() == [(0,)]


def test_live_state_of_another_store_is_refused(world: World, tmp_path: object) -> None:
    from wfstore.log import open_writer

    other = open_writer(f"{tmp_path}/other")
    other.close()
    with pytest.raises(errors.ManagerLostError, match="uses"):
        wfstore.open(f"{tmp_path}/other", live=True)
