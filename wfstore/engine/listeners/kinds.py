"""Which listeners may share an event loop. Pure: time is passed in.

A class starts as unknown and a few of its instances run in threads of their own. Once one has given control back to its
loop and been quick for a moment, further ones share a loop; a class that blocks gets threads of its own for ever.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wfstore.engine.listeners.attempt import ListenerAttempt

UNKNOWN, COOPERATIVE, BLOCKING = "unknown", "cooperative", "blocking"

#: Seconds that one step (from being woken to giving control back) may take; beyond `LONG_S` one step decides.
SLOW_S, LONG_S = 0.05, 1.0
#: For how long an unknown class must have been quick after it first gave control back. Long enough for a body that
#: awaits something once and blocks from then on.
PROBATION_S = 0.25

# A busy machine delays the steps of well-behaved code too, now and then. What has been proved good is given up only for
# slow steps that keep coming.
_SLOW_STEPS = {UNKNOWN: 3.0, COOPERATIVE: 10.0}
_FORGIVEN_PER_S = 0.1
_QUICK_ENDS = 8


class Kind:
    """One method of one listener class: what its steps were like, and who waits to run.

    `saw` is called in the threads of listeners, without a lock: a lost count does no harm.
    """

    __slots__ = (
        "_first_yield",
        "_judged_at",
        "_long",
        "_quick_ends",
        "_score",
        "_slow",
        "name",
        "probes",
        "verdict",
        "waiting",
    )

    def __init__(self, name: str, blocking: bool, now: float) -> None:
        self.name = name
        self.verdict = BLOCKING if blocking else UNKNOWN
        self.waiting: deque[ListenerAttempt] = deque()
        self.probes = 0
        self._slow = self._long = self._quick_ends = 0
        self._score = 0.0
        self._first_yield: float | None = None
        self._judged_at = now

    def saw(self, took_s: float, ended: bool, now: float) -> None:
        """One step took so long; `ended`: it was the last of its listener."""
        if took_s >= LONG_S:
            self._long += 1
        elif took_s >= SLOW_S:
            self._slow += 1
        elif ended:
            self._quick_ends += 1
        if not ended and self._first_yield is None:
            self._first_yield = now

    def stuck(self) -> None:
        """A step has been running for `LONG_S` and goes on."""
        self._long += 1

    def judge(self, now: float, on_time: bool) -> bool:
        """Look at what was seen since the last time; True when the verdict is another one now.

        on_time: False when this process itself stood still meanwhile: slow steps prove nothing then.
        """
        slow, long = self._slow, self._long
        self._slow = self._long = 0
        self._score = max(0.0, self._score - (now - self._judged_at) * _FORGIVEN_PER_S)
        self._judged_at = now
        if self.verdict == BLOCKING:
            return False
        if on_time:
            self._score += slow
            if long or self._score >= _SLOW_STEPS[self.verdict]:
                self.verdict = BLOCKING
                return True
        if self.verdict == UNKNOWN and self._proved(now):
            self.verdict = COOPERATIVE
            self._score = 0.0
            return True
        return False

    def _proved(self, now: float) -> bool:
        if self._first_yield is None:
            return self._quick_ends >= _QUICK_ENDS and self._score < 1
        return now - self._first_yield >= PROBATION_S * (1 + 4 * self._score)
