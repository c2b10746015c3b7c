"""Nodes that stand for waiting: ``sleep``, ``wait_for_event`` and the older generation's ``wait``.

The manager waits, or a listener host does: no Ray worker and no CPU is held meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from wfstore.engine.dag.functions import full_name
from wfstore.engine.dag.node import Special, TaskDef, is_node
from wfstore.engine.dag.options import WorkflowOptions
from wfstore.engine.dag.reference import Unresolved, WorkflowRef
from wfstore.engine.dag.step import Runnable, Workflow
from wfstore.engine.listeners.api import EventListener, TimerListener
from wfstore.model.dag import EVENT, EVENT_CHECKPOINTED, TIMER, WAIT

_LONGEST_S = 100 * 365 * 86400


def _nothing() -> None:
    """Body of a timer: the manager never runs it."""


def sleep(duration: float) -> Runnable[None]:
    """A task that ends `duration` seconds after the workflow has come to it; after a crash only the rest is slept.

    Raises TypeError and ValueError for what is no such time.
    """
    return _timer("sleep", {"delay_s": _seconds("duration", duration, 0)})


def _timer(name: str, facts: dict[str, Any]) -> Runnable[None]:
    return Runnable(TaskDef(_nothing, WorkflowOptions(name=name), special=Special(TIMER, facts)), (), {})


def wait_for_event(event_listener_type: type[EventListener], *args: Any, **kwargs: Any) -> Runnable[Any]:
    """A task whose output is the event that the listener polls for.

    event_listener_type: a subclass of EventListener; args, kwargs: of its ``poll_for_event``. What that returns is kept
    first; then ``event_checkpointed`` of a new instance is called with it, again after a crash meanwhile.

    Raises TypeError for anything else.
    """
    if not isinstance(event_listener_type, type) or not issubclass(event_listener_type, EventListener):
        raise TypeError(f"Event listener type is {event_listener_type!r}, which is not a subclass of EventListener")
    if event_listener_type is TimerListener and len(args) == 1 and not kwargs and isinstance(args[0], int | float):
        due_at = round(_seconds("timestamp", args[0], -math.inf) * 1_000_000)
        return _timer("timer", {"due_at": due_at})
    name = full_name(event_listener_type)
    polling = Special(EVENT, signature=_bare(event_listener_type, "poll_for_event"))
    poll: TaskDef[..., Any] = TaskDef(
        event_listener_type, WorkflowOptions(name=f"{name}.poll_for_event"), special=polling
    )
    telling = Special(EVENT_CHECKPOINTED, signature=_bare(event_listener_type, "event_checkpointed"))
    tell: TaskDef[..., Any] = TaskDef(
        event_listener_type, WorkflowOptions(name=f"{name}.event_checkpointed"), special=telling
    )
    return Runnable(tell, (poll.bind(*args, **kwargs),), {})


def _bare(listener: type[Any], method: str) -> Any:
    """The method as it is called: without self."""
    return getattr(object.__new__(listener), method)


def wait(workflows: Sequence[Any], num_returns: int = 1, timeout: float | None = None) -> Workflow[Any]:
    """A task whose output is (values of the first `num_returns` of `workflows` to be ready, the others), both in the
    order given; of those ready after `timeout` seconds if that is sooner. What was chosen stays chosen, also after a
    crash; the others can be given to a later task.

    Raises TypeError for what is no list of workflows, ValueError for a wrong number.
    """
    if not isinstance(workflows, list | tuple) or not all(
        is_node(item) or isinstance(item, WorkflowRef) for item in workflows
    ):
        raise TypeError("The input of workflow.wait should be a list of workflows.")
    if not workflows:
        raise ValueError("workflow.wait needs at least one workflow")
    if not isinstance(num_returns, int) or not 1 <= num_returns <= len(workflows):
        raise ValueError(
            f"num_returns is {num_returns!r}; it must be from 1 to {len(workflows)}, the number of workflows"
        )
    facts = {"num_returns": num_returns}
    if timeout is not None:
        facts["timeout_s"] = _seconds("timeout", timeout, 0)  # type: ignore[assignment]
    special = Special(WAIT, facts, older=True)
    return Workflow(TaskDef(choose, WorkflowOptions(name="wait"), {"num_cpus": 0}, special), (list(workflows),), {})


def choose(items: list[Any]) -> tuple[list[Any], list[WorkflowRef]]:
    """What is ready, and references to what is not."""
    ready = [item for item in items if not isinstance(item, Unresolved)]
    return ready, [WorkflowRef(item.task_id) for item in items if isinstance(item, Unresolved)]


def _seconds(name: str, value: object, least: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not least <= value <= max(_LONGEST_S, _LONGEST_S if least == 0 else 1e11):
        raise ValueError(f"{name} is {value!r} s; that is not a time to wait")
    return float(value)
