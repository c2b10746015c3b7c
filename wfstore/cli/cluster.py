"""Joining a cluster from the command line without letting it write between our own lines."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from wfstore.cli import progress


@contextlib.contextmanager
def joined(storage: str | None) -> Iterator[None]:
    """Inside, a manager of `storage` is at hand: that of the running Ray, or of one started here, which ends with this
    process. What Ray and the workers print goes to stderr: stdout is for the answer.

    Modules that tasks import are looked for in the current folder too, as `python -m` would.
    """
    os.environ.setdefault("RAY_LOG_TO_DRIVER", "0")
    os.environ.setdefault("WFSTORE_RAY_LOG_LEVEL", "ERROR")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    with contextlib.redirect_stdout(sys.stderr):
        with progress.doing("starting Ray"):
            from wfstore import workflow

            workflow.init(storage=storage)
        yield
