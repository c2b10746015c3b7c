"""What the users of ray.workflow asked for first. These have no numbers in the catalogue."""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import ray

import wfstore
from tests.catalogue.tasks import add, failed, fragile, hold, identity, named, noted, one, started
from tests.engine.world import World, executions
from wfstore import workflow

pytestmark = pytest.mark.ray


@ray.remote
def clocked(log: str, until: int) -> int:
    """Fails until its `until`th attempt, and notes when each one began."""
    with open(log, "a") as file:
        file.write(f"{time.time()}\n")
    if len(Path(log).read_text().split()) < until:
        raise ValueError("not yet")
    return until


def pauses(log: Path) -> list[float]:
    times = [float(line) for line in log.read_text().split()]
    return [later - earlier for earlier, later in pairwise(times)]


def test_retries_wait_longer_and_longer(world: World) -> None:
    log = world.file("delays")
    options = workflow.options(retry_delay=0.3, retry_backoff=3, retry_jitter=0, max_retry_delay=0.6)
    task = clocked.options(max_retries=3, retry_exceptions=True, **options)
    assert workflow.run(task.bind(str(log), 4), workflow_id="delays") == 4
    first, *later = pauses(log)
    assert 0.3 <= first < 0.6 + 1
    assert all(0.6 <= pause < 3 for pause in later), "0.9 and 2.7 s are cut to 0.6 s"
    rows = wfstore.open(world.storage, live=False).sql(
        "select attempt, status from attempts where workflow_id = 'delays' order by attempt"
    )
    assert [attempt for attempt, _ in rows.fetchall()] == [1, 2, 3, 4]


def test_a_task_that_waits_for_its_retry_holds_no_cpu(world: World) -> None:
    log = str(world.file("held"))
    options = workflow.options(retry_delay=2.0, retry_jitter=0)
    task = clocked.options(max_retries=1, retry_exceptions=True, num_cpus=2, **options)
    ref = workflow.run_async(task.bind(log, 2), workflow_id="held")
    while not Path(log).exists():
        time.sleep(0.02)
    assert ray.get(identity.options(num_cpus=2).remote(1), timeout=1.5) == 1
    assert ray.get(ref, timeout=30) == 2


def test_timeout_of_an_attempt(world: World) -> None:
    log = world.file("attempts")

    @ray.remote
    def slow(log: str, slow_times: int) -> str:
        with open(log, "a") as file:
            file.write("x\n")
        if len(Path(log).read_text().split()) <= slow_times:
            time.sleep(1000)
        return "done"

    task = slow.options(max_retries=1, **workflow.options(timeout=0.5))
    assert workflow.run(task.bind(str(log), 1), workflow_id="timeout-once") == "done"
    error = failed(task.bind(str(log), 99), "timeout-twice")
    assert isinstance(error.__cause__, TimeoutError)
    assert executions(log)["x"] == 4


def test_timeout_of_a_workflow(world: World) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        workflow.run(hold.bind(str(world.folder), "slow"), workflow_id="slow", workflow_timeout=0.5)
    assert isinstance(caught.value, workflow.WorkflowExecutionError)
    assert time.monotonic() - began < 10
    assert workflow.get_status("slow") == "FAILED"


def test_rerun_is_the_same_again_under_a_new_id(world: World) -> None:
    log = world.file("rerun")
    workflow.run(noted.bind(str(log), "ran", [1, 2]), workflow_id="first", metadata={"k": 1})
    again = workflow.rerun("first")
    assert again != "first"
    assert workflow.get_output(again) == [1, 2]
    assert executions(log) == {"ran": 2}
    assert workflow.get_status("first") == workflow.get_status(again) == "SUCCESSFUL"
    with pytest.raises(workflow.WorkflowNotFoundError):
        workflow.rerun("nobody")


def test_list_tasks(world: World) -> None:
    flag, log = world.file("list-ok"), str(world.file("list-log"))
    dag = named(add, "sum").bind(named(one, "a").bind(), named(fragile, "bad").bind(log, "bad", str(flag), 1))
    failed(dag, "listed")
    found = {row["task_id"]: row for row in workflow.list_tasks("listed")}
    assert list(found) == ["a", "bad", "sum"]
    assert found["bad"]["status"] == "FAILED"
    assert found["bad"]["attempts"] == 1
    assert found["bad"]["error_type"] == "ValueError"
    assert found["a"]["started_at"] <= found["a"]["ended_at"]
    with pytest.raises(workflow.WorkflowNotFoundError):
        workflow.list_tasks("nobody")


def test_resume_with_the_code_of_now(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fix the bug and resume: "stored" still runs what was submitted."""
    module = tmp_path / "catalogue_repaired.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    source = "import ray\n\n@ray.remote\ndef work(value):\n    {}\n"
    module.write_text(source.format("raise ValueError('the bug')"))
    repaired = importlib.import_module("catalogue_repaired")
    ray_pickles_by_value = getattr(ray.cloudpickle, "register_pickle_by_value", None)
    assert ray_pickles_by_value is not None
    ray_pickles_by_value(repaired)
    failed(repaired.work.bind(5), "repaired")
    module.write_text(source.format("return value + 1  # repaired"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    importlib.invalidate_caches()
    importlib.reload(repaired)
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.resume("repaired")
    assert workflow.resume("repaired", code="current") == 6


def test_every_finished_task_has_its_output_in_history(world: World) -> None:
    dag = named(add, "sum").bind(named(identity, "a").bind(2), 3)
    assert workflow.run(dag, workflow_id="outputs") == 5
    store = wfstore.open(world.storage, live=False)
    assert [store.output("outputs", name) for name in ("a", "sum", None)] == [2, 5, 5]
    rows = store.sql("select task_id, output_repr from tasks where workflow_id = 'outputs'").fetchall()
    assert dict(rows) == {"a": "2", "sum": "5"}


def test_async_callers_await_run_async(world: World) -> None:
    async def main() -> Any:
        return await asyncio.gather(*[workflow.run_async(identity.bind(n)) for n in range(3)])

    assert asyncio.run(main()) == [0, 1, 2]


def test_the_last_output_of_a_failed_attempt_is_kept(world: World) -> None:
    @ray.remote
    def talks() -> None:
        print("the last words")
        raise ValueError("why")

    failed(talks.bind(), "talks")
    row = wfstore.open(world.storage, live=False).sql("from attempts where workflow_id = 'talks'").pl().row(0)
    event = world.events("attempt.failed", "talks")[0]
    assert "the last words" in f"{row} {event}"


def test_a_running_task_shows_in_list_tasks(world: World) -> None:
    ref = workflow.run_async(named(hold, "long").bind(str(world.folder), "long", 1), workflow_id="live")
    started(world, "long")
    deadline = time.monotonic() + 10
    while (status := workflow.list_tasks("live")[0]["status"]) != "RUNNING":
        assert time.monotonic() < deadline, status
        time.sleep(0.05)
    (world.folder / "long-go").touch()
    assert ray.get(ref) == 1
