"""What a worker tells the manager while its Ray task still runs.

Long attempts become visible: one thread per worker process reports a start after a moment, and the newest of what user
code says about its progress a few times a second. An attempt that ends sooner never costs a call; its start arrives
with its outcome, and so does the last word about its progress.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import ray
from ray.exceptions import RayActorError

from wfstore.engine.assignment import Assignment, LeaseId
from wfstore.engine.channel import Channel, ChannelLostError, path_for
from wfstore.engine.context import Told
from wfstore.errors import StorageError
from wfstore.model.commands import Place
from wfstore.model.progress import Progress

REPORT_AFTER_S = 0.1
_LOOK_EVERY_S = 0.05
_PARK_AFTER_S = 1.0
_PARKED_S = 60.0
#: How long the manager may take to answer.
_PATIENCE_S = 5.0
_AGAIN_AFTER_S = 1.0


class ManagerSilentError(Exception):
    """The manager does not answer: it has died, or is being replaced."""


class StartReporter:
    """Watches the attempt that runs now, if any: in the lease `lease`, which the actor `owner` (name, namespace, id)
    holds.

    While attempts come and go the thread looks every `_LOOK_EVERY_S`: waking it for each would cost more than a short
    attempt does. It is parked only after `_PARK_AFTER_S` without one.
    """

    def __init__(self) -> None:
        self.lease: LeaseId = (0, 0)
        self.owner = ("", "", "")
        self._lock = threading.Condition()
        self._current: tuple[Assignment, Place, float, Told] | None = None
        self._told: Assignment | None = None
        self._heard: Assignment | None = None
        self._report_at = 0.0
        self._sent: Progress | None = None
        self._quiet_until = 0.0
        self._thread: threading.Thread | None = None
        self._parked = False

    @contextmanager
    def watch(self, job: Assignment, place: Place, told: Told) -> Iterator[None]:
        """Report the start of `job` if the block is still running after `REPORT_AFTER_S`."""
        self._current = (job, place, time.monotonic() + REPORT_AFTER_S, told)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="wfstore-start-reporter", daemon=True)
            self._thread.start()
        elif self._parked:
            with self._lock:
                self._lock.notify()
        try:
            yield
        finally:
            self._current = None

    def _run(self) -> None:
        last = time.monotonic()
        while True:
            watched = self._current
            now = time.monotonic()
            if watched is not None:
                last = now
                job, place, due, told = watched
                if now >= due and job is not self._heard:
                    self._begin(job, place, now)
                progress = told.progress
                if progress is not None and progress is not self._sent and now >= self._quiet_until:
                    self._sent = progress
                    self._quiet_until = now + self._tell(job, place, progress)
            elif now - last > _PARK_AFTER_S:
                self._park()
                last = time.monotonic()
            time.sleep(_LOOK_EVERY_S)

    def _park(self) -> None:
        with self._lock:
            self._parked = True
            # Looked at once more: an attempt that began before the flag was up has woken nobody.
            while self._current is None:
                self._lock.wait(_PARKED_S)
            self._parked = False

    def _begin(self, job: Assignment, place: Place, now: float) -> None:
        """Report the start until a manager has it in the log: the time that the attempt may take counts from it."""
        if job is not self._told:
            self._told, self._report_at = job, now
            self._tell_owner(job)
        if now >= self._report_at:
            self._heard = job if self._report(job, place) else None
            self._report_at = time.monotonic() + _AGAIN_AFTER_S

    @staticmethod
    def _report(job: Assignment, place: Place) -> bool:
        """Whether it is in the log."""
        try:
            _manager(job.manager).report_started.remote(*job.key, place).future().result(_PATIENCE_S)
        except Exception:  # whatever Ray raises for a manager that is gone or out of reach; the next may hear of it
            _manager.cache_clear()
            return False
        return True

    def _tell_owner(self, job: Assignment) -> None:
        """So that the next manager knows whom not to begin again."""
        if not self.owner[0]:
            return  # in a process that is not a worker of Ray's
        try:
            _owner(self.owner).runs.remote(self.lease, job.key)
        except Exception:  # it is gone, and this worker goes with it
            return

    @staticmethod
    def _tell(job: Assignment, place: Place, progress: Progress) -> float:
        """Returns for how many seconds to be quiet."""
        way = _channel(job.manager[:2])
        try:
            if way is None:
                sent = _manager(job.manager).report_progress.remote(job.key, place, progress)
                pause_s = sent.future().result(_PATIENCE_S)
            else:
                pause_s = way.call("report_progress", job.key, place, progress)
        except Exception:  # as in `_report`
            if way is not None:
                _channel.cache_clear()
            return _PARK_AFTER_S
        return float(pause_s)


REPORTER = StartReporter()


@lru_cache(maxsize=4)
def _manager(manager: tuple[str, str, str, int]) -> Any:
    return ray.get_actor(manager[0], manager[1])


@lru_cache(maxsize=2)
def _owner(owner: tuple[str, str, str]) -> Any:
    return ray.get_actor(owner[0], owner[1])


@lru_cache(maxsize=4)
def _channel(manager: tuple[str, str]) -> Channel | None:
    path = path_for(*manager)
    return None if path is None or not os.path.exists(path) else Channel(path)


def reports_quickly(job: Assignment) -> bool:
    """The manager is on this node: reporting by a call costs less than ending the Ray task does."""
    return _channel(job.manager[:2]) is not None


def exchange(job: Assignment, outcome: bytes) -> bytes | None:
    """Report how `job` ended; the next assignment for this worker, if there is one. Raises ManagerSilentError.

    By the channel, where the manager is on this node. Else not by ``ray.get``: a task that blocks in it gives its CPU
    back, and the raylet would start another worker.
    """
    way = _channel(job.manager[:2])
    if way is not None:
        try:
            answer: bytes | None = way.call("exchange", job.key, outcome)
        except ChannelLostError as error:
            _channel.cache_clear()
            raise ManagerSilentError from error
        except StorageError as error:  # it leaves, and the next one will hear of this outcome
            raise ManagerSilentError from error
        return answer
    try:
        reply = _manager(job.manager).exchange.remote(job.key, outcome).future().result()
    except (RayActorError, ValueError, StorageError) as error:
        raise ManagerSilentError from error
    assert reply is None or isinstance(reply, bytes)
    return reply
