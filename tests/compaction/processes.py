"""Compactions in processes of their own: to be killed at a named point, or to be at work beside others."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from collections.abc import Callable
from typing import Any, NamedTuple

import wfstore
from tests.compaction.stores import small_plan
from wfstore.index.compaction import compact
from wfstore.log import failpoints

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])
Process = Any


def start(target: Callable[..., None], *arguments: object) -> Process:
    """A process of `target`; it is to be joined."""
    process = _CONTEXT.Process(target=target, args=arguments)
    process.start()
    return process


def killed(storage: str, point: str, count: int, plan: int) -> bool:
    """Compact in another process that kills itself the `count`-th time it comes by; whether it came there."""
    process = start(_until_killed, storage, point, count, plan)
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return bool(process.exitcode)


def _until_killed(storage: str, point: str, count: int, plan: int) -> None:
    left = count

    def pass_by() -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    failpoints.arm(point, pass_by)
    with small_plan(random.Random(plan)):
        compact(storage, grace_s=0, workers=1)


def compact_until(storage: str, plan: int, stop: Any, grace_s: float = 0.0) -> None:
    """Compact again and again."""
    with small_plan(random.Random(plan)):
        while not stop.is_set():
            compact(storage, grace_s=grace_s, workers=1)


def count_until(storage: str, story: list[Counts], stop: Any, rounds: Any) -> None:
    """Ask again and again; every answer has to be that of some moment, and no earlier one than the last."""
    store, last, asked = wfstore.open(storage), 0, 0
    while not stop.is_set():
        found = counts(store)
        assert found == story[found.events], (found, story[found.events])
        assert found.events >= last
        last, asked = found.events, asked + 1
    rounds.put(asked)


class Counts(NamedTuple):
    """How much of what there is; distinct: seqs; ended: workflows."""

    events: int
    distinct: int
    workflows: int
    ended: int
    tasks: int
    attempts: int


_COUNTS = """
    SELECT
        (SELECT count(*) FROM events),
        (SELECT count(DISTINCT seq) FROM events),
        (SELECT count(*) FROM workflows),
        (SELECT count(*) FILTER (status = 'SUCCESSFUL') FROM workflows),
        (SELECT count(*) FROM tasks),
        (SELECT count(*) FROM attempts)
"""


def counts(store: wfstore.Store) -> Counts:
    """One snapshot's."""
    return Counts(*store.sql(_COUNTS).fetchall()[0])


def event() -> Any:
    return _CONTEXT.Event()


def queue() -> Any:
    return _CONTEXT.Queue()
