"""Events that come over HTTP: ``POST /event/send_event/{workflow_id}`` of the dashboard, or `workflow.send_event`.

    approved = workflow.wait_for_event(http_event_provider.HTTPListener, "approval")

Nothing has to be started for a listener: whoever sends an event does so to the manager. What is sent before somebody
waits for it is kept, and what was acknowledged is not lost.
"""

from __future__ import annotations

from typing import Any

from wfstore.engine.listeners.api import EventListener
from wfstore.engine.listeners.asking import EventHandle, Response
from wfstore.errors import WorkflowEventHandleError
from wfstore.workflow.workflow_context import get_current_task_id, get_current_workflow_id

__all__ = ["EventHandle", "HTTPListener", "Response", "WorkflowEventHandleError"]


class HTTPListener(EventListener):
    """Waits for one event that is sent to its workflow under a key. The event is the pair (key, payload).

    A subclass may do more with ``self.handle``: ``await self.handle.get_event_payload.remote(workflow_id, key)`` gives
    the pair, and ``await self.handle.report_checkpointed.remote(workflow_id, key, ok)`` tells a sender who still waits
    for his answer how it went (200 or 500).
    """

    handle = EventHandle()

    async def poll_for_event(self, event_key: str | None = None) -> tuple[str, Any]:
        """event_key: None: the id of the task that waits.

        Raises WorkflowEventHandleError when another task of the workflow waits under this key at the same time. After
        a crash, or when the task is tried again, the same event is there again.
        """
        key = get_current_task_id() if event_key is None else event_key
        return await self.handle.get_event_payload.remote(get_current_workflow_id(), key)

    async def event_checkpointed(self, event: tuple[str, Any]) -> None:
        """Confirm it to its sender."""
        await self.handle.report_checkpointed.remote(get_current_workflow_id(), event[0], True)
