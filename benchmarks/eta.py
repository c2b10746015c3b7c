"""Whether estimates of a workflow's end are calibrated: how often the end lies between the 10 % and the 90 % one.

    python benchmarks/eta.py generated --events 300_000 --held-back 300 --storage /tmp/eta-generated
    python benchmarks/eta.py replays --files /work/shared/data/wfinstances --replays 20 --storage /tmp/eta-replays
    python benchmarks/eta.py speed --tasks 1000

Each held-back workflow is looked at after 25, 50 and 75 % of the time that it took: its own events up to then are
folded. The history is its first half for `generated`, what had ended when it began for `replays`. Prints JSON lines:
`inside` is the share within the band, which should be 0.75 to 0.85; `below`, `above` where the others are; `width` the
median width of the band over what remains.

`replays` writes each WfFormat file as executions on a number of slots, every duration times two log-normal factors, one
of the run and one of the task, and imports them.
"""

from __future__ import annotations

import argparse
import heapq
import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

sys.path.insert(0, str(Path(__file__).parents[1]))

import wfstore
from benchmarks.generate import generate
from wfstore._history import History
from wfstore.imports import import_wfformat
from wfstore.index import Scan

SHARES = (0.25, 0.5, 0.75)
#: Slots of the replays, file by file; None: as many as are ready.
_SLOTS = (None, 4, 16)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("generated", "replays", "speed"))
    parser.add_argument("--storage", type=Path, help="made if it is not there")
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--held-back", type=int, default=300)
    parser.add_argument("--files", type=Path, default=Path("/work/shared/data/wfinstances"))
    parser.add_argument("--replays", type=int, default=20)
    parser.add_argument("--run-sigma", type=float, default=0.3)
    parser.add_argument("--task-sigma", type=float, default=0.3)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    if given.what == "speed":
        say(speed(given.tasks))
        return
    if given.storage is None:
        parser.error("--storage is needed")
    of = generated if given.what == "generated" else replays
    for row in of(given):
        say(row)


def say(row: dict[str, Any]) -> None:
    print(json.dumps(row), flush=True)


class Before:
    """What had ended by a moment, read once for each kind of workflow."""

    def __init__(self, store: wfstore.Store, moment: datetime) -> None:
        self._store, self._moment = store, moment
        self._read: dict[tuple[str, str], Any] = {}

    def now(self) -> datetime:
        return self._moment

    def of(self, row: Mapping[str, Any], until: datetime | None = None) -> Any:
        key = row["name"], row["dag_hash"]
        if key not in self._read:
            self._read[key] = self._store._past.of(row, self._moment)
        return self._read[key]


# -- calibration ------------------------------------------------------------------------------------------------------


def looked_at(store: wfstore.Store, workflow_id: str, past: Before | None = None) -> Iterator[dict[str, Any]]:
    """One workflow that has ended, after each share of its time: where its end was in the estimate of then."""
    whole = store.history(workflow_id)
    row, events = whole.workflow, whole._scan.events
    took = (row["ended_at"] - row["started_at"]).total_seconds()
    past = past or Before(store, row["started_at"])
    for share in SHARES:
        now = row["started_at"] + timedelta(seconds=took * share)
        until = events.filter(pc.less_equal(events["ts"], now))
        found = History(workflow_id, Scan(until, until, True), past)  # type: ignore[arg-type]
        began = time.perf_counter()
        low, high = found.eta(0.1, now=now), found.eta(0.9, now=now)
        spent_s = time.perf_counter() - began
        if low is None or high is None:
            yield {"share": share, "name": row["name"], "inside": None, "spent_s": spent_s}
            continue
        left = (row["ended_at"] - now).total_seconds()
        yield {
            "share": share,
            "name": row["name"],
            "inside": low.remaining_s <= left <= high.remaining_s,
            "below": left < low.remaining_s,
            "above": left > high.remaining_s,
            "width": (high.remaining_s - low.remaining_s) / left,
            "spent_s": spent_s,
        }


def summary(benchmark: str, found: list[dict[str, Any]], **more: Any) -> Iterator[dict[str, Any]]:
    for share in SHARES:
        rows = [row for row in found if row["share"] == share and row["inside"] is not None]
        said = {key: round(float(np.mean([row[key] for row in rows])), 3) for key in ("inside", "below", "above")}
        width = round(float(np.median([row["width"] for row in rows])), 3)
        silent = sum(row["share"] == share and row["inside"] is None for row in found)
        yield {"benchmark": benchmark, "share": share, "n": len(rows), "silent": silent, **said, "width": width, **more}


def generated(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    if not given.storage.exists():
        generate(
            given.events, str(given.storage), 2.0, given.seed, datetime(2026, 11, 1, tzinfo=UTC), say=lambda _: None
        )
        wfstore.open(given.storage).compact(grace="0s")
    store = wfstore.open(given.storage)
    ended = store.workflows(status="SUCCESSFUL", order_by="submitted_seq")
    later = ended.tail(ended.height // 2)
    chosen = np.random.default_rng(given.seed).choice(later["workflow_id"].to_list(), given.held_back, replace=False)
    past = Before(store, later["started_at"][0])
    found = [row for workflow_id in chosen for row in looked_at(store, str(workflow_id), past)]
    yield from summary("eta.generated", found, events=given.events, seed=given.seed)


# -- replays ----------------------------------------------------------------------------------------------------------


def replays(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(given.seed)
    files = sorted(given.files.glob("*.json"))
    if given.storage.exists():
        shutil.rmtree(given.storage)
    written = given.storage / "files"
    written.mkdir(parents=True)
    for number, file in enumerate(files):
        document = json.loads(file.read_text())
        for replay in range(given.replays):
            noise = (given.run_sigma, given.task_sigma)
            target = written / f"{file.stem}.{replay:03d}.json"
            target.write_text(json.dumps(replayed(document, replay, _SLOTS[number % len(_SLOTS)], noise, rng)))
    place = given.storage / "store"
    import_wfformat(sorted(written.iterdir()), place)
    wfstore.open(place).compact(grace="0s")
    store = wfstore.open(place)
    everything: list[dict[str, Any]] = []
    for number, file in enumerate(files):
        ids = [f"{file.stem}.{replay:03d}" for replay in range(5, given.replays)]
        found = [row for workflow_id in ids for row in looked_at(store, workflow_id)]
        everything += found
        more = {"slots": _SLOTS[number % len(_SLOTS)], "spent_ms": _median_ms(found)}
        yield from summary(f"eta.replays.{file.stem}", found, **more)
    noise = {"run_sigma": given.run_sigma, "task_sigma": given.task_sigma, "replays": given.replays}
    yield from summary("eta.replays", everything, **noise, seed=given.seed)


def _median_ms(found: list[dict[str, Any]]) -> float:
    return round(float(np.median([row["spent_s"] for row in found])) * 1e3, 1)


def replayed(
    document: dict[str, Any], day: int, slots: int | None, noise: tuple[float, float], rng: np.random.Generator
) -> dict[str, Any]:
    """The file as an execution on that day, its tasks begun in the order in which they were ready."""
    workflow = json.loads(json.dumps(document["workflow"]))
    tasks, executed = workflow["specification"]["tasks"], workflow["execution"]["tasks"]
    began = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)
    factor = rng.lognormal(0.0, noise[0])
    runtime = {
        task["id"]: max(task.get("runtimeInSeconds") or 0.0, 0.001) * factor * rng.lognormal(0.0, noise[1])
        for task in executed
    }
    parents: dict[str, set[str]] = {task["id"]: set(task.get("parents", ())) for task in tasks}
    for task in tasks:
        for child in task.get("children", ()):
            parents[child].add(task["id"])
    starts, end = scheduled(parents, runtime, slots)
    for task in executed:
        task["runtimeInSeconds"] = runtime[task["id"]]
        task["executedAt"] = (began + timedelta(seconds=starts[task["id"]])).isoformat()
    workflow["execution"]["executedAt"] = began.isoformat()
    workflow["execution"]["makespanInSeconds"] = end
    return {**document, "workflow": workflow}


def scheduled(
    parents: dict[str, set[str]], runtime: dict[str, float], slots: int | None
) -> tuple[dict[str, float], float]:
    """When each begins, and when all have ended, seconds: first ready, first served."""
    children: dict[str, list[str]] = {name: [] for name in parents}
    waiting = {name: len(above) for name, above in parents.items()}
    place = {name: number for number, name in enumerate(parents)}
    for name, above in parents.items():
        for one in above:
            children[one].append(name)
    ready = [(0.0, place[name], name) for name, above in parents.items() if not above]
    running: list[tuple[float, str]] = []
    starts: dict[str, float] = {}
    now = 0.0
    while ready or running:
        while ready and (slots is None or len(running) < slots):
            _, _, name = heapq.heappop(ready)
            starts[name] = now
            heapq.heappush(running, (now + runtime.get(name, 0.001), name))
        now, ended = heapq.heappop(running)
        for name in children[ended]:
            waiting[name] -= 1
            if not waiting[name]:
                heapq.heappush(ready, (now, place[name], name))
    return starts, now


# -- speed ------------------------------------------------------------------------------------------------------------


def speed(tasks: int) -> dict[str, Any]:
    """The Monte Carlo alone, of a DAG of layers of forty tasks, unlimited and on sixteen slots: the best of five, in
    processor time."""
    from wfstore.answers.simulate import list_schedule

    rng = np.random.default_rng(1)
    draws = max(300, min(1000, 300_000 // tasks))
    above = [
        [] if n < 40 else [int(one) for one in rng.integers((n // 40 - 1) * 40, n // 40 * 40, 3)] for n in range(tasks)
    ]
    duration, earliest = rng.lognormal(0, 0.5, (tasks, draws)), np.zeros((tasks, draws))
    found: dict[str, Any] = {"benchmark": "eta.speed", "tasks": tasks, "draws": draws}
    for name, slots in (("unlimited_ms", None), ("slots_16_ms", 16)):
        spent = []
        for _ in range(5):
            began = time.process_time()
            list_schedule(above, duration, earliest, slots)
            spent.append(time.process_time() - began)
        found[name] = round(min(spent) * 1e3, 1)
    return found


if __name__ == "__main__":
    main()
