"""What a listener asks of its manager about events that were sent to its workflow. No Ray in here: a wait is a future,
which the host sets when the manager says that the event is there.

Listeners written for ray.workflow call ``await self.handle.get_event_payload.remote(workflow_id, key)`` and
``await self.handle.report_checkpointed.remote(workflow_id, key, ok)``; the `EventHandle` answers both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from wfstore.engine.listeners.loops import current_attempt
from wfstore.errors import WorkflowEventHandleError

T = TypeVar("T")


class Response(Generic[T]):
    """Comes when the manager has answered: ``await`` it, or block in ``result()``."""

    def __init__(self, future: Future[T]) -> None:
        self._future = future

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.wrap_future(self._future).__await__()

    def result(self, timeout_s: float | None = None) -> T:
        """For a listener that is a plain ``def``. Raises TimeoutError."""
        return self._future.result(timeout_s)


class _Method(Generic[T]):
    """Called as ``.remote(...)``, as the method of an actor is."""

    def __init__(self, ask: Callable[..., Future[T]]) -> None:
        self._ask = ask

    def remote(self, *args: Any, **kwargs: Any) -> Response[T]:
        return Response(self._ask(*args, **kwargs))


class EventHandle:
    """Usable in the code of a listener only. Without state: one is enough."""

    get_event_payload: _Method[tuple[str, Any]]
    report_checkpointed: _Method[None]

    def __init__(self) -> None:
        self.get_event_payload = _Method(_ask)
        self.report_checkpointed = _Method(_report)

    def __reduce__(self) -> tuple[Any, ...]:
        return EventHandle, ()


def _ask(workflow_id: str, event_key: str) -> Future[tuple[str, Any]]:
    """(key, payload) of the next event that is sent to the workflow under this key, perhaps long ago. Raises
    WorkflowEventHandleError for another workflow, outside of a listener, and when somebody waits under it already."""
    attempt = current_attempt()
    if attempt is None:
        raise WorkflowEventHandleError(workflow_id, "only the code of a listener can wait for it")
    if attempt.key[0] != workflow_id:
        told = f"a listener of workflow {attempt.key[0]!r} waits for events of its own workflow only"
        raise WorkflowEventHandleError(workflow_id, told)
    return attempt.ask(event_key)


def _report(workflow_id: str, event_key: str, confirmation: bool) -> Future[None]:
    """Tell whoever sent the event, and still waits for an answer, how it went: True for 200, False for 500."""
    attempt = current_attempt()
    if attempt is None:
        raise WorkflowEventHandleError(workflow_id, "only the code of a listener can report about it")
    attempt.report(workflow_id, event_key, bool(confirmation))
    done: Future[None] = Future()
    done.set_result(None)
    return done
