"""The other side of `peers.py`: run by a peer's own Python, so it imports nothing of wfstore.

    PYTHON peer_side.py dbos-write DATABASE WORKFLOWS    PYTHON peer_side.py ray-write FOLDER WORKFLOWS
    PYTHON peer_side.py dbos-ask DATABASE RUNS           PYTHON peer_side.py ray-ask FOLDER RUNS

`write` makes a store of three-task workflows, `ask` measures the question on it; either prints one JSON object.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

KINDS = 8
#: Workflow number n is of kind n % KINDS and has these three tasks, one after the other.
NAMES = [[f"kind{kind}.{task}" for task in ("load", "clean", "score")] for kind in range(KINDS)]
TOP = 10
#: So many workflows DBOS runs itself; more are copies of their rows.
REALLY_RUN = 1_000

_TOP_SQL = """
WITH finished AS (
    SELECT function_name, completed_at_epoch_ms - started_at_epoch_ms AS took FROM operation_outputs
), ranked AS (
    SELECT function_name, took, row_number() OVER (PARTITION BY function_name ORDER BY took) AS place,
           count(*) OVER (PARTITION BY function_name) AS n
    FROM finished
)
SELECT function_name, took / 1000.0 AS p95_s FROM ranked WHERE place = (95 * n + 99) / 100 ORDER BY 2 DESC LIMIT 10
"""
#: What is different in a copy of a row. Real durations are 0 or 1 ms; those of copies are spread over a second.
_COPIED = {
    "workflow_uuid": "workflow_uuid || '-' || n",
    "started_at_epoch_ms": "started_at_epoch_ms + n * 1000",
    "completed_at_epoch_ms": "completed_at_epoch_ms + n * 1000 + abs(random()) % 1000",
    "created_at": "created_at + n * 1000",
    "updated_at": "updated_at + n * 1000",
    "completed_at": "completed_at + n * 1000",
}


def timed_ms(runs: int, ask: Callable[[], Any]) -> list[float]:
    """Of each run, after one that does not count."""
    ask()
    spent = []
    for _ in range(runs):
        began = time.perf_counter()
        ask()
        spent.append((time.perf_counter() - began) * 1000)
    return spent


# -- DBOS on SQLite ---------------------------------------------------------------------------------------------------


def dbos_write(database: str, workflows: int) -> dict[str, Any]:
    from dbos import DBOS

    def part(number: int) -> int:
        return number + 1

    def of_kind(kind: int) -> Callable[[int], int]:
        load, clean, score = (DBOS.step(name=name)(part) for name in NAMES[kind])

        @DBOS.workflow(name=f"kind{kind}")
        def three(number: int) -> int:
            return score(clean(load(number)))

        return three

    config: Any = {"name": "peers", "system_database_url": f"sqlite:///{database}", "log_level": "WARNING"}
    DBOS(config={**config, "run_admin_server": False})
    kinds = [of_kind(kind) for kind in range(KINDS)]
    DBOS.launch()
    run = min(workflows, REALLY_RUN)
    for number in range(run):
        kinds[number % KINDS](number)
    DBOS.destroy()
    copies = -(-workflows // run) - 1
    with sqlite3.connect(database) as connection:
        for table in ("operation_outputs", "workflow_status", "workflow_input", "workflow_output"):
            _copy(connection, table, copies)
    (tasks,) = connection.execute("SELECT count(*) FROM operation_outputs").fetchone()
    connection.close()
    how = f"{run} workflows really run by DBOS, their rows copied by SQL {copies} times" if copies else "all really run"
    return {"data": how, "tasks": tasks, "bytes": os.path.getsize(database)}


def _copy(connection: sqlite3.Connection, table: str, copies: int) -> None:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    chosen = ", ".join(_COPIED.get(column, f'"{column}"') for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    connection.execute(
        f"INSERT INTO {table} ({names}) WITH RECURSIVE copies(n) AS "
        f"(SELECT 1 WHERE ? > 0 UNION ALL SELECT n + 1 FROM copies WHERE n < ?) "
        f"SELECT {chosen} FROM copies CROSS JOIN (SELECT * FROM {table})",
        (copies, copies),
    )


def dbos_ask(database: str, runs: int) -> dict[str, Any]:
    def cold() -> None:
        opened = sqlite3.connect(database)
        opened.execute(_TOP_SQL).fetchall()
        opened.close()

    connection = sqlite3.connect(database)
    answer = connection.execute(_TOP_SQL).fetchall()
    assert len(answer) == TOP
    warm = timed_ms(runs, lambda: connection.execute(_TOP_SQL).fetchall())
    connection.close()
    versions = _versions("dbos") | {"sqlite": sqlite3.sqlite_version}
    return {"warm_ms": warm, "cold_ms": timed_ms(runs, cold), "versions": versions}


# -- ray.workflow -----------------------------------------------------------------------------------------------------


def ray_write(folder: str, workflows: int) -> dict[str, Any]:
    import ray
    from ray import workflow

    def part(number: int) -> int:
        return number + 1

    def chain(number: int) -> Any:
        node: Any = number
        for name in NAMES[number % KINDS]:
            node = remote.options(**workflow.options(task_id=name)).bind(node)
        return node

    ray.init(address="local", num_cpus=2, include_dashboard=False, storage=f"file://{folder}", log_to_driver=False)
    workflow.init()
    remote = ray.remote(part)
    for number in range(workflows):
        workflow.run(chain(number), workflow_id=f"w{number}")
    ray.shutdown()
    return {"data": "all really run", "tasks": 3 * workflows}


def ray_ask(folder: str, runs: int) -> dict[str, Any]:
    top = _walk(folder)
    assert len(top) == TOP
    spent = timed_ms(runs, lambda: _walk(folder))
    return {"warm_ms": spent, "cold_ms": spent, "versions": _versions("ray")}


def _walk(folder: str) -> list[tuple[str, float]]:
    """Two files a task: when it began and when it ended. It says nothing else about how long a task took."""
    took: dict[str, list[float]] = {}
    root = os.path.join(folder, "workflows")
    for workflow_id in os.listdir(root):
        tasks = os.path.join(root, workflow_id, "tasks")
        if not os.path.isdir(tasks):
            continue
        for entry in os.scandir(tasks):
            if entry.is_dir():
                with open(os.path.join(entry.path, "pre_task_metadata.json")) as file:
                    began = json.load(file)["start_time"]
                with open(os.path.join(entry.path, "post_task_metadata.json")) as file:
                    ended = json.load(file)["end_time"]
                took.setdefault(entry.name, []).append(ended - began)
    p95 = [(name, statistics.quantiles(values, n=20, method="inclusive")[18]) for name, values in took.items()]
    return sorted(p95, key=lambda row: -row[1])[:TOP]


def _versions(package: str) -> dict[str, str]:
    return {package: version(package), "python": platform.python_version()}


_COMMANDS = {"dbos-write": dbos_write, "dbos-ask": dbos_ask, "ray-write": ray_write, "ray-ask": ray_ask}


def main() -> None:
    command, where, number = sys.argv[1:]
    answer = _COMMANDS[command](where, int(number))
    print("ANSWER " + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
