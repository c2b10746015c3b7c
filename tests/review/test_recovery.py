"""A manager must be able to start whatever limits it is given."""

from __future__ import annotations

from pathlib import Path

from wfstore.engine.recovery import recover
from wfstore.log import open_writer
from wfstore.model import events as ev
from wfstore.model.apply import apply
from wfstore.model.commands import Submit
from wfstore.model.dag import DagSpec, TaskSpec
from wfstore.model.decide import decide
from wfstore.model.events import Event
from wfstore.model.state import State
from wfstore.model.wire import dumps


def introduction(max_running: int, max_pending: int) -> list[Event]:
    limits = {"max_running_workflows": max_running, "max_pending_workflows": max_pending}
    return [
        Event(ts=1, type=ev.MANAGER_STARTED, attributes=dumps({"session": "s"})),
        Event(ts=1, type=ev.CONFIG_SET, attributes=dumps(limits)),
    ]


def test_narrower_limits_leave_resumable_what_finds_no_room(tmp_path: Path) -> None:
    storage = str(tmp_path / "store")
    state = State()
    events = introduction(1, 5)
    for event in events:
        apply(state, event)
    for name in "abcd":
        for event in decide(state, Submit(name, DagSpec((TaskSpec("t", "m.t", "h"),), 0)), 2):
            apply(state, event)
            events.append(event)
    writer = open_writer(storage)
    writer.append(events)
    writer.close()

    recovered = recover(storage, "s", introduction(1, 1))
    recovered.writer.close()

    found = {name: workflow.status for name, workflow in recovered.state.workflows.items()}
    assert found == {"a": "RUNNING", "b": "PENDING", "c": "RESUMABLE", "d": "RESUMABLE"}
