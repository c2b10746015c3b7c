"""What the figures of `dashboard.py` have in common: lines of JSON, a writer at a given pace, a server, its clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psutil

from benchmarks.measuring import surroundings
from wfstore.log import now_us, open_writer, own_lease, write_lease
from wfstore.model.apply import apply
from wfstore.model.commands import Command, Outcome, Place, RecordOutcome, RecordStarted, Submit
from wfstore.model.dag import DagSpec, TaskSpec
from wfstore.model.decide import decide
from wfstore.model.events import Event
from wfstore.model.payload import PayloadRef
from wfstore.model.state import State
from wfstore.payloads import PayloadStore, hash_of

TOKEN = "a-token-of-the-benchmark"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
_BODY, _VALUE = b"a function's body", b"a value"
_NODE, _RAY_TASK = "4f" * 28, "c8ef45ccd0112571ffffffffffffffffffffffff01000000"
#: How far a task is: a page that shows a later status has caught up with the earlier ones.
RANKS = {"PENDING": 0, "RUNNING": 1, "SUCCESSFUL": 2}
_UNDER_WAY = 8
_COMMITS_PER_S = 100
#: An audience that has not heard what it waits for by then never will.
_PATIENCE_S = 600.0


@dataclass
class Figures:
    """runs: repetitions of what takes long; storage: of 10 M events, where one is at hand; failed: goals missed."""

    runs: int = 5
    seconds: float = 10.0
    storage: str = ""
    failed: list[str] = field(default_factory=list)

    def show(
        self, figure: str, seen: float | None, must: float | None = None, unit: str = "ms", *, least: bool = False,
        **more: Any,
    ) -> None:  # fmt: skip
        """One line. least: the goal is the least to be seen, else the most."""
        row: dict[str, Any] = {"benchmark": "dashboard", "figure": figure, "seen": _rounded(seen), "unit": unit}
        if must is not None:
            ok = seen is not None and (seen >= must if least else seen <= must)
            row |= {"must": f"{'>=' if least else '<='} {must:g}", "ok": ok}
            if not ok:
                self.failed.append(figure)
        row |= {name: _rounded(value) for name, value in more.items()}
        print(json.dumps(row | surroundings()), flush=True)


def _rounded(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return round(value, 3) if isinstance(value, float) else value


# -- workflows, decided ahead of time ---------------------------------------------------------------------------------


def _task(name: str, *upstream: int) -> TaskSpec:
    return TaskSpec(name, f"shop.pipeline.{name}", hash_of(_BODY), None, upstream, ("argument",) * len(upstream))


def fan(width: int) -> DagSpec:
    """list -> `width` times map -> total"""
    tasks = (_task("list"), *(_task("map", 0) for _ in range(width)), _task("total", *range(1, width + 1)))
    return DagSpec(tasks, len(tasks) - 1)


def pipeline(size: int) -> DagSpec:
    """`size` tasks (10 or more): chains of three side by side, joined in groups, and those joined."""
    chains = int((size - 2) / 3.03)
    joins = size - 2 - 3 * chains
    tasks, ends = [_task("list")], []
    for _ in range(chains):
        first = len(tasks)
        tasks += [_task("extract", 0), _task("clean", first), _task("score", first + 1)]
        ends.append(first + 2)
    for number in range(joins):
        tasks.append(_task("join", *ends[number::joins]))
    tasks.append(_task("publish", *range(len(tasks) - joins, len(tasks))))
    return DagSpec(tuple(tasks), len(tasks) - 1)


class Script:
    """Workflows as the model decides them: their events, to be written later and at any pace."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._state = State()
        self._now = now_us() - 3_600_000_000

    def do(self, command: Command) -> None:
        self._now += 1_000
        for event in decide(self._state, command, self._now):
            self.events.append(event._replace(seq=len(self.events) + 1, epoch=1))
            apply(self._state, self.events[-1])

    def submit(self, workflow_id: str, dag: DagSpec, name: str = "shop") -> None:
        self.do(Submit(workflow_id, dag, {"name": name}))

    def opened(self, workflow_id: str) -> list[tuple[str, int, str, int]]:
        tasks = self._state.workflows[workflow_id].open_attempts.values()
        return [(workflow_id, task.open_run or 0, task.task_id, task.open_attempt) for task in tasks]

    def start(self, key: tuple[str, int, str, int]) -> None:
        self.do(RecordStarted(*key, Place(self._now, _NODE, 31207, _RAY_TASK)))

    def end(self, key: tuple[str, int, str, int]) -> None:
        value = PayloadRef(hash_of(_VALUE), len(_VALUE), _VALUE)
        began = Place(self._now, _NODE, 31207, _RAY_TASK)
        self.do(RecordOutcome(*key, Outcome(True, self._now + 900, began, value, output_repr="'a value'")))

    def finish(self, workflow_id: str) -> None:
        while opened := self.opened(workflow_id):
            for key in opened:
                self.end(key)

    def work(self, ids: Sequence[str]) -> Iterator[None]:
        """Start and end the tasks that are open now, a few under way at a time, of all the workflows in turns."""
        turns = [key for together in zip(*map(self.opened, ids), strict=False) for key in together]
        for number, key in enumerate(turns):
            self.start(key)
            yield
            if number >= _UNDER_WAY:
                self.end(turns[number - _UNDER_WAY])
                yield

    def save(self, storage: str) -> None:
        """Write all to a new store."""
        PayloadStore(storage).put_file(_BODY)
        writer = open_writer(storage)
        for first in range(0, len(self.events), 500):
            writer.append(self.events[first : first + 500])
        writer.close()


def busy(storage: str, ids: Sequence[str], width: int, count: int, last: str | None = None) -> list[Event]:
    """A new store in which the fan-outs of these ids have just begun; returns `count` events that come next.

    last: id of a workflow that is submitted after that."""
    script = Script()
    for workflow_id in ids:
        script.submit(workflow_id, fan(width))
        script.end(script.opened(workflow_id)[0])
    script.save(storage)
    before = len(script.events)
    work = script.work(ids)
    while len(script.events) < before + count:
        next(work)
    if last is not None:
        script.submit(last, fan(1))
    return script.events[before:]


class Commit(NamedTuple):
    """at: when it was durable, seconds since 1970; key: a task's or a workflow's id; rank: how far that was then"""

    at: float
    key: str
    rank: int


def commits(events: Sequence[Event], times: Sequence[float], by: str, already: int = 0) -> list[Commit]:
    """by: `task` or `workflow`; a workflow is as far as it has tasks that are done, of which `already` were before."""
    done: dict[str, int] = {}
    found = []
    for event, at in zip(events, times, strict=True):
        status = event.task_status or ""
        if event.task_id is None or not RANKS.get(status):  # tasks that wait change nothing that is looked at
            continue
        workflow_id = event.workflow_id or ""
        if by == "task":
            found.append(Commit(at, event.task_id, RANKS[status]))
        elif status == "SUCCESSFUL" and event.type == "attempt.succeeded":
            done[workflow_id] = done.get(workflow_id, already) + 1
            found.append(Commit(at, workflow_id, done[workflow_id]))
    return found


def write(storage: str, events: Sequence[Event], rate: float, pipe: Any) -> None:
    """A process that writes them at a pace and sends when each was durable, and how long each commit took (s)."""
    writer = open_writer(storage)
    write_lease(storage, own_lease(now_us(), None, writer.epoch))
    pipe.send("ready")
    pipe.recv()
    at_once = max(1, round(rate / _COMMITS_PER_S))
    times: list[float] = []
    took: list[float] = []
    begin = time.monotonic()
    for first in range(0, len(events), at_once):
        if (left := begin + first / rate - time.monotonic()) > 0:
            time.sleep(left)
        now, began = now_us(), time.perf_counter()
        written = [event._replace(ts=now) for event in events[first : first + at_once]]
        writer.append(written)
        took.append(time.perf_counter() - began)
        times += [time.time()] * len(written)
    pipe.send((times, took))
    with contextlib.suppress(EOFError):  # a store that is looked at has a manager until then
        pipe.recv()
    writer.close()


# -- a server ---------------------------------------------------------------------------------------------------------


class Served(NamedTuple):
    url: str
    process: psutil.Process

    def memory_mb(self) -> float:
        return float(self.process.memory_info().rss) / 2**20


@contextmanager
def serving(storage: str, environment: dict[str, str] | None = None) -> Iterator[Served]:
    """`wfstore dashboard` in a process of its own."""
    line = [sys.executable, "-m", "wfstore", "dashboard", "--storage", storage, "--port", "0", "--token", TOKEN]
    started = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})})
    try:
        assert started.stdout is not None
        found = re.match(r"(http://[^/]+)/", started.stdout.readline())
        assert found is not None, "the server did not start"
        yield Served(found[1], psutil.Process(started.pid))
    finally:
        started.terminate()
        started.wait(20)


def audience(url: str, path: str, count: int, last: str, pipe: Any) -> None:
    """A process of that many clients of the event stream. Sends "ready" once all are connected, and at the end how many
    of them were told of the workflow `last`, and how many to look anew."""
    asyncio.run(_audience(url, path, count, last.encode(), pipe))


async def _audience(url: str, path: str, count: int, last: bytes, pipe: Any) -> None:
    clients = [_Client(last) for _ in range(count)]
    listening = [asyncio.create_task(client.listen(url, path)) for client in clients]
    while not all(client.ready for client in clients):
        await asyncio.sleep(0.02)
    pipe.send("ready")
    await asyncio.wait(listening, timeout=_PATIENCE_S)
    pipe.send((sum(client.told for client in clients), sum(client.anew for client in clients)))


class _Client:
    """One client, which looks at next to nothing: the machine has other things to do."""

    def __init__(self, last: bytes) -> None:
        self._last = last
        self.ready = self.told = self.anew = False

    async def listen(self, url: str, path: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}", f"Authorization: {BEARER['Authorization']}", "", ""]
        writer.write("\r\n".join(lines).encode())
        rest = b""
        try:
            while not self.told and (piece := await reader.read(1 << 16)):
                text = rest + piece
                self.ready |= b"event: ready" in text
                self.anew |= b"event: snapshot-needed" in text
                self.told = self._last in text
                rest = text[-100:]
        finally:
            writer.close()
