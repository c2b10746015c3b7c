"""Workers: each runs the product's `worker.attempt`, with user code that the seed makes up. And listeners."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ray.exceptions import TaskCancelledError, WorkerCrashedError

from tests.fault.simulation.cluster import Cluster, Ref
from tests.fault.simulation.dags import Rates, continuation_of
from tests.fault.simulation.seams import MACHINE
from tests.fault.simulation.world import Killed, Process, World
from wfstore.engine import reporter, worker
from wfstore.engine.assignment import FILE, INLINE, LATER, Assignment, AttemptKey, LeaseId
from wfstore.engine.executor import Ended, Order
from wfstore.errors import StorageError
from wfstore.log import now_us
from wfstore.model.commands import Outcome, Place
from wfstore.model.dag import ACTOR, EVENT
from wfstore.model.payload import INLINE_LIMIT_BYTES, PayloadRef
from wfstore.model.progress import Progress
from wfstore.payloads import PayloadStore, hash_of

EVENT_KEY = "go"
STORAGE = "/sim/store"
_REPORTED_AFTER_S = 0.1
#: Whose attempts a new worker has run so far.
_NOBODY = ("", "", "")


class Workers:
    """What the attempts' owner has instead of `_run_attempt`, and `worker.attempt` instead of `_run`.

    started(key): told of each attempt whose user code begins
    """

    def __init__(self, cluster: Cluster, rates: Rates, body: str, started: Callable[[AttemptKey], None]) -> None:
        self.cluster, self.world, self.rates, self._body, self._started = cluster, cluster.world, rates, body, started
        self.running: dict[Process, tuple[Ref, Ref]] = {}
        self._owned: dict[Process, list[Process]] = {}
        self._count = 0

    # -- as a Ray function --------------------------------------------------------------------------------------------

    def options(self, **options: Any) -> Any:
        return SimpleNamespace(remote=self._begin)

    def _begin(
        self, lease: LeaseId, owner: tuple[str, str, str], asked_at: float, assignment: bytes, *inputs: Any
    ) -> tuple[Ref, Ref]:
        assert self.world.thread is not None
        self._count += 1
        process = Process(self.world, f"worker{self._count}")
        process.instance = (lease, owner)
        refs = self.running[process] = Ref(self.world), Ref(self.world)
        process.on_death = lambda: self._died(process)
        refs[0].cancel = lambda: self.world.after(self.cluster.latency(), self._cancel, process)
        self._owned.setdefault(self.world.thread.process, []).append(process)
        self.world.after(self.cluster.latency() * 2, self._spawn, process, lease, owner, asked_at, assignment, inputs)
        return refs

    def _spawn(self, process: Process, *arguments: Any) -> None:
        if not process.dead:
            process.spawn("task", lambda: self._work(process, *arguments))

    def _work(
        self,
        process: Process,
        lease: LeaseId,
        owner: tuple[str, str, str],
        asked_at: float,
        assignment: bytes,
        inputs: Any,
    ) -> None:
        # Ray may give the attempt to a worker that has worked for its owner before.
        reporter.REPORTER.owner = owner if self.world.rng.random() < 0.5 else _NOBODY
        outcome, value = worker.attempt(lease, owner, asked_at, assignment, *inputs)
        refs = self.running.pop(process)
        self.world.after(self.cluster.latency(), refs[1].settle, value)
        self.world.after(self.cluster.latency(), refs[0].settle, outcome)

    def _cancel(self, process: Process) -> None:
        refs = self.running.pop(process, None)
        if refs is not None:
            process.die()
            refs[0].settle(None, TaskCancelledError())

    def _died(self, process: Process) -> None:
        refs = self.running.pop(process, None)
        if refs is not None:
            self.world.after(self.cluster.latency() * 20, refs[0].settle, None, WorkerCrashedError())

    def orphan(self, owner: Process) -> None:
        """The process that began them is gone: Ray ends them, a moment later."""
        for process in self._owned.pop(owner, ()):
            self.world.after(self.world.rng.random() * 1.2, process.die)

    # -- user code ----------------------------------------------------------------------------------------------------

    def run(self, job: Assignment, inputs: tuple[Any, ...]) -> tuple[Outcome, Any]:
        """In place of `worker._run`."""
        world, rates = self.world, self.rates
        assert world.thread is not None
        process = world.thread.process
        place = Place(now_us(), "node", 7, process.name)
        try:
            values = [self._value(job, source, inputs) for source in job.sources if source.form != LATER]
            state = None if job.actor is None or job.actor[1] is None else _bytes(job.storage, *job.actor[1])
        except StorageError as error:
            self._started((*job.key[:3], -1))
            world.complaints.append(f"an input of {job.key} cannot be read: {error}")
            return worker.failed(error, "serialization", False, place), None
        world.note("RUNS", job.key)
        self._started(job.key)
        rng = world.rng
        self._take_time(job, place, rng.choice((0.001, 0.01, 0.05, 0.2, 3.0)))
        fate = rng.random()
        for share, end in ((rates.dies, self._die), (rates.hangs, self._hang)):
            if fate < share:
                end(process)
            fate -= share
        if fate < rates.fails:
            return worker.failed(ValueError("user code"), "app", rng.random() < 0.5, place), None
        if fate < rates.fails + rates.continues and job.type != ACTOR:
            dag = continuation_of(rng, self._body)
            return Outcome(True, now_us(), place, continuation=dag), None
        return self._keep(job, values, state, place)

    def _value(self, job: Assignment, source: Any, inputs: tuple[Any, ...]) -> bytes:
        form, value, nested = source
        if form in (INLINE, FILE):
            return _bytes(job.storage, form, value)
        held = inputs[value]
        data: bytes = held[0] if nested else held
        return data.result() if isinstance(data, Ref) else data

    def _take_time(self, job: Assignment, place: Place, seconds: float) -> None:
        world = self.world
        if seconds <= _REPORTED_AFTER_S:
            world.wait(seconds)
            return
        assert world.thread is not None
        lease, owner = world.thread.process.instance
        world.wait(_REPORTED_AFTER_S)
        reporter.REPORTER.lease, reporter.REPORTER.owner = lease, owner
        reporter.REPORTER._tell_owner(job)
        left = seconds - _REPORTED_AFTER_S
        while not reporter.REPORTER._report(job, place) and left > reporter._AGAIN_AFTER_S:
            world.wait(reporter._AGAIN_AFTER_S)
            left -= reporter._AGAIN_AFTER_S
        world.wait(left)
        if world.rng.random() < 0.2:
            reporter.REPORTER._tell(job, place, Progress(round(world.rng.random(), 3), None, {}))

    @staticmethod
    def _die(process: Process) -> None:
        process.die()
        raise Killed

    def _hang(self, process: Process) -> None:
        self.world.wait(60.0)
        self._die(process)

    def _keep(self, job: Assignment, values: list[bytes], state: bytes | None, place: Place) -> tuple[Outcome, Any]:
        text = b"%s(%s)" % (job.task_id.encode(), b",".join(values))
        if len(text) > 400:
            text = hash_of(text).encode() * 8
        if job.catch:
            text = b"[" + text + b"]"
        store = PayloadStore(job.storage)
        large = len(text) > INLINE_LIMIT_BYTES
        try:
            ref = store.put(text) if job.checkpoint or not large else PayloadRef(hash_of(text), len(text))
            made = None if job.actor is None else store.put(b"0" if state is None else state + b"+")
        except StorageError as error:
            return worker.failed(error, "app", True, place), None
        outcome = Outcome(True, now_us(), place, output=ref, stored=job.checkpoint, output_repr="v", state=made)
        return outcome, text if large else None


def _bytes(storage: str, form: int, value: Any) -> bytes:
    data: bytes = PayloadStore(storage).get(value) if form == FILE else value
    return data


class Listeners:
    """In place of `ListenerPool`: each listener asks for one event, and ends with it. Dies with its manager."""

    def __init__(
        self,
        on_ended: Callable[[list[Ended]], None],
        on_started: Any = None,
        on_asked: Callable[[list[tuple[AttemptKey, str]]], None] | None = None,
        on_reported: Any = None,
    ) -> None:
        world: World = MACHINE.world
        assert world.thread is not None and world.thread.loop is not None and on_asked is not None
        self._loop, self._rng = world.thread.loop, world.rng
        self._on_ended, self._on_asked = on_ended, on_asked
        self._waiting: dict[AttemptKey, Order] = {}

    def submit(self, order: Order) -> None:
        self._waiting[order.key] = order
        if order.assignment.type == EVENT:
            self._later(self._ask, order.key)
        else:
            form, value, _ = order.assignment.sources[0]
            self._later(self._end, order.key, form, value)

    def _later(self, call: Callable[..., None], *args: Any) -> None:
        self._loop.call_later(0.001 + self._rng.random() * 0.01, call, *args)

    def _ask(self, key: AttemptKey) -> None:
        if key in self._waiting:
            self._on_asked([(key, EVENT_KEY)])

    def answer(self, key: AttemptKey, event_key: str, form: int, value: Any, error: Exception | None = None) -> None:
        self._later(self._end, key, form, value)

    def _end(self, key: AttemptKey, form: int, value: Any) -> None:
        if self._waiting.pop(key, None) is None:
            return
        data = b"event" if form not in (INLINE, FILE) else _bytes(STORAGE, form, value)
        output = PayloadRef(hash_of(data), len(data), data)
        self._on_ended([Ended(key, Outcome(True, now_us(), Place(now_us()), output=output))])

    def cancel(self, key: AttemptKey) -> None:
        self._waiting.pop(key, None)

    def runs(self, key: AttemptKey) -> bool:
        return key in self._waiting


def some_rates(rng: random.Random) -> Rates:
    """Some seeds are calm, some are not."""
    scale = rng.choice((0.0, 0.3, 1.0, 1.0, 2.0))
    return Rates(0.05 * scale, 0.12 * scale, 0.03 * scale, 0.12)
