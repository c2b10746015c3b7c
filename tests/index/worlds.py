"""Logs of known content for the read side's tests, made by the model's own decisions; nothing is hand-written."""

from __future__ import annotations

import os
import socket
from typing import Any

from tests.model.histories import Simulation, ref
from wfstore.index import Index
from wfstore.log import Lease, MemoryLog, boot_id, now_us
from wfstore.model.commands import Outcome, Place, RecordOutcome, Submit
from wfstore.model.dag import DagSpec, TaskOptions, TaskSpec
from wfstore.payloads import hash_of

#: The body of every function of these worlds.
FUNCTION = b"function"


def spec(name: str, *upstream: int, kinds: tuple[str, ...] | None = None, **options: Any) -> TaskSpec:
    given = kinds or ("argument",) * len(upstream)
    return TaskSpec(name, f"shop.{name}", hash_of(FUNCTION), ref("args"), upstream, given, (), TaskOptions(**options))


def dag(*tasks: TaskSpec) -> DagSpec:
    return DagSpec(tasks, len(tasks) - 1)


def fan(width: int) -> DagSpec:
    """list -> width times map -> total"""
    return dag(spec("list"), *(spec("map", 0) for _ in range(width)), spec("total", *range(1, width + 1)))


def lease(age_us: int = 0) -> Lease:
    """The mark of a manager that is this process."""
    return Lease(os.getpid(), socket.gethostname(), boot_id(), now_us() - age_us, None, 1)


class World:
    """A manager without a cluster, its log in memory and an index over it."""

    def __init__(self, *, managed: bool = True) -> None:
        self.simulation = Simulation()
        self.log = MemoryLog()
        self.log.set_lease(lease() if managed else None)
        self.index = Index(self.log)
        self._written = 0

    def do(self, command: Any) -> None:
        self.simulation.do(command)
        self.write()

    def write(self) -> None:
        """Append to the log what the simulation decided since."""
        new = self.simulation.log[self._written :]
        if new:
            self.log.append(new)
        self._written += len(new)

    def submit(self, workflow_id: str, what: DagSpec, metadata: dict[str, Any] | None = None) -> None:
        self.do(Submit(workflow_id, what, metadata))

    def end(self, task_id: str, workflow_id: str | None = None, **outcome: Any) -> None:
        """End the open attempt at that task after 10 ms of user code."""
        for found_id, run, found_task, attempt in self.simulation.open_attempts():
            if found_task == task_id and workflow_id in (None, found_id):
                began = self.simulation.now
                self.simulation.now += 10_000
                values: dict[str, Any] = {"output": ref(task_id), "output_repr": repr(task_id), **outcome}
                place = Place(began, "node", 7, "ray")
                self.do(RecordOutcome(found_id, run, task_id, attempt, Outcome(True, began + 10_000, place, **values)))
                return
        raise AssertionError(f"{task_id} has no open attempt")

    def fail(self, task_id: str, **outcome: Any) -> None:
        """Fail the open attempt at that task after 10 ms of user code."""
        (found,) = [o for o in self.simulation.open_attempts() if o[2] == task_id]
        began = self.simulation.now
        self.simulation.now += 10_000
        values: dict[str, Any] = {
            "kind": "app",
            "error_type": "ValueError",
            "error_message": "no",
            "traceback": "Traceback: here",
            "error": ref("e"),
            **outcome,
        }
        place = Place(began, "node", 7, "ray")
        self.do(RecordOutcome(*found, Outcome(False, began + 10_000, place, **values)))

    def finish(self) -> None:
        """End every open attempt, and those that follow, well."""
        while opened := self.simulation.open_attempts():
            self.end(opened[0][2], opened[0][0])

    def rows(self, query: str, **params: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.index.sql(query, params or None).pl().to_dicts()
        return found

    def row(self, query: str, **params: Any) -> dict[str, Any]:
        (row,) = self.rows(query, **params)
        return row
