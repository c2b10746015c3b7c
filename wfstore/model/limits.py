"""How much one thing may be: kept with the store, asked before anything is written, the same for all its managers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from wfstore.errors import LimitExceededError
from wfstore.model.payload import PayloadRef

#: A segment of the log, which compaction takes in as a whole, can hold that many events.
LEAST_TAIL_EVENTS = 500_000


class Limits(NamedTuple):
    """The defaults. Each is what is allowed at most.

    max_event_bytes: one event in the log, with what stands in it. max_payload_bytes: one pickled value: argument,
    function, output, state of a virtual actor, sent event. max_metadata_bytes: metadata of a workflow or a task, as
    JSON. max_tasks: tasks of one workflow, continuations included; calls of a virtual actor do not count.
    max_open_workflows: those that run or wait. max_tail_events: events in the log that are in no history file yet.
    """

    max_event_bytes: int = 16 << 20
    max_payload_bytes: int = 4 << 30
    max_metadata_bytes: int = 1 << 20
    max_tasks: int = 1_000_000
    max_open_workflows: int = 200_000
    max_tail_events: int = 5_000_000

    def check(self, name: str, size: int, what: str) -> None:
        """Raises LimitExceededError where that is too much."""
        allowed: int = getattr(self, name)
        if size > allowed:
            raise LimitExceededError(name, allowed, size, what)

    def check_metadata(self, metadata: Mapping[str, Any] | None, what: str) -> None:
        """Raises LimitExceededError."""
        if metadata:
            text = json.dumps(dict(metadata), separators=(",", ":"), ensure_ascii=False)
            if len(text) * 4 > self.max_metadata_bytes:
                self.check("max_metadata_bytes", len(text.encode()), f"the metadata of {what}")

    def check_payload(self, ref: PayloadRef | None, what: str) -> None:
        """Raises LimitExceededError."""
        if ref is not None:
            self.check("max_payload_bytes", ref.bytes, what)

    def check_outcome(self, outcome: Any, workflow: Any) -> None:
        """What an attempt brings: its output, and tasks that go on for it. Raises LimitExceededError."""
        for ref in (outcome.output, outcome.state):
            self.check_payload(ref if outcome.stored else None, "an output")
        dag = outcome.continuation
        if dag is not None:
            self.check_tasks(len(workflow.tasks) + len(dag.tasks), dag.tasks, workflow.workflow_id)

    def check_tasks(self, count: int, tasks: Iterable[Any], workflow_id: str) -> None:
        """The tasks that are to be added to a workflow, which has `count` of them then. Raises LimitExceededError."""
        self.check("max_tasks", count, f"workflow {workflow_id!r}")
        for task in tasks:
            self.check_metadata(task.metadata, f"task {task.name!r} of workflow {workflow_id!r}")
            for ref in (task.args, *task.shared):
                self.check_payload(ref, f"an argument of task {task.name!r} of workflow {workflow_id!r}")


def checked(given: Mapping[str, int | None]) -> dict[str, int | None]:
    """Limits as a user gives them; None for the default again. Raises TypeError, ValueError naming what is wrong."""
    for name, value in given.items():
        if name not in Limits._fields:
            raise ValueError(f"there is no limit {name!r}; limits are {', '.join(Limits._fields)}")
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"limit {name!r} must be None or an integer.")
        least = LEAST_TAIL_EVENTS if name == "max_tail_events" else 1
        if value < least:
            raise ValueError(f"limit {name!r} is {value}; it must be at least {least}.")
    return dict(given)


def limits_of(given: Mapping[str, int]) -> Limits:
    """The defaults but for those given; names of a newer version are left alone."""
    return Limits(**{name: value for name, value in given.items() if name in Limits._fields})
