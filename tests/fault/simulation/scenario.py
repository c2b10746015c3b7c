"""One seed: what is asked, what goes wrong and when; and the checks."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.fault.simulation import laws
from tests.fault.simulation.cluster import Actor, Cluster
from tests.fault.simulation.dags import BODIES, HEALTHY
from tests.fault.simulation.disk import CALL_FAULTS, Disk
from tests.fault.simulation.drivers import Drivers
from tests.fault.simulation.onlookers import Readers, Timers, check_memory, write_offline
from tests.fault.simulation.seams import MACHINE
from tests.fault.simulation.workers import STORAGE, Workers, some_rates
from tests.fault.simulation.world import Process, World
from wfstore.engine.host import NAME
from wfstore.engine.manager import WorkflowManagementActor
from wfstore.payloads import PayloadStore

NAMESPACE = "sim"
_LONGEST_S = 3000.0
_SQL_EVERY, _VERIFIED_EVERY = 200, 10
_HOUR_US = 3_600_000_000
_JUMPS_US = (-72 * _HOUR_US, -_HOUR_US, -5_000_000, _HOUR_US, 72 * _HOUR_US)


class Simulation:
    """Everything of one seed."""

    def __init__(self, seed: int, tracing: bool = False) -> None:
        self.seed = seed
        self.world = world = World(seed, tracing)
        self.rng: random.Random = world.rng
        self.disk = MACHINE.disk = Disk(world)
        MACHINE.world = world
        self.oracle = laws.Oracle()
        world.complaints = self.oracle.broken
        self.cluster = Cluster(world)
        self.cluster.on_begin = self._arm
        self._sessions = 1
        self.is_calm = False
        self._left = self.rng.choice((0, 1, 1, 2, 3, 5))
        self._limits = self.rng.choice(((None, None), (None, None), (1, 5), (2, 2)))
        self._body, other = (PayloadStore(STORAGE).put_file(body).hash for body in BODIES)
        rates = some_rates(self.rng)
        self.workers = Workers(self.cluster, rates, self._body, self.oracle.started)
        self.drivers = Drivers(self.cluster, (self._body, other), lambda: self.oracle.durable_seq)
        self.readers, self.timers = Readers(world, self.oracle), Timers(world)
        self.disk.on_power_lost = self._power_was_lost
        self.drivers.connect = self._begin_manager
        self.zombies = self.power_cuts = self.jumps = self.looks = self.offline = 0

    # -- what goes wrong ----------------------------------------------------------------------------------------------

    def _arm(self, actor: Actor, process: Process) -> None:
        """A new process of an actor: decide how and when it fails."""
        rng = self.rng
        if actor.name != NAME:
            process.on_death = partial(self._owner_died, process, process.on_death)
            return
        process.skew_us = rng.choice((0, 0, 0, rng.randint(-2_000_000, 2_000_000)))
        if not self._left:
            return
        self._left -= 1
        roll = rng.random()
        if roll < 0.25:
            process.die_at_step = rng.randint(1, 150)
        elif roll < 0.85:
            process.faults[rng.choice((rng.randint(1, 90), rng.randint(60, 300)))] = rng.choice(CALL_FAULTS)
        else:
            self._later(0.1 + rng.random() * 3.0, self._give_up_alive, actor, process)

    def _owner_died(self, process: Process, former: Callable[[], None]) -> None:
        self.workers.orphan(process)
        former()

    def _give_up_alive(self, actor: Actor, process: Process) -> None:
        """The manager stands still; another one takes its place; then it goes on."""
        if process.dead or actor.process is not process:
            return
        self.zombies += 1
        self.timers.held_up = True
        self.world.note("STANDS STILL", process.name)
        if self.rng.random() < 0.7:
            process.pause()
        self.world.after(self.rng.random() * 2.0, self._replace, actor, process)
        self.world.after(self.rng.random() * 6.0, process.go_on)

    def _replace(self, actor: Actor, process: Process) -> None:
        if actor.process is process and not process.dead:
            self.world.note("GIVEN UP", process.name)
            actor.give_up()
            self.world.after(5.0 + self.rng.random() * 10.0, process.die)

    def _disturb(self) -> None:
        """What happens to the machine, whatever its processes do."""
        rng, after = self.rng, self._later
        for _ in range(rng.choice((0, 0, 1, 2))):
            after(rng.random() * 8.0, self._jump, rng.choice(_JUMPS_US))
        if rng.random() < 0.15:
            begin = rng.random() * 5.0
            after(begin, self._set_slow, rng.choice((20.0, 1000.0)))
            after(begin + rng.random() * 3.0, self._set_slow, 1.0)
        if rng.random() < 0.1:
            begin = rng.random() * 5.0
            after(begin, self._set_full, True)
            after(begin + rng.random() * 3.0, self._set_full, False)
        if rng.random() < 0.1:
            after(rng.random() * 6.0, self.disk.lose_power)
        if rng.random() < 0.1:
            after(rng.random() * 6.0, self._hurt_owner)
        if rng.random() < 0.05:
            after(0.05 + rng.random() * 6.0, self._write_offline)
        if rng.random() < 0.2:
            after(rng.random(), self.readers.begin)
        if rng.random() < 0.15:
            after(rng.random() * 2.0, self._look)

    def _later(self, delay_s: float, call: Callable[..., None], *args: Any) -> None:
        """Unless all is calm by then."""
        self.world.after(delay_s, lambda: None if self.is_calm else call(*args))

    def _jump(self, by_us: int) -> None:
        self.world.note("THE CLOCK JUMPS", by_us)
        self.world.wall_us += by_us
        self.timers.jumps.append(self.world.now)
        self.jumps += 1

    def _set_slow(self, factor: float) -> None:
        self.disk.slow = factor
        self.timers.held_up = True

    def _set_full(self, full: bool) -> None:
        self.world.note("DISK FULL", full)
        self.disk.full = full

    def _power_was_lost(self) -> None:
        self.power_cuts += 1
        self.readers.power_lost()
        if self.rng.random() < 0.5:
            self._sessions += 1

    def _hurt_owner(self) -> None:
        """It dies, or stands still for a while."""
        for name, actor in list(self.cluster.actors.items()):
            if name == NAME or actor.process is None:
                continue
            if self.rng.random() < 0.5:
                self.world.note("kill -9", name)
                actor.process.die()
            else:
                self.world.note("STANDS STILL", name)
                actor.process.pause()
                self.world.after(self.rng.random() * 10.0, actor.process.go_on)

    def _write_offline(self) -> None:
        self.offline += 1
        write_offline(self.world)

    def _look(self) -> None:
        manager = self.cluster.actors.get(NAME)
        if manager is not None and manager.instance is not None:
            self.looks += check_memory(manager.instance, self.oracle)
        self._later(self.rng.random() * 8.0, self._look)

    # -- its course ---------------------------------------------------------------------------------------------------

    def run(self) -> dict[str, int]:
        """Raises AssertionError where a law is broken."""
        rng, world = self.rng, self.world
        self._begin_manager()
        driving = Process(world, "drivers")
        self._disturb()
        count = rng.randint(1, 3)
        self.drivers.left = count
        for _ in range(count):
            driving.start(self.drivers.drive(rng.randint(1, 4)))
        world.run(lambda: not self.drivers.left or world.now > 60.0 or bool(world.complaints), 61.0 + _LONGEST_S)
        self._calm()
        over: list[BaseException | None] = []
        driving.start(self._finish(over))
        failures = self.cluster.failed_starts
        failures.clear()
        world.run(lambda: bool(over) or bool(world.complaints) or len(failures) > 5, world.now + _LONGEST_S)
        assert len(failures) <= 5, f"no manager can begin: {failures[-1]}"
        assert not world.complaints, "\n".join(world.complaints)
        if over[0] is not None:
            raise over[0]
        self._settle()
        assert not world.complaints, "\n".join(world.complaints)
        return self._check()

    def _begin_manager(self) -> None:
        if NAME in self.cluster.actors:
            return
        make = partial(WorkflowManagementActor, STORAGE, (NAME, NAMESPACE), *self._limits, {})
        self.cluster.actors[NAME] = Actor(self.cluster, NAME, make, restarts=True)

    def _calm(self) -> None:
        """Nothing goes wrong from here on."""
        self.world.note("CALM")
        self.is_calm = True
        self._left = 0
        self.readers.over = True
        self.workers.rates = HEALTHY
        self.disk.full, self.disk.slow = False, 1.0
        for process in self.world.processes:
            process.die_at_step = 0
            process.faults.clear()
            if process.paused:
                process.go_on()

    async def _finish(self, over: list[BaseException | None]) -> None:
        try:
            await self.drivers.finish()
            over.append(None)
        except Exception as error:
            over.append(error)

    def _settle(self) -> None:
        """Let everything that is on its way arrive."""
        until = self.world.now + 20.0
        self.world.run(lambda: self.world.now >= until, until + _LONGEST_S)
        manager = self.cluster.actors.get(NAME)
        assert manager is not None and manager.instance is not None, (
            f"no manager at the end: {self.cluster.failed_starts[-3:]}"
        )

    def _check(self) -> dict[str, int]:
        manager = self.cluster.actors[NAME]
        events = laws.read_log(STORAGE, self.oracle)
        history = laws.History(events)
        laws.check_moves(events)
        laws.check_requests(events)
        laws.check_executions(events, self.oracle)
        laws.check_told(history, self.drivers.told)
        laws.check_payloads(STORAGE, history)
        laws.check_manager(manager.instance, history)
        rows = dict(enumerate(laws.rows_of(STORAGE), 1)) if self.readers.seen else {}
        self.readers.check(rows, self.disk.failed_syncs)
        if not self.seed % _SQL_EVERY:
            laws.check_sql(events, history.state)
        if not self.seed % _VERIFIED_EVERY:
            self._stop(manager)
        return {
            "events": len(events),
            "acknowledged": len(self.oracle.acknowledged),
            "commits": self.oracle.commits,
            "managers": manager.lives,
            "paused": self.zombies,
            "power cuts": self.power_cuts,
            "clock jumps": self.jumps,
            "executions": len(self.oracle.executions),
            "answers": len(self.drivers.told),
            "reads": self.readers.reads,
            "looks": self.looks,
            "timers": self.timers.rang,
            "offline writers": self.offline,
        }

    def _stop(self, manager: Actor) -> None:
        ref = self.cluster.call(manager, "stop", ())
        self.world.run(ref.done, self.world.now + 60.0)
        ref.result()
        laws.check_store(STORAGE)

    # -- how it is put in place ---------------------------------------------------------------------------------------

    def session(self) -> str:
        return f"session{self._sessions}"
