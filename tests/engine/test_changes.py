"""Changes out of a real manager: as they are committed, across its restart, and at little cost."""

from __future__ import annotations

import threading
import time

import pytest
import ray

import wfstore
from tests.engine.world import World, eventually, ids
from wfstore import workflow
from wfstore.model import events as ev

pytestmark = pytest.mark.ray


@workflow.task
def one(value: int) -> int:
    return value


@workflow.task
def total(*values: int) -> int:
    return sum(values)


@workflow.task
def grows(width: int) -> object:
    return workflow.continuation(total.bind(*(one.bind(n) for n in range(width))))


class Mirror:
    """What somebody knows who takes a snapshot when told to, and every change."""

    def __init__(self, observed: wfstore.WorkflowObservability) -> None:
        self.observed = observed
        self.workflows: dict[str, str] = {}
        self.tasks: dict[tuple[str, str], str] = {}
        self.cursor = observed.changes(timeout_s=0).cursor
        self.resyncs = 0
        self.take_snapshot()

    def take_snapshot(self) -> None:
        rows = self.observed.workflows().rows
        self.workflows = {row["workflow_id"]: row["status"] for row in rows}
        self.tasks = {
            (name, task_id): row["status"]
            for name in self.workflows
            for task_id, row in self.observed.tasks(name).items()
        }

    def step(self, timeout_s: float = 1.0) -> None:
        found = self.observed.changes(self.cursor, timeout_s=timeout_s)
        self.cursor = found.cursor
        if found.resync:
            self.resyncs += 1
            self.take_snapshot()
        for name in found.deleted:
            self.workflows.pop(name, None)
            self.tasks = {key: status for key, status in self.tasks.items() if key[0] != name}
        self.workflows |= {row["workflow_id"]: row["status"] for row in found.workflows}
        self.tasks |= {(row["workflow_id"], row["task_id"]): row["status"] for row in found.tasks}

    def as_stored(self) -> bool:
        store = wfstore.open(self.observed.store.storage, live=False)
        workflows = dict(store.sql("SELECT workflow_id, status FROM workflows").fetchall())
        tasks = {(a, b): c for a, b, c in store.sql("SELECT workflow_id, task_id, status FROM tasks").fetchall()}
        return workflows == self.workflows and tasks == self.tasks

    def agrees(self) -> bool:
        self.step(0.2)
        return self.as_stored()


@pytest.mark.parametrize("live", [None, False])
def test_whoever_takes_every_change_knows_everything(world: World, live: bool | None) -> None:
    mirror = Mirror(wfstore.WorkflowObservability(world.storage, live=live))
    assert mirror.observed.live == (live is None)
    names = [ids() for _ in range(4)]
    stop = threading.Event()
    follower = threading.Thread(target=lambda: [mirror.step(0.2) for _ in iter(stop.is_set, True)])
    follower.start()
    refs = [workflow.run_async(grows.bind(10), workflow_id=name) for name in names]
    assert ray.get(refs) == [45] * 4
    workflow.delete(names[0])
    stop.set()
    follower.join()
    eventually(mirror.agrees, "the mirror is the store")
    assert names[0] not in mirror.workflows
    assert (names[1], f"{__name__}.total") in mirror.tasks


def test_across_the_death_of_the_manager(own_world: World) -> None:
    from tests.engine.test_crash import kill_manager

    mirror = Mirror(wfstore.WorkflowObservability(own_world.storage))
    before, after = ids(), ids()
    assert workflow.run(grows.bind(3), workflow_id=before) == 3
    kill_manager(own_world)
    mirror.step()
    assert workflow.run(grows.bind(3), workflow_id=after) == 3
    eventually(mirror.agrees, "the mirror is the store", timeout_s=60)
    eventually(lambda: mirror.observed.live, "it is live again")
    eventually(lambda: mirror.agrees() and mirror.cursor.startswith("m"), "out of the manager's memory again")
    assert mirror.resyncs >= 1


def test_rerun_and_cancel_say_who_asked(world: World) -> None:
    observed = wfstore.WorkflowObservability(world.storage)
    name = ids()
    assert workflow.run(one.bind(7), workflow_id=name) == 7
    again = observed.rerun(name, by="ada", request_id="r1")
    assert observed.rerun(name, by="ada", request_id="r1") == again
    assert workflow.get_output(again) == 7
    (submitted,) = world.events(ev.WORKFLOW_SUBMITTED, again)
    assert (submitted.by, submitted.request_id) == ("ada", "r1")
    (dry,) = observed.bulk("delete", ids=[again])
    assert (dry["done"], dry["error"]) == (False, None)
    observed.delete(again, by="ada")
    assert world.events(ev.WORKFLOW_DELETED, again)[0].by == "ada"


def test_a_change_is_seen_soon_after_its_commit(world: World) -> None:
    observed = wfstore.WorkflowObservability(world.storage)
    cursor = observed.changes().cursor
    began = time.monotonic()
    workflow.run_async(one.bind(1), workflow_id=ids())
    assert observed.changes(cursor, timeout_s=10).tasks
    assert time.monotonic() - began < 2
