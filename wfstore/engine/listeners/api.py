"""What users subclass to wait for an event. No Ray in here: listeners are pickled by value and name these classes.

A listener has no state of its own to keep: one instance polls, another one is told that the event is durable, perhaps
in another process, and after a crash either of them begins anew.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

#: The wall clock may be set while a timer sleeps, and a machine may be suspended: it is looked at again this often.
_LOOK_AGAIN_S = 30.0


class EventListener:
    """Waits for one event. Made without arguments; the methods may be ``async def`` or plain ``def``.

    Instances of one class may run at the same time, on several event loops and threads of one process. An ``async def``
    that blocks (``time.sleep``, a blocking client) works, and costs a thread of its own.
    """

    async def poll_for_event(self, *args: Any, **kwargs: Any) -> Any:
        """Return the event once it is there. What it returns must be picklable, and is made durable.

        Runs again, from the beginning, when the process is lost before the event is durable.
        """
        raise NotImplementedError(f"{type(self).__qualname__} does not say how to poll for an event")

    async def event_checkpointed(self, event: Any) -> None:
        """The event is durable: now the provider may forget it. Called on a new instance, at least once."""


class TimerListener(EventListener):
    """An event at a given time."""

    async def poll_for_event(self, timestamp: float) -> None:
        """Return None once it is `timestamp` (seconds since 1970, as of ``time.time()``); at once when that is past."""
        while (rest_s := timestamp - time.time()) > 0:
            await asyncio.sleep(min(rest_s, _LOOK_AGAIN_S))
