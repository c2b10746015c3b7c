"""Tasks that programs and tests share: what a resume in another process finds by importing this module."""

from __future__ import annotations

import os
import time
from typing import Any

import ray

from wfstore import workflow


def note(log: str, name: str) -> None:
    """One whole line, whoever else writes."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, f"{name}\n".encode())
    finally:
        os.close(file)


@ray.remote
def link(log: str, name: str, before: int, pause_s: float = 0.0) -> int:
    """One task of a chain: says that it ran, and counts on."""
    note(log, name)
    time.sleep(pause_s)
    return before + 1


@ray.remote
def down(log: str, n: int, total: int, pause_s: float) -> Any:
    """A recursion by continuations; the result is n + (n-1) + ... + `total`."""
    note(log, f"down{n}")
    time.sleep(pause_s)
    return total if n == 0 else workflow.continuation(down.bind(log, n - 1, total + n, pause_s))


@ray.remote
def after(log: str, name: str, pause_s: float, value: Any = None) -> Any:
    """Says when it begins, sleeps, says when it ends."""
    note(log, f"{name}-begins")
    time.sleep(pause_s)
    note(log, f"{name}-ends")
    return value


def chain(log: str, length: int, pause_s: float = 0.0) -> Any:
    """A chain whose tasks are called t0, t1, ...; its output is `length`."""
    node: Any = 0
    for n in range(length):
        node = link.options(**workflow.options(name=f"t{n}")).bind(log, f"t{n}", node, pause_s)
    return node
