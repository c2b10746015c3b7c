"""What the workflows of the browser tests do: each task waits for a file, so that a test decides when."""

from __future__ import annotations

import os
import time

from wfstore import workflow

_POLL_S = 0.02


def _wait(path: str) -> None:
    while not os.path.exists(path):
        time.sleep(_POLL_S)


@workflow.task
def waits(path: str, *after: str) -> str:
    """Ends once there is that file."""
    _wait(path)
    return path


@workflow.task
def grows(path: str, then: str) -> object:
    """Says how far it is, twice; once there is the file, two more tasks take over."""
    workflow.progress(0.25, "looking")
    _wait(f"{path}-half")
    workflow.progress(0.75, "nearly there", rows=12)
    _wait(path)
    return workflow.continuation(joins.bind(waits.bind(then), waits.options(name="other").bind(then)))


@workflow.task
def joins(*parts: str) -> int:
    return len(parts)


@workflow.task(max_retries=0)
def needs(path: str) -> int:
    """Fails as long as there is no such file."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"the prices are not there: {path}")
    return 42
