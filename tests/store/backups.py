"""Stores to be backed up, and processes that write, back up and are killed."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tests.index.worlds import FUNCTION, World, dag, fan, lease, spec
from wfstore import _backup
from wfstore._backup import BackedUp
from wfstore.index import WholeLog
from wfstore.index.compaction import compact
from wfstore.log import failpoints, open_writer, resolve_storage, write_lease
from wfstore.log.verify_report import silent
from wfstore.payloads import PayloadStore
from wfstore.schema.columns import EVENT_SCHEMA

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])
_LARGE = 40_000


def objects(name: str = "store") -> str:
    """An empty place on an object storage that is this process's memory."""
    return resolve_storage(f"memory://{uuid.uuid4().hex}/{name}")


def backup(storage: str | Path, place: str | Path, **options: Any) -> BackedUp:
    """`Store.backup` without a store that is opened for SQL, which takes longer than the backup."""
    given = {"verify": True, "lost_values": False, "progress": silent, **options}
    return _backup.backup(resolve_storage(storage), resolve_storage(place), **given)


def restore(storage: str | Path, place: str | Path) -> BackedUp:
    """`wfstore.restore`."""
    return _backup.restore(resolve_storage(storage), resolve_storage(place), verify=True, progress=silent)


def said(storage: str | Path) -> pa.Table:
    """The events of a store, as far as they are the same wherever they lie."""
    columns = [name for name in EVENT_SCHEMA.names if name not in ("hash", "attributes", "payload")]
    return WholeLog.at(resolve_storage(storage)).read_range(1, 2**40).select(columns).combine_chunks()


def up_to(storage: str | Path, seq: int) -> pa.Table:
    """`said` up to an event."""
    found = said(storage)
    return found.filter(pc.less_equal(found["seq"], seq))


class Source:
    """A store that grows: workflows of two tasks, each with a value that is a file."""

    def __init__(self, storage: str, segment_bytes: int = 16 << 20) -> None:
        self.storage = storage
        self.payloads = PayloadStore(storage)
        self.payloads.put_file(FUNCTION)
        self._segment_bytes = segment_bytes
        self._world = World()
        self._written = self._count = 0
        self._writer = open_writer(storage, segment_bytes=segment_bytes)

    def grow(self, workflows: int = 3, *, open_: bool = False) -> Source:
        for _ in range(workflows):
            self._count += 1
            name = f"w{self._count}"
            self._world.submit(name, fan(2) if self._count % 3 else dag(spec("a"), spec("b", 0)), {"n": self._count})
            if open_:
                continue
            first = self._world.simulation.open_attempts()[-1][2]
            self._world.end(first, name, output=self.payloads.put(pickle.dumps(name * _LARGE)))
            self._world.finish()
        return self.write()

    def do(self, command: Any) -> Source:
        self._world.do(command)
        return self.write()

    def write(self) -> Source:
        """In several commits."""
        log = self._world.simulation.log
        for start in range(self._written, len(log), 7):
            self._writer.append(log[start : start + 7])
        self._written = len(log)
        return self

    def reopen(self) -> Source:
        """Under another manager; the log is sealed by it."""
        self._writer.close()
        self._writer = open_writer(self.storage, segment_bytes=self._segment_bytes)
        return self

    def compact(self) -> Source:
        """All that was written, and nothing of it stays in the log."""
        self.reopen()
        compact(self.storage, grace_s=0, workers=1)
        return self

    def close(self) -> Source:
        self._writer.close()
        return self


# -- in processes of their own ----------------------------------------------------------------------------------------


def start(target: Any, *arguments: object) -> Any:
    process = _CONTEXT.Process(target=target, args=arguments)
    process.start()
    return process


def event() -> Any:
    """To be set by another process."""
    return _CONTEXT.Event()


def write_until(storage: str, ready: Any, stop: Any) -> None:
    """A manager: it holds the lease, writes, and compacts what it has written."""
    source = Source(storage, segment_bytes=30_000)
    rounds = 0
    while not stop.is_set():
        write_lease(storage, lease())
        source.grow(2).grow(1, open_=True)
        rounds += 1
        if rounds % 4 == 0:
            compact(storage, grace_s=60, workers=1)
            ready.set()
    source.close()


def killed(what: str, storage: str, destination: str, point: str, count: int) -> bool:
    """Back up or restore in a process that kills itself the `count`-th time it comes by; whether it came there."""
    process = start(_until_killed, what, storage, destination, point, count)
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return bool(process.exitcode)


def _until_killed(what: str, storage: str, destination: str, point: str, count: int) -> None:
    left = count

    def pass_by() -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    failpoints.arm(point, pass_by)
    (backup if what == "backup" else restore)(storage, destination)
