"""Longest paths, slack and schedules against networkx and against a scheduler that is slow and plain."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import wfstore
from tests.model.histories import random_history
from wfstore.answers import paths
from wfstore.answers.paths_frames import Critical
from wfstore.answers.paths_whatif import scheduled
from wfstore.imports import import_wfformat
from wfstore.index import Index, catalog, reports, to_polars
from wfstore.log import MemoryLog

nx = pytest.importorskip("networkx", reason="networkx is the oracle of critical paths: pip install 'wfstore[test]'")

INSTANCES = Path("/work/shared/data/wfinstances")
FILES = sorted(INSTANCES.glob("*.json"))
#: The keys of these are multiplied by that.
FACTOR = 0.5


def rounded(seconds: float) -> int:
    return round(seconds * 1e6)


def oracle(upstream: dict[str, list[str]], seconds: dict[str, float]) -> tuple[int, dict[str, int]]:
    """(length of the longest path, slack of every task), in microseconds."""
    us = {name: rounded(value) for name, value in seconds.items()}
    dag = nx.DiGraph()
    dag.add_nodes_from(upstream, weight=0)
    # the weight of a task is that of every edge that leads to it; one more source stands before those without any
    dag.add_weighted_edges_from(
        (above or "source", name, us[name]) for name in upstream for above in upstream[name] or [""]
    )
    length = nx.dag_longest_path_length(dag)
    head = {"source": 0}
    tail: dict[str, int] = {}
    order = list(nx.topological_sort(dag))
    for name in order[1:]:
        head[name] = us[name] + max(head[above] for above in dag.predecessors(name))
    for name in reversed(order):
        tail[name] = max((tail[below] + us[below] for below in dag.successors(name)), default=0)
    return length, {name: length - head[name] - tail[name] for name in upstream}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> wfstore.Store:
    folder = str(tmp_path_factory.mktemp("instances") / "s")
    import_wfformat(FILES, storage=folder)
    return wfstore.open(folder)


@pytest.mark.skipif(not FILES, reason=f"there are no WfFormat instances in {INSTANCES}")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_instance_agrees_with_networkx(store: wfstore.Store, file: Path) -> None:
    said = json.loads(file.read_text())["workflow"]
    upstream = {task["id"]: list(dict.fromkeys(task["parents"])) for task in said["specification"]["tasks"]}
    seconds = {task["id"]: float(task["runtimeInSeconds"]) for task in said["execution"]["tasks"]}
    history = store.history(file.stem)
    length, slack = oracle(upstream, seconds)
    found = {name: rounded(value) for name, value in history.tasks.select("task_id", "slack_s").iter_rows()}
    assert found == slack
    table = history.critical_path
    assert rounded(table["path_s"][-1]) == length == sum(map(rounded, table["duration_s"]))
    assert all(above in upstream[below] for above, below in zip(table["task_id"], table["task_id"][1:], strict=False))
    made = history.makespan
    assert made is not None and made.elapsed_s == history.workflow["elapsed_s"]
    assert made.code_s + made.waits_s + made.retries_s + made.gaps_s == pytest.approx(made.elapsed_s)
    key = table["task_key"][0]
    slower = dict(history.tasks.filter(task_key=key).select("task_id", pl.lit(FACTOR)).iter_rows())
    changed, _ = oracle(upstream, {name: seconds[name] * slower.get(name, 1.0) for name in seconds})
    answer = history.what_if({key: FACTOR})
    assert rounded(answer.unlimited.before_s) == length
    assert rounded(answer.unlimited.after_s) == pytest.approx(changed, abs=len(table))  # half microseconds
    assert answer.limited is not None and length <= rounded(answer.limited.before_s)


# -- schedules --------------------------------------------------------------------------------------------------------


def frames(upstream: list[set[int]], seconds: list[int]) -> tuple[pl.DataFrame, pl.DataFrame]:
    tasks = [{"task_id": f"t{one}", "duration_s": float(took), "creator": None} for one, took in enumerate(seconds)]
    edges = [
        {"upstream_task_id": f"t{above}", "task_id": f"t{one}", "kind": "argument"}
        for one, some in enumerate(upstream)
        for above in some
    ]
    return paths.frames(tasks, edges)


def plainly(upstream: list[set[int]], seconds: list[int], workers: int) -> int:
    """Second by second: who is ready first begins first."""
    ends: dict[int, int] = {}
    ready: list[int] = []
    now = 0
    while len(ends) < len(seconds) or any(end > now for end in ends.values()):
        for one, above in enumerate(upstream):
            if one not in ends and one not in ready and all(ends.get(other, now + 1) <= now for other in above):
                ready.append(one)
        while ready and sum(end > now for end in ends.values()) < workers:
            one = ready.pop(0)
            ends[one] = now + seconds[one]
        now += 1
    return max(ends.values())


@pytest.mark.parametrize("seed", range(20))
def test_a_schedule_is_what_a_plain_one_says(seed: int) -> None:
    rng = random.Random(seed)
    width = rng.randint(1, 14)
    upstream = [set(rng.sample(range(one), rng.randint(0, min(one, 3)))) for one in range(width)]
    seconds = [rng.randint(1, 9) for _ in range(width)]
    critical = Critical(*frames(upstream, seconds))
    needs = np.ones(width, dtype=np.bool_)
    for workers in (1, 2, 3, width):
        found = scheduled(critical.graph, critical.ways, critical.graph.cost_us, workers, needs)
        assert found == plainly(upstream, seconds, workers) * 1_000_000
        # Graham's bound
        assert critical.length_s <= found / 1e6 <= sum(seconds) / workers + critical.length_s
    assert found == critical.length_s * 1e6


# -- SQL --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_the_report_says_the_same_of_every_task(seed: int) -> None:
    log = MemoryLog()
    log.append(random_history(seed, 60).log)
    index = Index(log)
    query = catalog.folder("reports")["critical_path"]
    for (workflow_id,) in index.sql("SELECT workflow_id FROM workflows WHERE tasks > 0").fetchall():
        chosen: dict[str, Any] = {"id": workflow_id}
        tasks = index.sql("FROM tasks WHERE workflow_id = $id ORDER BY defined_seq", chosen).pl()
        edges = index.sql("FROM edges WHERE workflow_id = $id", chosen).pl()
        critical = Critical(tasks, edges)
        said = to_polars(index.run(query, reports.bind(query, {**chosen, "scope": "all"})))
        path = said.drop_nulls("position")
        assert path["task_id"].to_list() == critical.ids
        for column in ("task_key", "duration_s", "path_s", "share", "slack_s"):
            assert path[column].to_list() == critical.table[column].to_list(), column
        both = said.select("task_id", "slack_s").join(critical.tasks.select("task_id", mine="slack_s"), on="task_id")
        assert both.height == tasks.height
        assert both["slack_s"].equals(both["mine"])
