"""As much of Ray as wfstore's engine asks for: named actors that die and come back, calls that take their time, tasks.

An actor is a process of the world with an object on its loop. Calls between two processes arrive in order, replies as
they come; of an actor that died, or was given up although it lives, whoever waits is told so after a while.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Generator
from types import SimpleNamespace
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, GetTimeoutError, RayError

from tests.fault.simulation.seams import MACHINE
from tests.fault.simulation.world import Process, Thread, World
from wfstore.engine.channel import ChannelLostError
from wfstore.errors import StorageError

#: In the form of Ray's own.
NODE = "ab" * 28


class Ref:
    """What a call will bring; like an ObjectRef, and like the future of one."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Ref], None]] = []
        self.cancel: Callable[[], None] = lambda: None

    def settle(self, value: Any = None, error: BaseException | None = None) -> None:
        """Called in the hub; the first time counts."""
        if self._done:
            return
        self._done, self._value, self._error = True, value, error
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def done(self) -> bool:
        return self._done

    def future(self) -> Ref:
        return self

    def add_done_callback(self, callback: Callable[[Ref], None]) -> None:
        if self._done:
            callback(self)
        else:
            self._callbacks.append(callback)

    def result(self, timeout: float | None = None) -> Any:
        """Blocks the running thread."""
        thread = self._world.thread
        if not self._done:
            assert thread is not None
            over = [False]
            self._callbacks.append(lambda _: self._resume(thread, over))
            if timeout is not None:
                self._world.after(timeout, self._resume, thread, over)
            self._world.give_way()
        if not self._done:
            raise GetTimeoutError(f"not within {timeout} s")
        if self._error is not None:
            raise self._error
        return self._value

    def _resume(self, thread: Thread, over: list[bool]) -> None:
        if not over[0]:
            over[0] = True
            self._world.at(self._world.now, thread.resume)

    def __await__(self) -> Generator[Any, None, Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        loop = future.get_loop()
        self.add_done_callback(lambda _: loop.call_soon_threadsafe(self._tell, future))
        return future.__await__()

    def _tell(self, future: asyncio.Future[Any]) -> None:
        if future.done():
            return
        if self._error is not None:
            future.set_exception(self._error)
        else:
            future.set_result(self._value)


class Actor:
    """One named actor. make(): its object, called in a thread of each of its processes; restarts: it comes back."""

    def __init__(self, cluster: Cluster, name: str, make: Callable[[], Any], restarts: bool) -> None:
        self.cluster, self.name, self._make, self.restarts = cluster, name, make, restarts
        self.process: Process | None = None
        self.instance: Any = None
        self.gone = False
        self.lives = 0
        cluster.made += 1
        self.id = f"{cluster.made:032x}"
        self.pending: set[CallRef] = set()
        self._queued: deque[Callable[[], None]] = deque()
        self.begin()

    def begin(self) -> None:
        """Another process."""
        if self.gone:
            return
        world = self.cluster.world
        self.lives += 1
        self.cluster.births[self.name] += 1
        process = self.process = Process(world, f"{self.name}{self.cluster.births[self.name]}")
        process.on_death = lambda: self._died(process)
        process.on_machine = True
        process.actor = self
        self.instance = None
        self.cluster.on_begin(self, process)
        process.loop.call_soon(self._create, process)

    def _create(self, process: Process) -> None:
        try:
            instance = self._make()
        except Exception as error:  # Ray starts it again, too
            self.cluster.world.note("could not begin:", repr(error))
            self.cluster.failed_starts.append(repr(error))
            if not isinstance(error, StorageError):
                process.complain(f"could not begin: {error!r}", error)
            process.die()
            return
        if self.process is process:
            self.instance = instance
            process.instance = instance
            while self._queued:
                self._queued.popleft()()

    def _died(self, process: Process) -> None:
        if self.process is process:
            self.give_up()

    def give_up(self) -> None:
        """Its process is dead, or so they think."""
        cluster = self.cluster
        self.process = self.instance = None
        queued, self._queued = self._queued, deque()
        waiting, self.pending = self.pending, set()
        error = ActorUnavailableError(f"{self.name} has died", None) if self.restarts else ActorDiedError()
        for ref in sorted(waiting, key=lambda ref: ref.number):
            cluster.world.after(cluster.latency() * 10, ref.settle, None, error)
        del queued
        if self.restarts:
            cluster.world.after(0.2 + cluster.world.rng.random() * 2.0, self.begin)
        else:
            self.end()

    def end(self) -> None:
        """For good."""
        self.gone = True
        self.cluster.actors.pop(self.name, None)
        process, self.process, self.instance = self.process, None, None
        if process is not None:
            process.die()
        for ref in sorted(self.pending, key=lambda ref: ref.number):
            self.cluster.world.after(self.cluster.latency(), ref.settle, None, ActorDiedError())
        self.pending.clear()

    def deliver(self, ref: CallRef) -> None:
        """A call arrives."""
        if self.gone:
            self.cluster.reply(ref, None, ActorDiedError())
        elif self.process is None:
            self.cluster.reply(ref, None, ActorUnavailableError(f"{self.name} restarts", None))
        elif self.instance is None:
            self.pending.add(ref)
            self._queued.append(lambda: self._serve(ref))
        else:
            self.pending.add(ref)
            self._serve(ref)

    def _serve(self, ref: CallRef) -> None:
        assert self.process is not None
        self.process.start(self._carry_out(ref, self.instance))

    async def _carry_out(self, ref: CallRef, instance: Any) -> None:
        try:
            value = await getattr(instance, ref.method)(*ref.args)
        except Exception as error:
            self._answer(ref, None, error)
        else:
            self._answer(ref, value, None)

    def _answer(self, ref: CallRef, value: Any, error: Exception | None) -> None:
        self.cluster.world.note("answers", ref, repr(error) if error else "")
        if ref in self.pending:  # else it was told that this one is dead
            self.pending.discard(ref)
            self.cluster.reply(ref, value, error)


class CallRef(Ref):
    """A call of an actor's method."""

    def __init__(self, world: World, number: int, method: str, args: tuple[Any, ...]) -> None:
        super().__init__(world)
        self.number, self.method, self.args = number, method, args

    def __str__(self) -> str:
        return f"{self.method}#{self.number}"


class Handle:
    """A handle of an actor."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self._actor_id = SimpleNamespace(hex=lambda: actor.id)

    def __getattr__(self, method: str) -> Any:
        return SimpleNamespace(remote=lambda *args: self.actor.cluster.call(self.actor, method, args))


class Cluster:
    """The actors, and calls among them. on_begin(actor, process): hook for each new process."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.actors: dict[str, Actor] = {}
        self.on_begin: Callable[[Actor, Process], None] = lambda actor, process: None
        self.failed_starts: list[str] = []
        self.made = 0
        self.births: Counter[str] = Counter()
        self._calls = 0
        self._arrivals: dict[tuple[Process | None, Actor], float] = {}

    def latency(self) -> float:
        """Mostly short, now and then long; seconds."""
        chance = self.world.rng.random()
        return 0.0002 + chance * 0.002 if chance < 0.98 else chance * 0.05

    def call(self, actor: Actor, method: str, args: tuple[Any, ...]) -> CallRef:
        world = self.world
        self._calls += 1
        ref = CallRef(world, self._calls, method, args)
        sender = None if world.thread is None else world.thread.process
        if world.tracing:
            world.note("calls", actor.name, ref, *(repr(arg)[:60] for arg in args))
        when = max(self._arrivals.get((sender, actor), 0.0), world.now + self.latency())
        self._arrivals[sender, actor] = when
        world.at(when, actor.deliver, ref)
        return ref

    def reply(self, ref: CallRef, value: Any, error: Exception | None) -> None:
        self.world.after(self.latency(), ref.settle, value, error)


class Channel:
    """In place of `engine.channel`: a shorter way to the manager. `lost`: how often its connection is lost while a
    request is on its way."""

    def __init__(self, cluster: Cluster, name: str, lost: float) -> None:
        self._cluster, self._name, self._lost = cluster, name, lost

    def call(self, method: str, *args: Any) -> Any:
        actor = self._cluster.actors.get(self._name)
        if actor is None:
            raise ChannelLostError("nobody listens")
        ref = self._cluster.call(actor, method, args)
        try:
            if self._cluster.world.rng.random() < self._lost:
                ref.result(self._cluster.world.rng.random() * 0.01)
                raise ChannelLostError("the connection was lost")
            return ref.result()
        except RayError as error:
            raise ChannelLostError(str(error)) from error


class SimRay:
    """Stands where the engine's modules have `ray`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(ray, name)

    def __init__(self, cluster: Cluster, session: Callable[[], str]) -> None:
        self._cluster, self._session = cluster, session

    def get_actor(self, name: str, namespace: str | None = None) -> Handle:
        MACHINE.world.wait(self._cluster.latency())
        actor = self._cluster.actors.get(name)
        if actor is None:
            raise ValueError(f"no actor is named {name}")
        return Handle(actor)

    def remote(self, kind: Any) -> Any:
        """Of an actor's class: `.options(name=...).remote(*args)`, with `get_if_exists`."""

        def options(name: str, **others: Any) -> Any:
            def start(*args: Any) -> Handle:
                found = self._cluster.actors.get(name)
                if found is None:
                    found = self._cluster.actors[name] = Actor(self._cluster, name, lambda: kind(*args), False)
                return Handle(found)

            return SimpleNamespace(remote=start)

        return SimpleNamespace(options=options)

    def get(self, ref: Ref, timeout: float | None = None) -> Any:
        return ref.result(timeout)

    def kill(self, handle: Handle, no_restart: bool = True) -> None:
        actor = handle.actor
        MACHINE.world.note("ray.kill", actor.name, actor.lives)
        MACHINE.world.after(self._cluster.latency(), actor.end)

    def cancel(self, ref: Ref, force: bool = False) -> None:
        ref.cancel()

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def get_runtime_context(self) -> Any:
        thread = MACHINE.world.thread
        assert thread is not None
        return SimpleNamespace(
            get_node_id=lambda: NODE,
            get_session_name=self._session,
            get_actor_id=lambda: thread.process.actor.id,
            was_current_actor_reconstructed=thread.process.actor.lives > 1,
            current_actor=Handle(thread.process.actor),
        )
