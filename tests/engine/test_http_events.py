"""Events over HTTP: what a program written for ray.workflow's provider expects, and what it did not dare to."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.catalogue.tasks import failed, fragile, go_on, hold, identity, started
from tests.engine.conftest import MakeWorld
from tests.engine.drivers import end_everything, launch, said
from tests.engine.programs.events import Slow
from tests.engine.served import Served
from tests.engine.test_crash import kill_manager
from tests.engine.world import World, eventually, executions, ids
from wfstore import errors, workflow
from wfstore.index.compaction import compact
from wfstore.log.manifest import read_manifest
from wfstore.model import events as ev
from wfstore.workflow import common, workflow_context
from wfstore.workflow.http_event_provider import HTTPListener, WorkflowEventHandleError

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def served(shared_world: World) -> Iterator[Served]:
    with Served(shared_world) as made:
        yield made


@ray.remote
def gather(*values: Any) -> list[Any]:
    return list(values)


def waits(world: World, workflow_id: str, count: int = 1) -> None:
    """Until so many listeners of the workflow wait for events that are sent."""
    eventually(lambda: len(world.events(ev.EVENT_AWAITED, workflow_id)) >= count, f"{count} of {workflow_id} wait")


def test_an_event_is_a_whole_workflow_and_its_output_the_pair(world: World, served: Served) -> None:
    ref = workflow.run_async(workflow.wait_for_event(HTTPListener, event_key="my_key"), workflow_id="pair")
    waits(world, "pair")
    assert served.send("pair", "my_key", {"x": [1, None]}) == "checkpointed"
    assert ray.get(ref, timeout=30) == ("my_key", {"x": [1, None]})
    assert common.HTTP_EVENT_PROVIDER_NAME == "WorkflowHttpEventProvider"


def test_an_early_event_is_kept_and_listed(world: World, served: Served) -> None:
    folder = str(world.folder)
    dag = gather.bind(after.bind(hold.bind(folder, "early")), 1)
    ref = workflow.run_async(dag, workflow_id="early")
    started(world, "early")
    assert served.send("early", "go", "soon") == "kept"
    assert served.states("early") == [("go", "kept")]
    go_on(world, "early")
    assert ray.get(ref, timeout=30) == [("go", "soon"), 1]
    assert served.states("early") == [("go", "used")]


@ray.remote
def after(_: Any) -> Any:
    return workflow.wait_for_event(HTTPListener, "go")


def test_several_events_of_one_task_in_any_order(world: World, served: Served) -> None:
    keys = [f"k{n}" for n in range(4)]
    ref = workflow.run_async(
        gather.bind(*(workflow.wait_for_event(HTTPListener, key) for key in keys), identity.bind("arg")),
        workflow_id="several",
    )
    waits(world, "several", 3)
    for key in reversed(keys):
        served.send("several", key, key.upper())
    assert ray.get(ref, timeout=30) == [*((key, key.upper()) for key in keys), "arg"]


def test_two_workflows_may_use_one_key(world: World, served: Served) -> None:
    names = [ids("same") for _ in range(3)]
    refs = [workflow.run_async(workflow.wait_for_event(HTTPListener, "same"), workflow_id=name) for name in names]
    for name in names:
        served.send(name, "same", name)
    assert ray.get(refs, timeout=30) == [("same", name) for name in names]


def test_the_key_is_the_task_id_where_none_is_given(world: World, served: Served) -> None:
    ref = workflow.run_async(workflow.wait_for_event(HTTPListener), workflow_id="own-key")
    waits(world, "own-key")
    task_id = next(name for name in world.task_statuses("own-key") if "poll_for_event" in name)
    served.send("own-key", task_id, 7)
    assert ray.get(ref, timeout=30) == (task_id, 7)


def test_a_key_that_is_waited_for_twice_is_an_error(world: World) -> None:
    both = [workflow.wait_for_event(HTTPListener, "twice") for _ in range(2)]
    error = failed(gather.bind(*both), "twice")
    cause = error.__cause__
    assert isinstance(cause, WorkflowEventHandleError)
    assert cause.workflow_id == "twice"
    assert "the same key 'twice' is used to get a payload again" in str(cause)
    assert isinstance(cause, workflow.WorkflowError)


def test_one_key_again_and_again_takes_the_events_in_their_order(world: World, served: Served) -> None:
    @ray.remote
    def turn(left: int, seen: list[Any], event: Any) -> Any:
        seen = [*seen, event[1]]
        if left == 0:
            return seen
        return workflow.continuation(turn.bind(left - 1, seen, workflow.wait_for_event(HTTPListener, "turn")))

    dag = turn.bind(4, [], workflow.wait_for_event(HTTPListener, "turn"))
    ref = workflow.run_async(dag, workflow_id="turns")
    for number in range(5):
        served.send("turns", "turn", number)
    assert ray.get(ref, timeout=60) == [0, 1, 2, 3, 4]


# -- what users subclassed --------------------------------------------------------------------------------------------


class Custom(HTTPListener):
    """With every hook of the old provider; says in event_checkpointed what its event asks it to say."""

    async def poll_for_event(self, event_key: str | None = None) -> tuple[str, Any]:
        workflow_id = workflow_context.get_current_workflow_id()
        key = event_key if event_key is not None else workflow_context.get_current_task_id()
        pair = await self.handle.get_event_payload.remote(workflow_id, key)
        return pair[0], {"seen by": "Custom", "said": pair[1]}

    async def event_checkpointed(self, event: tuple[str, Any]) -> None:
        key, payload = event
        workflow_id = workflow_context.get_current_workflow_id()
        await self.handle.report_checkpointed.remote(workflow_id, key, payload["said"] == "good")


@pytest.mark.parametrize(("said", "status"), [("good", 200), ("bad", 500)])
def test_the_answer_is_what_the_listener_reports(world: World, served: Served, said: str, status: int) -> None:
    name = f"custom-{said}"
    ref = workflow.run_async(workflow.wait_for_event(Custom, "k"), workflow_id=name)
    waits(world, name)
    answer = served.post(name, "k", said)
    assert answer.status_code == status
    assert ray.get(ref, timeout=30) == ("k", {"seen by": "Custom", "said": said})


class Plain(HTTPListener):
    """Blocks, as plain code does."""

    def poll_for_event(self, *keys: str) -> list[Any]:  # type: ignore[override]
        workflow_id = workflow_context.get_current_workflow_id()
        return [self.handle.get_event_payload.remote(workflow_id, key).result(60) for key in keys]

    async def event_checkpointed(self, event: Any) -> None:
        """Nobody is told: its sender gets his answer all the same."""


def test_a_plain_function_may_wait_for_several(world: World, served: Served) -> None:
    ref = workflow.run_async(workflow.wait_for_event(Plain, "a", "b"), workflow_id="plain")
    waits(world, "plain")
    assert served.send("plain", "b", 2) == "kept"
    began = time.monotonic()
    assert served.send("plain", "a", 1) == "checkpointed"
    assert time.monotonic() - began < 3
    assert ray.get(ref, timeout=30) == [("a", 1), ("b", 2)]


class Nosy(HTTPListener):
    async def poll_for_event(self, event_key: str | None = None) -> tuple[str, Any]:
        return await self.handle.get_event_payload.remote("another", "key")


def test_a_listener_waits_for_its_own_workflow_only(world: World) -> None:
    cause = failed(workflow.wait_for_event(Nosy), "nosy").__cause__
    assert isinstance(cause, WorkflowEventHandleError)
    with pytest.raises(WorkflowEventHandleError, match="only the code of a listener"):
        HTTPListener().handle.get_event_payload.remote("nosy", "key")


def test_a_canceled_one_lets_go_of_its_thread(world: World, served: Served) -> None:
    workflow.run_async(workflow.wait_for_event(Plain, "never"), workflow_id="let-go")
    waits(world, "let-go")
    workflow.cancel("let-go")
    answer = served.post("let-go", "never", 1)
    assert (answer.status_code, answer.json()["error"]["type"]) == (409, "WorkflowEventHandleError")
    assert workflow.run(identity.bind(1)) == 1


# -- what it refuses, and what it keeps -------------------------------------------------------------------------------


def test_who_is_not_there_or_has_ended(world: World, served: Served) -> None:
    assert served.post("nobody", "k").status_code == 404
    with pytest.raises(errors.WorkflowNotFoundError):
        workflow.send_event("nobody", "k")
    workflow.run(identity.bind(1), workflow_id="over")
    assert served.post("over", "k").status_code == 409
    with pytest.raises(WorkflowEventHandleError, match="it is SUCCESSFUL"):
        workflow.send_event("over", "k")
    for key, error in ((7, TypeError), ("", ValueError)):
        with pytest.raises(error, match="event_key"):
            workflow.send_event("over", key)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="cannot be pickled"):
        workflow.send_event("over", "k", threading.Lock())


def test_any_python_value_large_ones_too_and_once_for_one_request(world: World, served: Served) -> None:
    payload = {"blob": b"x" * 300_000, "set": {1, 2}}
    dag = gather.bind(*(workflow.wait_for_event(HTTPListener, key) for key in ("k", "json")))
    ref = workflow.run_async(dag, workflow_id="large")
    for _ in range(3):
        workflow.send_event("large", "k", payload, request_id="r1")
    served.send("large", "json", "y" * 200_000, request_id="r2")
    assert ray.get(ref, timeout=30) == [("k", payload), ("json", "y" * 200_000)]
    sent = world.events(ev.EVENT_SENT, "large")
    assert [(event.name, event.request_id, event.payload) for event in sent] == [
        ("k", "r1", None),
        ("json", "r2", None),
    ]
    assert all(event.uri for event in sent)
    served.send("large", "k", 1, request_id="r1")  # after its end
    assert len(world.events(ev.EVENT_SENT, "large")) == 2


def test_three_hundred_wait_without_a_cpu_and_each_gets_its_own(world: World) -> None:
    names = [ids("many") for _ in range(300)]
    refs = [workflow.run_async(workflow.wait_for_event(HTTPListener, "go"), workflow_id=name) for name in names]
    eventually(lambda: len({e.workflow_id for e in world.events(ev.EVENT_AWAITED)} & set(names)) == 300, "all wait", 60)
    eventually(lambda: ray.available_resources().get("CPU") == 2, "nothing holds a CPU")
    for number, name in enumerate(names):
        workflow.send_event(name, "go", number)
    assert ray.get(refs, timeout=60) == [("go", number) for number in range(300)]


# -- kill -9 ----------------------------------------------------------------------------------------------------------


@pytest.mark.fault
def test_kill_9_after_the_acknowledgement_loses_nothing(own_world: World) -> None:
    """Of one workflow the listener has its event and has not returned it, of the other nobody waits yet."""
    world, folder = own_world, str(own_world.folder)
    with Served(world) as served:
        refs = [
            workflow.run_async(workflow.wait_for_event(Slow, folder, "go"), workflow_id="has"),
            workflow.run_async(after.bind(hold.bind(folder, "soon")), workflow_id="soon"),
        ]
        waits(world, "has")
        assert served.send("has", "go", "once") == "delivered"
        assert served.send("soon", "go", "once") == "kept"
        assert executions(world.file("log")) == {"has-has-once": 1}
        kill_manager(world)
        eventually(lambda: executions(world.file("log"))["has-has-once"] == 2, "the next one has it again", 60)
        world.file("go").touch()
        go_on(world, "soon")
        assert ray.get(refs, timeout=60) == [("go", "once")] * 2
        assert served.states("has") == served.states("soon") == [("go", "used")]
    given = world.events(ev.EVENT_DELIVERED, "has")
    assert [(event.attempt, event.attribute("number")) for event in given] == [(1, 1), (1, 1)]
    assert [event.run for event in given] == [1, 2]


@pytest.mark.fault
@pytest.mark.slow
def test_every_acknowledged_event_arrives_once_while_managers_die(make_world: MakeWorld) -> None:
    world = make_world()
    keys = [f"k{n}" for n in range(60)]
    with Served(world) as served:
        ref = workflow.run_async(
            gather.bind(*(workflow.wait_for_event(HTTPListener, key) for key in keys)), workflow_id="storm"
        )
        done = []

        def send(mine: list[str]) -> None:
            for key in mine:
                served.ask_until_200("storm", key, key * 2, f"request-{key}")
                done.append(key)
                time.sleep(0.1)

        senders = [threading.Thread(target=send, args=(keys[n::6],)) for n in range(6)]
        for sender in senders:
            sender.start()
        for least in (8, 30):
            eventually(lambda least=least: len(done) >= least, f"{least} are acknowledged", 60)
            kill_manager(world)
        for sender in senders:
            sender.join(120)
        assert sorted(done) == sorted(keys)
        assert ray.get(ref, timeout=60) == [(key, key * 2) for key in keys]
        assert len(world.events(ev.EVENT_SENT, "storm")) == len(keys)


@pytest.mark.fault
@pytest.mark.slow
def test_the_end_of_the_whole_cluster_loses_no_event(tmp_path: Path, cluster: None) -> None:
    """Where the old provider's clients had to send it again."""
    storage = str(tmp_path / "store")
    driver = launch("events", storage, str(tmp_path))
    try:
        said(driver, "ready")
    finally:
        end_everything(driver)
    space = ids("after")
    workflow.init(storage=storage, namespace=space)
    try:
        (tmp_path / "go").touch()
        refs = dict(workflow.resume_all())
        assert ray.get(refs["has"], timeout=60) == ("go", "for-has")
        assert ray.get(refs["early"], timeout=60) == ("go", "for-early")
        assert executions(tmp_path / "log") == {"has-has-for-has": 2}
    finally:
        handle = ray.get_actor("WorkflowManagementActor", space)
        ray.get(handle.stop.remote())
        ray.kill(handle)


@pytest.mark.fault
def test_an_event_for_a_failed_workflow_goes_through_history_files(own_world: World) -> None:
    world = own_world
    flag = str(world.file("flag"))
    broken = fragile.bind(str(world.file("log")), "fragile", flag, 1)
    with Served(world) as served:
        failed(after.bind(broken), "broken")
        assert served.send("broken", "go", "kept") == "kept"
        served.send("broken", "other", "x" * 50_000)
        kill_manager(world)
        world.describe()
        compact(world.storage, workers=1)
        assert read_manifest(world.storage).number > 0
        kill_manager(world)
        assert served.states("broken") == [("go", "kept"), ("other", "kept")]
        served.ask_until_200("broken", "more", 1, "request")
        Path(flag).touch()
        assert workflow.resume("broken") == ("go", "kept")
        assert served.states("broken") == [("go", "used"), ("other", "kept"), ("more", "kept")]
