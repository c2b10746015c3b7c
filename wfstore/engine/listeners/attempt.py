"""One attempt of a listener: fetch class and arguments, run one method of a new instance, keep what it returned.

As on a worker, every end of user code becomes an `Outcome`; only the death of the process is left for others to notice.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
import weakref
from collections.abc import Callable, Hashable
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

from wfstore.engine import worker
from wfstore.engine.assignment import Assignment, dump_outcome
from wfstore.engine.context import TaskContext, _context
from wfstore.engine.probe import check_storage_visible
from wfstore.errors import WorkflowEventHandleError
from wfstore.log import now_us
from wfstore.model.commands import Outcome, Place
from wfstore.model.dag import EVENT, EVENT_CHECKPOINTED
from wfstore.payloads import INLINE_LIMIT_BYTES, SerializationError

if TYPE_CHECKING:
    from wfstore.engine.listeners.kinds import Kind
    from wfstore.engine.listeners.loops import Lane

_describing = threading.Lock()
#: What user code says about its errors may block as well.
_TURN_S = 1.0
_TRIES = 3
_METHODS = {EVENT: "poll_for_event", EVENT_CHECKPOINTED: "event_checkpointed"}


class ListenerAttempt:
    """See the module. `prepare` runs in a loader's thread, `call_plainly` and `run` in the thread of its lane, the rest
    on the host's loop.

    started, ended: called in the lane's thread, when user code begins and with the pickled outcome; asked: likewise,
    with the key of a sent event that user code waits for; reported: with what it says about one (workflow, key, ok)
    """

    __slots__ = (
        "__weakref__",
        "_answer",
        "_args",
        "_asked",
        "_asks",
        "_children",
        "_class",
        "_ended",
        "_error",
        "_fetch_s",
        "_job",
        "_keepers",
        "_kwargs",
        "_node_id",
        "_reported",
        "_started",
        "key",
        "kind",
        "kind_key",
        "lane",
        "name",
        "over",
        "place",
        "plain",
        "polled",
        "task",
    )

    def __init__(
        self,
        job: Assignment,
        node_id: str | None,
        keepers: Executor,
        started: Callable[[ListenerAttempt], None],
        ended: Callable[[ListenerAttempt, bytes], None],
        asked: Callable[[ListenerAttempt, str], None],
        reported: Callable[[str, str, bool], None],
    ) -> None:
        # An event that is not durable cannot be told to its provider.
        self._job = job._replace(checkpoint=True)
        self._node_id = node_id
        self._keepers = keepers
        self._started = started
        self._ended = ended
        self._asked = asked
        self._reported = reported
        self._asks: dict[str, Future[tuple[str, Any]]] | None = None
        self.key = job.key
        self.kind: Kind
        self.kind_key: Hashable = None
        self.name = ""
        self.lane: Lane | None = None
        self.task: asyncio.Task[None] | None = None
        self.place: Place | None = None
        self.plain = False
        #: User code has returned or raised.
        self.polled = False
        #: Canceled, given up or reported: whatever it still says is dropped.
        self.over = False
        self._children: weakref.WeakSet[asyncio.Task[Any]] | None = None
        self._error: BaseException | None = None
        self._answer: Any = None

    # -- before it runs -----------------------------------------------------------------------------------------------

    def prepare(self, inputs: tuple[Any, ...]) -> bytes | None:
        """Load class and arguments; None, or the pickled outcome when that fails."""
        job = self._job
        began = time.perf_counter()
        place = self._place()
        try:
            check_storage_visible(job.storage, job.store_id, job.manager[2], self._node_id or "")
            self._class = worker._function(job.function_hash, job.storage, job.function)
            self._args, self._kwargs = worker._arguments(job, inputs)
            method = inspect.unwrap(getattr(self._class, _METHODS[job.type]))
            self.plain = not inspect.iscoroutinefunction(method)
            self.name = f"{self._class.__qualname__}.{_METHODS[job.type]}"
            self.kind_key = _kind_key(self._class, job.type, method)
        except BaseException as error:  # a broken pickle may raise anything, even exit
            return dump_outcome(_failed(error, "serialization", False, place))
        self._fetch_s = time.perf_counter() - began
        # Ten thousand copies of a class and its arguments would be held until the events come.
        self._job = job._replace(function=None, args=None, sources=(), shared=())
        return None

    def _place(self) -> Place:
        # Without a Ray task: the only one there is belongs to all listeners of this process.
        return Place(now_us(), self._node_id, os.getpid(), None)

    # -- in the thread of its lane ------------------------------------------------------------------------------------

    def call_plainly(self) -> None:
        """The whole of a plain ``def``, in a thread without a running loop."""
        if self.over:
            return
        try:
            self._answer = self._call()
        except BaseException as error:  # SystemExit and KeyboardInterrupt are ends of user code like any other
            self._error = error

    async def run(self) -> None:
        """The attempt, to its end. Never raises."""
        data = b""
        try:
            if not self.over:
                data = dump_outcome(await self._run())
        except BaseException as error:
            if not self.over:
                data = dump_outcome(_failed(error, "app", False, self.place))
        self.polled = True
        self.cancel_children()
        self._ended(self, data)

    async def _run(self) -> Outcome:
        try:
            value = await self._value()
        except BaseException as error:
            self.polled = True
            if self.over:
                raise
            return _failed(error, "app", worker._retryable(self._job, error), self.place, self._fetch_s)
        self.polled = True
        ended_at = now_us()
        if _is_small(value):
            return self._keep(value, ended_at)
        # Pickling takes its time, and a large event is written to the disk.
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._keepers, self._keep, value, ended_at)

    async def _value(self) -> Any:
        event = self._args[0] if self._job.type == EVENT_CHECKPOINTED else None
        if not self.plain:
            answer = await self._call()
        elif self._error is not None:
            raise self._error
        else:
            answer = await self._answer if inspect.isawaitable(self._answer) else self._answer
        return event if self._job.type == EVENT_CHECKPOINTED else answer

    def _call(self) -> Any:
        job = self._job
        # Not `inside_task`, which looks through all attempts of the process at each end.
        _context.set(TaskContext(*worker._context(job)))
        self.place = self._place()
        self._started(self)
        return getattr(self._class(), _METHODS[job.type])(*self._args, **self._kwargs)

    def _keep(self, value: Any, ended_at: int) -> Outcome:
        assert self.place is not None
        try:
            outcome, _ = worker._keep(self._job, value, self.place, ended_at, self._fetch_s)
        except BaseException as error:
            kind = "serialization" if isinstance(error, (SerializationError, TypeError, ValueError)) else "app"
            retryable = worker._retryable(self._job, error)
            return _failed(error, kind, retryable, self.place, self._fetch_s)
        return outcome

    # -- events that were sent ----------------------------------------------------------------------------------------

    def ask(self, event_key: str) -> Future[tuple[str, Any]]:
        """(key, payload) once the manager has given it. Raises WorkflowEventHandleError for a key asked for before."""
        if self._asks is None:
            self._asks = {}
        if event_key in self._asks:
            raise WorkflowEventHandleError(self.key[0], f"the same key {event_key!r} is used to get a payload again")
        asking: Future[tuple[str, Any]] = Future()
        self._asks[event_key] = asking
        self._asked(self, event_key)
        return asking

    def answer(self, event_key: str, form: int, value: Any, error: Exception | None) -> None:
        """In a loader's thread. form, value: where the pickled payload lies, as in an assignment."""
        asking = (self._asks or {}).get(event_key)
        if asking is None or not asking.set_running_or_notify_cancel():
            return
        try:
            if error is not None:
                raise error
            asking.set_result((event_key, worker._value(form, value, self._job.storage, ())))
        except BaseException as broken:  # a pickle may raise anything
            asking.set_exception(broken)

    def report(self, workflow_id: str, event_key: str, ok: bool) -> None:
        self._reported(workflow_id, event_key, ok)

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """User code of this listener has started a task."""
        if self._children is None:
            self._children = weakref.WeakSet()
        self._children.add(task)

    def cancel(self) -> None:
        """Throw CancelledError into user code."""
        if self.task is not None:
            self.task.cancel()
        self.cancel_children()

    def release(self) -> None:
        """Whoever blocks in a wait for a sent event is let go."""
        for asking in list((self._asks or {}).values()):
            asking.cancel()

    def cancel_children(self) -> None:
        for task in list(self._children or ()):
            if not task.done():
                task.cancel()


def _failed(
    error: BaseException, kind: str, retryable: bool, place: Place | None, fetch_s: float | None = None
) -> Outcome:
    """`worker.failed`, for many threads: Python 3.11 formats tracebacks with a parser that may not be used twice at
    once, by threads or by what the garbage collector calls in between, and raises SystemError then. Never raises."""
    turn = _describing.acquire(timeout=_TURN_S)
    try:
        for _ in range(_TRIES):
            try:
                return worker.failed(error, kind, retryable, place, fetch_s)
            except BaseException as broken:
                name = type(broken).__name__
        told = RuntimeError(f"{type(error).__name__}, whose description raised {name}")
        return worker.failed(told, kind, retryable, place, fetch_s)
    finally:
        if turn:
            _describing.release()


def _kind_key(listener: type, type_: str, method: Any) -> Hashable:
    """The same for a class that closes over other values: its code decides how it behaves."""
    return (listener.__module__, listener.__qualname__, type_, getattr(method, "__code__", None))


def _is_small(value: Any) -> bool:
    if type(value) in (str, bytes):
        return len(value) < INLINE_LIMIT_BYTES // 8
    return value is None or type(value) in (bool, float) or (type(value) is int and value.bit_length() < 1024)
