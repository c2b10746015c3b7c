"""Joining a cluster from the command line without letting it write between our own lines."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from wfstore.cli import progress
from wfstore.cli.errors import RefusedError


@contextlib.contextmanager
def joined(storage: str | None) -> Iterator[None]:
    """Inside, a manager of `storage` is at hand: that of the running Ray, or of one started here, which ends with this
    process. What Ray and the workers print goes to stderr: stdout is for the answer.

    Modules that tasks import are looked for in the current folder too, as `python -m` would.
    Raises RefusedError where a manager of the storage is alive in a cluster that cannot be joined from here.
    """
    os.environ.setdefault("RAY_LOG_TO_DRIVER", "0")
    os.environ.setdefault("WFSTORE_RAY_LOG_LEVEL", "ERROR")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    with contextlib.redirect_stdout(sys.stderr):
        with progress.doing("starting Ray"):
            _check_free(storage)
            from wfstore import workflow

            workflow.init(storage=storage)
        yield


def _check_free(storage: str | None) -> None:
    """A second manager would take the log from the one that is at work, and end its workflows."""
    from wfstore.log import lease_alive, now_us, read_lease, resolve_storage

    place = resolve_storage(storage)
    lease = read_lease(place)
    if lease is None or not lease_alive(lease, now_us()):
        return
    from wfstore.engine.live import manager

    if manager(place, join=True) is None:
        raise RefusedError(
            f"a manager of {place} is at work on host {lease.host} as process {lease.pid}, in a Ray cluster that "
            "cannot be joined from here: run this on that host, set RAY_ADDRESS to the address of that cluster, or end "
            "that manager first (one that was killed on another host counts as gone after 60 s)"
        )
