"""What the simulation has found, each as a scene of its own."""

from __future__ import annotations

import os
import pickle
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from tests.fault.simulation import laws
from tests.fault.simulation.cluster import Actor
from tests.fault.simulation.dags import HEALTHY, chain_of
from tests.fault.simulation.scenario import Simulation
from tests.fault.simulation.stage import staged
from tests.fault.simulation.workers import STORAGE
from tests.fault.simulation.world import Process
from tests.model.driving import dag, timer
from wfstore import errors
from wfstore.engine import alarms
from wfstore.engine.host import NAME
from wfstore.log import Cursor, LogReader
from wfstore.log.segment import log_path, parse_name, segment_name
from wfstore.log.survey import list_names
from wfstore.model import events as ev
from wfstore.model.commands import Delete, Submit
from wfstore.model.state import TaskState, WorkflowState


class Scene:
    """A manager of which nothing goes wrong but what the test does."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation, self.world, self.disk = simulation, simulation.world, simulation.disk
        simulation._left, simulation.is_calm, simulation._limits = 0, True, (None, None)
        simulation.workers.rates = HEALTHY
        simulation._begin_manager()
        self._driving = Process(self.world, "driver")
        self.until(lambda: self.manager.instance is not None)

    @property
    def manager(self) -> Actor:
        return self.simulation.cluster.actors[NAME]

    def until(self, over: Any) -> None:
        self.world.run(over, self.world.now + 1000.0)

    def drive(self, work: Coroutine[Any, Any, Any]) -> list[Any]:
        """What the coroutine returns will be in the list."""
        answers: list[Any] = []

        async def driving() -> None:
            answers.append(await work)

        self._driving.start(driving())
        return answers

    def call(self, method: str, command: Any, *args: Any) -> list[Any]:
        return self.drive(self.simulation.drivers.call(method, command.workflow_id, command, *args))

    def submit(self, workflow_id: str, spec: Any, **more: Any) -> list[Any]:
        return self.call("handle", command := Submit(workflow_id, spec, **more), pickle.dumps(command, 5))

    def events(self, type_: str) -> list[ev.Event]:
        log = laws.read_log(STORAGE, self.simulation.oracle)
        return [event for event in log if event.type == type_]


@pytest.fixture
def scene() -> Iterator[Scene]:
    with staged() as simulation_of:
        yield Scene(simulation_of(1, False))


def test_a_refusal_waits_for_what_it_is_for(scene: Scene) -> None:
    scene.disk.slow = 1000.0
    submitted = scene.submit("w", chain_of(1, scene.simulation._body))
    deleted = scene.call("handle", Delete("w"), pickle.dumps(Delete("w"), 5))
    scene.until(lambda: bool(deleted))
    told = next(told for told in scene.simulation.drivers.told if isinstance(told.command, Delete))
    assert isinstance(told.error, errors.WorkflowStillActiveError)
    assert scene.events(ev.WORKFLOW_SUBMITTED), "it is for a workflow that is there after a crash, too"
    assert submitted or scene.simulation.oracle.durable_seq


def test_a_manager_that_was_given_up_leaves_its_successor_alone(scene: Scene) -> None:
    first, actor = scene.manager.process, scene.manager
    assert first is not None
    actor.give_up()
    scene.until(lambda: actor.instance is not None)
    first.loop.call_soon(first.instance._stage_and_act, [Submit("w", chain_of(1, scene.simulation._body))])
    scene.until(lambda: first.dead)
    until = scene.world.now + 5.0
    scene.until(lambda: scene.world.now > until)
    assert scene.manager is actor and actor.instance is not None, "it still manages"


def test_a_clock_that_was_set_back_does_not_delay_a_timer_of_the_manager_before(scene: Scene) -> None:
    scene.submit("w", dag(timer(5.0)))
    scene.until(lambda: bool(scene.events(ev.TIMER_STARTED)))
    scene.world.wall_us -= 3 * 24 * 3600 * 1_000_000
    began = scene.world.now
    assert scene.manager.process is not None
    scene.manager.process.die()
    scene.until(lambda: bool(scene.events(ev.TIMER_FIRED)))
    assert scene.world.now - began < 10.0


def test_an_outcome_that_a_leaving_manager_refuses_is_for_the_next_one(scene: Scene) -> None:
    spec = chain_of(3, scene.simulation._body)
    scene.submit("w", spec)
    scene.until(lambda: len(scene.simulation.oracle.executions) == 1)
    scene.disk.full = True
    scene.until(lambda: scene.manager.process is None or scene.manager.process.dead)
    scene.disk.full = False
    scene.until(lambda: bool(scene.events(ev.WORKFLOW_SUCCEEDED)))
    assert not scene.events(ev.ATTEMPT_RETRY_SCHEDULED), "nothing of it counts against max_retries"


def test_no_alarm_lies_further_ahead_than_it_takes() -> None:
    workflow = WorkflowState("w")
    workflow.timeout_s = 30.0
    task = workflow.tasks["t"] = TaskState("t", "t")
    assert alarms._longest_s(workflow, alarms.Alarm(alarms.EXPIRE, "w", 1)) == 30.0
    assert alarms._longest_s(workflow, alarms.Alarm(alarms.FIRE, "w", 1, "t", 2)) == 660.0, "the next attempt"
    task.open_run, task.type, task.facts = 1, "timer", {"delay_s": 5.0}
    assert alarms._longest_s(workflow, alarms.Alarm(alarms.FIRE, "w", 1, "t", 1)) == 5.0
    task.facts = {"due_at": 1}
    assert alarms._longest_s(workflow, alarms.Alarm(alarms.FIRE, "w", 1, "t", 1)) is None, "that is by the wall clock"


def test_a_claim_whose_manager_died_in_it_hides_nothing_that_was_acknowledged(scene: Scene) -> None:
    scene.submit("w", chain_of(3, scene.simulation._body))
    scene.until(lambda: bool(scene.events(ev.WORKFLOW_SUCCEEDED)))
    scene.manager.restarts = False
    assert scene.manager.process is not None
    scene.manager.process.die()
    names = list_names(STORAGE)
    epoch, _ = parse_name(names[-1]) or (0, 0)
    scene.disk.close(scene.disk.open(log_path(STORAGE, segment_name(epoch + 1, 1)), os.O_CREAT | os.O_EXCL))
    read: list[Cursor] = []
    began = scene.world.now
    Process(scene.world, "reader").spawn("read", lambda: read.append(LogReader(STORAGE).blocks()[1]))
    scene.until(lambda: bool(read))
    assert read[0].next_seq > scene.simulation.oracle.durable_seq
    assert 9.0 < scene.world.now - began < 11.0, "it waits for as long as the claim may still be finished"
