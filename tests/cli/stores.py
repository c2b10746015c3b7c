"""Stores of known content for the command line's tests, made by the model's own decisions and the log's own writer."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from tests.model.histories import T0, Simulation, ref
from wfstore.log import open_writer
from wfstore.model.commands import Outcome, Place, RecordOutcome, Submit
from wfstore.model.dag import DagSpec, TaskOptions, TaskSpec
from wfstore.payloads import PayloadStore

#: An id and an error that would paint or clear the terminal, if they were let.
LOUD_ID = "loud-[red]é"
BODY = b"a function's body"
LOUD_ERROR = "first line\x1b[2J\nsecond line"


def spec(name: str, *upstream: int, **options: object) -> TaskSpec:
    return TaskSpec(
        name,
        f"shop.{name}",
        sha256(BODY).hexdigest(),
        None,
        upstream,
        ("argument",) * len(upstream),
        (),
        TaskOptions(**options),  # type: ignore[arg-type]
    )


def fan(width: int) -> DagSpec:
    """list -> width times map -> total"""
    tasks = [spec("list"), *(spec("map", 0) for _ in range(width)), spec("total", *range(1, width + 1))]
    return DagSpec(tuple(tasks), width + 1)


def finish(simulation: Simulation, *, failing: str | None = None) -> None:
    """End every open attempt, and those that follow, in 10 ms to 10 s; tasks of the name `failing` fail."""
    while opened := simulation.open_attempts():
        workflow_id, run, task_id, attempt = opened[0]
        began = simulation.now
        simulation.now += 10_000 + 1000 * len(simulation.log)
        place = Place(began, "node", 7, "ray")
        outcome = Outcome(True, simulation.now, place, ref("x" * len(simulation.log)), True, "'x'")
        if task_id == failing:
            outcome = Outcome(
                False,
                simulation.now,
                place,
                kind="app",
                error_type="ValueError",
                error_message=LOUD_ERROR,
                traceback="Traceback: here",
                error=ref("e"),
            )
        simulation.do(RecordOutcome(workflow_id, run, task_id, attempt, outcome))


def made(path: Path, width: int = 3) -> str:
    """A store: `good` SUCCESSFUL, `big` with 100 maps, LOUD_ID FAILED, `open` interrupted before its first attempt
    ended (no manager is alive). They were submitted in this order."""
    simulation = Simulation()
    simulation.do(Submit("good", fan(width), {"name": "shop", "team": "data"}))
    finish(simulation)
    simulation.do(Submit("big", fan(100)))
    finish(simulation)
    simulation.do(Submit(LOUD_ID, fan(width)))
    finish(simulation, failing="total")
    simulation.do(Submit("open", fan(width)))
    PayloadStore(str(path)).put_file(BODY)
    writer = open_writer(str(path), clock=lambda: T0)
    for start in range(0, len(simulation.log), 100):
        writer.append(simulation.log[start : start + 100])
    writer.close()
    return str(path)
