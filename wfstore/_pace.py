"""Work that is asked for again and again, kept to a share of a processor."""

from __future__ import annotations

import time


class Pace:
    """How long to rest after each piece of work.

    Count the processor time of a piece (`time.thread_time`): by the clock, work that was kept off the processor would
    have to rest for that as well.
    """

    def __init__(self, share: float, most_s: float, saved_s: float = 0.0) -> None:
        """share: of one processor; most_s: the longest rest; saved_s: the share of so many seconds without work is
        saved, and may be spent without a rest."""
        self._share, self._most_s, self._saved_s = share, most_s, saved_s
        self._owed_s = 0.0
        self._since = self._next_at = time.monotonic()

    def spent(self, seconds: float) -> float:
        """A piece of work took so long; seconds to rest now."""
        now = time.monotonic()
        owed = max(0.0, self._owed_s - self._share * (now - self._since)) + seconds
        self._owed_s, self._since = min(owed, self._share * (self._saved_s + self._most_s)), now
        pause = max(0.0, self._owed_s / self._share - self._saved_s)
        self._next_at = now + pause
        return pause

    def rest(self, most_s: float) -> None:
        """Wait until there may be more, for `most_s` at most."""
        time.sleep(max(0.0, min(self._next_at - time.monotonic(), most_s)))
