"""The simulation itself: a seed decides everything, its disk forgets what it may forget, and it sees what is broken."""

from __future__ import annotations

import gc
import os
import random
import warnings
import weakref
from typing import Any

import pytest

from tests.fault.simulation.cluster import Actor, Cluster, Ref
from tests.fault.simulation.disk import Directory, Disk, File
from tests.fault.simulation.stage import staged
from tests.fault.simulation.world import Killed, Process, Stuck, World

SEEDS = (5, 37, 129)


def trace_of(seed: int) -> list[str]:
    with staged() as simulation_of:
        simulation = simulation_of(seed, True)
        simulation.run()
        return simulation.world.trace


def test_a_seed_goes_the_same_way_every_time() -> None:
    first = {seed: trace_of(seed) for seed in SEEDS}
    assert {seed: trace_of(seed) for seed in reversed(SEEDS)} == first
    assert len({tuple(trace) for trace in first.values()}) == len(SEEDS)


def test_nothing_is_kept_of_a_seed_that_is_over() -> None:
    """A million of them have to fit."""
    with staged() as simulation_of:
        seen = []
        for seed in SEEDS:
            simulation = simulation_of(seed, False)
            simulation.run()
            simulation.world.close()
            seen.append(weakref.ref(simulation))
            del simulation
        simulation_of(0, False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tasks of killed processes had not begun
            gc.collect()
        assert [ref() for ref in seen] == [None] * len(SEEDS)


def test_what_is_switched_off_is_seen() -> None:
    def some(simulation_of: Any) -> None:
        for seed in range(40):
            simulation_of(seed, False).run()

    with staged("memory of successes") as simulation_of, pytest.raises(AssertionError):
        some(simulation_of)


def test_nothing_is_left_in_place_of_the_real_thing() -> None:
    from wfstore.engine import core
    from wfstore.log import _files
    from wfstore.log.writer import LogWriter

    before = core.ListenerPool, LogWriter.commit
    with staged():
        assert _files.os is not os
    assert _files.os is os
    assert (core.ListenerPool, LogWriter.commit) == before


def test_only_what_was_synced_outlives_a_loss_of_power() -> None:
    kept = set()
    for seed in range(60):
        file = File()
        file.write(b"a" * 600, 0)
        file.sync()
        file.write(b"b" * 2000, 600)
        file.lose_power(random.Random(seed))
        assert file.data[:600] == b"a" * 600
        assert set(file.data[600:]) <= {0, ord("b")}
        kept.add(bytes(file.data[600:]))
    assert {b"", b"b" * 2000} < kept, "nothing of it, all of it, and parts of it"


def test_a_failed_sync_loses_the_bytes_and_says_so_once() -> None:
    file = File()
    file.write(b"kept", 0)
    file.sync()
    file.write(b"lost", 4)
    file.forget()
    file.sync()
    assert file.data == b"keptlost"
    file.evict()
    assert file.data == b"kept"


def test_names_need_a_sync_of_their_directory() -> None:
    folder, file = Directory(), File()
    folder.rename({"a": file})
    folder.sync()
    folder.rename({"b": File()})
    found = set()
    for seed in range(20):
        other = Directory()
        other.names, other.durable, other.pending = dict(folder.names), dict(folder.durable), list(folder.pending)
        other.lose_power(random.Random(seed))
        found.add(tuple(other.names))
    assert found == {("a",), ("a", "b")}


def test_threads_of_a_process_wait_for_each_other_and_die_together() -> None:
    world = World(1)
    disk = Disk(world)
    process = Process(world, "p")
    done: list[str] = []
    ref = Ref(world)

    def waits() -> None:
        done.append(ref.result())
        try:
            world.wait(10.0)
        except Killed:
            done.append("killed")
            raise

    def writes() -> None:
        disk.mkdir("/sim/folder")
        world.after(1.0, ref.settle, "settled")
        world.wait(5.0)
        process.die()
        raise Killed

    process.spawn("waits", waits)
    process.spawn("writes", writes)
    world.run(lambda: len(done) == 2, 20.0)
    assert (done, world.now) == (["settled", "killed"], pytest.approx(5.0, abs=0.1))
    with pytest.raises(Stuck):
        world.run(lambda: False, 100.0)


def test_a_paused_process_goes_on_where_it_was() -> None:
    world = World(2)
    process = Process(world, "p")
    came: list[float] = []
    process.loop.call_later(1.0, lambda: came.append(world.now))
    process.pause()
    world.after(3.0, process.go_on)
    world.run(lambda: bool(came), 10.0)
    assert came == [3.0]


def test_calls_of_one_process_arrive_in_order() -> None:
    world = World(3)
    cluster = Cluster(world)
    came: list[int] = []

    class Server:
        async def take(self, number: int) -> None:
            came.append(number)

    actor = cluster.actors["server"] = Actor(cluster, "server", Server, restarts=False)
    refs = [cluster.call(actor, "take", (number,)) for number in range(20)]
    world.run(lambda: all(ref.done() for ref in refs), 5.0)
    assert came == list(range(20))
