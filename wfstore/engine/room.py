"""Whoever brings new work waits while the log cannot keep up: its disk is slow, or compaction is behind. What has been
accepted is never held up here.

It asks two figures: how many bytes wait to be durable, and how many events are in no history file.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from wfstore.errors import LimitExceededError

#: So much may wait for the disk before new work does.
WAITING_BYTES = 64 << 20
#: Who has waited so long for compaction is refused.
PATIENCE_S = 30.0
_LOOK_EVERY_S = 0.05


class Room:
    """Of one manager. waiting_bytes, tail_events: the figures now; most_tail_events: what is allowed now."""

    def __init__(
        self,
        waiting_bytes: Callable[[], int],
        tail_events: Callable[[], int],
        most_tail_events: Callable[[], int],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._waiting_bytes, self._tail_events, self._most = waiting_bytes, tail_events, most_tail_events
        self._patience_s = patience_s

    async def enter(self) -> None:
        """Returns when there is room for more. Raises LimitExceededError where the tail does not get shorter in time.

        A disk that is slow is waited for as long as it takes: the commits before tell how that ends.
        """
        deadline = time.monotonic() + self._patience_s
        while self._waiting_bytes() > WAITING_BYTES:
            await asyncio.sleep(_LOOK_EVERY_S)
        while (tail := self._tail_events()) > self._most():
            if time.monotonic() > deadline:
                what = "the log holds what compaction has not taken in yet (`wfstore compact` does)"
                raise LimitExceededError("max_tail_events", self._most(), tail, what)
            await asyncio.sleep(_LOOK_EVERY_S)
