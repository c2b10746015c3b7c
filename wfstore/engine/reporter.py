"""What a worker tells the manager while its Ray task still runs.

Long attempts become visible: one thread per worker process reports a start after a moment. An attempt that ends sooner
never costs a call; its start arrives with its outcome.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import ray

from wfstore.engine.assignment import Assignment
from wfstore.model.commands import Place

REPORT_AFTER_S = 0.1


class StartReporter:
    """Watches the attempt that runs now, if any."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._current: tuple[Assignment, Place, float] | None = None
        self._thread: threading.Thread | None = None

    @contextmanager
    def watch(self, job: Assignment, place: Place) -> Iterator[None]:
        """Report the start of `job` if the block is still running after `REPORT_AFTER_S`."""
        with self._lock:
            self._current = (job, place, time.monotonic() + REPORT_AFTER_S)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="wfstore-start-reporter", daemon=True)
                self._thread.start()
            self._lock.notify()
        try:
            yield
        finally:
            with self._lock:
                self._current = None

    def _run(self) -> None:
        while True:
            with self._lock:
                while self._current is None:
                    self._lock.wait()
                job, place, due = self._current
                remaining = due - time.monotonic()
                if remaining <= 0:
                    self._current = None
            if remaining > 0:
                time.sleep(remaining)
            else:
                self._report(job, place)

    @staticmethod
    def _report(job: Assignment, place: Place) -> None:
        try:
            manager = _manager(job.manager)
        except ValueError:
            return  # the manager is gone for good; nobody is left to tell
        manager.report_started.remote(*job.key, place)


REPORTER = StartReporter()


@lru_cache(maxsize=4)
def _manager(manager: tuple[str, str, str, int]) -> Any:
    return ray.get_actor(manager[0], manager[1])


def exchange(job: Assignment, outcome: bytes) -> bytes | None:
    """Report how `job` ended; the next assignment for this worker, if there is one.

    Not by ``ray.get``: a task that blocks in it gives its CPU back, and the raylet would start another worker.
    """
    reply = _manager(job.manager).exchange.remote(job.key, outcome).future().result()
    assert reply is None or isinstance(reply, bytes)
    return reply
