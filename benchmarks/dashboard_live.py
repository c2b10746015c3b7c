"""Figures of `dashboard.py` that need a live manager: how soon a page shows what it commits, what dashboards cost the
engine, and how pages get over the death of the dashboard and of the manager."""

from __future__ import annotations

import logging
import os
import signal
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from benchmarks.dashboard_browser import Seen, browsing, lags, let_in, seen, watch, workflow_path
from benchmarks.dashboard_parts import TOKEN, Commit, Figures, audience, commits, serving
from benchmarks.measuring import SPAWN, alone, percentile
from wfstore.log import open_reader

_WIDE, _NAMESPACE = 500, "dashboard-bench"
_MANY = 3000
_NAP_S = 0.15
_LATE_S = 15.0
_OVERVIEW, _EVERY_TASK = "/api/stream?tasks=0", "/api/stream"


class World(NamedTuple):
    """A Ray of one's own with a manager and its dashboard."""

    storage: str
    url: str

    def manager(self) -> psutil.Process:
        from wfstore.engine import client

        link = client.current()
        assert link is not None
        return psutil.Process(link.call("describe")["pid"])

    def dashboard(self) -> psutil.Process:
        from wfstore.engine import dashboard

        found = dashboard.find(_NAMESPACE)
        assert found is not None
        return psutil.Process(found["pid"])


@contextmanager
def cluster(cpus: int = 2) -> Iterator[World]:
    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # Ray tells of killed actors where our lines go
    import ray

    from wfstore import workflow

    quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    with tempfile.TemporaryDirectory(prefix="wfstore-bench-", ignore_cleanup_errors=True) as folder:
        ray.init(address="local", num_cpus=cpus, **quiet)
        try:
            storage = f"{folder}/store"
            link = workflow.init(storage=storage, namespace=_NAMESPACE, dashboard={"port": 0, "token": TOKEN})
            assert link is not None
            yield World(storage, link.split("/?")[0])
        finally:
            ray.shutdown()


def _tasks() -> tuple[Any, Any, Any, Any]:
    from wfstore import workflow

    @workflow.task
    def gate(path: str) -> int:
        while not os.path.exists(path):
            time.sleep(0.01)
        return 1

    @workflow.task
    def nap(_: int, seconds: float) -> int:
        time.sleep(seconds)
        return 1

    @workflow.task
    def add_one(value: int) -> int:
        return value + 1

    @workflow.task
    def gather(*values: Any) -> int:
        return len(values)

    return gate, nap, add_one, gather


def _commits(storage: str, workflow_id: str, by: str) -> tuple[list[Commit], float]:
    """What the log says of it, by the clock of the manager's decision, which is before the commit; and events/s."""
    events = [event for event in open_reader(storage).events() if event.workflow_id == workflow_id]
    made = commits(events, [event.ts / 1e6 for event in events], by)
    span = made[-1].at - made[0].at if made else 0.0
    return made, len(made) / span if span else 0.0


# -- from a commit to the page ----------------------------------------------------------------------------------------


def show_soon(figures: Figures, figure: str, dom: list[float], painted: list[float], never: int, **more: Any) -> None:
    spent, screen = [1000 * one for one in dom or [_LATE_S]], [1000 * one for one in painted or [_LATE_S]]
    figures.show(f"{figure}, p50", statistics.median(spent), 50, painted=statistics.median(screen), n=len(dom), **more)
    p95 = percentile(spent, 0.95)
    figures.show(f"{figure}, p95", p95, 150, painted=percentile(screen, 0.95), most=max(spent), never_shown=never)


def show_behind(figures: Figures, figure: str, dom: list[float], painted: list[float], never: int, **more: Any) -> None:
    most = max(dom, default=_LATE_S) if not never else None
    facts = {"p50": statistics.median(dom or [_LATE_S]), "never_shown": never, "n": len(dom)}
    figures.show(figure, most, 1.0, "s", painted=max(painted, default=_LATE_S), **facts, **more)


def _watched(world: World, dag: Callable[[str], Any], by: str) -> tuple[list[float], list[float], int, float]:
    """As `lags`, of the page of a workflow that runs meanwhile, once its gate opens; and the events/s."""
    from wfstore import workflow

    workflow_id = f"watched-{uuid.uuid4().hex[:8]}"
    flag = f"{world.storage}-{workflow_id}"
    workflow.run_async(dag(flag), workflow_id=workflow_id)
    with browsing() as context:
        let_in(context, world.url)
        page = context.new_page()
        page.goto(world.url + workflow_path(workflow_id))
        watch(page, by)
        since = time.time()
        Path(flag).touch()
        workflow.get_output(workflow_id)
        page.wait_for_timeout(3000)
        made, rate = _commits(world.storage, workflow_id, by)
        made = [one for one in made if one.at > since]
        return (*lags(made, seen(page)), rate)


def _soon(seconds: float) -> tuple[list[float], list[float], int, float]:
    with cluster(cpus=4) as world:
        gate, nap, _, gather = _tasks()
        width = min(900, int(seconds * 4 / (_NAP_S + 0.02)))  # four at a time

        def naps(flag: str) -> Any:
            opened = gate.bind(flag)
            return gather.bind(*[nap.bind(opened, _NAP_S) for _ in range(width)])

        return _watched(world, naps, "task")


def _fast() -> tuple[list[float], list[float], int, float]:
    with cluster() as world:
        gate, _, add_one, gather = _tasks()

        def tiny(flag: str) -> Any:
            opened = gate.bind(flag)
            return gather.bind(*[add_one.bind(opened) for _ in range(_MANY)])

        return _watched(world, tiny, "workflow")


def soon(figures: Figures) -> None:
    *found, rate = alone(_soon, figures.seconds)
    show_soon(figures, "live manager's decision to a workflow's page", *found, events_per_s=rate)


def fast(figures: Figures) -> None:
    *found, rate = alone(_fast)
    show_behind(figures, "a workflow's page behind a live manager at full speed", *found, events_per_s=2 * rate)


# -- what it costs the engine -----------------------------------------------------------------------------------------


def _fan_out(add_one: Any, gather: Any) -> float:
    from wfstore import workflow

    dag = gather.bind(*[add_one.bind(i) for i in range(_WIDE)])
    began = time.perf_counter()
    assert workflow.run(dag, workflow_id=f"fan-{uuid.uuid4().hex}") == _WIDE
    return time.perf_counter() - began


def _cpu_s(processes: list[psutil.Process]) -> float:
    return sum(sum(one.cpu_times()[:2]) for one in processes)


@contextmanager
def _listening(url: str, path: str, count: int) -> Iterator[psutil.Process]:
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=audience, args=(url, path, count, "nothing-of-this-name", theirs), daemon=True)
    process.start()
    try:
        assert ours.poll(60) and ours.recv() == "ready"
        assert process.pid is not None
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.join()


def _compared(world: World, runs: int, others: list[psutil.Process], work: Callable[[], float]) -> dict[str, float]:
    """Fan-outs with and without these processes, in turns: they are stopped for every other one. Each one with them is
    held against its two neighbours without, as a host's speed drifts; off_by: standard error of their median."""
    manager = world.manager()
    wall: list[float] = []
    spent: dict[bool, list[float]] = {True: [], False: []}
    theirs = 0.0
    try:
        for number in range(2 * runs + 1):
            watched = number % 2 == 1
            for other in others:
                other.resume() if watched else other.suspend()
            time.sleep(0.5)
            engine, before = _cpu_s([manager]), _cpu_s(others)
            wall.append(work())
            spent[watched].append(_cpu_s([manager]) - engine)
            theirs += _cpu_s(others) - before if watched else 0.0
    finally:
        for other in others:
            other.resume()
    ratios = [2 * wall[at] / (wall[at - 1] + wall[at + 1]) for at in range(1, 2 * runs, 2)]
    return {
        "percent": 100 * (statistics.median(ratios) - 1),
        "off_by": 100 * 1.2533 * statistics.stdev(ratios) / len(ratios) ** 0.5,
        "ms": 1000 * statistics.median(wall[1::2]),
        "without_ms": 1000 * statistics.median(wall[::2]),
        "manager_cpu_ms": 1000 * statistics.mean(spent[True]),
        "manager_cpu_without_ms": 1000 * statistics.mean(spent[False]),
        "dashboards_cpu_ms": 1000 * theirs / runs,
    }


def _cost(runs: int, count: int, path: str) -> dict[str, float]:
    """Of so many listeners to the dashboard that runs beside the manager."""
    with cluster() as world:
        work = _warm()
        with _listening(world.url, path, count) as clients:
            return _compared(world, runs, [world.dashboard(), clients], work)


def _cost_of_others(runs: int) -> dict[str, float]:
    """Of three dashboards that are no part of the cluster, with a page each."""
    with cluster() as world, ExitStack() as stack:
        work = _warm()
        others = []
        for _ in range(3):
            served = stack.enter_context(serving(world.storage))
            others += [served.process, stack.enter_context(_listening(served.url, "/api/stream", 1))]
        return _compared(world, runs, others, work)


def _warm() -> Callable[[], float]:
    _, _, add_one, gather = _tasks()
    for _ in range(3):
        _fan_out(add_one, gather)
    return lambda: _fan_out(add_one, gather)


def cost(figures: Figures) -> None:
    """A page that is open while workflows begin is the overview; that of a workflow hears of its own alone."""
    runs = max(5, figures.runs)
    _show_cost(figures, "3 open overviews of the manager's dashboard", alone(_cost, runs, 3, _OVERVIEW), 5.0)
    _show_cost(figures, "3 listeners to every task", alone(_cost, runs, 3, _EVERY_TASK), None)


def cost_of_others(figures: Figures) -> None:
    runs = max(5, figures.runs)
    _show_cost(figures, "3 dashboards beside it, a page each", alone(_cost_of_others, runs), None)
    _show_cost(figures, "200 open overviews of the manager's dashboard", alone(_cost, runs, 200, _OVERVIEW), None)


def _show_cost(figures: Figures, who: str, facts: dict[str, float], must: float | None) -> None:
    more: dict[str, Any] = {"runs": max(5, figures.runs), **facts}
    figures.show(f"added to fan-out {_WIDE} by {who}", more.pop("percent"), must, "%", **more)


# -- what dies --------------------------------------------------------------------------------------------------------


def _killed(world: World, context: Any, who: psutil.Process, page: Any, workflow_id: str) -> dict[str, float]:
    """Kill it while the workflow runs. Seconds until the page showed something later, and how far it was behind."""
    at = time.time()
    os.kill(who.pid, signal.SIGKILL)
    page.wait_for_timeout(1000 * _LATE_S)
    noted = seen(page)
    made = [one for one in _commits(world.storage, workflow_id, "task")[0] if at < one.at < time.time() - 3]
    dom, _, never = lags(made, noted)
    return {
        "after_s": _first_after(made, noted, at),
        "behind_s": max(dom, default=_LATE_S),
        "never": never,
        "n": len(made),
    }


def _first_after(made: list[Commit], noted: list[Seen], at: float) -> float:
    """Seconds from `at` until the page showed the first of these commits, all of which came later."""
    shown = {(one.key, one.rank): one.at for one in noted}
    times = [shown[one.key, one.rank] for one in made if shown.get((one.key, one.rank), 0.0) >= one.at]
    return min(times) - at if times else _LATE_S


_TRUTH = """() => [...document.querySelectorAll("#part-dag g.node[data-task]")]
  .map(one => [one.dataset.task, one.dataset.status])"""


def _kills() -> dict[str, dict[str, float]]:
    import wfstore
    from wfstore import workflow

    found = {}
    with cluster(cpus=4) as world, browsing() as context:
        gate, nap, _, gather = _tasks()
        flag = f"{world.storage}-flag"
        opened = gate.bind(flag)
        width = int(2.8 * _LATE_S * 4 / (_NAP_S + 0.02))
        dag = gather.bind(*[nap.bind(opened, _NAP_S) for _ in range(width)])
        workflow.run_async(dag, workflow_id="watched")
        let_in(context, world.url)
        page = context.new_page()
        page.goto(world.url + workflow_path("watched"))
        watch(page, "task")
        Path(flag).touch()
        page.wait_for_timeout(3000)
        found["dashboard"] = _killed(world, context, world.dashboard(), page, "watched")
        found["manager"] = _killed(world, context, world.manager(), page, "watched")
        workflow.get_output("watched")
        page.wait_for_timeout(6000)
        tasks = wfstore.open(world.storage, live=False).tasks()
        truth = dict(zip(tasks["task_id"].to_list(), tasks["status"].to_list(), strict=True))
        shown = dict(page.evaluate(_TRUTH))
        wrong = sum(shown.get(name) != status for name, status in truth.items())
        found["end"] = {"wrong": wrong, "n": len(truth), "same_page": float(page.evaluate("Boolean(window.seen)"))}
    return found


def kills(figures: Figures) -> None:
    found = alone(_kills)
    for who in ("dashboard", "manager"):
        facts = found[who]
        figures.show(f"kill -9 of the {who} to the page's next change", facts["after_s"], 10, "s",
                     behind_s=facts["behind_s"], never_shown=facts["never"], n=facts["n"])  # fmt: skip
    end = found["end"]
    figures.show(
        "tasks wrong on the page after both kills",
        end["wrong"],
        0,
        "tasks",
        of=end["n"],
        same_page=bool(end["same_page"]),
    )
