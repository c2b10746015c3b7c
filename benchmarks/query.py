"""What a question costs: on a store of many small workflows, and after new events arrived.

``python -m benchmarks.query [--quick] [--workflows N]`` prints one JSON object per line: what, n, p50_ms, p95_ms and,
where there is a figure to see, must_ms and ok. ``--quick`` asks fewer times.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator

import wfstore
from wfstore import _store
from wfstore.log import LogWriter, open_writer
from wfstore.model import events as ev
from wfstore.model.apply import apply
from wfstore.model.commands import Command, Outcome, Place, RecordOutcome, Submit
from wfstore.model.dag import DagSpec, TaskSpec
from wfstore.model.decide import decide
from wfstore.model.events import Event
from wfstore.model.payload import PayloadRef
from wfstore.model.state import State

T0 = 1_700_000_000_000_000
TASKS = 3
HISTORY_MUST_MS = 15.0


class Generator:
    """Small workflows (a chain of `TASKS`), decided by the model as a manager would."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer
        self._state = State()
        self._now = T0
        self._made = 0

    def workflows(self, count: int) -> int:
        """Append so many; returns the number of events."""
        events = [event for _ in range(count) for event in self._one()]
        for start in range(0, len(events), 1000):
            self._writer.append(events[start : start + 1000])
        return len(events)

    def _one(self) -> Iterator[Event]:
        workflow_id = f"wf-{self._made:07d}"
        self._made += 1
        tasks = tuple(
            TaskSpec(f"task{i}", "bench.task", "ab", _ref(40), (i - 1,) if i else (), ("argument",) if i else ())
            for i in range(TASKS)
        )
        batch = self._do(Submit(workflow_id, DagSpec(tasks, TASKS - 1), {"team": f"t{self._made % 7}"}))
        while batch:
            yield from batch
            opened = [event for event in batch if event.type == ev.ATTEMPT_SUBMITTED]
            batch = []
            for event in opened:
                place = Place(self._now + 500, "node", 4711, "ray-task")
                self._now += 20_000
                outcome = Outcome(True, self._now, place, _ref(100), True, "'out'", fetch_s=0.001, checkpoint_s=0.001)
                batch += self._do(
                    RecordOutcome(workflow_id, event.run or 1, event.task_id or "", event.attempt or 1, outcome)
                )

    def _do(self, command: Command) -> list[Event]:
        self._now += 1000
        events = decide(self._state, command, self._now)
        for event in events:
            apply(self._state, event)
        return events


def _ref(size: int) -> PayloadRef:
    return PayloadRef("cd" * 32, size, b"x" * size)


def measure(what: str, times: int, ask: Callable[[int], object], must_ms: float | None = None) -> None:
    """Ask `times` times after two that do not count, and print the figures."""
    for i in range(2):
        ask(i)
    spent = []
    for i in range(times):
        began = time.perf_counter()
        ask(i)
        spent.append((time.perf_counter() - began) * 1000)
    report(what, spent, must_ms)


def report(what: str, spent: list[float], must_ms: float | None = None) -> None:
    p50 = statistics.median(spent)
    p95 = sorted(spent)[int(0.95 * (len(spent) - 1))]
    line = {"benchmark": "query", "what": what, "n": len(spent), "p50_ms": round(p50, 3), "p95_ms": round(p95, 3)}
    if must_ms is not None:
        line |= {"must_ms": must_ms, "ok": p50 <= must_ms}
    print(json.dumps(line), flush=True)


def every_frame(store: wfstore.Store, workflow_id: str) -> None:
    """The history and each of its frames."""
    history = store.history(workflow_id)
    assert history.workflow["tasks"] == history.tasks.height == TASKS
    assert history.runs.height + history.attempts.height + history.edges.height + history.events.height > TASKS


def cold(storage: str) -> None:
    wfstore.open(storage).sql("SELECT count(*) FROM workflows").fetchall()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--workflows", type=int, default=1000)
    arguments = parser.parse_args()
    times = 20 if arguments.quick else 100
    with tempfile.TemporaryDirectory() as storage:
        writer = open_writer(storage)
        generator = Generator(writer)
        events = generator.workflows(arguments.workflows)
        print(json.dumps({"benchmark": "query", "workflows": arguments.workflows, "events": events}), flush=True)
        measure("open a store and count", max(3, times // 10), lambda _: cold(storage))
        store = _store.open(storage)
        names = [f"wf-{i * 37 % arguments.workflows:07d}" for i in range(times)]
        measure("history, every frame", times, lambda i: every_frame(store, names[i]), HISTORY_MUST_MS)
        measure("ls, the newest 20", times, lambda _: store.workflows(limit=20))
        measure("sql count of tasks", times, lambda _: store.sql("SELECT count(*) FROM tasks").fetchall())
        measure("sql count of events", times, lambda _: store.sql("SELECT count(*) FROM events").fetchall())
        measure("report task_durations", max(5, times // 5), lambda _: store.report("task_durations"))
        spent = []
        for _ in range(max(5, times // 5)):
            generator.workflows(1000 // (3 + 4 * TASKS) + 1)
            began = time.perf_counter()
            store.sql("SELECT count(*) FROM events").fetchall()
            spent.append((time.perf_counter() - began) * 1000)
        report("sql after 1,000 new events", spent)
        writer.close()


if __name__ == "__main__":
    main()
