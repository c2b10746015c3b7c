"""A manager in a process of its own, as the takeover campaigns see it: told to reign, stopped, killed, looked at."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from dataclasses import dataclass

from tests.fault import _takeovers_processes as processes
from tests.fault._takeovers_processes import Reign, commits_noted

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([processes.__name__, "wfstore._store", "obstore.store"])


@dataclass
class Past:
    """One reign as it was ordered and came out. outcome: "claimed" while it goes on."""

    case: int
    name: str
    notes: str
    ordered_ns: int
    segment_bytes: int
    epoch: int = 0
    outcome: str = "claiming"
    text: str = ""


class Guard:
    """A process that kills the others when the campaign's own is gone: who is stopped would never notice that."""

    def __init__(self) -> None:
        self._pipe, theirs = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=processes.guard, args=(theirs,))
        self._process.start()
        theirs.close()

    def watch(self, pid: int | None) -> None:
        self._pipe.send(pid)

    def end(self) -> None:
        self._pipe.close()
        self._process.join()


class Manager:
    """A process that reigns when it is told to."""

    def __init__(self, off: str | None, guard: Guard) -> None:
        self._off, self._guard = off, guard
        self.past: Past | None = None
        self._begin()

    def _begin(self) -> None:
        self._pipe, theirs = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=processes.manage, args=(theirs, self._off))
        self.process.start()
        self._guard.watch(self.process.pid)
        theirs.close()

    def reign(self, reign: Reign, case: int) -> Past:
        self.past = Past(case, reign.name, reign.notes, time.monotonic_ns(), reign.segment_bytes)
        self._pipe.send(reign)
        return self.past

    def tell(self, order: tuple[str, int, signal.Signals] | None) -> None:
        self._pipe.send(order)

    def look(self) -> str:
        """What has become of its reign, now."""
        assert self.past is not None
        while self._pipe.poll():
            try:
                self.past.outcome, epoch, self.past.text = self._pipe.recv()
            except (EOFError, ConnectionResetError):
                # Killed, perhaps before it heard all it was told; and all that it said was read.
                self.past.outcome = "killed" if self.past.outcome in ("claiming", "claimed") else self.past.outcome
                break
            self.past.epoch = epoch or self.past.epoch
            if self.past.outcome == "broken":
                raise RuntimeError(self.past.text)
        return self.past.outcome

    @property
    def reigning(self) -> bool:
        return self.past is not None and self.look() == "claimed"

    @property
    def commits(self) -> int:
        """How many of its reign were acknowledged so far; 0 when it does not reign."""
        return commits_noted(self.past.notes) if self.past is not None and self.reigning else 0

    @property
    def free(self) -> bool:
        return self.past is None or self.look() not in ("claiming", "claimed")

    def signal(self, how: signal.Signals) -> None:
        # It may just have come to the point at which it was told to die.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid or 0, how)

    @property
    def stopped(self) -> bool:
        return _state(self.process.pid or 0) == "T"

    @property
    def dead(self) -> bool:
        return _state(self.process.pid or 0) in ("Z", "")

    def replace(self) -> None:
        """After a kill: another process."""
        self.look()
        self._pipe.close()
        self.process.join()
        self._begin()

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self._pipe.close()


def _state(pid: int) -> str:
    """As the system names it; empty when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
