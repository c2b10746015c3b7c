"""Threads with an event loop in them: one for many listeners, or one for one.

A loop times every callback and knows for whom it runs, child tasks and timers of user code included: the listener
stands in the context that asyncio hands on. Judging what was seen is the host's part.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVarTuple

if TYPE_CHECKING:
    from wfstore.engine.listeners.attempt import ListenerAttempt

logger = logging.getLogger(__name__)

#: Address space; what a thread does not touch costs no memory. Enough for the C code of clients and of pickle.
_STACK_BYTES = 1024 * 1024
#: Threads for ``asyncio.to_thread`` in listeners that share a loop, started as they are needed.
_MAX_TO_THREAD = 500
_CLEAN_UP_S = 1.0

_Ts = TypeVarTuple("_Ts")
_OWNER: contextvars.ContextVar[ListenerAttempt | None] = contextvars.ContextVar("wfstore_listener", default=None)
_stack_size = threading.Lock()


def current_attempt() -> ListenerAttempt | None:
    """The listener whose code this is, tasks and threads that it started by asyncio included."""
    return _OWNER.get()


class TimedLoop(asyncio.SelectorEventLoop):
    """An event loop that can be asked, from any thread, what it has been running since when."""

    def __init__(self) -> None:
        super().__init__()
        self.busy_with: ListenerAttempt | None = None
        self.busy_since = 0.0
        self.set_task_factory(_make_task)

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        return super().call_soon(self._timed, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return super().call_at(when, self._timed, callback, *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        return super().call_soon_threadsafe(self._timed, callback, *args, context=context)

    def _timed(self, callback: Callable[[*_Ts], object], *args: *_Ts) -> None:
        owner = _OWNER.get()
        began = time.monotonic()
        self.busy_with, self.busy_since = owner, began
        try:
            callback(*args)
        finally:
            self.busy_with, self.busy_since = None, 0.0
            if owner is not None:
                now = time.monotonic()
                owner.kind.saw(now - began, owner.polled, now)


def _make_task(loop: asyncio.AbstractEventLoop, body: Any, **options: Any) -> asyncio.Task[Any]:
    """Remembers who started a task: it goes when its listener ends, as it would with ``asyncio.run``."""
    task: asyncio.Task[Any] = asyncio.Task(body, loop=loop, **options)
    owner = _OWNER.get()
    if owner is not None:
        owner.adopt(task)
    return task


class Lane:
    """A thread and its loop. `own`: for one listener alone, which may block; else for many that do not."""

    def __init__(self, own: bool) -> None:
        self.own = own
        self.loop = TimedLoop()
        self.attempts: set[ListenerAttempt] = set()
        #: Nothing new is started here.
        self.retired = own
        #: Its only listener was canceled and has not noticed yet.
        self.abandoned = False
        #: For the host: the step seen at its last look, and at how many looks.
        self.seen = (0.0, 0)
        self._closing = False
        if not own:
            self.loop.set_default_executor(ThreadPoolExecutor(_MAX_TO_THREAD, "wfstore-listener-to-thread"))

    def start(self, attempt: ListenerAttempt) -> None:
        """Run a listener here. Called by the host; the first call starts the thread of an own lane."""
        self.attempts.add(attempt)
        attempt.lane = self
        context = contextvars.Context()
        context.run(_OWNER.set, attempt)
        self.loop.call_soon_threadsafe(self._begin, attempt, context)
        if self.own:
            # A plain function runs before the loop does: user code may want to run a loop of its own there.
            self._start_thread(lambda: context.run(attempt.call_plainly) if attempt.plain else None)

    def start_shared(self) -> Lane:
        """Start the thread of a shared lane."""
        self._start_thread(lambda: None)
        return self

    def cancel(self, attempt: ListenerAttempt) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the listener has just ended
            self.loop.call_soon_threadsafe(attempt.cancel)

    def close(self) -> None:
        """End the thread as soon as its loop has control. Called once, by the host."""
        self._closing = True
        self.loop.call_soon_threadsafe(self.loop.stop)

    def _begin(self, attempt: ListenerAttempt, context: contextvars.Context) -> None:
        attempt.task = self.loop.create_task(attempt.run(), context=context)

    def _start_thread(self, first: Callable[[], None]) -> None:
        with _stack_size:
            before = threading.stack_size(_STACK_BYTES)
            try:
                threading.Thread(target=self._run, args=(first,), name="wfstore-listener", daemon=True).start()
            finally:
                threading.stack_size(before)

    def _run(self, first: Callable[[], None]) -> None:
        first()
        asyncio.set_event_loop(self.loop)
        while not self._closing:
            try:
                self.loop.run_forever()
            except BaseException:  # asyncio lets SystemExit of a child task through, which ends nobody else's waiting
                logger.exception("a task that a listener started ended its event loop, which goes on")
        try:
            self._clean_up()
        except BaseException:
            logger.exception("a listener's event loop could not be cleaned up")
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()

    def _clean_up(self) -> None:
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.wait(left, timeout=_CLEAN_UP_S))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
