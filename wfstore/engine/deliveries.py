"""Events that were sent: on to the listeners that wait for them, and back to senders who want to know how it went."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from wfstore.engine.orders import place_of
from wfstore.model import events as ev
from wfstore.model.events import Event
from wfstore.model.state import State

#: What becomes of a sent event while its sender looks on. All but `REFUSED`: it is durable and will not be lost.
#: `KEPT`: nobody waited for it; `DELIVERED`: a listener has it; `CHECKPOINTED`: and has made its own step durable;
#: `REFUSED`: that listener reported that something went wrong; the event is durable all the same.
KEPT, DELIVERED, CHECKPOINTED, REFUSED = "kept", "delivered", "checkpointed", "refused"


class _Sender(NamedTuple):
    key: str
    answer: asyncio.Future[str]


class Deliveries:
    """Of one manager. Lives on its loop.

    answer(attempt key, event key, form, value): gives a listener what it waits for
    """

    def __init__(self, state: State, answer: Callable[[tuple[str, int, str, int], str, int, Any], None]) -> None:
        self._state = state
        self._answer = answer
        self._senders: dict[tuple[str, str], _Sender] = {}

    def delivered(self, event: Event) -> None:
        """The delivery is durable: act on it."""
        workflow = self._state.workflows.get(event.workflow_id or "")
        kept = (
            None if workflow is None or workflow.inbox is None else workflow.inbox.kept.get(event.attribute("number"))
        )
        if kept is not None:
            key = (event.workflow_id or "", event.run or 0, event.task_id or "", event.attempt or 0)
            self._answer(key, kept.key, *place_of(kept.payload))

    async def outcome(self, caused: Sequence[Event], hold_s: float) -> str:
        """How the sending that `caused` these events went. When somebody waited for the event, what its listener says
        within `hold_s`. Called before the events are acted on."""
        event = next((event for event in caused if event.type == ev.EVENT_DELIVERED), None)
        if event is None:
            return KEPT
        if hold_s <= 0:
            return DELIVERED
        at = (event.workflow_id or "", event.task_id or "")
        sender = self._senders[at] = _Sender(event.name or "", asyncio.get_running_loop().create_future())
        try:
            return await asyncio.wait_for(sender.answer, hold_s)
        except TimeoutError:
            return DELIVERED
        finally:
            if self._senders.get(at) is sender:
                del self._senders[at]

    def reported(self, reports: Iterable[tuple[str, str, bool]]) -> None:
        """Listeners say of an event (workflow, key) whether it went well."""
        for workflow_id, key, ok in reports:
            found = (at for at, sender in self._senders.items() if at[0] == workflow_id and sender.key == key)
            at = next(found, None)
            if at is not None:
                self._tell(at, CHECKPOINTED if ok else REFUSED)

    def told(self, event: Event) -> None:
        """A listener knows that its event is durable, and has not said anything else."""
        workflow = self._state.workflows.get(event.workflow_id or "") if self._senders else None
        task = None if workflow is None else workflow.tasks.get(event.task_id or "")
        for polled in task.upstream if task is not None else ():
            self._tell((event.workflow_id or "", polled), CHECKPOINTED)

    def ended(self, workflow_id: str) -> None:
        """Nobody will say anything about events of this workflow for now."""
        for at in [at for at in self._senders if at[0] == workflow_id]:
            self._tell(at, DELIVERED)

    def _tell(self, at: tuple[str, str], outcome: str) -> None:
        sender = self._senders.pop(at, None)
        if sender is not None and not sender.answer.done():
            sender.answer.set_result(outcome)
