"""Section 17: events and sleep. The HTTP provider (H1 to H6) is in test_17_http_events.py."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.catalogue.drivers import launch
from tests.catalogue.items import item
from tests.catalogue.programs.waits import SLEEP_S, stamp
from tests.catalogue.tasks import go_on, hold, identity, named, noted, started
from tests.engine.drivers import end_everything, said
from tests.engine.world import World, eventually, executions, ids
from wfstore import workflow
from wfstore.workflow.event_listener import EventListener, TimerListener

pytestmark = pytest.mark.ray


@ray.remote
def gather(*values: Any) -> list[Any]:
    return list(values)


@item("A1", "wait_for_event of what is no subclass of EventListener is a TypeError of the call")
def test_A1_types(world: World) -> None:
    thing: Any
    for thing in (object, "x", EventListener(), None):
        with pytest.raises(TypeError):
            workflow.wait_for_event(thing)


@item(
    "A2",
    "two durable steps, each with a new instance: what poll_for_event returned is kept, then event_checkpointed "
    "is told, "
    "then the value flows on",
)
def test_A2_two_steps(world: World) -> None:
    log = str(world.file("a2"))

    class Listener(EventListener):
        async def poll_for_event(self, log: str) -> str:
            self.polled = True
            _note(log, "poll")
            return log

        async def event_checkpointed(self, event: str) -> None:
            _note(event, "told" if not hasattr(self, "polled") else "the same instance")

    event = workflow.wait_for_event(Listener, log)
    assert workflow.run(named(noted, "after").bind(log, "after", 5, event), workflow_id="a2") == 5
    assert Path(log).read_text().split() == ["poll", "told", "after"]
    order = [(found.task_id, found.type) for found in world.events(workflow_id="a2")]
    poll, tell = (next(name for name in world.task_statuses("a2") if part in name) for part in ("poll", "checkpointed"))
    assert order.index((poll, "attempt.succeeded")) < order.index((tell, "attempt.submitted"))
    assert order.index((tell, "attempt.succeeded")) < order.index(("after", "attempt.submitted"))


def _note(path: str, name: str) -> None:
    with open(path, "a") as file:
        file.write(name + "\n")


class Flag(EventListener):
    """Waits for a file, without blocking."""

    async def poll_for_event(self, path: str) -> str:
        while not Path(path).exists():
            await asyncio.sleep(0.02)
        return Path(path).name


class BlockingFlag(EventListener):
    """Waits for a file, blocking its thread."""

    async def poll_for_event(self, path: str) -> str:
        while not Path(path).exists():
            time.sleep(0.02)
        return Path(path).name


@item("A4", "several events of one task are polled at once, other arguments run meanwhile, in whatever order they end")
def test_A4_several_events(world: World) -> None:
    files = [world.file(f"a4-{n}") for n in range(3)]
    events = [workflow.wait_for_event(Flag, str(path)) for path in files]
    ref = workflow.run_async(gather.bind(*events, hold.bind(str(world.folder), "a4", "value")), workflow_id="a4")
    started(world, "a4")
    for path in reversed(files):
        path.touch()
    time.sleep(0.2)
    go_on(world, "a4")
    assert ray.get(ref, timeout=30) == ["a4-0", "a4-1", "a4-2", "value"]


@item("A4")
def test_A4_an_event_after_the_arguments(world: World) -> None:
    path, log = world.file("a4-late"), world.file("a4-log")
    dag = gather.bind(workflow.wait_for_event(Flag, str(path)), named(noted, "arg").bind(str(log), "arg", 1))
    ref = workflow.run_async(dag, workflow_id="a4-late")
    assert workflow.get_output("a4-late", task_id="arg") == 1
    assert ray.wait([ref], timeout=0.3)[0] == []
    path.touch()
    assert ray.get(ref, timeout=30) == ["a4-late", 1]


@item("A5", "an event may be the whole workflow, RUNNING right after run_async")
def test_A5_whole_workflow(world: World) -> None:
    path = world.file("a5")
    ref = workflow.run_async(workflow.wait_for_event(Flag, str(path)), workflow_id="a5")
    assert workflow.get_status("a5") == "RUNNING"
    path.touch()
    assert ray.get(ref, timeout=30) == "a5"
    assert workflow.get_status("a5") == "SUCCESSFUL"
    due = time.time() + 0.5
    workflow.run(workflow.wait_for_event(TimerListener, due), workflow_id="a5-timer")
    assert due <= time.time() < due + 5


@item("A6", "listeners may block inside their `async def`: others go on, and no CPU is held")
def test_A6_blocking_listeners(world: World) -> None:
    blocked = [world.file(f"a6-{n}") for n in range(4)]
    refs = [workflow.run_async(workflow.wait_for_event(BlockingFlag, str(path))) for path in blocked]
    free = world.file("a6-free")
    free.touch()
    assert workflow.run(workflow.wait_for_event(Flag, str(free))) == "a6-free"
    eventually(lambda: ray.available_resources().get("CPU") == 2, "nothing holds a CPU")
    for path in blocked:
        path.touch()
    assert ray.get(refs, timeout=30) == [path.name for path in blocked]


@item("A7", "listener classes made inside a function are kept by value")
def test_A7_a_closure(world: World) -> None:
    answer = [1, 2, 3]

    class Closed(EventListener):
        async def poll_for_event(self) -> list[int]:
            return answer

    assert workflow.run(identity.bind(workflow.wait_for_event(Closed)), workflow_id="a7") == [1, 2, 3]


@item("A8", "sleep counts from when the workflow reaches it; after a crash only the rest is slept")
def test_A8_sleep_begins_when_it_is_reached(world: World) -> None:
    log = str(world.file("a8"))

    @ray.remote
    def asleep(log: str) -> Any:
        stamp(log, "reached")
        return workflow.continuation(workflow.sleep(1.0))

    dag = stamped.bind(log, "woke", asleep.bind(log))
    time.sleep(0.5)
    workflow.run(dag, workflow_id="a8")
    times = _times(log)
    assert 1.0 <= times["woke"] - times["reached"] < 4


@ray.remote
def stamped(log: str, name: str, *after: Any) -> None:
    stamp(log, name)


def _times(log: str) -> dict[str, float]:
    return {name: float(at) for name, at in (line.split() for line in Path(log).read_text().splitlines())}


@item("A8")
def test_A8_many_sleepers_hold_nothing(world: World) -> None:
    refs = [workflow.run_async(workflow.sleep(1.5)) for _ in range(50)]
    eventually(lambda: ray.available_resources().get("CPU") == 2, "nothing holds a CPU")
    assert ray.wait(refs, num_returns=1, timeout=0)[0] == []
    assert ray.get(refs, timeout=20) == [None] * 50


@item("A9", "a task may return an event as its continuation")
def test_A9_dynamic_event(world: World) -> None:
    path = world.file("a9")

    @ray.remote
    def waits(path: str) -> Any:
        return workflow.continuation(identity.bind(workflow.wait_for_event(Flag, path)))

    @ray.remote
    def returns_event(path: str) -> Any:
        return workflow.wait_for_event(Flag, path)

    refs = [workflow.run_async(gather.bind(task.bind(str(path)), 1)) for task in (waits, returns_event)]
    path.touch()
    assert ray.get(refs, timeout=30) == [["a9", 1]] * 2


# -- kill -9 of the whole cluster --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory, cluster: None) -> Iterator[tuple[Path, float]]:
    """The folder of a cluster that was killed while one workflow polled, one was told of its event, and one slept; and
    when a new cluster resumed them."""
    folder = tmp_path_factory.mktemp("waits")
    driver = launch("waits", str(folder / "store"), str(folder))
    try:
        said(driver, "ready")
    finally:
        end_everything(driver)
    space = ids("after")
    workflow.init(storage=str(folder / "store"), namespace=space)
    (folder / "told-hang").unlink()
    (folder / "polling-go").touch()
    at = time.time()
    refs = dict(workflow.resume_all())
    assert set(refs) == {"polling", "told", "sleeping"}
    ray.get(list(refs.values()), timeout=60)
    yield folder, at
    handle = ray.get_actor("WorkflowManagementActor", space)
    ray.get(handle.stop.remote())
    ray.kill(handle)


@item(
    "A3",
    "a crash while polling: it polls again; a crash inside event_checkpointed: that is called again, the poll is not",
)
@pytest.mark.fault
@pytest.mark.slow
def test_A3_crash(crashed: tuple[Path, float]) -> None:
    folder, _ = crashed
    ran = executions(folder / "log")
    assert ran["polling-poll"] == 2
    assert ran["polling-told"] == 1
    assert ran["told-poll"] == 1
    assert ran["told-told"] == 2
    assert ran["told-after"] == 1


@item("A8")
@pytest.mark.fault
@pytest.mark.slow
def test_A8_only_the_rest_is_slept(crashed: tuple[Path, float]) -> None:
    folder, resumed_at = crashed
    times = _times(str(folder / "times"))
    due = times["reached"] + SLEEP_S
    assert times["woke"] >= due - 0.05
    assert times["woke"] <= max(due, resumed_at) + 5
