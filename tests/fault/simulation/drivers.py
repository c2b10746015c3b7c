"""Drivers: they submit, cancel, resume, rerun, delete, send events, call virtual actors and ask, each by `request_id`
until they are answered; and remember what they were told."""

from __future__ import annotations

import asyncio
import pickle
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from ray.exceptions import ActorDiedError, ActorUnavailableError

from tests.fault.simulation.cluster import Cluster
from tests.fault.simulation.dags import call_of, chain_of, dag_of
from tests.fault.simulation.workers import EVENT_KEY
from wfstore import errors
from wfstore.engine.host import NAME
from wfstore.model.commands import CallActor, Cancel, Delete, Resume, SendEvent, Submit
from wfstore.model.payload import PayloadRef
from wfstore.model.statuses import PENDING, RESUMABLE, RUNNING
from wfstore.payloads import hash_of

_WORKFLOWS = ("w0", "w1", "w2")
_ACTORS = ("a0",)
_AGAIN_S = 0.2
_PATIENCE_S = 120.0
#: How often the connection is lost when the request is on its way, and the driver asks once more.
_LOST = 0.05


class Told(NamedTuple):
    """An answer. since, until: the last seqs that were durable when the call was made, and when its answer came."""

    method: str
    workflow_id: str
    command: Any
    answer: Any
    error: Exception | None
    since: int
    until: int


class ManagerGone(AssertionError):
    """There is no manager, and Ray will not start one."""


class Drivers:
    """bodies: hashes of functions that the store has; durable_seq(): of the last event that is known to be durable."""

    def __init__(self, cluster: Cluster, bodies: tuple[str, str], durable_seq: Callable[[], int]) -> None:
        self._cluster, self._durable_seq = cluster, durable_seq
        self._body, self._other_body = bodies
        self.rng: random.Random = cluster.world.rng
        self.told: list[Told] = []
        self.left = 0
        #: What `workflow.init` does where there is no manager.
        self.connect: Callable[[], None] = lambda: None
        self._requests = 0

    async def drive(self, operations: int) -> None:
        """One driver's life."""
        for _ in range(operations):
            await asyncio.sleep(self.rng.random() * self.rng.choice((0.01, 0.3, 3.0)))
            await self._operation()
        self.left -= 1

    def request(self) -> str:
        self._requests += 1
        return f"r{self._requests}"

    async def call(self, method: str, workflow_id: str, command: Any, *args: Any) -> Any:
        """As `Client.call`: whoever is told that the manager is away asks again. Returns None for an error."""
        since, began = self._durable_seq(), self._cluster.world.now
        while True:
            actor = self._cluster.actors.get(NAME)
            if actor is None:
                if self._cluster.world.now - began > _PATIENCE_S:
                    raise ManagerGone(f"{method} finds no manager")
                await asyncio.sleep(_AGAIN_S)
                self.connect()
                continue
            name = method.partition(" ")[0]
            if self.rng.random() < _LOST:
                self._cluster.call(actor, name, args)
            try:
                answer, error = await self._cluster.call(actor, name, args), None
            except (ActorUnavailableError, ActorDiedError):
                await asyncio.sleep(_AGAIN_S)
                continue
            except errors.StorageError:  # it halts, and another one will follow
                await asyncio.sleep(_AGAIN_S)
                continue
            except errors.WfstoreError as raised:
                answer, error = None, raised
            self.told.append(Told(method, workflow_id, command, answer, error, since, self._durable_seq()))
            return answer

    async def order(self, command: Any) -> None:
        await self.call("handle", command.workflow_id, command, pickle.dumps(command, 5))

    async def _operation(self) -> None:
        rng = self.rng
        workflow_id = rng.choice(_WORKFLOWS)
        roll = rng.random()
        if roll < 0.40:
            await self._submit(workflow_id)
        elif roll < 0.52:
            await self._actor(rng.choice(_ACTORS))
        elif roll < 0.60:
            await self.order(Cancel(workflow_id, self.request()))
        elif roll < 0.66:
            await self.order(Delete(workflow_id, self.request()))
        elif roll < 0.72:
            bodies = rng.choice(((), ((self._body, self._other_body, None),)))
            await self.order(Resume(workflow_id, self.request(), functions=bodies))
        elif roll < 0.80:
            await self.send(rng.choice((*_WORKFLOWS, *_ACTORS)))
        elif roll < 0.84:
            new_id = f"{rng.choice(_WORKFLOWS)}again"  # an id that nobody else uses at the time, or one that exists
            await self.call("rerun", new_id, None, workflow_id, new_id, self.request(), None)
        elif roll < 0.86:
            await self.call("outputs", "", None, [(workflow_id, None), (workflow_id, "f")], rng.random())
        elif roll < 0.89:
            await self.call("wait for a task", workflow_id, None, workflow_id, "f")
        elif roll < 0.96:
            await self.call("status", workflow_id, None, workflow_id)
        else:
            await self.call("statuses", "", None)

    async def _submit(self, workflow_id: str) -> None:
        rng = self.rng
        timeout_s = rng.choice((None, None, None, 2.0, 30.0))
        metadata = rng.choice((None, {"n": 1}))
        command = Submit(workflow_id, dag_of(rng, self._body), metadata, {}, self.request(), timeout_s=timeout_s)
        waits = rng.random()
        if waits < 0.4:
            await self.call("run", workflow_id, command, pickle.dumps(command, 5))
            return
        await self.order(command)
        if waits < 0.7:
            await self.call("wait", workflow_id, None, workflow_id, None)

    async def _actor(self, workflow_id: str) -> None:
        made = Submit(workflow_id, call_of("__init__", self._body), None, {}, self.request(), actor=("m.C", self._body))
        await self.order(made)
        for _ in range(self.rng.randint(1, 3)):
            call = CallActor(workflow_id, call_of("incr", self._body), {}, self.request())
            await self.call("call_actor", workflow_id, call, pickle.dumps(call, 5), self.rng.random() < 0.5)

    async def send(self, workflow_id: str) -> None:
        request = self.request()
        data = f"event {request}".encode()
        command = SendEvent(workflow_id, EVENT_KEY, PayloadRef(hash_of(data), len(data), data), request)
        hold_s = self.rng.choice((0.0, 1.0))
        await self.call("send_event", workflow_id, command, pickle.dumps(command, 5), hold_s)

    # -- the end ------------------------------------------------------------------------------------------------------

    async def finish(self) -> None:
        """Bring whatever is open to its end. Nothing goes wrong any more."""
        # A manager that has nothing to write does not notice that somebody has taken its place.
        await self.order(Submit("last", chain_of(1, self._body), None, {}, self.request()))
        for _ in range(300):
            standing = self.standing()
            open_ones = [(name, status) for name, status in standing if status in (RUNNING, PENDING, RESUMABLE)]
            if not open_ones and not self.left:
                return
            for name, status in open_ones:
                if status == RESUMABLE:
                    await self.order(Resume(name, self.request()))
                elif self.rng.random() < 0.2:
                    await self.send(name)
            await asyncio.sleep(1.0)
        raise AssertionError(f"open after all: {standing}, {self.left} drivers")

    def standing(self) -> list[tuple[str, str]]:
        """Every workflow and its status, by a look that costs no call."""
        actor = self._cluster.actors.get(NAME)
        if actor is None or actor.instance is None:
            return [("not known", PENDING)]
        return [(name, workflow.status) for name, workflow in actor.instance._state.workflows.items()]
