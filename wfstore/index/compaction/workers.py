"""Processes that do units of work side by side. They start when there is enough to do, and end with their user."""

from __future__ import annotations

import base64
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType
from typing import Any, NamedTuple

from wfstore.errors import StorageError
from wfstore.index.compaction.tasks import run

_MODULE = "wfstore.index.compaction.tasks"
#: To give memory back after each range of ids and take it again costs the kernel a twentieth of all time (glibc; others
#: ignore it). Numpy's linear algebra, which nobody uses here, need not start threads.
_ENVIRONMENT = {
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(8 << 20),
    "OPENBLAS_NUM_THREADS": "1",
}


class Task(NamedTuple):
    """A unit of work: name of a function of `tasks`, and its arguments."""

    name: str
    arguments: dict[str, Any]


class Workers:
    """Runs tasks, at most `count` at a time; with a count of 1 in this process."""

    def __init__(self, storage: str, count: int | None = None) -> None:
        self._storage = storage
        self._count = count if count is not None else min(2, os.cpu_count() or 1)
        self._idle: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
        self._started: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._started:
            if process.stdin is not None:
                process.stdin.close()
            if error is not None:
                process.terminate()
        for process in self._started:
            process.wait()

    def warm(self) -> None:
        """Start the processes, as there will be enough to do for all of them."""
        while self._count > 1 and len(self._started) < self._count:
            self._start()

    def map(self, tasks: Iterable[Task], done: Callable[[int], None] = lambda number: None) -> list[Any]:
        """The answers, in the order of the tasks. done: told how many tasks have ended.

        Raises what a task raises here; a StorageError with its words when it ended in another process.
        """
        tasks = list(tasks)
        if self._count == 1 or len(tasks) == 1:
            answers = []
            for number, task in enumerate(tasks, 1):
                answers.append(run(task.name, task.arguments))
                done(number)
            return answers
        with ThreadPoolExecutor(self._count) as threads:
            while len(self._started) < min(self._count, len(tasks)):
                self._start()
            futures = [threads.submit(self._ask, task) for task in tasks]
            answers = []
            for number, future in enumerate(futures, 1):
                answers.append(future.result())
                done(number)
            return answers

    def _start(self) -> None:
        command = [sys.executable, "-m", _MODULE]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **_ENVIRONMENT},
        )
        self._started.append(process)
        self._idle.put(process)
        # A pickled URI brings the secrets along that its text does not show.
        assert process.stdin is not None
        process.stdin.write(base64.b64encode(pickle.dumps(self._storage)).decode() + "\n")

    def _ask(self, task: Task) -> Any:
        process = self._idle.get()
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        try:
            process.stdin.write(json.dumps(task._asdict()) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                words = process.stderr.read().strip().rpartition("\n")[2]
                raise StorageError(self._storage, f"compaction failed: {words or f'exit code {process.wait()}'}")
            said = json.loads(line)
            if "error" in said:
                raise StorageError(self._storage, f"compaction failed: {said['error']}")
            return said["answer"]
        except BrokenPipeError as error:
            raise StorageError(self._storage, f"compaction failed: {process.stderr.read().strip()[-500:]}") from error
        finally:
            self._idle.put(process)
