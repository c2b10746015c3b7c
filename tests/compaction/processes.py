"""Compactions in processes of their own: to be killed at a named point, or to be at work beside others."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from collections.abc import Callable
from typing import Any

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


def count_until(storage: str, stop: Any, counts: Any) -> None:
    """Count events and workflows again and again; the counts must never fall."""
    store, last = wfstore.open(storage), (0, 0)
    rounds = 0
    while not stop.is_set():
        ((events, distinct, workflows),) = store.sql(
            "SELECT count(*), count(DISTINCT seq), (SELECT count(*) FROM workflows) FROM events"
        ).fetchall()
        assert events == distinct, (events, distinct)
        assert last <= (events, workflows), (last, events, workflows)
        last = (events, workflows)
        rounds += 1
    counts.put((rounds, *last))


def event() -> Any:
    return _CONTEXT.Event()


def queue() -> Any:
    return _CONTEXT.Queue()
