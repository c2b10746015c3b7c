"""A store in which workflows of every kind ended at known times, with marks that can be looked for in its bytes."""

from __future__ import annotations

import base64
import os
import pickle
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import wfstore
import wfstore._retention
from tests.index.worlds import World
from tests.model.histories import T0
from wfstore.log import open_reader, open_writer
from wfstore.model.commands import CallActor, Cancel, Delete, Interrupt, Resume, Submit
from wfstore.model.dag import ACTOR, DagSpec, TaskOptions, TaskSpec
from wfstore.model.payload import INLINE_LIMIT_BYTES, PayloadRef
from wfstore.payloads import PayloadStore

#: Days from T0 at which each of `fill`'s workflows ends, in the order of their submission.
ENDED = {"done": 1, "failed": 2, "canceled": 3, "again": 4, "resumed": 20, "late": 30}
STATUSES = {"done": "SUCCESSFUL", "failed": "FAILED", "canceled": "CANCELED", "again": "SUCCESSFUL",
            "resumed": "SUCCESSFUL", "late": "FAILED"}  # fmt: skip
STAY = {"interrupted": "RESUMABLE", "running": "RUNNING", "pending": "PENDING", "idle": "SUCCESSFUL", "busy": "RUNNING"}
DAY_US = 86_400_000_000
BODY = b"a body that all share"


def at(days: float) -> datetime:
    return datetime(1970, 1, 1) + timedelta(microseconds=T0 + round(days * DAY_US))


class Aged(World):
    """Commands at chosen times; values that carry a mark of their workflow."""

    def __init__(self, path: Path) -> None:
        super().__init__(managed=False)
        self.path = path
        self.payloads = PayloadStore(str(path))
        self.body = self.payloads.put_file(BODY).hash

    def large(self, mark: str) -> PayloadRef:
        return self.payloads.put(pickle.dumps(f"large-{mark}" * INLINE_LIMIT_BYTES))

    def small(self, mark: str) -> PayloadRef:
        return self.payloads.put(pickle.dumps(f"small-{mark}"))

    def dag(self, mark: str, *shared: PayloadRef) -> DagSpec:
        """first (small argument) -> last (large argument)."""
        first = TaskSpec("first", "shop.first", self.body, self.small(f"args-{mark}"), (), (), shared, TaskOptions())
        last = TaskSpec("last", "shop.last", self.body, self.large(f"args-{mark}"), (0,), ("argument",))
        return DagSpec((first, last), 1)

    def call(self, method: str) -> DagSpec:
        """Of a virtual actor."""
        task = TaskSpec(method, f"m.Counter.{method}", self.body, type=ACTOR, facts={"method": method})
        return DagSpec((task,), 0)

    def begin(self, name: str, *shared: PayloadRef, mark: str | None = None) -> None:
        mark = mark or name
        self.submit(name, self.dag(mark, *shared), {"note": f"meta-{mark}"})

    def close(self, name: str, days: float, *, fails: bool = False, mark: str | None = None) -> None:
        """Its last task ends at that day exactly."""
        mark = mark or name
        self.end("first", name, output=self.large(f"out-{mark}"), output_repr=f"'repr-{mark}'")
        self.now(days, 20_000)
        if fails:
            self.fail("last", error_message=f"error-{mark}", traceback=f"trace-{mark}", error=self.small(f"err-{mark}"))
        else:
            self.end("last", name, output=self.small(f"out-{mark}"), output_repr=f"'repr-{mark}'")

    def now(self, days: float, before_us: int = 0) -> None:
        self.simulation.now = T0 + round(days * DAY_US) - before_us


def exact(world: Aged, ended: Mapping[str, float]) -> None:
    """Move the end of each workflow to its day, to the microsecond."""
    log = world.simulation.log
    for name, days in ended.items():
        seq = max(e.seq or 0 for e in log if e.workflow_id == name and e.type in
                  ("workflow.succeeded", "workflow.failed", "workflow.canceled"))  # fmt: skip
        log[seq - 1] = log[seq - 1]._replace(ts=T0 + round(days * DAY_US))


def fill(path: Path) -> Aged:
    """Those of `ENDED` and `STAY`; `again` was deleted once, and submitted again."""
    world = Aged(path)
    both = world.large("shared")
    world.begin("again", mark="before")
    world.close("again", 0.5, mark="before")
    world.do(Delete("again", "r"))
    world.begin("done", both)
    world.close("done", 1)
    world.begin("failed", both)
    world.close("failed", 2, fails=True)
    world.begin("canceled")
    world.now(3, 10)
    world.do(Cancel("canceled"))
    world.begin("again")
    world.close("again", 4)
    world.begin("resumed")
    world.close("resumed", 5, fails=True)
    world.now(20, 20_000_000)
    world.do(Resume("resumed", "r2"))
    world.end("last", "resumed", output=world.small("out-resumed"))
    world.begin("interrupted", both)
    world.end("first", "interrupted", output=world.large("out-interrupted"))
    world.do(Interrupt("interrupted"))
    for name in ("idle", "busy"):
        world.do(Submit(name, world.call("__init__"), None, {}, f"i-{name}", actor=("m.Counter", world.body)))
        world.end("__init__", name, state=world.large(f"state-{name}"))
    world.begin("late")
    world.close("late", 30, fails=True)
    world.begin("running")
    world.do(CallActor("busy", world.call("incr"), {}, "call"))
    exact(world, ENDED)
    return world


def write(world: Aged) -> wfstore.Store:
    writer = open_writer(str(world.path))
    writer.append(world.simulation.log)
    writer.close()
    return wfstore.open(world.path)


def age(path: Path, days: float = 2) -> None:
    """Let the payload files be as old."""
    for file in (path / "payloads").rglob("*"):
        stamp = file.stat().st_mtime - days * 86400
        os.utime(file, (stamp, stamp))


def at_day(patch: pytest.MonkeyPatch, days: float, plus_us: int = 0) -> None:
    """What retention takes for now."""
    patch.setattr(wfstore._retention, "utc_now", lambda: at(days) + timedelta(microseconds=plus_us))


def bytes_of(path: Path) -> bytes:
    """All that the store holds: files as they are, cells of Parquet, rows of the log, pickles inside JSON."""
    found = []
    for file in sorted(path.rglob("*")):
        if file.suffix == ".parquet":
            rows = pq.read_table(file).to_pylist()
            found.append(b"\n".join(_cell(value) for row in rows for value in row.values()))
        elif file.is_file():
            found.append(file.read_bytes())
    try:
        rows = open_reader(str(path)).read()[0].to_pylist()
    except wfstore.errors.StorageError:
        rows = []  # it begins later
    found.append(b"\n".join(_cell(value) for row in rows for value in row.values()))
    return b"\n".join(found)


def _cell(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    text = str(value).encode()
    if b'"data":"' in text:
        for piece in text.split(b'"data":"')[1:]:
            text += base64.b64decode(piece.partition(b'"')[0])
    return text
