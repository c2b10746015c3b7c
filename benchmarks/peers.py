"""One question beside other engines in the same run: the top 10 task names by p95 of their durations.

    python -m benchmarks.peers [--dbos PYTHON] [--ray-workflow PYTHON] [--workflows 1000 100000] [--runs 5] [--quick]

The stores have workflows of three tasks. wfstore: one SQL over the views, the log compacted where the store can do
that. DBOS: one SQL over its own tables, on SQLite; the rows come from workflows that it really ran, and above 1,000 are
copies of those. ray.workflow 2.47.1 (1,000 workflows, really run): its files, two for each task.

Prints JSON lines: for each side the medians in ms, warm (opened once) and cold (opened for the question), then the
ratios. The peers have environments of their own; where one is missing it says how to make it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import duckdb

import wfstore
from benchmarks.generate import generate
from benchmarks.kinds import Kind, pickled_args
from benchmarks.peer_side import KINDS, NAMES, TOP, timed_ms
from benchmarks.scripts import Script, script
from wfstore.model.dag import DagSpec, TaskSpec
from wfstore.payloads import PayloadStore

#: By view, the same question. The first one is compared; the others say what it costs elsewhere.
QUESTIONS = {
    "tasks": "SELECT name, quantile_cont(duration_s, 0.95) AS p95_s FROM tasks GROUP BY name",
    "attempts": (
        "SELECT name, quantile_cont(a.duration_s, 0.95) AS p95_s FROM attempts AS a "
        "JOIN (SELECT workflow_id, task_id, name FROM tasks) USING (workflow_id, task_id) GROUP BY name"
    ),
    "task_stats": "SELECT task_name, duration_s_p95 AS p95_s FROM task_stats",
}
_EVENTS_EACH = 15
_MUST_SMALL, _MUST_LARGE = 2.0, 10.0
_SMALL = 1_000
_PEERS = Path("~/.cache/wfstore-peers")
#: What to install for each, and which environment variable may name a Python that has it.
_PACKAGES = {"dbos": "dbos", "ray": "'ray==2.47.1' 'pyarrow<22'"}
_VARIABLES = {"dbos": "WFSTORE_DBOS_PYTHON", "ray": "WFSTORE_PEER_PYTHON"}


def chains(payloads: PayloadStore, chance: random.Random) -> Iterable[Script]:
    """Three tasks one after the other, as many kinds as the peers have; for `generate`."""
    for number, names in enumerate(NAMES):
        tasks = tuple(
            TaskSpec(
                name, name, "ab" * 32, pickled_args(min(at, 1)), (at - 1,) if at else (), ("argument",) * min(at, 1)
            )
            for at, name in enumerate(names)
        )
        medians = {name: chance.lognormvariate(-3.0, 1.0) for name in names}
        yield script(Kind(f"kind{number}", DagSpec(tasks, len(tasks) - 1), medians), "plain", 1.0, chance)


def own_write(storage: str, workflows: int) -> dict[str, Any]:
    until = datetime(2026, 1, 1, tzinfo=UTC)
    said = generate(_EVENTS_EACH * workflows, storage, 6.0, 1, until, lambda row: None, chains)
    assert said["workflows"] == workflows and said["tasks"] == 3 * workflows
    compact = getattr(wfstore.open(storage), "compact", None)
    if compact is not None:
        compact()
    return {"data": "generated" + ("" if compact is None else " and compacted"), "tasks": said["tasks"]}


def own_ask(storage: str, runs: int, view: str) -> dict[str, Any]:
    question = f"{QUESTIONS[view]} ORDER BY p95_s DESC LIMIT {TOP}"

    def cold() -> None:
        assert len(wfstore.open(storage).sql(question).fetchall()) == TOP

    store = wfstore.open(storage)
    warm = timed_ms(runs, lambda: store.sql(question).fetchall())
    versions = {"wfstore": wfstore.__version__, "duckdb": duckdb.__version__, "python": platform.python_version()}
    return {"warm_ms": warm, "cold_ms": timed_ms(runs, cold), "versions": versions}


def peer(python: str, command: str, where: str, number: int) -> dict[str, Any]:
    """What `peer_side.py` says, run by the peer's Python. Ends this program where it cannot."""
    environment = {key: value for key, value in os.environ.items() if key not in ("RAY_ADDRESS", "PYTHONPATH")}
    here = str(Path(__file__).with_name("peer_side.py"))
    done = subprocess.run(
        [python, here, command, where, str(number)], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise SystemExit(f"{python} {command} failed:\n{done.stderr[-2000:]}")
    answer = next(line for line in done.stdout.splitlines() if line.startswith("ANSWER "))
    found: dict[str, Any] = json.loads(answer.removeprefix("ANSWER "))
    return found


def show(row: dict[str, Any]) -> None:
    print(json.dumps({"benchmark": "peers", **row, "load": round(os.getloadavg()[0], 1)}), flush=True)


def side(engine: str, workflows: int, made: dict[str, Any], asked: dict[str, Any]) -> float:
    """Prints what one side needed; returns its warm median in ms."""
    medians: dict[str, float] = {name: round(statistics.median(asked[name]), 3) for name in ("warm_ms", "cold_ms")}
    row = {"engine": engine, "workflows": workflows, **made, **medians, "runs": len(asked["warm_ms"])}
    show({**row, "versions": asked["versions"]})
    return medians["warm_ms"]


def compare(root: Path, workflows: int, runs: int, dbos: str, old: str) -> None:
    storage = str(root / f"wfstore-{workflows}")
    made = own_write(storage, workflows)
    ours = {view: side(f"wfstore, {view}", workflows, made, own_ask(storage, runs, view)) for view in QUESTIONS}
    mine = ours["tasks"]
    if dbos:
        database = str(root / f"dbos-{workflows}.sqlite")
        made = peer(dbos, "dbos-write", database, workflows)
        theirs = side("dbos on sqlite", workflows, made, peer(dbos, "dbos-ask", database, runs))
        if workflows <= _SMALL:
            ratio, must, ok = mine / theirs, f"<= {_MUST_SMALL}", mine <= _MUST_SMALL * theirs
            figure = "wfstore's time by DBOS's"
        else:
            ratio, must, ok = theirs / mine, f">= {_MUST_LARGE}", theirs >= _MUST_LARGE * mine
            figure = "DBOS's time by wfstore's"
        show({"figure": f"{figure}, {workflows} workflows", "seen": round(ratio, 2), "must": must, "ok": ok})
    if old and workflows <= _SMALL:
        folder = str(root / f"ray-{workflows}")
        made = peer(old, "ray-write", folder, workflows)
        theirs = side("ray.workflow's files", workflows, made, peer(old, "ray-ask", folder, runs))
        show({"figure": f"ray.workflow's time by wfstore's, {workflows} workflows", "seen": round(theirs / mine, 2)})


def default(name: str) -> str:
    return os.environ.get(_VARIABLES[name], str(_PEERS.expanduser() / name / "bin/python"))


def find(name: str, python: str) -> str:
    """Raises SystemExit with the way to make one where there is none."""
    if python and not Path(python).exists():
        folder = _PEERS / name
        make = f"python3 -m venv {folder} && {folder}/bin/pip install {_PACKAGES[name]}"
        raise SystemExit(f"no Python of {name} at {python}. Make one:\n    {make}\nor name one; '' leaves it out")
    return python


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dbos", default=default("dbos"), help="a Python with dbos; '' leaves it out")
    parser.add_argument("--ray-workflow", default=default("ray"), help="one with ray==2.47.1")
    parser.add_argument("--workflows", type=int, nargs="+", default=[_SMALL, 100_000])
    parser.add_argument("--runs", type=int, default=5, help="the median of so many is printed")
    parser.add_argument("--quick", action="store_true", help="80 workflows")
    given = parser.parse_args(arguments)
    dbos, old = find("dbos", given.dbos), find("ray", given.ray_workflow)
    with tempfile.TemporaryDirectory(prefix="wfstore-bench-") as folder:
        for workflows in [10 * KINDS] if given.quick else given.workflows:
            compare(Path(folder), workflows, given.runs, dbos, old)


if __name__ == "__main__":
    main()
