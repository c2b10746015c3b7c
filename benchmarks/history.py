"""How history answers at any size: every row of "figures to see" on one store, generated and compacted.

    python -m benchmarks.history --storage URI [--events N] [--only history,ls,...] [--runs 5] [--raw-events N]

A store that is not there yet is made first, with N events, and compacted. Prints JSON lines {figure, seen, must, unit,
load, loop_ms}; the goals are those for 10 M events, above 30 M events those for 100 M. The given store is only read:
what writes does so to a copy beside it whose large files are links. Exit code 1 where a goal was not reached.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import wfstore
from benchmarks import history_manager, history_writing
from benchmarks.measuring import Bench, alone, command_ms, median_ms, peak_mb, percentile, random_ids, timed_ms

_IDS, _WARM_UP = 200, 5
_LS = 50
_PACKS = "packs"


def every_frame(store: wfstore.Store, workflow_id: str) -> None:
    history = store.history(workflow_id)
    assert history.workflow["tasks"] == history.tasks.height
    assert history.runs.height and history.events.height and history.attempts.height + history.edges.height >= 0


def history(bench: Bench) -> None:
    store = wfstore.open(bench.storage)
    ids = random_ids(store, _IDS + _WARM_UP)
    for workflow_id in ids[:_WARM_UP]:
        every_frame(store, workflow_id)
    spent = [timed_ms(lambda one=one: every_frame(store, one)) for one in ids[_WARM_UP:]]  # type: ignore[misc]
    bench.show("history(id) warm, every frame, p50", statistics.median(spent), (25, 80), n=len(spent))
    bench.show("history(id) warm, every frame, p99", percentile(spent, 0.99), (80, None), n=len(spent))
    cold = command_ms(bench.runs, *(["history", one, "--storage", bench.storage] for one in ids))
    bench.show("wfstore history ID, whole process", cold / 1000, (1.2, 1.8), "s", n=bench.runs)


def ls(bench: Bench) -> None:
    cold = command_ms(bench.runs, ["ls", "--limit", str(_LS), "--storage", bench.storage])
    bench.show("wfstore ls --limit 50, whole process", cold / 1000, (1.0, 1.5), "s", n=bench.runs)
    store = wfstore.open(bench.storage)
    warm = median_ms(20, lambda: store.workflows(limit=_LS))
    bench.show("Store.workflows(limit=50) warm", warm, (30, 100), n=20)


def task_stats(bench: Bench) -> None:
    store = wfstore.open(bench.storage)
    spent = median_ms(bench.runs, lambda: store.sql("FROM task_stats").fetchall())
    bench.show("task_stats over everything", spent / 1000, (1.0, 10.0), "s", n=bench.runs)


def reports(bench: Bench) -> None:
    store = wfstore.open(bench.storage)
    took = {}
    for name in store.reports()["name"]:
        took[name] = median_ms(min(bench.runs, 3), lambda name=name: store.report(name)) / 1000  # type: ignore[misc]
        bench.show(f"report {name}", took[name], unit="s")
    worst = max(took, key=lambda name: took[name])
    bench.show("any report", took[worst], (1.5, 15.0), "s", worst=worst)


def _read_everything(storage: str) -> dict[str, float]:
    store = wfstore.open(storage)
    peaks = {}
    for workflow_id in random_ids(store, 20):
        every_frame(store, workflow_id)
    peaks["history"] = peak_mb()
    store.workflows(limit=_LS)
    peaks["ls"] = peak_mb()
    store.sql("FROM task_stats").fetchall()
    peaks["task_stats"] = peak_mb()
    for name in store.reports()["name"]:
        store.report(name)
        peaks[f"report {name}"] = peak_mb()
    return peaks


def memory(bench: Bench) -> None:
    peaks = alone(_read_everything, bench.storage)
    steps = list(peaks)
    grown = {step: peaks[step] - peaks[before] for before, step in itertools.pairwise(steps)}
    most = max(grown, key=lambda step: grown[step])
    peak = peaks[steps[-1]]
    bench.show("peak memory of the reader", peak, (600, 2000), "MB", after_histories=peaks["history"], most_by=most)


def sizes(bench: Bench) -> None:
    """By kind of history file, as the manifest counts them."""
    from wfstore.log.manifest import read_manifest

    manifest = read_manifest(bench.storage)
    taken_in = manifest.next_seq - 1
    if not taken_in:
        bench.show("bytes per event, all history files", None, (20, 20), "bytes", note="the store is not compacted")
        return
    bytes_: dict[str, int] = {}
    for file in manifest.files:
        bytes_[file.kind] = bytes_.get(file.kind, 0) + file.bytes
    for kind, size in sorted(bytes_.items(), key=lambda item: -item[1]):
        bench.show(f"bytes per event, {kind}", size / taken_in, unit="bytes", files=len(manifest.of(kind)))
    events = bytes_.get("events", 0) / taken_in
    facts = sum(size for kind, size in bytes_.items() if kind not in ("events", _PACKS)) / taken_in
    bench.show("bytes per event, all history files", events + facts, (20, 20), "bytes", parts=len(manifest.parts))
    bench.show("bytes per event, events", events, (12, 12), "bytes")
    bench.show("bytes per event, facts", facts, (8, 8), "bytes")
    bench.show("events in files", 100 * taken_in / bench.events, unit="%")


FIGURES: dict[str, Callable[[Bench], None]] = {
    "sizes": sizes,
    "history": history,
    "ls": ls,
    "task_stats": task_stats,
    "reports": reports,
    "memory": memory,
    "refresh": history_writing.refresh,
    "manager": history_manager.manager,
    "readers": history_writing.readers,
    "compaction": history_writing.compaction,
    "commits": history_writing.commits,
}


def _events(storage: str) -> int:
    return int(wfstore.open(storage).stats()["events"])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", required=True, help="path of a store; made with --events where there is none")
    parser.add_argument("--events", type=int, help="how many events the store has, or is to have")
    parser.add_argument("--only", default="", help=f"comma-separated: {', '.join(FIGURES)}")
    parser.add_argument("--runs", type=int, default=5, help="repetitions of what takes long; medians are printed")
    parser.add_argument("--raw-events", type=int, help="size of logs that are made to be compacted")
    given = parser.parse_args(arguments)
    chosen = [name for name in given.only.split(",") if name] or list(FIGURES)
    if unknown := set(chosen) - set(FIGURES):
        parser.error(f"no figures called {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}")
    fresh = not Path(given.storage).exists()
    if fresh and not given.events:
        parser.error(f"there is nothing at {given.storage}; --events makes a store")
    events = given.events or _events(given.storage)
    bench = Bench(given.storage, events, given.runs, given.raw_events or min(events, 10_000_000))
    if fresh:
        history_writing.make(bench)
    for name in chosen:
        try:
            FIGURES[name](bench)
        except Exception as error:  # a run takes long: what one figure meets is said, and the others are measured
            bench.show(name, None, unit="", error=repr(error))
            bench.failed.append(name)
    if bench.failed:
        bench.show("not reached", len(bench.failed), unit="figures", names=bench.failed)
        sys.exit(1)


if __name__ == "__main__":
    main()
