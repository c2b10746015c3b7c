"""Those who look on while a seed runs: readers of the log, an offline writer, looks into the manager's memory."""

from __future__ import annotations

from typing import Any

from tests.fault.simulation import laws
from tests.fault.simulation.workers import STORAGE
from tests.fault.simulation.world import Process, World
from wfstore.engine import core
from wfstore.errors import StorageError
from wfstore.log import Cursor, LogReader, open_writer
from wfstore.model import events as ev
from wfstore.model.dag import TIMER
from wfstore.model.events import Event
from wfstore.schema.rows import unpack

#: A timer begins when it is decided and is armed when that is durable: a clock that jumps forward in between ends it.
_ARMED_S = 0.5
_LATE_S = 1.0


class Readers:
    """Read the log again and again, each from where it was. seen: what they saw, by seq."""

    def __init__(self, world: World, oracle: laws.Oracle) -> None:
        self.world, self._oracle = world, oracle
        self.seen: dict[int, tuple[Any, ...]] = {}
        self.reads = 0
        self.over = False

    def begin(self) -> None:
        process = Process(self.world, "reader")
        process.on_machine = True  # what it has read was perhaps never on the medium
        process.spawn("read", self._read_on)

    def _read_on(self) -> None:
        world = self.world
        log, cursor = None, Cursor()
        while not self.over:
            world.wait(world.rng.random() * world.rng.choice((0.01, 0.5)))
            acknowledged, began = self._oracle.durable_seq, world.now
            try:
                log = log or LogReader(STORAGE)
                blocks, cursor = log.blocks(cursor)
            except StorageError as error:
                world.note("cannot read:", repr(error))
                continue
            self.reads += 1
            if cursor.next_seq <= acknowledged:
                took = world.now - began
                world.complaints.append(
                    f"a reader saw {cursor.next_seq - 1} of {acknowledged} events, after {took:.3f} s"
                )
            for block in blocks:
                for seq, row in enumerate(unpack(block.data, block.rows)[block.skip :], block.first_seq + block.skip):
                    if self.seen.setdefault(seq, row) != row:
                        world.complaints.append(f"a reader saw two rows with seq {seq}")

    def power_lost(self) -> None:
        """What they saw before anybody acknowledged it may be gone, and they are gone as well."""
        self.seen = {seq: row for seq, row in self.seen.items() if seq in self._oracle.acknowledged}

    def check(self, rows: dict[int, tuple[Any, ...]], failed_syncs: int) -> None:
        """What they saw is in the log. Only a sync that failed may take back what was never acknowledged."""
        gone = [seq for seq, row in self.seen.items() if rows.get(seq) != row]
        assert not gone or failed_syncs, f"readers saw what is not in the log: {len(gone)} rows from seq {min(gone)}"


def write_offline(world: World) -> None:
    """Somebody who takes an epoch although a manager is at work, as an import may where the lease is old."""

    def work() -> None:
        try:
            writer = open_writer(STORAGE)
            world.wait(world.rng.random() * 0.1)
            writer.append([Event(ts=world.now_us(), type=ev.MANAGER_STOPPED)])
            writer.close()
        except StorageError as error:
            world.note("no offline writer:", repr(error))

    process = Process(world, "offline")
    process.on_machine = True
    process.spawn("write", work)


def check_memory(manager: Any, oracle: laws.Oracle) -> bool:
    """In the middle of everything: where nothing is on its way to the disk, the manager is what the log makes of it.
    Returns whether that could be told."""
    state = manager._state
    if manager._halted is not None or state.seq != oracle.durable_seq:
        return False
    events = laws.read_log(STORAGE, oracle)
    if len(events) != state.seq:
        return False
    laws.check_rows(state, manager._memory, laws.History(events).state)
    return True


class Timers:
    """When timers were set and when they rang, by the monotonic clock of the manager that did both.

    jumps: when the wall clock jumped; held_up: the disk was slow, or a process stood still
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._set: dict[tuple[object, tuple[object, ...]], tuple[float, float]] = {}
        self.rang = 0
        self.jumps: list[float] = []
        self.held_up = False

    def staged(self, manager: core.Core, events: list[Event]) -> None:
        """The manager has decided these."""
        for event in events:
            if event.type not in (ev.TIMER_STARTED, ev.TIMER_FIRED):
                continue
            key = manager, (event.workflow_id, event.run, event.task_id, event.attempt)
            if event.type == ev.TIMER_STARTED:
                task = manager._task(event.workflow_id or "", event.task_id or "")
                if task is not None and task.type == TIMER and task.attempt == 1 and task.attempts == 1:
                    self._set[key] = self._world.now, task.facts.get("delay_s", 0.0)
            elif key in self._set:
                began, delay_s = self._set.pop(key)
                self.rang += 1
                took = self._world.now - began
                early = took < delay_s - 0.001 and not any(began <= jump <= began + _ARMED_S for jump in self.jumps)
                if early or (took > delay_s + _LATE_S and not self.held_up):
                    self._world.complaints.append(f"a timer of {delay_s} s rang after {took:.3f} s")
