"""The core of the engine's tests with the store on S3: run, crash, resume, history, verify, delete."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import ray

import wfstore
from tests.engine.conftest import ROOT
from tests.engine.drivers import end_everything, launch, said
from tests.engine.programs.tasks import after, chain, link
from tests.engine.test_crash import Caller, kill_manager, nothing_ran_twice
from tests.engine.world import World, eventually, executions, ids
from tests.log.objects.proxy import Proxy
from wfstore import workflow
from wfstore.errors import FencedError, ManagerLostError, WorkflowNotFoundError
from wfstore.log import read_lease, resolve_storage, verify
from wfstore.model import events as ev

pytestmark = [pytest.mark.s3, pytest.mark.timeout(600)]


@ray.remote
def big(size: int) -> bytes:
    return b"x" * size


@ray.remote
def length(data: bytes) -> int:
    return len(data)


def test_run_history_sql_and_delete(world: World) -> None:
    log = world.file("log")
    assert workflow.run(chain(str(log), 5), workflow_id="chain", metadata={"k": 1}) == 5
    assert workflow.run(length.bind(big.bind(2_000_000)), workflow_id="big") == 2_000_000
    store = wfstore.open(world.storage)
    assert store.history("chain").status == "SUCCESSFUL"
    assert store.history("chain").tasks.height == 5
    assert store.output("chain") == 5
    assert store.sql("select count(*) from workflows").fetchall() == [(2,)]
    assert store.stats()["payload_bytes"] > 2_000_000, "a large output is an object of its own"
    assert workflow.get_output("chain") == 5
    workflow.delete("chain")
    assert dict(workflow.list_all()) == {"big": "SUCCESSFUL"}
    with pytest.raises(WorkflowNotFoundError):
        store.history("chain")
    assert verify(world.storage).ok


def test_kill_9_of_the_manager(world: World) -> None:
    log, count = world.file("log"), 40
    chance = random.Random(3)
    link.bind(str(log), "warm", 0)
    caller = Caller(chain(str(log), count), "chain")
    for moment in sorted(chance.sample(range(1, count - 1), 3)):
        at_moment = lambda at=moment: len(executions(log)) >= at or not caller.is_alive()  # noqa: E731
        eventually(at_moment, f"task {moment} runs", 120, 0.002)
        kill_manager(world)
    assert caller.answer(240) == count
    nothing_ran_twice(world, "chain", log)
    assert len(executions(log)) == count
    assert len(world.events(ev.MANAGER_STARTED)) == 4
    assert verify(world.storage).ok


@pytest.mark.parametrize("stopped", [False, True])
def test_a_live_manager_is_fenced(cluster: None, storage: str, tmp_path: Path, stopped: bool) -> None:
    """Another cluster takes the log; the manager that had it, awake or woken up later, acknowledges nothing more.

    SIGSTOP is what a partition looks like.
    """
    old, log = World(tmp_path, storage=storage), str(tmp_path / "log")
    assert workflow.run(after.bind(log, "a", 0.0, 1), workflow_id="a") == 1
    pid = old.describe()["pid"]
    if stopped:
        os.kill(pid, signal.SIGSTOP)
    new = World(tmp_path, storage=storage)
    assert workflow.run(after.bind(log, "b", 0.0, 2), workflow_id="b") == 2
    if stopped:
        os.kill(pid, signal.SIGCONT)
    old.use()
    with pytest.raises((FencedError, ManagerLostError)):
        workflow.run(after.bind(log, "c", 0.0, 3), workflow_id="c")
    new.use()
    assert workflow.run(after.bind(log, "d", 0.0, 4), workflow_id="d") == 4
    found = new.events()
    assert [event.seq for event in found] == list(range(1, len(found) + 1))
    assert {event.workflow_id for event in found} == {None, "a", "b", "d"}
    new.stop()


def test_the_death_of_a_cluster(storage: str, cluster: None, environment: None, tmp_path: Path) -> None:
    log = tmp_path / "log"
    driver = launch("doomed", storage, str(log))
    try:
        said(driver, "submitted")
        eventually(lambda: sum(name.startswith("t") for name in executions(log)) >= 6, "six tasks ran", 120)
    finally:
        end_everything(driver)
    lease = read_lease(resolve_storage(storage))
    assert lease is not None
    rows = dict(wfstore.open(storage, live=False).sql("select workflow_id, status from workflows").fetchall())
    assert rows["done"] == "SUCCESSFUL" and rows["chain"] == "RESUMABLE"
    before = set(executions(log))
    workflow.init(storage=storage, namespace=ids("after"))
    assert workflow.resume("chain") == 40
    again = [name for name, count in executions(log).items() if count > 1]
    assert len(again) <= 2 and before <= set(executions(log))
    assert verify(resolve_storage(storage)).ok


def test_the_command_line(world: World) -> None:
    log = world.file("log")
    workflow.run(chain(str(log), 3), workflow_id="w")

    def said_by(*command: str) -> str:
        arguments = [sys.executable, "-m", "wfstore", *command, "--storage", world.storage]
        return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "w" in said_by("ls")
    assert json.loads(said_by("show", "w", "--json"))["workflow"]["status"] == "SUCCESSFUL"
    assert "SUCCESSFUL" in said_by("history", "w")
    assert said_by("sql", "select count(*) as n from tasks", "--format", "csv").split() == ["n", "3"]
    assert '"workflow.succeeded"' in said_by("tail", "--json")
    assert '"workflow.succeeded"' in said_by("tail", "-f", "w", "--json")
    assert said_by("verify").startswith("ok: ")
    assert "log bytes" in said_by("stats")


@ray.remote
def tiny(number: int) -> int:
    return number


def test_group_commit_keeps_the_requests_few(world: World, proxy: Proxy) -> None:
    """1,000 events from 50 concurrent workflows cost at most 100 PUTs."""

    def chained(count: int) -> Any:
        node = tiny.bind(0)
        for _ in range(count - 1):
            node = tiny.bind(node)
        return node

    workflow.run(chained(2), workflow_id="warm")
    seq, before = world.seq(), Counter(proxy.requests)
    refs = [workflow.run_async(chained(7), workflow_id=f"w{number}") for number in range(50)]
    assert ray.get(refs, timeout=300) == [0] * 50
    events, puts = world.seq() - seq, (proxy.requests - before)["PUT"]
    print(f"{events} events, {puts} PUTs: {1000 * puts / events:.1f} per 1,000 events")
    assert events >= 1000
    assert puts <= events / 10


def test_secrets_are_nowhere(world: World, proxy: Proxy) -> None:
    """Credentials in the URI reach Ray's workers, and no byte of the store."""
    secret, key = os.environ["AWS_SECRET_ACCESS_KEY"], os.environ["AWS_ACCESS_KEY_ID"]
    storage = f"{world.storage}&access_key={key}&secret_key={secret}".replace("?", "/sub?")
    other = World(world.folder, storage=storage)
    assert workflow.run(length.bind(big.bind(300_000)), workflow_id="w") == 300_000
    assert workflow.get_output("w") == 300_000
    from wfstore.objects import bucket_of

    bucket = bucket_of(resolve_storage(storage))
    whole = b"".join(bucket.get(entry.name) or b"" for entry in bucket.entries())
    assert len(whole) > 300_000 and secret.encode() not in whole and key.encode() not in whole
    assert secret not in repr(workflow.list_all()) + repr(other.describe()) + repr(wfstore.open(storage))
    other.stop()
