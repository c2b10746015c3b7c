"""Long attempts become visible while they run: one thread per worker process reports a start after a moment.

An attempt that ends sooner never costs a call; its start arrives with its outcome.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

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
            manager = ray.get_actor(job.manager[0], job.manager[1])
        except ValueError:
            return  # the manager is gone for good; nobody is left to tell
        manager.report_started.remote(job.workflow_id, job.run, job.task_id, job.attempt, place)


REPORTER = StartReporter()
