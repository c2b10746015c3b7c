"""What happens to a driver's workflows, as lines on that driver's stderr.

The manager keeps the newest lines of each submitter (`LogBuffers`, which knows neither Ray nor time zones nor text);
the submitter asks for them and logs them (`DriverLog`). Nobody else gets to see them, and nobody who does not ask costs
anything. This is for eyes and for `grep`, not for programs: lines may be dropped, and a manager that was killed may
have lost the last of them. What happened stands in the event log.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import wait
from itertools import islice
from typing import Any

import ray
import ray._private.worker as ray_worker

from wfstore.engine.channel import Channel
from wfstore.model import events as ev
from wfstore.model.events import Event
from wfstore.model.state import WorkflowState
from wfstore.model.statuses import RUNNING

#: (workflow id, task id, status)
Line = tuple[str, str, str]
#: (cursor to ask with next, lines since the cursor asked with, how many between them were dropped)
Answer = tuple[int, list[Line], int]
#: (cursor, seconds to wait for lines) -> answer
Ask = Callable[[int, float], Answer]

MOST_LINES = 10_000
AT_MOST_EVERY_S = 0.1
FORGOTTEN_AFTER_S = 120.0

_POLL_S = 10.0
_GRACE_S = 2.0
_AGAIN_AFTER_S = 0.2
_SWEEP_EVERY_S = 10.0
_OFF = frozenset({"0", "false", "no", "off"})

_LOGGED = frozenset(
    {
        ev.ATTEMPT_STARTED,
        ev.ATTEMPT_SUCCEEDED,
        ev.ATTEMPT_FAILED,
        ev.ATTEMPT_RETRY_SCHEDULED,
        ev.TASK_ERROR_CAUGHT,
        ev.TASK_CANCELED,
    }
)

LOGGER = logging.getLogger("wfstore.workflow")


class LogClosedError(Exception):
    """Raised by an `Ask`: this process has left the cluster, and will get no more lines."""


# -- the manager's side -----------------------------------------------------------------------------------------------


class _Buffer:
    """Lines of one submitter. The line at ``lines[0]`` has the number ``next - len(lines)``."""

    __slots__ = ("answered_at", "asked_at", "first", "lines", "next", "waiting")

    def __init__(self, first: int) -> None:
        self.lines: deque[Line] = deque(maxlen=MOST_LINES)
        self.first = self.next = first
        self.asked_at = time.monotonic()
        self.answered_at = 0.0
        self.waiting: list[asyncio.Future[None]] = []

    def behind(self, since: int) -> int:
        """How many lines came after `since`. A cursor of an earlier manager is older than all of them."""
        return self.next - (since if self.first <= since <= self.next else self.first)

    def after(self, since: int) -> Answer:
        behind = self.behind(since)
        newest = list(islice(reversed(self.lines), behind))
        newest.reverse()
        return self.next, newest, behind - len(newest)

    def forgotten(self, now: float) -> bool:
        return not self.waiting and now - self.asked_at > FORGOTTEN_AFTER_S


class LogBuffers:
    """The newest lines of each submitter who asks for them, by job id (or any other name of a submitter).

    Lives on one event loop. A buffer holds `MOST_LINES`, then drops the oldest; it is forgotten when nobody has asked
    about it for `FORGOTTEN_AFTER_S`.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, _Buffer] = {}
        self._swept_at = time.monotonic()

    @property
    def is_open(self) -> bool:
        """Somebody wants lines."""
        return bool(self._buffers)

    def open(self, job_id: str) -> None:
        """Keep lines of this submitter from here on. No-op where that is done already."""
        self._of(job_id)

    def add(self, job_id: str | None, workflow_id: str, task_id: str, status: str) -> None:
        """One more line; no-op for a submitter without a buffer."""
        buffer = self._buffers.get(job_id)  # type: ignore[arg-type]  # None is never there
        if buffer is None:
            return
        buffer.lines.append((workflow_id, task_id, status))
        buffer.next += 1
        if buffer.waiting:
            _wake(buffer.waiting)

    def tell(self, events: Iterable[Event], workflows: Mapping[str, WorkflowState]) -> None:
        """Lines for those who submitted the workflows, and want to see how they go."""
        for event in events:
            status = RUNNING if event.type == ev.ATTEMPT_STARTED else event.task_status
            if event.type not in _LOGGED or status is None:
                continue
            workflow = workflows.get(event.workflow_id or "")
            if workflow is not None:
                self.add(workflow.driver.get("log"), workflow.workflow_id, event.task_id or "", status)

    def lines(self, job_id: str, since: int) -> Answer:
        """What is there now. `since`: 0 at first, then the cursor of the last answer."""
        buffer = self._of(job_id)
        buffer.asked_at = time.monotonic()
        return buffer.after(since)

    async def wait(self, job_id: str, since: int, timeout_s: float) -> Answer:
        """As `lines`, but waits up to `timeout_s` seconds for a line, and answers once per `AT_MOST_EVERY_S` at most.
        With ``timeout_s=0`` at once. Opens the buffer where there is none."""
        buffer = self._of(job_id)
        buffer.asked_at = time.monotonic()
        if timeout_s > 0:
            if not buffer.behind(since):
                await _news(buffer, timeout_s)
            pause = buffer.answered_at + AT_MOST_EVERY_S - time.monotonic()
            if pause > 0 and buffer.behind(since):
                await asyncio.sleep(pause)
            buffer.answered_at = time.monotonic()
        buffer.asked_at = time.monotonic()
        return buffer.after(since)

    def _of(self, job_id: str) -> _Buffer:
        now = time.monotonic()
        if now - self._swept_at > _SWEEP_EVERY_S:
            self._swept_at = now
            for other in [name for name, buffer in self._buffers.items() if buffer.forgotten(now)]:
                del self._buffers[other]
        buffer = self._buffers.get(job_id)
        if buffer is None:
            # Numbered from the time on: a cursor given out by the manager before this one is below.
            buffer = self._buffers[job_id] = _Buffer(time.time_ns() // 1000)
        return buffer


def _wake(waiting: list[asyncio.Future[None]]) -> None:
    for future in waiting:
        if not future.done():
            future.set_result(None)
    waiting.clear()


async def _news(buffer: _Buffer, timeout_s: float) -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    buffer.waiting.append(future)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(future, timeout_s)
    with contextlib.suppress(ValueError):  # whoever woke it has taken it out
        buffer.waiting.remove(future)


# -- the driver's side ------------------------------------------------------------------------------------------------


class DriverLog:
    """Asks for the lines of this process, in a daemon thread, and logs them as ``wfstore.workflow`` at INFO.

    Errors of `ask` are waited out, but for `LogClosedError`, which ends it. Off when `enabled` is False.
    """

    def __init__(self, ask: Ask, *, enabled: bool | None = None) -> None:
        self.enabled = wanted() if enabled is None else enabled
        self._ask = ask
        self._cursor = 0
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._lock = threading.RLock()

    def created(self, workflow_id: str) -> None:
        """This process has submitted a workflow: say so, and watch."""
        self.watch()
        if self.enabled:
            LOGGER.info('Workflow job created. [id="%s"]', _ascii(workflow_id))

    def watch(self) -> None:
        """Start asking, if that has not begun."""
        if not self.enabled or self._thread is not None:
            return
        with self._lock:
            if self._thread is None:
                _ensure_handler()
                self._thread = threading.Thread(target=self._poll, name="wfstore-driver-log", daemon=True)
                self._thread.start()
                # After Ray's own at its import, hence called before it.
                atexit.register(self._at_exit)

    def drain(self, timeout_s: float = 2.0) -> None:
        """Log what the manager has by now. Gives up after `timeout_s` seconds of errors."""
        deadline = time.monotonic() + timeout_s
        while self._thread is not None and not self._closed.is_set():
            try:
                self._ask_once(0.0)
                return
            except LogClosedError:
                return
            except Exception as error:  # whatever Ray raises for a manager that restarts
                LOGGER.debug("the manager gives no lines: %r", error)
            if time.monotonic() + _AGAIN_AFTER_S > deadline:
                return
            self._closed.wait(_AGAIN_AFTER_S)

    def _ask_once(self, timeout_s: float) -> None:
        asked = self._cursor
        cursor, lines, dropped = self._ask(asked, timeout_s)
        with self._lock:
            if asked != self._cursor:  # the other thread's answer came first, and may hold some of these
                fresh = cursor - self._cursor
                if fresh <= 0:
                    return
                dropped = min(dropped, max(0, fresh - len(lines)))
                lines = lines[-fresh:]
            self._cursor = cursor
            if dropped:
                LOGGER.info("%d lines about tasks were dropped: too many at once", dropped)
            for workflow_id, task_id, status in lines:
                LOGGER.info("Task status [%s]\t[%s@%s]", status, _ascii(workflow_id), _ascii(task_id))

    def close(self) -> None:
        """Ask no more. What is on its way is not waited for."""
        self._closed.set()
        atexit.unregister(self._at_exit)

    def _poll(self) -> None:
        pause = _AGAIN_AFTER_S
        while not self._closed.is_set():
            try:
                self._ask_once(_POLL_S)
                pause = _AGAIN_AFTER_S
            except LogClosedError:
                self.close()
            except Exception as error:  # as in `drain`
                LOGGER.debug("the manager gives no lines: %r", error)
                self._closed.wait(pause)
                pause = min(2 * pause, 2.0)

    def _at_exit(self) -> None:
        self.drain()
        self._closed.set()


def asking(handle: Callable[[], Any], job_id: str, channel: Channel | None = None) -> Ask:
    """An `Ask` of the manager's method ``log_lines(job_id, since, timeout_s)``, by `channel` where the manager is on
    this node. handle: gives its actor handle."""
    node = _node()

    def left() -> bool:
        return _node() is not node or not ray.is_initialized()

    def ask(since: int, timeout_s: float) -> Answer:
        if left():
            raise LogClosedError("this process has left the cluster")
        if channel is not None and channel.exists():
            # A call of Ray's in a thread may come just after a shutdown, and would start a new Ray.
            told: Answer = channel.call("log_lines", job_id, since, timeout_s)
            return told
        # Not by ``ray.get``, for the same reason.
        future = handle().log_lines.remote(job_id, since, timeout_s).future()
        deadline = time.monotonic() + timeout_s + _GRACE_S
        while not future.done() and time.monotonic() < deadline and not left():
            wait([future], timeout=1.0)  # after a shutdown it is never done
        answer: Answer = future.result(0)
        return answer

    return ask


def submitter() -> str:
    """What this process is called as a submitter: its job, and in a Ray worker also the worker, whose stderr Ray sends
    to the job's driver."""
    context = ray.get_runtime_context()
    job_id: str = context.get_job_id()
    return f"{job_id}-{context.get_worker_id()}" if _in_worker() else job_id


def wanted() -> bool:
    """Whether this process wants lines: no with ``ray.init(log_to_driver=False)`` or ``WFSTORE_LOG_TO_DRIVER=0``."""
    if os.environ.get("WFSTORE_LOG_TO_DRIVER", "").strip().lower() in _OFF:
        return False
    if _in_worker() or _node() is None:  # the latter: Ray Client, which cannot be asked
        return True
    # Ray keeps the option nowhere; it starts this thread, or does not.
    thread = getattr(ray_worker.global_worker, "logger_thread", None)
    return thread is not None and bool(thread.is_alive())


def _node() -> Any:
    """Another one after each ``ray.init()``; None after ``ray.shutdown()``, and in a client of Ray Client."""
    return ray_worker._global_node


def _in_worker() -> bool:
    return bool(ray_worker.global_worker.mode == ray.WORKER_MODE)


def _ascii(text: str) -> str:
    """Backslash-escaped where it is not printable ASCII, so that a line stays one in any terminal and any encoding."""
    return text if text.isascii() and text.isprintable() else text.encode("unicode_escape").decode("ascii")


class _StderrHandler(logging.Handler):
    """Writes to what ``sys.stderr`` is at that moment, and to nothing once the program has handlers of its own."""

    def emit(self, record: logging.LogRecord) -> None:
        if sys.stderr is None or (LOGGER.propagate and LOGGER.parent is not None and LOGGER.parent.hasHandlers()):
            return
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # as every handler of `logging` does
            self.handleError(record)


def _ensure_handler() -> None:
    if LOGGER.hasHandlers():
        return
    handler = _StderrHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s\t%(levelname)s %(name)s -- %(message)s"))
    LOGGER.addHandler(handler)
    if LOGGER.level == logging.NOTSET:
        LOGGER.setLevel(logging.INFO)
