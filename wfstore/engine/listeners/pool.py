"""The manager's side of listeners: sends attempts to hosts, hears how they end, replaces hosts that die.

A Ray call that waits for an event would cost 33 KB here and 58 KB in the host for as long as it waits (measured, Ray
2.60). So a host takes attempts in calls that return at once, and one call per host waits for news of all of them.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from wfstore.engine.assignment import AttemptKey, load_outcome
from wfstore.engine.executor import Ended, Order
from wfstore.engine.listeners.host import Answered, Ask, ListenerHost, News, Report
from wfstore.engine.worker import failed
from wfstore.model.commands import Outcome, Place

MAX_HOSTS = 2
#: A second host is worth its memory from here on.
_FULL = 250
#: A listener that waited this long when its host died did not bring the death about by starting: it is not to blame.
BLAMELESS_S = 10.0
#: ... unless it has been there each time this often, with no event in between.
_STRIKES = 3
_SUSPECT_GROUPS = 4
IDLE_S = 60.0
_BATCH = 200
_MAX_CALLS = 1000


class ListenerPool:
    """Attempts of type `event` and `event_checkpointed`, on hosts that this process owns and that die with it.

    on_ended(ends): called on the loop, one call for many; each attempt once, unless it was canceled
    on_started(starts): likewise, with those that have been running for a moment
    on_asked(asks): attempts wait for sent events, which `answer` gives them; on_reported(reports): what they say about
    one, told before the end of the attempt
    """

    def __init__(
        self,
        on_ended: Callable[[list[Ended]], None],
        on_started: Callable[[list[tuple[AttemptKey, Place]]], None] | None = None,
        on_asked: Callable[[list[Ask]], None] | None = None,
        on_reported: Callable[[list[Report]], None] | None = None,
    ) -> None:
        self._on_ended = on_ended
        self._on_started = on_started
        self._on_asked = on_asked
        self._on_reported = on_reported
        self._loop = asyncio.get_running_loop()
        self._hosts: dict[str, list[_Host]] = {}
        self._where: dict[AttemptKey, _Host] = {}
        self._strikes: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, order: Order) -> None:
        key = order.key
        try:
            host = self._host(order)
        except Exception as error:  # Ray refuses a runtime_env in words of its own
            self._begin(self._refused(key, failed(error, "app")))
            return
        self._where[key] = host
        host.held[key] = _Held(order.assignment.function_hash)
        if order.inputs:
            self._begin(self._send(host, [order]))
            return
        host.outbox.append(order)
        if len(host.outbox) == 1:
            self._loop.call_soon(self._flush, host)

    def cancel(self, key: AttemptKey) -> None:
        """Nothing more is heard of it."""
        host = self._where.pop(key, None)
        if host is None:
            return
        held = host.held.pop(key)
        if held.taken_at is None:
            host.canceled.add(key)  # told once the host has it: calls may overtake each other
        else:
            self._cancel_there(host, [key])
        self._idle(host)

    def answer(self, key: AttemptKey, event_key: str, form: int, value: Any, error: Exception | None = None) -> None:
        """Give an attempt the event that it asked for (form, value: as in an assignment), or an error instead."""
        host = self._where.get(key)
        if host is None:
            return
        host.answers.append((key, event_key, form, value, error))
        if len(host.answers) == 1:
            self._loop.call_soon(self._answer_all, host)

    def _answer_all(self, host: _Host) -> None:
        answers, host.answers = host.answers, []
        for start in range(0, len(answers), _BATCH):
            if not host.lost:
                host.handle.answer.remote(answers[start : start + _BATCH])

    def runs(self, key: AttemptKey) -> bool:
        """Somebody will report about this attempt."""
        return key in self._where

    # -- sending ------------------------------------------------------------------------------------------------------

    def _host(self, order: Order) -> _Host:
        env = {**(order.runtime_env or {}), **order.options.get("runtime_env", {})}
        group = json.dumps(env, sort_keys=True, default=str)
        # Classes that were in a host when it died are kept apart: one that kills its host takes few others with it.
        hash_ = order.assignment.function_hash
        if self._strikes.get(hash_):
            group += f" suspect {int(hash_[:8], 16) % _SUSPECT_GROUPS}"
        hosts = self._hosts.get(group, [])
        least = min(hosts, key=lambda host: len(host.held), default=None)
        if least is not None and (len(least.held) < _FULL or len(hosts) >= MAX_HOSTS):
            return least
        host = _Host(group, _start_host(env), self._loop.time())
        self._hosts.setdefault(group, []).append(host)
        self._begin(self._follow(host))
        return host

    def _flush(self, host: _Host) -> None:
        orders = [order for order in host.outbox if order.key in host.held]
        host.canceled.difference_update(order.key for order in host.outbox)  # never sent
        host.outbox.clear()
        for start in range(0, len(orders), _BATCH):
            self._begin(self._send(host, orders[start : start + _BATCH]))

    async def _send(self, host: _Host, orders: Sequence[Order]) -> None:
        keys = [order.key for order in orders]
        assignments = [order.assignment.dumps() for order in orders]
        inputs = orders[0].inputs if len(orders) == 1 else ()
        del orders  # they need not be held while the host starts
        try:
            await host.handle.take.remote(assignments, *inputs)
        except RayActorError as error:
            await self._lost(host, error)
            return
        except Exception as error:  # an upstream value is gone, say
            await self._end(host, {key: _failed(error, "system") for key in keys})
            return
        now = time.monotonic()
        for key in keys:
            held = host.held.get(key)
            if held is not None:
                held.taken_at = now
        canceled = [key for key in keys if key in host.canceled]
        if canceled:
            host.canceled.difference_update(canceled)
            self._cancel_there(host, canceled)

    def _cancel_there(self, host: _Host, keys: list[AttemptKey]) -> None:
        if not host.lost:
            host.handle.cancel.remote(keys)

    # -- hearing ------------------------------------------------------------------------------------------------------

    async def _follow(self, host: _Host) -> None:
        while True:
            try:
                told = await host.handle.news.remote()
            except Exception as error:  # dead, unreachable, or it never came to be
                await self._lost(host, error)
                return
            news = News(*pickle.loads(told))
            self._hear(host, news)
            await self._end(host, {key: load_outcome(data) for key, data in news.ends})

    def _hear(self, host: _Host, news: News) -> None:
        starts = [start for start in news.starts if start[0] in host.held]
        asks = [ask for ask in news.asks if ask[0] in host.held]
        if starts and self._on_started is not None:
            self._on_started(starts)
        if asks and self._on_asked is not None:
            self._on_asked(asks)
        if news.reports and self._on_reported is not None:
            self._on_reported(news.reports)

    async def _end(self, host: _Host, outcomes: Mapping[AttemptKey, Outcome]) -> None:
        """Report, in portions: the loop has other work too."""
        left = list(outcomes)
        while left:
            portion, left = left[:_BATCH], left[_BATCH:]
            ends = []
            for key in portion:
                held = host.held.pop(key, None)
                if held is None:
                    continue  # canceled
                del self._where[key]
                if outcomes[key].ok:
                    self._strikes.pop(held.function_hash, None)
                ends.append(Ended(key, outcomes[key]))
            if ends:
                self._on_ended(ends)
            await asyncio.sleep(0)
        self._idle(host)

    async def _refused(self, key: AttemptKey, outcome: Outcome) -> None:
        self._on_ended([Ended(key, outcome)])

    async def _lost(self, host: _Host, error: Exception) -> None:
        """The host is gone. Its attempts end; a new host is made for the next order."""
        if host.lost:
            return
        self._drop(host)
        for function_hash in {held.function_hash for held in host.held.values()}:
            self._strikes[function_hash] = self._strikes.get(function_hash, 0) + 1
        now = time.monotonic()
        lost, system = _failed(error, "lost"), _failed(error, "system")
        outcomes = {key: lost if self._blameless(held, now) else system for key, held in host.held.items()}
        await self._end(host, outcomes)

    def _blameless(self, held: _Held, now: float) -> bool:
        waited = held.taken_at is not None and now - held.taken_at >= BLAMELESS_S
        return waited and self._strikes[held.function_hash] <= _STRIKES

    # -- hosts --------------------------------------------------------------------------------------------------------

    def _idle(self, host: _Host) -> None:
        if not host.held and not host.lost:
            host.idle_since = self._loop.time()
            self._loop.call_later(IDLE_S, self._release, host, host.idle_since)

    def _release(self, host: _Host, idle_since: float) -> None:
        if not host.held and not host.lost and host.idle_since == idle_since:
            self._drop(host)

    def _drop(self, host: _Host) -> None:
        """Give nothing more to this host, and end it: it may be only out of reach."""
        host.lost = True
        hosts = self._hosts[host.group]
        hosts.remove(host)
        if not hosts:
            del self._hosts[host.group]
        self._begin(asyncio.to_thread(ray.kill, host.handle))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@dataclass(slots=True)
class _Held:
    """An attempt that a host has, or is being sent."""

    function_hash: str
    taken_at: float | None = None


@dataclass(slots=True, eq=False)
class _Host:
    """One host actor. canceled: attempts to be canceled there as soon as it has taken them; answers: sent events that
    it is to be given."""

    group: str
    handle: Any
    idle_since: float
    held: dict[AttemptKey, _Held] = field(default_factory=dict)
    outbox: list[Order] = field(default_factory=list)
    canceled: set[AttemptKey] = field(default_factory=set)
    answers: list[Answered] = field(default_factory=list)
    lost: bool = False


def _start_host(env: Mapping[str, Any]) -> Any:
    # Not restarted by Ray, which would refuse calls until it is back, each refusal a failed attempt: the pool makes a
    # new one, whose calls wait for it.
    options: dict[str, Any] = {
        "num_cpus": 0,
        "max_concurrency": _MAX_CALLS,
        "max_restarts": 0,
        "max_task_retries": 0,
    }
    if env:
        options["runtime_env"] = dict(env)
    return ray.remote(ListenerHost).options(**options).remote()


def _failed(error: Exception, kind: str) -> Outcome:
    if isinstance(error, RayTaskError) and isinstance(error.cause, Exception):
        error = error.cause
    return failed(error, kind)
