"""Section 17, the HTTP provider: H1 to H6. The dashboard serves it; tests/engine/test_http_events.py has the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import ray

from tests.catalogue.items import item
from tests.catalogue.tasks import failed, go_on, hold, started
from tests.engine.programs.events import Slow
from tests.engine.served import Served
from tests.engine.test_crash import kill_manager
from tests.engine.world import World, eventually, executions
from wfstore import workflow
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


def waits(world: World, workflow_id: str) -> None:
    eventually(lambda: world.events(ev.EVENT_AWAITED, workflow_id), f"{workflow_id} waits")


@item(
    "H1",
    "HTTP events: POST /event/send_event/{workflow_id} with event_key and event_payload",
    ours="a route of the dashboard, behind its token; a listener creates nothing, and Ray Serve is not needed. "
    "`workflow.send_event` does the same without HTTP",
)
def test_H1_an_event_by_http(world: World, served: Served) -> None:
    ref = workflow.run_async(gather.bind(workflow.wait_for_event(HTTPListener, event_key="h1"), 1), workflow_id="h1")
    body = {"event_key": "h1", "event_payload": "hello"}
    assert served.http.post("/event/send_event/h1", json=body, headers={"Authorization": ""}).status_code == 401
    assert served.http.post("/event/send_event/h1", json=body).status_code == 200
    assert ray.get(ref, timeout=30) == [("h1", "hello"), 1]
    assert common.HTTP_EVENT_PROVIDER_NAME == "WorkflowHttpEventProvider"


@item(
    "H2",
    "the reply is held until the event is checkpointed: 200, or 500 when the listener reports a failure; 404 for a "
    "missing field",
    ours="an event that comes before its listener is kept, listed and answered 200, where it was 404; a reply is held "
    "for 4 s at most, and whatever it says the event is durable",
)
def test_H2_replies(world: World, served: Served) -> None:
    ref = workflow.run_async(late.bind(hold.bind(str(world.folder), "h2")), workflow_id="h2")
    started(world, "h2")
    assert served.send("h2", "h2", 1) == "kept"
    assert served.states("h2") == [("h2", "kept")]
    go_on(world, "h2")
    assert ray.get(ref, timeout=30) == ("h2", 1)
    for body in ({"event_key": "h2"}, {"event_payload": 1}):
        assert served.http.post("/event/send_event/h2", json=body).status_code == 404


@ray.remote
def late(_: Any) -> Any:
    return workflow.wait_for_event(HTTPListener, "h2")


class Reporting(HTTPListener):
    """Asks and reports by the handle, as users' subclasses did; the payload says what it reports."""

    async def poll_for_event(self, event_key: str | None = None) -> tuple[str, Any]:
        key = workflow_context.get_current_task_id() if event_key is None else event_key
        return await self.handle.get_event_payload.remote(workflow_context.get_current_workflow_id(), key)

    async def event_checkpointed(self, event: tuple[str, Any]) -> None:
        key, payload = event
        workflow_id = workflow_context.get_current_workflow_id()
        await self.handle.report_checkpointed.remote(workflow_id, key, payload)


@item("H2")
@item(
    "H4",
    "hooks of subclasses: handle.get_event_payload.remote, handle.report_checkpointed.remote, workflow_context, "
    "WorkflowEventHandleError(workflow_id, message)",
)
@pytest.mark.parametrize("well", [True, False])
def test_H4_hooks(world: World, served: Served, well: bool) -> None:
    name = f"h4-{well}"
    ref = workflow.run_async(workflow.wait_for_event(Reporting, "h4"), workflow_id=name)
    waits(world, name)
    assert served.post(name, "h4", well).status_code == (200 if well else 500)
    assert ray.get(ref, timeout=30) == ("h4", well)
    error = WorkflowEventHandleError("h4", "why")
    assert isinstance(error, workflow.WorkflowError) and "h4" in str(error) and "why" in str(error)


@item("H3", "the output is the pair (key, payload)")
def test_H3_the_pair(world: World, served: Served) -> None:
    ref = workflow.run_async(workflow.wait_for_event(HTTPListener, "h3"), workflow_id="h3")
    served.send("h3", "h3", {"a": [1]})
    assert ray.get(ref, timeout=30) == workflow.get_output("h3") == ("h3", {"a": [1]})


@item(
    "H5",
    "the default key is the task id; a second wait under the key of one that waits is a WorkflowEventHandleError",
    ours="confirmations belong to one workflow: two workflows may use one key",
)
def test_H5_keys(world: World, served: Served) -> None:
    names = ["h5-a", "h5-b"]
    refs = [workflow.run_async(workflow.wait_for_event(HTTPListener), workflow_id=name) for name in names]
    for name in names:
        waits(world, name)
        task_id = next(task for task in world.task_statuses(name) if "poll_for_event" in task)
        served.send(name, task_id, name)
    assert ray.get(refs, timeout=30) == [(task_id, name) for name in names]
    twice = [workflow.wait_for_event(HTTPListener, "h5") for _ in range(2)]
    assert isinstance(failed(gather.bind(*twice), "h5").__cause__, WorkflowEventHandleError)


@item(
    "H6",
    "a crash after the POST and before the poll's result is durable",
    ours="the message is not lost: what was answered 200 is in the log, and the listener gets it again when it polls "
    "again; nobody has to send it a second time",
)
@pytest.mark.fault
def test_H6_a_crash_loses_no_message(own_world: World) -> None:
    world = own_world
    with Served(world) as served:
        ref = workflow.run_async(workflow.wait_for_event(Slow, str(world.folder), "h6"), workflow_id="h6")
        waits(world, "h6")
        assert served.post("h6", "h6", "once").status_code == 200
        kill_manager(world)
        eventually(lambda: executions(world.file("log"))["h6-has-once"] == 2, "it has the message again", 60)
        world.file("go").touch()
        assert ray.get(ref, timeout=60) == ("h6", "once")
    assert len(world.events(ev.EVENT_SENT)) == 1
