"""The load of `soak.py`: a process that has all kinds of workflows done, and writes down what is to become of each.

    python -m benchmarks.soak_load work|retain|stop STORAGE NAMESPACE ADDRESS FOLDER [SECONDS]

work: until there is a file FOLDER/stop. The ledger FOLDER/ledger has a JSON line per workflow before it is submitted,
one more where it is to end otherwise from then on, and one for whatever was not as it had to be. retain: delete what
ended SECONDS ago, and compact. stop: end the manager in good order.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ray

import wfstore
from wfstore import workflow
from wfstore.engine import host
from wfstore.workflow.http_event_provider import HTTPListener

_WIDE, _MANY, _DEEP, _LONG = 30, 20, 10, 8
#: A worker may be killed under the same task more than once.
_RETRIES = 20
_LARGE = 20_000


@ray.remote(max_retries=_RETRIES)
def add_one(value: int, pause_s: float = 0.0) -> int:
    time.sleep(pause_s)
    return value + 1


@ray.remote(max_retries=_RETRIES)
def large(value: int) -> Any:
    return np.full(_LARGE, value)


@ray.remote(max_retries=_RETRIES)
def total(*values: Any) -> int:
    return int(sum(np.sum(value) for value in values))


@ray.remote(max_retries=_RETRIES)
def down(n: int, summed: int) -> Any:
    return summed if n == 0 else workflow.continuation(down.bind(n - 1, summed + n))


@ray.remote(max_retries=0)
def needs(path: str, value: int) -> int:
    if not os.path.exists(path):
        raise FileNotFoundError(path)
    return value


@ray.remote(max_retries=_RETRIES)
def joined(event: Any, _slept: Any) -> Any:
    return event[1]


class Load:
    """Each kind of workflow in a thread of its own, over and over."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ledger = os.open(folder / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._count = iter(range(1 << 62))

    def work(self) -> None:
        kinds = [
            self.many,
            self.chain,
            self.fan_out,
            self.sizes,
            self.dynamic,
            self.failing,
            self.canceled,
            self.waiting,
        ]
        threads = [threading.Thread(target=self._again, args=(kind,)) for kind in kinds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _again(self, kind: Callable[[random.Random], None]) -> None:
        chance = random.Random(kind.__name__)
        while not (self._folder / "stop").exists():
            try:
                kind(chance)
            except Exception as error:  # the verdict is for whoever reads the ledger
                self._write(kind=kind.__name__, wrong=f"{type(error).__name__}: {error}"[:500])
            time.sleep(chance.uniform(0.0, 1.0))

    # -- kinds --------------------------------------------------------------------------------------------------------

    def many(self, chance: random.Random) -> None:
        """Small ones, all at once."""
        refs = [workflow.run_async(add_one.bind(n), workflow_id=self._id("many")) for n in range(_MANY)]
        self._is(ray.get(refs), [n + 1 for n in range(_MANY)], "many")

    def chain(self, chance: random.Random) -> None:
        node: Any = 0
        for _ in range(_LONG):
            node = add_one.bind(node, chance.uniform(0, 0.05))
        self._run(node, "chain", _LONG)

    def fan_out(self, chance: random.Random) -> None:
        self._run(total.bind(*[add_one.bind(n) for n in range(_WIDE)]), "fan", sum(range(1, _WIDE + 1)))

    def sizes(self, chance: random.Random) -> None:
        """Values that become files."""
        self._run(total.bind(*[large.bind(n) for n in range(4)]), "large", 6 * _LARGE)

    def dynamic(self, chance: random.Random) -> None:
        self._run(down.bind(_DEEP, 0), "down", sum(range(_DEEP + 1)))

    def failing(self, chance: random.Random) -> None:
        """Every other one is mended, and resumed."""
        workflow_id = self._id("failing", "FAILED")
        flag = str(self._folder / workflow_id)
        try:
            workflow.run(needs.bind(flag, add_one.bind(1)), workflow_id=workflow_id)
        except workflow.WorkflowExecutionError as error:
            self._is(type(error.__cause__).__name__, "FileNotFoundError", workflow_id)
        else:
            self._write(id=workflow_id, wrong="it did not fail")
        if chance.random() < 0.5:
            self._write(id=workflow_id, status="SUCCESSFUL")
            Path(flag).touch()
            self._is(workflow.resume(workflow_id), 2, workflow_id)

    def canceled(self, chance: random.Random) -> None:
        workflow_id = self._id("canceled", "CANCELED")
        dag = total.bind(*[add_one.options(num_cpus=0).bind(n, 60.0) for n in range(3)])
        workflow.run_async(dag, workflow_id=workflow_id)
        time.sleep(chance.uniform(0.0, 2.0))
        workflow.cancel(workflow_id)
        self._is(str(workflow.get_status(workflow_id)), "CANCELED", workflow_id)

    def waiting(self, chance: random.Random) -> None:
        """For an event and a timer."""
        workflow_id = self._id("waiting")
        event = workflow.wait_for_event(HTTPListener, "go")
        ref = workflow.run_async(joined.bind(event, workflow.sleep(chance.uniform(0.1, 1.0))), workflow_id=workflow_id)
        time.sleep(chance.uniform(0.0, 0.5))
        workflow.send_event(workflow_id, "go", workflow_id)
        self._is(ray.get(ref), workflow_id, workflow_id)

    # -- the ledger ---------------------------------------------------------------------------------------------------

    def _run(self, dag: Any, kind: str, output: Any) -> None:
        workflow_id = self._id(kind)
        self._is(workflow.run(dag, workflow_id=workflow_id), output, workflow_id)

    def _id(self, kind: str, status: str = "SUCCESSFUL") -> str:
        """A new one, written down with how it is to end."""
        workflow_id = f"{kind}-{next(self._count)}"
        self._write(id=workflow_id, status=status)
        return workflow_id

    def _is(self, seen: Any, must: Any, workflow_id: str) -> None:
        if seen != must:
            self._write(id=workflow_id, wrong=f"{seen!r} instead of {must!r}"[:500])

    def _write(self, **words: Any) -> None:
        os.write(self._ledger, (json.dumps(words) + "\n").encode())


def main(action: str, storage: str, namespace: str, address: str, folder: str, seconds: str = "0") -> None:
    ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    workflow.init(storage=storage, namespace=namespace)
    if action == "work":
        Load(Path(folder)).work()
    elif action == "retain":
        span = f"{round(float(seconds))}s"
        gone = wfstore.open(storage).retain(keep=span, grace=span)
        told = {"deleted": sum(gone.workflows.values()), "bytes": sum(gone.bytes_after.values())}
        print(json.dumps(told), flush=True)
    else:
        manager = ray.get_actor(host.NAME, namespace)
        ray.get(manager.stop.remote())
        ray.kill(manager)


if __name__ == "__main__":
    main(*sys.argv[1:])
