"""What a run on a real Ray says of the code it ran."""

from __future__ import annotations

import json

import pytest
import ray

import wfstore
from tests.engine.world import World
from wfstore import workflow
from wfstore.engine.dag.functions import code_hash
from wfstore.engine.provenance import WorkingTree, versions

pytestmark = pytest.mark.ray


@ray.remote
def part(number: int) -> int:
    return number


@ray.remote
def total(*parts: int) -> int:
    return sum(parts)


@ray.remote
def grown(number: int) -> object:
    return workflow.continuation(total.bind(part.bind(number), part.bind(number)))


def test_runs_of_one_dag_are_comparable_whatever_ids_their_tasks_have(world: World) -> None:
    for name, numbers in (("three", (1, 2, 3)), ("five", (1, 2, 3, 4, 5))):
        dag = grown.bind(total.bind(*map(part.bind, numbers)))
        assert workflow.run(dag, workflow_id=name) == 2 * sum(numbers)
    store = wfstore.open(world.storage)
    keys = {name: set(store.history(name).tasks["task_key"]) for name in ("three", "five")}
    assert len(keys["three"]) == 5 and keys["three"] == keys["five"]
    tasks = store.history("five").tasks
    assert set(tasks.filter(tasks["name"].str.ends_with("part"))["code_hash"]) == {code_hash(part._function)}
    assert tasks["code_hash"].null_count() == 0 and tasks["code_hash"].n_unique() == 3
    row = store.history("five").workflow
    assert json.loads(row["versions"]) == versions()
    git = WorkingTree().now() or {}
    assert (row["git_commit"], row["git_dirty"]) == (git.get("commit"), git.get("dirty"))
    assert row["dag_hash"] != store.history("three").workflow["dag_hash"]
    workflow.run(grown.bind(total.bind(*map(part.bind, (9, 9, 9)))), workflow_id="again")
    assert store.history("again").workflow["dag_hash"] == store.history("three").workflow["dag_hash"]
