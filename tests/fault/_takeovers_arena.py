"""One store, managers that take it from one another in the ways of `Takeover`, and readers that look on throughout."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fault import _takeovers_processes as processes
from tests.fault._takeovers_manager import CONTEXT, Guard, Manager, Past
from tests.fault._takeovers_processes import LAST, Reign
from wfstore.log import failpoints
from wfstore.objects import is_uri

#: Nothing here takes a second on an idle machine; now and then this one is frozen for a minute.
_PATIENCE_S = 120.0
#: With a protection off nobody waits long for what it would have led to.
_PATIENCE_WITHOUT_S, _READERS_WITHOUT_S, _FENCED_WITHOUT_S = 10.0, 15.0, 0.05
_KINDS = ("paused", "asleep", "killed", "live", "crossed", "raced", "overtaken")
#: Segments of at most so many bytes are full within a few commits.
_SMALL_BYTES = 1_000
_ROTATION = (failpoints.ROTATE_CREATED, failpoints.ROTATE_SYNCED)
_LOCAL_POINTS = (
    failpoints.APPEND_BEFORE_WRITE,
    failpoints.APPEND_WRITTEN,
    failpoints.APPEND_SYNCED,
    failpoints.APPEND_CHECKED,
    *_ROTATION,
)
_OBJECT_POINTS = (failpoints.APPEND_BEFORE_WRITE, failpoints.APPEND_WRITTEN)
_LOCAL_CLAIM = (failpoints.CLAIM_CREATED, failpoints.CLAIM_SCANNED, failpoints.CLAIM_SYNCED)
_OBJECT_CLAIM = (failpoints.CLAIM_SCANNED, failpoints.CLAIM_SYNCED)


class NeverCameError(AssertionError):
    """What has to happen did not: a manager that was replaced and does not end, say."""


@dataclass(frozen=True)
class Takeover:
    """What one case does; drawn by its number.

    kind: the old manager is paused, and woken up when the new one has appended; asleep through several takeovers;
    killed; live; woken up in the middle of the new one's claim (crossed); two new ones claim at once (raced); the new
    one is paused in its claim and another one claims meanwhile (overtaken). point: where the old one is interrupted;
    None: at a random moment.
    """

    kind: str
    point: str | None
    point_count: int
    claim_point: str
    delay_s: float
    commits: int
    naps: int
    segment_bytes: int
    pause_s: float
    seed: int

    @staticmethod
    def drawn(case: int, objects: bool, compacting: bool = False) -> Takeover:
        chance = random.Random(f"takeover {case}")
        points = _OBJECT_POINTS if objects else _LOCAL_POINTS
        return Takeover(
            # What a compaction does to a sleeper's log is done after the next takeover.
            kind=chance.choice(("asleep", "asleep", *_KINDS) if compacting else _KINDS),
            point=chance.choice((None, chance.choice(points))),
            point_count=chance.randrange(1, 4),
            claim_point=chance.choice(_OBJECT_CLAIM if objects else _LOCAL_CLAIM),
            delay_s=chance.random() * 0.01,
            commits=chance.randrange(1, 5),
            naps=chance.randrange(2, 6) if compacting else chance.randrange(1, 4),
            segment_bytes=chance.choice((1, 700, 3000, 1 << 20)),
            pause_s=chance.choice((0.0, 0.0, 0.003)) + (0.004 if objects else 0.0),
            seed=chance.getrandbits(32),
        )


@dataclass
class Arena:
    """A store and everybody around it. compacting: after every third takeover the log is taken into history files."""

    storage: str
    folder: Path
    off: str | None = None
    compacting: bool = False
    managers: list[Manager] = field(default_factory=list)
    pasts: list[Past] = field(default_factory=list)
    asleep: list[tuple[int, Manager]] = field(default_factory=list)
    owner: Manager | None = None

    def __post_init__(self) -> None:
        self._patience_s = _PATIENCE_S if self.off is None else _PATIENCE_WITHOUT_S
        self.objects = is_uri(self.storage)
        self._guard = Guard()
        # A store that is not there yet can be neither followed nor opened.
        first = self.order(Takeover.drawn(0, self.objects), -1)
        self.settle([first])
        ways = ("by cursor", "by follow", "afresh")
        pause = 0.1 if self.objects else 0.003
        self.readers = [self._reader(way, pause * (20 if way == "afresh" else 1)) for way in ways]

    def _reader(self, how: str, pause_s: float) -> tuple[str, Any, Any]:
        ours, theirs = CONTEXT.Pipe()
        process = CONTEXT.Process(
            target=processes.read_on, args=(theirs, self.storage, how, pause_s, self.compacting, self.off)
        )
        process.start()
        self._guard.watch(process.pid)
        theirs.close()
        return how, process, ours

    # -- the ways of a takeover ---------------------------------------------------------------------------------------

    def take_over(self, takeover: Takeover, case: int) -> None:
        """Another manager takes the store, in the way of `takeover`. Raises NeverCameError."""
        old = self.owner
        assert old is not None
        self.wait(lambda: old.commits >= takeover.commits, "the old manager commits")
        involved = [old]
        if takeover.kind == "killed":
            self.interrupt(old, takeover, signal.SIGKILL)
            old.replace()
            involved = []
        elif takeover.kind != "live":
            self.interrupt(old, takeover, signal.SIGSTOP)
        involved += self._claims(takeover, case, old)
        self._woken(takeover, case, old)
        if takeover.kind == "asleep":
            involved.remove(old)
        self.settle(involved)
        if self.compacting and case % 3 == 2:
            compaction = CONTEXT.Process(target=processes.compact_away, args=(self.storage,))
            compaction.start()
            compaction.join()
            assert compaction.exitcode == 0, "the compaction failed"

    def _claims(self, takeover: Takeover, case: int, old: Manager) -> list[Manager]:
        """Those who claim the store."""
        if takeover.kind not in ("crossed", "raced", "overtaken"):
            return [self.order(takeover, case)]
        if takeover.kind == "raced":
            return [self.order(takeover, case), self.order(takeover, case)]
        first = self.order(takeover, case, takeover.claim_point)
        self.wait(lambda: first.stopped or first.free, "the claimant is paused")
        rivals = [first]
        if takeover.kind == "overtaken":
            second = self.order(takeover, case)
            rivals.append(second)
            self.wait(lambda: second.free or second.commits >= takeover.commits, "the second claimant reigns")
        else:
            old.signal(signal.SIGCONT)
            # Long enough for readers to come by, where they do not look twice.
            time.sleep(takeover.delay_s + (0.03 if self.off else 0.0))
        first.signal(signal.SIGCONT)
        return rivals

    def _woken(self, takeover: Takeover, case: int, old: Manager) -> None:
        """Let the old manager, and who was to sleep until now, see what has become of the store."""
        if takeover.kind in ("paused", "overtaken", "raced", "asleep"):
            others = [m for m in self.managers if m is not old]
            self.wait(lambda: any(m.commits >= takeover.commits for m in others), "the new manager commits")
        if takeover.kind == "asleep":
            self.asleep.append((case + takeover.naps, old))
        elif takeover.kind not in ("killed", "live"):
            old.signal(signal.SIGCONT)
        for until, sleeper in list(self.asleep):
            if until <= case:
                self.asleep.remove((until, sleeper))
                sleeper.signal(signal.SIGCONT)
                self.settle([sleeper], over=True)

    def order(self, takeover: Takeover, case: int, stop_at: str | None = None, name: str = "") -> Manager:
        """Tell a manager that has nothing to do to reign."""
        manager = next((m for m in self.managers if m.free), None)
        if manager is None:
            manager = Manager(self.off, self._guard)
            self.managers.append(manager)
        name = name or f"r{len(self.pasts)}"
        notes = str(self.folder / f"{name}.notes")
        events = 1 if name == LAST else None
        size, pause_s = takeover.segment_bytes, takeover.pause_s
        if self.compacting:
            # A compaction takes a second, and goes on for as long as further segments are sealed.
            size, pause_s = 1 << 20, 0.01
        reign = Reign(self.storage, name, notes, size, pause_s, takeover.seed, stop_at, events)
        self.pasts.append(manager.reign(reign, case))
        return manager

    def interrupt(self, manager: Manager, takeover: Takeover, how: signal.Signals) -> None:
        """Stop or kill it, at a named point or at a random moment."""
        gone = lambda: manager.stopped or manager.dead  # noqa: E731
        assert manager.past is not None
        rotates = manager.past.segment_bytes < _SMALL_BYTES
        if takeover.point is not None and (rotates or takeover.point not in _ROTATION):
            manager.tell((takeover.point, takeover.point_count, how))
            deadline = time.monotonic() + 0.1
            while not gone() and time.monotonic() < deadline:
                time.sleep(0.001)
        else:
            time.sleep(takeover.delay_s)
        if not gone():
            manager.signal(how)
        self.wait(gone, "the old manager is stopped")

    def settle(self, involved: list[Manager], *, over: bool = False) -> None:
        """Of those who have claimed, the one with the highest epoch goes on; the others end. over: all do."""
        self.wait(lambda: all(m.look() != "claiming" for m in involved), "the claim is answered")
        reigning = [m for m in involved if m.reigning]
        newest = max(reigning, key=lambda m: m.past.epoch if m.past else 0, default=None)
        if not over:
            if newest is None:
                raise NeverCameError(f"nobody could claim the store: {[m.past for m in involved]}")
            self.owner = newest
        for manager in reigning:
            if over or manager is not newest:
                self.fenced(manager)

    def fenced(self, manager: Manager) -> None:
        """Its reign ends by itself."""
        if self.off is not None:
            deadline = time.monotonic() + _FENCED_WITHOUT_S
            while manager.reigning and time.monotonic() < deadline:
                time.sleep(0.002)
            if manager.reigning:
                manager.tell(None)
        self.wait(lambda: self._over(manager), "a manager that was replaced ends")

    def _over(self, manager: Manager) -> bool:
        # The point at which it was to stop may come by only now.
        if manager.stopped:
            manager.signal(signal.SIGCONT)
        return manager.free

    def wait(self, holds: Callable[[], bool], what: str) -> None:
        patience = self._patience_s
        deadline = time.monotonic() + patience
        while not holds():
            if time.monotonic() > deadline:
                raise NeverCameError(f"not within {patience:.0f} s: {what}; {[m.past for m in self.managers]}")
            time.sleep(0.001)

    # -- the end ------------------------------------------------------------------------------------------------------

    def finish(self) -> dict[str, tuple[list[Any], str | None]]:
        """Wake everybody up, leave one last event, and return what each reader saw, or why it did not."""
        for _, sleeper in self.asleep:
            sleeper.signal(signal.SIGCONT)
            self.settle([sleeper], over=True)
        self.asleep = []
        old, last = self.owner, self.order(Takeover.drawn(0, self.objects), -1, name=LAST)
        assert old is not None
        self.wait(lambda: last.free, "the last manager closes")
        self.fenced(old)
        found = {}
        for way, process, pipe in self.readers:
            if not pipe.poll(_PATIENCE_S if self.off is None else _READERS_WITHOUT_S):
                if self.off is not None:
                    continue  # led astray by what was switched off
                raise NeverCameError(f"a reader ({way}) never came to the last event")
            found[way] = pipe.recv()
            process.join()
        return found

    def end(self) -> None:
        """Whatever happened: no process is left."""
        for manager in self.managers:
            manager.end()
        for _, process, pipe in getattr(self, "readers", ()):
            process.kill()
            process.join()
            pipe.close()
        self._guard.end()
