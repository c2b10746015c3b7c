"""Runs listeners: a Ray actor that needs no CPU, made by `ListenerPool`. Waits here cost an asyncio task, or a thread.

The actor's own loop decides and reports; user code never runs on it. Up to `MAX_OWN_THREADS` blocking listeners run at
once, each in a thread of its own; more of them wait in line, the classes taking turns. Listeners that give control back
to their loop share one, any number of them.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import pickle
import resource
import threading
import time
from collections import deque
from collections.abc import Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import ray

from wfstore.engine import worker
from wfstore.engine.assignment import Assignment, dump_outcome
from wfstore.engine.listeners.attempt import ListenerAttempt
from wfstore.engine.listeners.kinds import COOPERATIVE, LONG_S, UNKNOWN, Kind
from wfstore.engine.listeners.loops import Lane
from wfstore.model.commands import Place

logger = logging.getLogger(__name__)

AttemptKey = tuple[str, int, str, int]
Started = tuple[AttemptKey, Place]
EndedBytes = tuple[AttemptKey, bytes]

#: Attempt, and the key of the sent event that it waits for.
Ask = tuple[AttemptKey, str]
#: Workflow, key of an event, and what its listener says about it.
Report = tuple[str, str, bool]
#: Attempt, key, form and value of the payload (as in an assignment), or the error instead.
Answered = tuple[AttemptKey, str, int, Any, Exception | None]

#: Blocking listeners that run at once; beyond these, a few threads for classes that nothing is known of yet.
MAX_OWN_THREADS = 500
_MORE_FOR_UNKNOWN = 64
_PROBES = 4
_TICK_S = 0.1
#: A look that comes later than this shows that the process as a whole stood still.
_LATE_S = 0.1
_LONG_TICKS = round(LONG_S / _TICK_S)
#: For so long innocent listeners of a loop that somebody blocks may be held up; then they begin anew elsewhere.
STUCK_S = 30.0
_STUCK_TICKS = round(STUCK_S / _TICK_S)
_LOADERS = 16
_MOST_NEWS = 500
_FILES = 65_536


class News(NamedTuple):
    """What a host tells the pool. A report comes with, or before, the end of the attempt that made it."""

    starts: list[Started]
    ends: list[EndedBytes]
    asks: list[Ask]
    reports: list[Report]


class ListenerHost:
    """See the module. Create it on the loop that it is to live on."""

    def __init__(self) -> None:
        _prepare_process()
        self._loop = asyncio.get_running_loop()
        self._node_id = ray.get_runtime_context().get_node_id() if ray.is_initialized() else None
        self._workers = ThreadPoolExecutor(_LOADERS, "wfstore-listener-load")
        self._attempts: dict[AttemptKey, ListenerAttempt] = {}
        self._kinds: dict[Hashable, Kind] = {}
        self._lanes: set[Lane] = set()
        self._shared: Lane | None = None
        self._over: deque[tuple[ListenerAttempt, bytes]] = deque()
        self._wake_up = threading.Lock()
        self._just_started: deque[ListenerAttempt] = deque()
        self._starts: deque[Started] = deque()
        self._ends: deque[EndedBytes] = deque()
        self._asks: deque[Ask] = deque()
        self._reports: deque[Report] = deque()
        self._news = asyncio.Event()
        self._next_look: float | None = None

    # -- called by the pool -------------------------------------------------------------------------------------------

    async def take(self, assignments: list[bytes], *inputs: Any) -> None:
        """Run these attempts, whose REF sources are positions in `inputs`; their ends come as news."""
        for data in assignments:
            job = Assignment.loads(data)
            attempt = ListenerAttempt(
                job,
                self._node_id,
                self._workers,
                self._just_started.append,
                self._end_from_lane,
                self._ask_from_lane,
                self._report_from_lane,
            )
            self._attempts[attempt.key] = attempt
            preparing = self._loop.run_in_executor(self._workers, attempt.prepare, inputs)
            preparing.add_done_callback(partial(self._prepared, attempt))
        if self._next_look is None:
            self._look_again(self._loop.time())

    async def cancel(self, keys: list[AttemptKey]) -> None:
        """Throw CancelledError into them; nothing more is reported about them. A body that blocks is left to itself:
        its thread ends when it returns."""
        for key in keys:
            attempt = self._attempts.pop(key, None)
            if attempt is None:
                continue
            attempt.over = True
            attempt.release()
            if attempt.lane is not None:
                attempt.lane.abandoned = attempt.lane.own
                attempt.lane.cancel(attempt)
        for kind in self._waiting_kinds():
            kind.waiting = deque(attempt for attempt in kind.waiting if not attempt.over)
        self._advance()

    async def news(self) -> bytes:
        """Waits until there is something to tell, then the pickled `News`. Told once; starts only of those that run
        longer than a moment."""
        await self._news.wait()
        starts, ends = _some(self._starts), _some(self._ends)
        # After the ends: a report that was made before one of them is told with it at the latest.
        reports = [self._reports.popleft() for _ in range(len(self._reports))]
        told = News(starts, ends, _some(self._asks), reports)
        if not (self._starts or self._ends or self._asks or self._reports):
            self._news.clear()
        return pickle.dumps(tuple(told), 5)

    async def answer(self, answers: list[Answered]) -> None:
        """Give events that were sent to the listeners that wait for them."""
        for key, event_key, form, value, error in answers:
            attempt = self._attempts.get(key)
            if attempt is not None:
                self._workers.submit(attempt.answer, event_key, form, value, error)

    async def describe(self) -> dict[str, Any]:
        """What is going on here, for people and tests."""
        return {
            "listeners": len(self._attempts),
            "own_threads": sum(lane.own for lane in self._lanes),
            "shared_loops": sum(not lane.own for lane in self._lanes),
            "waiting": sum(len(kind.waiting) for kind in self._kinds.values()),
            "verdicts": {kind.name: kind.verdict for kind in self._kinds.values()},
        }

    # -- where they run -----------------------------------------------------------------------------------------------

    def _prepared(self, attempt: ListenerAttempt, done: asyncio.Future[bytes | None]) -> None:
        failure = done.result()
        if attempt.over:
            return
        if failure is not None:
            self._report(attempt, failure)
            return
        kind = self._kinds.get(attempt.kind_key)
        if kind is None:
            kind = self._kinds[attempt.kind_key] = Kind(attempt.name, attempt.plain, time.monotonic())
        attempt.kind = kind
        if kind.waiting or not self._start(attempt):
            kind.waiting.append(attempt)

    def _start(self, attempt: ListenerAttempt) -> bool:
        """Run it, if there is room."""
        kind = attempt.kind
        if kind.verdict == COOPERATIVE:
            if self._shared is None:
                self._shared = Lane(own=False).start_shared()
                self._lanes.add(self._shared)
            self._shared.start(attempt)
            return True
        if kind.verdict == UNKNOWN and kind.probes >= _PROBES:
            return False
        if self._own_threads() >= MAX_OWN_THREADS + (_MORE_FOR_UNKNOWN if kind.verdict == UNKNOWN else 0):
            return False
        lane = Lane(own=True)
        self._lanes.add(lane)
        kind.probes += 1
        lane.start(attempt)
        return True

    def _own_threads(self) -> int:
        """Those that count. A well-behaved listener that was among the first of its class keeps its thread for as long
        as it waits, which must not keep others from running."""
        return sum(
            lane.own and not lane.abandoned and any(one.kind.verdict != COOPERATIVE for one in lane.attempts)
            for lane in self._lanes
        )

    def _waiting_kinds(self) -> list[Kind]:
        return [kind for kind in self._kinds.values() if kind.waiting]

    def _advance(self) -> None:
        """Start those that wait, as far as there is room: one of each class at a time."""
        ready = deque(self._waiting_kinds())
        while ready:
            kind = ready.popleft()
            if self._start(kind.waiting[0]):
                kind.waiting.popleft()
                if kind.waiting:
                    ready.append(kind)

    # -- how they end -------------------------------------------------------------------------------------------------

    def _end_from_lane(self, attempt: ListenerAttempt, outcome: bytes) -> None:
        """In the lane's thread. Many ends cost one call on the loop."""
        self._over.append((attempt, outcome))
        if self._wake_up.acquire(blocking=False):
            self._loop.call_soon_threadsafe(self._take_ends)

    def _ask_from_lane(self, attempt: ListenerAttempt, event_key: str) -> None:
        self._asks.append((attempt.key, event_key))
        self._loop.call_soon_threadsafe(self._news.set)

    def _report_from_lane(self, workflow_id: str, event_key: str, ok: bool) -> None:
        self._reports.append((workflow_id, event_key, ok))
        self._loop.call_soon_threadsafe(self._news.set)

    def _take_ends(self) -> None:
        self._wake_up.release()
        while self._over:
            attempt, outcome = self._over.popleft()
            self._leave_lane(attempt)
            if not attempt.over:
                self._report(attempt, outcome)
        self._advance()

    def _leave_lane(self, attempt: ListenerAttempt) -> None:
        lane = attempt.lane
        assert lane is not None
        lane.attempts.discard(attempt)
        if lane.own:
            attempt.kind.probes -= 1
        if lane.retired and not lane.attempts:
            self._lanes.discard(lane)
            lane.close()

    def _report(self, attempt: ListenerAttempt, outcome: bytes) -> None:
        attempt.over = True
        if self._attempts.get(attempt.key) is attempt:
            del self._attempts[attempt.key]
        self._ends.append((attempt.key, outcome))
        self._news.set()

    # -- the watch ----------------------------------------------------------------------------------------------------

    def _look_again(self, now: float) -> None:
        self._next_look = now + _TICK_S
        self._loop.call_at(self._next_look, self._look)

    def _look(self) -> None:
        """Every `_TICK_S` while there are listeners: report starts, judge classes, find loops that are held up."""
        now = self._loop.time()
        assert self._next_look is not None
        on_time = now - self._next_look < _LATE_S
        self._tell_starts()
        if on_time:
            for lane in list(self._lanes):
                self._inspect(lane)
        if self._judge(on_time):
            self._advance()
        if self._attempts or any(lane.attempts for lane in self._lanes):
            self._look_again(self._loop.time())
        else:
            self._next_look = None

    def _judge(self, on_time: bool) -> bool:
        """True when something is known now of a class that was not before."""
        now, changed = time.monotonic(), False
        for kind in self._kinds.values():
            before = kind.verdict
            if not kind.judge(now, on_time):
                continue
            changed = True
            logger.info("listeners of %s are %s", kind.name, kind.verdict)
            if before == COOPERATIVE:
                self._retire()
        return changed

    def _tell_starts(self) -> None:
        while self._just_started:
            attempt = self._just_started.popleft()
            if not attempt.over and attempt.place is not None:
                self._starts.append((attempt.key, attempt.place))
                self._news.set()

    def _inspect(self, lane: Lane) -> None:
        holder, since = lane.loop.busy_with, lane.loop.busy_since
        before, ticks = lane.seen
        lane.seen = (since, ticks + 1 if since and since == before else 0)
        if lane.seen[1] == _LONG_TICKS:
            if holder is not None:
                holder.kind.stuck()
            elif lane is self._shared:
                self._retire()  # a callback that no listener answers for
        if lane.seen[1] == _STUCK_TICKS and not lane.own:
            self._give_up([attempt for attempt in lane.attempts if attempt is not holder and not attempt.over])

    def _retire(self) -> None:
        """The shared loop is, or may be, held up: those who come from now on get another one."""
        lane, self._shared = self._shared, None
        if lane is None:
            return
        lane.retired = True
        if not lane.attempts:
            self._lanes.discard(lane)
            lane.close()

    def _give_up(self, attempts: Iterable[ListenerAttempt]) -> None:
        error = RuntimeError(f"Another listener has blocked the event loop for {STUCK_S:g} s; this one begins anew.")
        data = dump_outcome(worker.failed(error, "lost"))
        for attempt in attempts:
            self._report(attempt, data)
            assert attempt.lane is not None
            attempt.lane.cancel(attempt)


def _some(queue: deque[Any]) -> list[Any]:
    return [queue.popleft() for _ in range(min(len(queue), _MOST_NEWS))]


def _prepare_process() -> None:
    """Every own thread needs three files; full garbage collections over ten thousand waits would stop them all."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError) as error:  # macOS allows less than it says
            logger.warning("no more than %d open files here: %s", soft, error)
    gc.set_threshold(50_000, 20, 100)
