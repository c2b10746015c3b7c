"""Virtual time, and processes whose threads and event loops live in it. One real thread runs all of them.

A thread of a simulated process is a greenlet: whatever blocks (a disk, a queue, a lock, a sleep) lets the others go on,
at a moment that the seed decides. An event loop is a thread like any other, with handles of asyncio to run. So the code
under test is the product's own, threads and blocking calls included, and it never knows.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import random
from collections import deque
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

from greenlet import getcurrent, greenlet

#: 14 November 2023; microseconds.
EPOCH_US = 1_700_000_000_000_000


class Killed(BaseException):
    """The process that ran this is dead."""


class Stuck(AssertionError):
    """Nothing happens any more, and somebody still waits."""


class World:
    """now: seconds of the monotonic clock; thread: the one that runs (None: the simulation itself)."""

    def __init__(self, seed: int, tracing: bool = False) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.wall_us = EPOCH_US
        self.thread: Thread | None = None
        self.tracing = tracing
        self.trace: list[str] = []
        self.processes: list[Process] = []
        self.complaints: list[str] = []
        #: How long the simulation itself has waited, as it reads the log: no time passes for anybody else.
        self.looked_s = 0.0
        self.hub = getcurrent()
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()

    def note(self, *words: object) -> None:
        """A line of the trace."""
        if self.tracing:
            who = "-" if self.thread is None else self.thread.name
            self.trace.append(f"{self.now:12.6f} {who:16} {' '.join(map(str, words))}")

    def at(self, when: float, call: Callable[..., None], *args: Any) -> None:
        heapq.heappush(self._queue, (when, next(self._order), call, args))

    def after(self, delay_s: float, call: Callable[..., None], *args: Any) -> None:
        heapq.heappush(self._queue, (self.now + delay_s, next(self._order), call, args))

    def run(self, over: Callable[[], bool], until: float) -> None:
        """Until `over()`. Raises Stuck when it is not by the moment `until`, or nothing is left to happen."""
        queue = self._queue
        while not over():
            if not queue or queue[0][0] > until:
                raise Stuck(f"nothing goes on at {self.now:.3f} s" if not queue else f"not over after {until:g} s")
            self.now, _, call, args = heapq.heappop(queue)
            call(*args)

    def close(self) -> None:
        """All is over: whatever is under way ends here. A thread that nobody resumes would be kept for ever."""
        for process in self.processes:
            process.dead = True
        for process in self.processes:
            process.close()
        self._queue.clear()
        self.processes.clear()

    def now_us(self) -> int:
        """The wall clock, as the running process sees it."""
        skew = 0 if self.thread is None else self.thread.process.skew_us
        return self.wall_us + skew + int(self.now * 1e6)

    def wait(self, delay_s: float) -> None:
        """The running thread sleeps."""
        thread = self.thread
        if thread is None:
            self.looked_s += delay_s
            return
        self.at(self.now + delay_s, thread.resume)
        self.give_way()

    def give_way(self) -> None:
        """The running thread stops until somebody resumes it. Raises Killed when its process has died meanwhile."""
        thread = self.thread
        assert thread is not None
        if thread.process.dead:
            raise Killed
        self.hub.switch()
        if thread.process.dead:
            raise Killed


class Thread:
    """A greenlet of a process."""

    __slots__ = ("greenlet", "loop", "name", "process")

    def __init__(self, process: Process, name: str, target: Callable[[], None]) -> None:
        self.process, self.name = process, f"{process.name}/{name}"
        self.loop: SimLoop | None = None
        world = process.world
        self.greenlet = greenlet(self._body, world.hub)
        process.threads.append(self)
        world.at(world.now, self.resume, target)

    def _body(self, target: Callable[[], None]) -> None:
        try:
            target()
        except Killed:
            pass
        except Exception as error:
            self.process.complain(f"a thread ended by {error!r}", error)
        self.process.threads.remove(self)

    def resume(self, *args: Any) -> None:
        """Called in the hub: the thread goes on, until it gives way."""
        process = self.process
        if process.dead:
            return
        if process.paused:
            process.deferred.append((self, args))
            return
        world = process.world
        world.thread = self
        if self.loop is None:
            self.greenlet.switch(*args)
        else:
            asyncio._set_running_loop(self.loop)
            self.greenlet.switch(*args)
            asyncio._set_running_loop(None)
        world.thread = None

    def end(self) -> None:
        """Called in the hub, of a dead process: what the thread would clean up touches nothing any more."""
        if self.greenlet and not self.greenlet.dead:
            world = self.process.world
            world.thread = self
            if self.loop is not None:
                asyncio._set_running_loop(self.loop)
            self.greenlet.throw(Killed())
            asyncio._set_running_loop(None)
            world.thread = None


class Process:
    """Threads and one event loop that die together. skew_us: of its wall clock; die_at_step: of its loop's callbacks;
    on_death: called in the hub, once; on_machine: it uses the disk, and dies when
    that loses its power."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.dead = self.paused = False
        self.on_machine = False
        self.deferred: list[tuple[Thread, tuple[Any, ...]]] = []
        self.threads: list[Thread] = []
        self.ready: deque[Handle] = deque()
        self.skew_us = 0
        self.steps = self.calls = 0
        self.die_at_step = 0
        self.faults: dict[int, str] = {}
        self.on_death: Callable[[], None] = lambda: None
        self._idle = False
        self.loop = SimLoop(self)
        self.tasks: list[asyncio.Task[Any]] = []
        world.processes.append(self)
        self.instance: Any = None
        self.actor: Any = None
        self._thread: Thread | None = None

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Have a coroutine run on the loop."""
        if self.dead:
            work.close()
        else:
            self.loop.call_soon(self._begin, work)

    def _begin(self, work: Coroutine[Any, Any, Any]) -> None:
        self.tasks.append(self.loop.create_task(work))

    def _run(self) -> None:
        ready = self.ready
        while True:
            while ready:
                handle = ready.popleft()
                if handle.canceled:
                    continue
                self.steps += 1
                if self.steps == self.die_at_step:
                    self.world.note("killed between two callbacks")
                    ready.appendleft(handle)
                    self.die()
                    raise Killed
                try:
                    handle.context.run(handle.callback, *handle.args)
                except Exception as error:
                    self.complain(f"a callback raised {error!r}", error)
                if self.dead:
                    raise Killed
            self._idle = True
            self.world.give_way()

    def wake(self) -> None:
        """There is something to do for the loop."""
        if self._thread is None:
            self._thread = Thread(self, "loop", self._run)
            self._thread.loop = self.loop
        elif self._idle:
            self._idle = False
            self.world.at(self.world.now, self._thread.resume)

    def spawn(self, name: str, target: Callable[[], None]) -> Thread:
        return Thread(self, name, target)

    def pause(self) -> None:
        self.paused = True

    def go_on(self) -> None:
        self.paused = False
        deferred, self.deferred = self.deferred, []
        for thread, args in deferred:
            self.world.at(self.world.now, thread.resume, *args)

    def die(self) -> None:
        """From now on it does nothing. Whoever calls this in one of its threads raises Killed afterwards."""
        if not self.dead:
            self.dead = True
            self.world.note(self.name, "is dead")
            self.world.at(self.world.now, self._bury)

    def _bury(self) -> None:
        self.close()
        self.on_death()

    def close(self) -> None:
        """Called in the hub, of a dead process: its threads end, and what they never began is dropped."""
        for thread in list(self.threads):
            thread.end()
        for handle in self.ready:
            if handle.callback == self._begin:
                handle.args[0].close()
        self.ready.clear()

    def complain(self, text: str, error: BaseException | None = None) -> None:
        """Something went wrong that no code looked after."""
        if not self.dead:
            self.world.note("COMPLAINT", text)
            self.world.complaints.append(f"{self.name}: {text}{_where(error)}")


def _where(error: BaseException | None) -> str:
    trace = None if error is None else error.__traceback__
    lines = []
    while trace is not None:
        lines.append(f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f" [{' '.join(lines[-6:])}]" if lines else ""


class Handle:
    """Something to call on a loop."""

    __slots__ = ("args", "callback", "canceled", "context")

    def __init__(self, callback: Callable[..., Any], args: tuple[Any, ...], context: Any) -> None:
        self.callback, self.args, self.context = callback, args, context
        self.canceled = False

    def cancel(self) -> None:
        self.canceled = True

    def cancelled(self) -> bool:
        return self.canceled


class SimLoop(asyncio.AbstractEventLoop):
    """What asyncio needs of a loop, of one process."""

    def __init__(self, process: Process) -> None:
        self._process, self._world = process, process.world

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
        handle = Handle(callback, args, context or contextvars.copy_context())
        process = self._process
        if not process.dead:
            process.ready.append(handle)
            process.wake()
        return handle

    call_soon_threadsafe = call_soon

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return self.call_at(self._world.now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        handle = Handle(callback, args, context or contextvars.copy_context())
        self._world.at(max(when, self._world.now), self._due, handle)
        return handle

    def _due(self, handle: Handle) -> None:
        if not handle.canceled and not self._process.dead:
            self._process.ready.append(handle)
            self._process.wake()

    def time(self) -> float:
        return self._world.now

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: Any = None, context: Any = None) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        future = self.create_future()

        def work() -> None:
            try:
                result, error = func(*args), None
            except Exception as raised:
                result, error = None, raised
            self.call_soon(_tell, future, result, error)

        self._process.spawn("worker", work)
        return future

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self._process.dead

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self._process.complain(f"{context.get('message')}: {error!r}", error)


def _tell(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
