"""What a cluster works on while it is hurt: chains, fan-outs, recursions and long tasks. Their bodies write down what
ran.

The id of a workflow says all about it, its output too, so that any process can build it or check it.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ray

from tests.engine.programs.tasks import note
from wfstore import workflow
from wfstore.engine.context import current_task

SHAPES = ("chain", "fan", "down", "long")
#: A resource of every node but the head.
OTHER = "other"
#: Where tasks run. Those of no options may follow one another on a worker, without Ray.
PLACES: dict[str, dict[str, Any]] = {
    "any": {},
    "spread": {"scheduling_strategy": "SPREAD"},
    OTHER: {"resources": {OTHER: 0.01}},
}
#: One attempt that outlives many a manager, seconds.
MARATHON, MARATHON_S = "marathon", 20.0
#: A worker may be killed again and again; the task is to come to its end nevertheless.
_RETRIES = 100
BEGINS, ENDS = "begins", "ends"
SUBMITTED, ANSWERED, WRONG, UNANSWERED = "submitted", "answered", "wrong", "unanswered"


@contextlib.contextmanager
def noted(folder: str) -> Iterator[None]:
    """Lines "begins|ends workflow task pid microseconds" around user code, in the order in which it ran."""
    task = current_task()
    assert task is not None
    note(f"{folder}/bodies", line(BEGINS, task.workflow_id, task.task_id, str(os.getpid()), str(now_us())))
    yield
    note(f"{folder}/bodies", line(ENDS, task.workflow_id, task.task_id, str(os.getpid()), str(now_us())))


def line(*words: str) -> str:
    return " ".join(words)


def now_us() -> int:
    return time.time_ns() // 1000


@ray.remote(max_retries=_RETRIES)
def link(folder: str, before: int, pause_s: float) -> int:
    with noted(folder):
        time.sleep(pause_s)
    return before + 1


@ray.remote(max_retries=_RETRIES)
def total(folder: str, *values: int) -> int:
    with noted(folder):
        return sum(values)


@ray.remote(max_retries=_RETRIES)
def down(folder: str, n: int, summed: int, pause_s: float) -> Any:
    with noted(folder):
        time.sleep(pause_s)
    return summed if n == 0 else workflow.continuation(down.bind(folder, n - 1, summed + n, pause_s))


def planned(folder: str, workflow_id: str) -> tuple[Any, int]:
    """(dag, output) of the workflow of this id: "<shape>-<where>-<whatever else>"."""
    chance = random.Random(workflow_id)
    shape, where = workflow_id.split("-")[:2]
    size, one = chance.randint(4, 12), link.options(**PLACES[where]) if PLACES[where] else link
    if shape == "chain":
        node: Any = 0
        for _ in range(size):
            node = one.bind(folder, node, chance.uniform(0, 0.05))
        return node, size
    if shape == "fan":
        parts = [one.bind(folder, n, chance.uniform(0, 0.1)) for n in range(size)]
        return total.bind(folder, *parts), sum(range(1, size + 1))
    if shape == "down":
        return down.bind(folder, size, 0, chance.uniform(0, 0.05)), sum(range(size + 1))
    if shape == MARATHON:
        return one.options(num_cpus=0).bind(folder, size, MARATHON_S), size + 1
    assert shape == "long", workflow_id
    return one.bind(folder, size, chance.uniform(0.5, 2.0)), size + 1


class Load:
    """So many workflows open at a time, submitted by threads that check what they get. Their journal, `folder`/journal,
    says what was acknowledged: lines "submitted|answered|wrong|unanswered workflow". mortal: that there is no answer is
    in order, as the cluster is to be killed. marathon: one more runs, of a single long attempt. other: the cluster has
    nodes beside the head."""

    def __init__(
        self,
        folder: Path,
        name: str,
        width: int = 4,
        *,
        mortal: bool = False,
        marathon: bool = False,
        other: bool = False,
    ) -> None:
        self._folder, self._name, self._mortal = str(folder), name, mortal
        self._places = list(PLACES) if other else [place for place in PLACES if place != OTHER]
        self._stop = threading.Event()
        work = [SHAPES] * width + [(MARATHON,)] * marathon
        threads = [threading.Thread(target=self._work, args=each, daemon=True) for each in enumerate(work)]
        self._threads = threads
        for thread in threads:
            thread.start()

    def _work(self, slot: int, shapes: Sequence[str]) -> None:
        chance, count = random.Random(f"{self._name}-{slot}"), 0
        while not self._stop.is_set():
            workflow_id = f"{chance.choice(shapes)}-{chance.choice(self._places)}-{self._name}-{slot}-{count}"
            count += 1
            dag, output = planned(self._folder, workflow_id)
            waits = chance.random() < 0.5
            ask = partial(self._answer, dag, workflow_id, waits)
            check(self._folder, workflow_id, output, ask, mortal=self._mortal)

    def _answer(self, dag: Any, workflow_id: str, waits: bool) -> Any:
        if waits:
            return workflow.run(dag, workflow_id=workflow_id)
        ref = workflow.run_async(dag, workflow_id=workflow_id)
        note(f"{self._folder}/journal", line(SUBMITTED, workflow_id))
        return ray.get(ref)

    def stop(self, timeout_s: float) -> bool:
        """No new ones; whether all that were submitted came to their end within this time."""
        self._stop.set()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)


def check(folder: str, workflow_id: str, output: int, answer: Callable[[], Any], *, mortal: bool = False) -> None:
    """Write down whether the answer is the output that it has to be."""
    try:
        got = answer()
        words = (ANSWERED, workflow_id) if got == output else (WRONG, workflow_id, repr(got))
    except Exception as error:
        words = (UNANSWERED if mortal else WRONG, workflow_id, repr(error).replace("\n", " ")[:500])
    note(f"{folder}/journal", line(*words))
