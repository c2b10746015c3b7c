"""Section 14: resume, in one cluster; what a kill of the whole cluster leaves is in test_14_recovery."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import ray

import wfstore
from tests.catalogue.items import item
from tests.catalogue.tasks import add, failed, fragile, named, noted
from tests.engine.programs.tasks import chain
from tests.engine.world import World, eventually, executions, ids
from wfstore import workflow
from wfstore.log import read_lease
from wfstore.log.segment import LOG_DIRECTORY
from wfstore.model.events import Event

pytestmark = [pytest.mark.ray, pytest.mark.fault]


@item("V1", "resume gives the value, resume_async a reference; an unknown id: WorkflowNotResumableError")
def test_V1_resume(world: World) -> None:
    log, flag = str(world.file("v1")), world.file("v1-ok")
    for name in ("v1", "v1-async"):
        failed(fragile.bind(log, name, str(flag), 7), name)
    flag.touch()
    assert workflow.resume("v1") == 7
    ref = workflow.resume_async("v1-async")
    assert isinstance(ref, ray.ObjectRef)
    assert ray.get(ref) == 7
    for call in (workflow.resume, workflow.resume_async):
        with pytest.raises(
            workflow.WorkflowNotResumableError, match=re.escape("Workflow[id=nobody] is not resumable.")
        ):
            call("nobody")


@item("V2", "only what had not finished runs again; after success a resume reads the stored output")
def test_V2_only_unfinished(world: World) -> None:
    log, flag = world.file("v2"), world.file("v2-ok")
    a = noted.bind(str(log), "a", 1)
    b = noted.bind(str(log), "b", 2, a)
    middle = fragile.bind(str(log), "middle", str(flag), 3)
    failed(add.bind(a, b, noted.bind(str(log), "end", 4, middle)), "v2")
    flag.touch()
    for _ in range(2):
        assert workflow.resume("v2") == 7
    assert executions(log) == {"a": 1, "b": 1, "middle": 2, "end": 1}


@item("V5", "a resume moves start_time and end_time of the stats; history keeps every run")
def test_V5_stats_of_a_resume(world: World) -> None:
    log, flag = str(world.file("v5")), world.file("v5-ok")
    failed(fragile.bind(log, "x", str(flag)), "v5")
    before = workflow.get_metadata("v5")
    flag.touch()
    workflow.resume("v5")
    now = workflow.get_metadata("v5")
    assert (before["status"], now["status"]) == ("FAILED", "SUCCESSFUL")
    for key in ("start_time", "end_time"):
        assert now["stats"][key] > before["stats"][key]
    rows = wfstore.open(world.storage, live=False).sql("select outcome from runs where workflow_id = 'v5' order by run")
    assert [outcome for (outcome,) in rows.fetchall()] == ["FAILED", "SUCCESSFUL"]


@item(
    "V6",
    "while a resumed workflow runs its stats have a start_time only",
    ours="the old end_time of the run before stood there meanwhile",
)
def test_V6_stats_while_it_runs_again(world: World) -> None:
    @ray.remote
    def second_time_waits(folder: str) -> int:
        mark = Path(folder, "v6-once")
        if not mark.exists():
            mark.touch()
            raise ValueError("once")
        while not Path(folder, "v6-go").exists():
            time.sleep(0.02)
        return 1

    failed(second_time_waits.bind(str(world.folder)), "v6")
    assert set(workflow.get_metadata("v6")["stats"]) == {"start_time", "end_time"}
    ref = workflow.resume_async("v6")
    assert set(workflow.get_metadata("v6")["stats"]) == {"start_time"}
    (world.folder / "v6-go").touch()
    assert ray.get(ref) == 1


def _prefixes(world: World, folder: Path) -> list[tuple[int, str]]:
    """Copies of the world's store that end after some of its commits: (events kept, storage)."""
    names_of = sorted((Path(world.storage) / LOG_DIRECTORY).iterdir())
    whole = world.events()
    made: dict[int, str] = {}
    newest = names_of[-1]
    data = newest.read_bytes()
    for cut in range(len(data), 0, -max(1, len(data) // 24)):
        copy = folder / f"cut{cut}"
        shutil.copytree(world.storage, copy)
        (copy / LOG_DIRECTORY / newest.name).write_bytes(data[:cut])
        kept = len(_events(str(copy)))
        if kept in made:
            shutil.rmtree(copy)
        else:
            made[kept] = str(copy)
    assert len(whole) in made
    return sorted(made.items())


def _events(storage: str) -> list[Event]:
    from wfstore.log import LogReader

    return list(LogReader(storage).events())


@item(
    "V7",
    "whatever prefix of the log a crash leaves, once the submission is in it a resume comes to the same result; "
    "with less "
    "the id is unknown and can run as new",
    ours="resume raises WorkflowNotResumableError there, as for every unknown id",
)
@pytest.mark.slow
def test_V7_every_prefix_of_the_log(own_world: World, tmp_path: Path) -> None:
    log = own_world.file("log")
    assert workflow.run(chain(str(log), 6), workflow_id="v7") == 6
    os.kill(own_world.describe()["pid"], signal.SIGSTOP)
    try:
        stores = _prefixes(own_world, tmp_path)
    finally:
        os.kill(_pid(own_world), signal.SIGCONT)
    seen = set()
    for kept, storage in stores[:: max(1, len(stores) // 8)]:
        known = any(event.workflow_id == "v7" for event in _events(storage))
        space = ids("prefix")
        workflow.init(storage=storage, namespace=space)
        if known:
            # The copy names the same cluster, so the new manager resumes it by itself.
            assert workflow.get_output("v7") == 6, f"{kept} events"
        else:
            with pytest.raises(workflow.WorkflowNotResumableError):
                workflow.resume("v7")
            assert workflow.run(chain(str(log), 6), workflow_id="v7") == 6
        seen.add(known)
        handle = ray.get_actor("WorkflowManagementActor", space)
        ray.get(handle.stop.remote())
        ray.kill(handle)
    assert seen == {True, False}
    own_world.use()


def _pid(world: World) -> int:
    lease = read_lease(world.storage)
    assert lease is not None
    return lease.pid


@item(
    "V8",
    "what many tasks or a chain of continuations share is kept once, and a resume writes none of it again",
    internal="the old suite counted downloads of its storage; here payloads are content-addressed files",
)
def test_V8_shared_payloads(world: World) -> None:
    flag, payloads = world.file("v8-ok"), Path(world.storage, "payloads")

    @ray.remote
    def passes(value: bytes, n: int, flag: str) -> Any:
        if n == 3 and not os.path.exists(flag):
            raise ValueError("not yet")
        return value[:3] if n == 0 else workflow.continuation(passes.bind(value, n - 1, flag))

    def weight() -> int:
        return sum(path.stat().st_size for path in payloads.rglob("*") if path.is_file())

    before = weight()
    failed(named(passes, "top").bind(b"abc" * 500_000, 10, str(flag)), "v8")
    kept = weight() - before
    assert kept < 2 * 1_500_000
    flag.touch()
    assert workflow.resume("v8") == b"abc"
    assert weight() - before < kept + 100_000


@item("V4")
def test_V4_a_broken_one_does_not_stop_the_others(own_world: World) -> None:
    """Its function is gone from the store."""
    flag, log = own_world.file("ok"), str(own_world.file("log"))

    @ray.remote
    def odd(flag: str) -> str:
        if not os.path.exists(flag):
            raise ValueError("a function of its own, whose body lies in the store")
        return "odd"

    failed(odd.bind(str(flag)), "broken")
    failed(fragile.bind(log, "fine", str(flag), "fine"), "fine")
    os.kill(own_world.describe()["pid"], signal.SIGKILL)
    eventually(lambda: workflow.get_status("fine") == "FAILED", "the manager is back")
    gone = _function_file(own_world, "broken")
    kept = gone.read_bytes()
    gone.unlink()
    flag.touch()
    refs = dict(workflow.resume_all(include_failed=True))
    assert ray.get(refs["fine"], timeout=30) == "fine"
    if "broken" in refs:
        with pytest.raises(workflow.WorkflowExecutionError):
            ray.get(refs["broken"], timeout=60)
    gone.write_bytes(kept)  # so that the store is whole again when the world is checked


def _function_file(world: World, workflow_id: str) -> Path:
    (task,) = world.state().workflows[workflow_id].tasks.values()
    found = [path for path in Path(world.storage, "payloads").rglob("*") if task.function_hash in path.name]
    assert len(found) == 1, found
    return found[0]
