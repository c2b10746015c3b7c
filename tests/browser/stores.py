"""Stores that browsers look at: made by the model's own decisions and written with the log's own writer, no Ray."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.model.histories import Simulation, ref
from wfstore.log import now_us, open_writer, own_lease, write_lease
from wfstore.model.commands import Cancel, Outcome, Place, RecordOutcome, RecordStarted, Submit
from wfstore.model.dag import DagSpec, TaskOptions, TaskSpec
from wfstore.payloads import PayloadStore, hash_of

BODY = b"a function's body"
NODE, RAY_TASK = "4f1d0b6e9a2c77d08a1b", "c8ef45ccd0112571ffffffffffffffff01000000"
#: What would run, break out of its element, or turn the line around, if it were let.
HOSTILE_ID = "<script>document.title='owned'</script>\"'&amp; \N{RIGHT-TO-LEFT OVERRIDE}gnorw/%2F?#"
HOSTILE_NAME = '"><img src=x onerror="document.title=\'owned\'">'
HOSTILE_ERROR = "</pre><script>document.title='owned'</script>\n" + "x" * 10_000
TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/pipeline.py", line 88, in score
    rows = client.fetch(partition, timeout=30)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/srv/shop/client.py", line 41, in fetch
    return self.session.get(url, timeout=timeout).json()
ConnectionError: HTTPSConnectionPool(host='warehouse', port=443): Read timed out. (read timeout=30)
"""


def spec(name: str, *upstream: int, **options: Any) -> TaskSpec:
    kinds = ("argument",) * len(upstream)
    return TaskSpec(name, f"shop.pipeline.{name}", hash_of(BODY), None, upstream, kinds, (), TaskOptions(**options))


def dag(*tasks: TaskSpec) -> DagSpec:
    return DagSpec(tasks, len(tasks) - 1)


def fan(width: int) -> DagSpec:
    """list -> width times map -> total"""
    return dag(spec("list"), *(spec("map", 0) for _ in range(width)), spec("total", *range(1, width + 1)))


def pipeline(partitions: int, joins: int = 4) -> DagSpec:
    """Three tasks for each partition, joined, then three more."""
    tasks, ends = [spec("list_partitions")], []
    for _ in range(partitions):
        first = len(tasks)
        tasks += [spec("extract", 0), spec("clean", first), spec("score", first + 1)]
        ends.append(first + 2)
    share = max(1, len(ends) // joins)
    joined = []
    for start in range(0, len(ends), share):
        joined.append(len(tasks))
        tasks.append(spec("join", *ends[start : start + share]))
    tasks += [spec("train", *joined), spec("evaluate", len(tasks)), spec("publish", len(tasks) + 1, len(tasks))]
    return dag(*tasks)


class Growing:
    """A store that grows while it is looked at. A fresh lease says that its manager lives."""

    def __init__(self, path: Path, *, began_at_us: int | None = None, managed: bool = True) -> None:
        self.path = str(path)
        self.simulation = Simulation(random.Random(1))
        self.simulation.now = began_at_us or now_us() - 3_600_000_000
        self._writer = open_writer(self.path, clock=lambda: self.simulation.now)
        self._written = 0
        PayloadStore(self.path).put_file(BODY)
        if managed:
            write_lease(self.path, own_lease(now_us(), None, self._writer.epoch))

    def do(self, command: Any, *, write: bool = True) -> None:
        self.simulation.do(command)
        if write:
            self.write()

    def write(self) -> None:
        log = self.simulation.log
        for start in range(self._written, len(log), 500):
            self._writer.append(log[start : start + 500])
        self._written = len(log)

    def close(self) -> None:
        self.write()
        self._writer.close()

    # -- what workers do --------------------------------------------------------------------------------------------

    def opened(self, workflow_id: str) -> list[tuple[str, int, str, int]]:
        return [key for key in self.simulation.open_attempts() if key[0] == workflow_id]

    def _open(self, workflow_id: str, task_id: str) -> tuple[str, int, str, int]:
        return next(key for key in self.opened(workflow_id) if key[2] == task_id)

    def start(self, workflow_id: str, task_id: str) -> None:
        self.do(RecordStarted(*self._open(workflow_id, task_id), self.place()))

    def place(self, began: int | None = None) -> Place:
        return Place(self.simulation.now if began is None else began, NODE, 31207, RAY_TASK)

    def end(self, workflow_id: str, task_id: str, *, write: bool = True, **outcome: Any) -> None:
        key = self._open(workflow_id, task_id)
        began = self.simulation.now
        self.simulation.now += outcome.pop("took_us", 250_000)
        values = {"output": ref(task_id), "output_repr": repr(task_id), **outcome}
        self.do(RecordOutcome(*key, Outcome(True, self.simulation.now, self.place(began), **values)), write=write)

    def fail(self, workflow_id: str, task_id: str, *, write: bool = True, **outcome: Any) -> None:
        key = self._open(workflow_id, task_id)
        began = self.simulation.now
        self.simulation.now += outcome.pop("took_us", 250_000)
        values = {
            "kind": "app",
            "error_type": "ConnectionError",
            "error_message": "HTTPSConnectionPool(host='warehouse', port=443): Read timed out. (read timeout=30)",
            "traceback": TRACEBACK,
            "stderr": "WARNING: the warehouse is slow\n",
            "error": ref("e"),
            **outcome,
        }
        self.do(RecordOutcome(*key, Outcome(False, self.simulation.now, self.place(began), **values)), write=write)

    def finish(self, workflow_id: str, *, write: bool = True) -> None:
        """End what is open and what follows, well."""
        while opened := self.opened(workflow_id):
            for _, _, task_id, _ in opened:
                self.end(workflow_id, task_id, write=False)
        if write:
            self.write()


def shop(path: Path) -> Growing:
    """A store as after a day's work: one of everything that a page shows."""
    store = Growing(path, began_at_us=now_us() - 55 * 60_000_000)
    rng = random.Random(4)
    for number in range(7):
        name = "nightly-etl"
        store.do(
            Submit(f"{name}-{number + 1}", pipeline(rng.randint(3, 8)), {"name": name, "team": "data"}), write=False
        )
        busy(store, f"{name}-{number + 1}", rng, fail="score_2" if number == 4 else None)
        store.simulation.now += rng.randint(60, 240) * 1_000_000
    store.do(Submit("backfill", pipeline(5), {"name": "backfill"}), write=False)
    busy(store, "backfill", rng, stop=9)
    store.do(Cancel("backfill", "q", by="ada"), write=False)
    store.simulation.now = now_us() - 110_000_000
    store.do(Submit("nightly-etl-8", pipeline(14), {"name": "nightly-etl", "team": "data"}), write=False)
    busy(store, "nightly-etl-8", rng, stop=30, flaky=0.1, grows="clean_2")
    store.write()
    return store


def busy(
    store: Growing, workflow_id: str, rng: random.Random, *, fail: str | None = None, stop: int | None = None,
    flaky: float = 0.0, grows: str | None = None,
) -> None:  # fmt: skip
    """Six workers do what there is to do; a task called `grows` returns a continuation, one called `fail` fails."""
    under_way: dict[tuple[str, int, str, int], int] = {}
    for _ in range(stop or 10**6):
        for key in store.opened(workflow_id):
            if key not in under_way and len(under_way) < 6:
                under_way[key] = store.simulation.now + rng.randint(50_000, 400_000)
                store.do(RecordStarted(*key, store.place(under_way[key])), write=False)
        if not under_way:
            return
        key = rng.choice(list(under_way))
        began = under_way.pop(key)
        store.simulation.now = max(store.simulation.now, began) + rng.randint(200_000, 6_000_000)
        store.do(RecordOutcome(*key, _outcome(store, key[2], began, rng, fail, flaky, grows)), write=False)


def _outcome(
    store: Growing, task_id: str, began: int, rng: random.Random, fail: str | None, flaky: float, grows: str | None
) -> Outcome:
    place = store.place(began)
    if task_id == fail or rng.random() < flaky:
        message = "HTTPSConnectionPool(host='warehouse', port=443): Read timed out. (read timeout=30)"
        return Outcome(
            False, store.simulation.now, place, kind="app", retryable=task_id != fail, error_type="ConnectionError",
            error_message=message, traceback=TRACEBACK, error=ref("e"), stderr="WARNING: the warehouse is slow\n",
        )  # fmt: skip
    if task_id == grows:
        more = dag(spec("shard"), spec("shard"), spec("shard"), spec("merge", 0, 1, 2))
        return Outcome(True, store.simulation.now, place, continuation=more)
    size = "x" * rng.randint(10, 90_000)
    return Outcome(True, store.simulation.now, place, ref(size), True, "<DataFrame 1,204 rows x 18 columns>")


def large(path: Path, width: int) -> str:
    """A store with one finished workflow, `large`, of width + 2 tasks, the last of them named `total`."""
    store = Growing(path, managed=False)
    store.do(Submit("large", fan(width)), write=False)
    store.finish("large")
    store.close()
    return store.path


def hostile(path: Path) -> Growing:
    """One workflow whose id, name, metadata, task and error are what an attacker would choose."""
    store = Growing(path)
    task = HOSTILE_NAME
    store.do(Submit(HOSTILE_ID, dag(spec(task, max_retries=0)), {"name": HOSTILE_NAME, "</pre>": HOSTILE_ERROR}))
    (key,) = store.opened(HOSTILE_ID)
    error = {"error_type": HOSTILE_NAME, "error_message": HOSTILE_ERROR, "traceback": HOSTILE_ERROR}
    store.fail(HOSTILE_ID, key[2], stdout=HOSTILE_ERROR, **error)
    return store
