"""Puts the cast in place of what the engine would have: Ray, the worker's user code, listeners, channels, constants."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any

import ray

from tests.fault.simulation import seams
from tests.fault.simulation.cluster import Channel, SimRay
from tests.fault.simulation.scenario import Simulation
from tests.fault.simulation.workers import Listeners
from wfstore.engine import channel, commits, compaction, core, manager, memory, owner, recovery, reporter, worker
from wfstore.engine.host import NAME
from wfstore.log.writer import LogWriter
from wfstore.model import events as ev
from wfstore.payloads import store as payload_store
from wfstore.schema.rows import Rows


class _Puts:
    """Attributes that were changed, and what they were."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def put(self, where: Any, name: str, value: Any) -> None:
        self._before.append((where, name, where.__dict__[name]))
        setattr(where, name, value)

    def undo(self) -> None:
        for where, name, value in reversed(self._before):
            setattr(where, name, value)


@contextlib.contextmanager
def staged(off: str | None = None) -> Iterator[Callable[[int, bool], Simulation]]:
    """Gives a function that makes the simulation of a seed, ready to `run()`."""
    puts = _Puts()
    with seams.installed():
        try:
            _put_fixed(puts, off)
            yield partial(_simulation, off)
        finally:
            puts.undo()


class _Channels:
    """`reporter._channel`, whose cache is asked to forget."""

    way: Channel | None = None

    def __call__(self, name: tuple[str, str]) -> Channel | None:
        return type(self).way

    def cache_clear(self) -> None:
        pass


class _Ray:
    """The cluster of the seed that runs."""

    now: SimRay
    simulation: Simulation

    def __getattr__(self, name: str) -> Any:
        return getattr(type(self).now, name)


def _is_replaced() -> bool:
    thread = seams.MACHINE.world.thread
    assert thread is not None
    return thread.process.actor.process is not thread.process


def _put_fixed(puts: _Puts, off: str | None) -> None:
    ours = _Ray()
    for name, module in list(sys.modules.items()):
        if name.startswith("wfstore.engine") and module.__dict__.get("ray") is ray:
            puts.put(module, "ray", ours)
    puts.put(core, "ListenerPool", Listeners)
    puts.put(core, "tails", SimpleNamespace(of_dead_attempt=lambda key: ("", "")))
    puts.put(channel, "path_for", lambda *name: None)
    puts.put(reporter, "_channel", _Channels())
    puts.put(reporter, "_manager", lru_cache(maxsize=0)(lambda name: ours.get_actor(name[0], name[1])))
    puts.put(reporter, "_owner", lambda name: ours.get_actor(name[0], name[1]))
    for module, name in _OF_SEED:
        puts.put(module, name, None)  # set anew for each seed, and given back at the end
    puts.put(commits, "is_replaced", _is_replaced)
    puts.put(compaction, "LOOK_EVERY_S", 30.0)
    puts.put(manager, "LEASE_EVERY_S", 30.0)
    puts.put(manager, "_LOOK_EVERY_S", 2.0)
    _watch(puts)
    _switch_off(puts, off)


def _watch(puts: _Puts) -> None:
    """Have the oracle hear of every acknowledgement and every decision."""
    commit = LogWriter.commit

    def noted(self: LogWriter, rows: Rows) -> tuple[int, int]:
        first, last = commit(self, rows)
        _Ray.simulation.oracle.committed(self.epoch, first, last, rows)
        return first, last

    puts.put(LogWriter, "commit", noted)
    stage = commits.Commits._stage

    def staged(self: Any, commands: Any) -> Any:
        events, commit = stage(self, commands)
        _Ray.simulation.timers.staged(self, events)
        return events, commit

    puts.put(commits.Commits, "_stage", staged)


def _switch_off(puts: _Puts, off: str | None) -> None:
    """The negative controls, but for the one that is the disk's."""
    if off == "fence check":
        puts.put(LogWriter, "_check_fence", lambda self: None)
    elif off == "memory of successes":
        apply = recovery.apply
        puts.put(
            recovery, "apply", lambda state, event: state if event.type == ev.ATTEMPT_SUCCEEDED else apply(state, event)
        )
    elif off == "waiting for the disk":

        async def at_once(self: Any, commit: Any) -> None:
            return None

        puts.put(commits.Commits, "_committing", at_once)


_open_writer = recovery.open_writer
_OF_SEED = (
    (owner, "_run_attempt"),
    (worker, "_run"),
    (payload_store, "INLINE_LIMIT_BYTES"),
    (memory, "WARM_BYTES"),
    (recovery, "open_writer"),
)


def _simulation(off: str | None, seed: int, tracing: bool = False) -> Simulation:
    simulation = Simulation(seed, tracing)
    rng = simulation.rng
    _Ray.now = SimRay(simulation.cluster, simulation.session)
    _Ray.simulation = simulation
    owner._run_attempt = simulation.workers
    worker._run = simulation.workers.run
    simulation.disk.syncs = off != "fsync"
    _Channels.way = rng.choice((None, Channel(simulation.cluster, NAME, 0.05)))
    payload_store.INLINE_LIMIT_BYTES = rng.choice((60, 32 * 1024))
    memory.WARM_BYTES = rng.choice((0, 128 << 20))
    recovery.open_writer = partial(_open_writer, segment_bytes=rng.choice((3000, 16 << 20)))
    return simulation
