"""What the dashboard shows, how soon, and what it costs.

    python -m benchmarks.dashboard [--only latency,pages,...] [--runs 5] [--seconds 10] [--storage URI]

Prints JSON lines {figure, seen, must, ok, unit, load, loop_ms}; exit code 1 where a goal was missed. `overview` needs
--storage, a compacted store of 10 M events (`benchmarks/generate.py`), which is only read; all else makes its own.
Pages are looked at in Chromium ($WFSTORE_CHROMIUM). `live*`, `cost*` and `kills` start a Ray of their own.
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import dashboard_live
from benchmarks.dashboard_browser import browsing, lags, let_in, opened, seen, watch, workflow_path
from benchmarks.dashboard_parts import (
    BEARER,
    Figures,
    Script,
    Served,
    audience,
    busy,
    commits,
    pipeline,
    serving,
    write,
)
from benchmarks.measuring import SPAWN, percentile
from wfstore.model.events import Event

_SLOW, _FAST = 50, 1000
#: The page has had its last event by then, or never will.
_SETTLE_S = 3.0
_LAST = "the-last-one"


@contextmanager
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="wfstore-bench-") as place:
        yield f"{place}/store"


class Process:
    """A process that says "ready", goes on when it is told to, and says what it found."""

    def __init__(self, work: Callable[..., None], *args: Any) -> None:
        self._pipe, other = SPAWN.Pipe()
        self._process = SPAWN.Process(target=work, args=(*args, other), daemon=True)
        self._process.start()
        other.close()
        self._expect()

    def go(self) -> None:
        self._pipe.send("go")

    def found(self, timeout_s: float = 120.0) -> Any:
        answer = self._expect(timeout_s)
        self._process.join(0.01)
        return answer

    def end(self) -> None:
        self._pipe.close()
        self._process.join(5)
        self._process.kill()
        self._process.join()

    def _expect(self, timeout_s: float = 120.0) -> Any:
        if not self._pipe.poll(timeout_s):
            raise TimeoutError("a process of this benchmark does not answer")
        return self._pipe.recv()


# -- from a commit to the page ----------------------------------------------------------------------------------------


def _page_behind(
    storage: str, events: list[Event], rate: float, path: str, by: str
) -> tuple[list[float], list[float], int]:
    """As `lags`, of a page while these events are written at that rate."""
    with serving(storage) as served, browsing() as context:
        page = let_in(context, served.url)
        page.goto(served.url + path)
        writer = Process(write, storage, events, rate)
        watch(page, by)
        writer.go()
        times, _ = writer.found()
        page.wait_for_timeout(1000 * _SETTLE_S)
        made = commits(events, times, by, already=1)
        found = lags(made, seen(page))
        writer.end()
        return found


def latency(figures: Figures) -> None:
    """Without Ray: the server follows the log, which a process writes."""
    one, many = ["shop-1"], [f"shop-{number}" for number in range(20)]
    pages = {"a workflow's page": (one, workflow_path(one[0])), "the overview": (many, "/")}
    for name, (ids, path) in pages.items():
        by = "task" if ids is one else "workflow"
        with folder() as storage:
            events = busy(storage, ids, 900 if ids is one else 100, int(_SLOW * figures.seconds))
            dashboard_live.show_soon(
                figures, f"commit to {name}, {_SLOW} events/s", *_page_behind(storage, events, _SLOW, path, by)
            )
    for name, (ids, path) in pages.items():
        with folder() as storage:
            count = int(_FAST * figures.seconds)
            events = busy(storage, ids, count // len(ids), count)
            dashboard_live.show_behind(
                figures, f"{name} behind, {_FAST} events/s", *_page_behind(storage, events, _FAST, path, "workflow")
            )


# -- pages that are opened --------------------------------------------------------------------------------------------


#: The DAG is in the document, and painted before the script makes it one to look around in.
_DAG = {"drawn": "#timeline", "fitted": "[data-dag].drawn"}
_TABLE = {"drawn": "footer"}


def pages(figures: Figures) -> None:
    sizes = {50: 300.0, 1000: 800.0, 5000: 1500.0}
    with folder() as storage:
        script = Script()
        for size in sizes:
            for number in range(figures.runs):
                script.submit(f"{size}-{number}", pipeline(size))
                script.finish(f"{size}-{number}")
        script.save(storage)
        with serving(storage) as served, browsing() as context:
            page = let_in(context, served.url, _DAG)
            for size, must in sizes.items():
                every = [served.url + workflow_path(f"{size}-{number}") for number in range(figures.runs)]
                first = [opened(page, url) for url in every]
                again = [opened(page, url) for url in every]
                _appeared(figures, f"page of {size:,} tasks drawn", first, must)
                _appeared(figures, f"page of {size:,} tasks drawn, the second time", again, must)


def _appeared(figures: Figures, figure: str, every: list[dict[str, float]], must: float) -> None:
    """Medians of pages opened one after the other, from the begin of the navigation."""
    facts: dict[str, Any] = {name: statistics.median(one[name] for one in every) for name in every[0]}
    after = statistics.median(one["drawn"] - one["first_byte"] for one in every)
    most = max(one["drawn"] for one in every)
    figures.show(figure, facts.pop("drawn"), must, n=len(every), after_first_byte=after, most=most, **facts)


def overview(figures: Figures) -> None:
    if not figures.storage:
        figures.show("overview over 10 M events", None, note="--storage names no store")
        return
    first = []
    with browsing() as context:
        for _ in range(min(figures.runs, 3)):
            with serving(figures.storage) as served:
                page = let_in(context, served.url, _TABLE)
                first.append(opened(page, f"{served.url}/"))
                again = [opened(page, f"{served.url}/") for _ in range(figures.runs)]
                failed = [opened(page, f"{served.url}/?status=FAILED") for _ in range(figures.runs)]
                page.close()
    _appeared(figures, "overview over 10 M events, a server that has just started", first, 1000.0)
    _appeared(figures, "overview over 10 M events", again, 1000.0)
    _appeared(figures, "overview over 10 M events, failed ones only", failed, 1000.0)


# -- the API and the stream -------------------------------------------------------------------------------------------


def _asked_per_s(url: str, workflow_id: str, seconds: float, connections: int) -> tuple[float, int]:
    """(requests per second over so many kept connections, bytes of an answer)"""
    address = url.removeprefix("http://")
    counts, sizes = [0] * connections, [0] * connections
    until = time.perf_counter() + seconds

    def ask(number: int) -> None:
        connection = http.client.HTTPConnection(address, timeout=30)
        while time.perf_counter() < until:
            connection.request("GET", f"/api{workflow_path(workflow_id)}/tasks", headers=BEARER)
            answer = connection.getresponse()
            sizes[number] = len(answer.read())
            assert answer.status == 200
            counts[number] += 1
        connection.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds, sizes[0]


def requests(figures: Figures) -> None:
    seconds = figures.seconds / 2
    with folder() as storage:
        events = busy(storage, ["running"], 998, int(_SLOW * 5 * seconds))
        script = Script()
        script.submit("done", pipeline(1000))
        script.finish("done")
        with (
            tempfile.TemporaryDirectory(prefix="wfstore-bench-") as other,
            _saved(script, other) as quiet,
            serving(quiet) as served,
        ):
            for connections in (1, 4):
                rate, size = _asked_per_s(served.url, "done", seconds, connections)
                what = f"/tasks of 1,000, {connections} connection{'s' * (connections > 1)}"
                figures.show(what, rate, 50, "requests/s", least=True, kb=size / 1000)
        with serving(storage) as served:
            writer = Process(write, storage, events, _SLOW)
            writer.go()
            rate, size = _asked_per_s(served.url, "running", seconds, 4)
            writer.end()
            what = f"/tasks of 1,000, while {_SLOW} of their events come each second"
            figures.show(what, rate, 50, "requests/s", least=True, kb=size / 1000)


@contextmanager
def _saved(script: Script, place: str) -> Iterator[str]:
    script.save(f"{place}/store")
    yield f"{place}/store"


def clients(figures: Figures, count: int = 200) -> None:
    with folder() as storage:
        ids = [f"shop-{number}" for number in range(10)]
        alone = busy(storage, ids, 1000, int(_SLOW * figures.seconds))
        without = _written(storage, alone)
    with folder() as storage:
        events = busy(storage, ids, 1000, int(_SLOW * figures.seconds), _LAST)
        with serving(storage) as served:
            listening = Process(audience, served.url, "/api/stream", count, _LAST)
            before = served.memory_mb()
            cpu = sum(served.process.cpu_times()[:2])
            with_clients = _written(storage, events, served)
            told, anew = listening.found(30)
            listening.end()
            took = sum(served.process.cpu_times()[:2]) - cpu
    figures.show(
        f"{count} clients of the stream, told of the last event",
        told,
        count,
        "clients",
        least=True,
        told_to_look_anew=anew,
    )
    most = max(before, with_clients[2])
    figures.show(
        f"memory of the server with {count} clients", most, 300, "MB", cpu_percent=100 * took / figures.seconds
    )
    figures.show(f"a commit with {count} clients, p50", with_clients[0], unit="ms", without=without[0],
                 p95=with_clients[1], p95_without=without[1])  # fmt: skip


def _written(storage: str, events: list[Event], served: Served | None = None) -> tuple[float, float, float]:
    """(ms of a commit: p50, p95; the server's memory meanwhile, MB)"""
    writer = Process(write, storage, events, _SLOW)
    writer.go()
    done = threading.Event()
    most = 0.0

    def look() -> None:
        nonlocal most
        while served is not None and not done.wait(0.1):
            most = max(most, served.memory_mb())

    looking = threading.Thread(target=look)
    looking.start()
    _, took = writer.found()
    done.set()
    looking.join()
    writer.end()
    return 1000 * statistics.median(took), 1000 * percentile(took, 0.95), most


FIGURES: dict[str, Callable[[Figures], None]] = {
    "latency": latency,
    "live": dashboard_live.soon,
    "live-fast": dashboard_live.fast,
    "cost": dashboard_live.cost,
    "cost-others": dashboard_live.cost_of_others,
    "pages": pages,
    "overview": overview,
    "requests": requests,
    "clients": clients,
    "kills": dashboard_live.kills,
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=f"comma-separated: {', '.join(FIGURES)}")
    parser.add_argument("--runs", type=int, default=5, help="repetitions of what takes long; medians are printed")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long events are written at a pace")
    parser.add_argument("--storage", default="", help="a compacted store of 10 M events, for `overview`")
    given = parser.parse_args(arguments)
    chosen = [name for name in given.only.split(",") if name] or list(FIGURES)
    if unknown := set(chosen) - set(FIGURES):
        parser.error(f"no figures called {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}")
    if given.storage and not Path(given.storage).exists():
        parser.error(f"there is nothing at {given.storage}; benchmarks/generate.py makes a store")
    figures = Figures(given.runs, given.seconds, given.storage)
    for name in chosen:
        try:
            FIGURES[name](figures)
        except Exception as error:  # a run takes long: what one figure meets is said, and the others are measured
            figures.show(name, None, unit="", error=repr(error))
            figures.failed.append(name)
    if figures.failed:
        figures.show("not reached", len(figures.failed), unit="figures", names=figures.failed)
        sys.exit(1)


if __name__ == "__main__":
    main()
