"""What drivers of the simulation ask for: small DAGs of every type of task, and what a worker makes of a task."""

from __future__ import annotations

import random
from typing import NamedTuple

from tests.model.dags import actor_call, chain, random_dag
from wfstore.model.dag import DagSpec, TaskSpec

#: The store holds them, as any driver's client would have put them there.
BODIES = b"the body of every function", b"the body it has now"


class Rates(NamedTuple):
    """Of each attempt: how often its worker dies, user code fails, it hangs, it returns a DAG."""

    dies: float = 0.0
    fails: float = 0.0
    hangs: float = 0.0
    continues: float = 0.0


HEALTHY = Rates()


def dag_of(rng: random.Random, function_hash: str, most: int = 3) -> DagSpec:
    return _with_body(random_dag(rng, most), function_hash)


def continuation_of(rng: random.Random, function_hash: str) -> DagSpec:
    return _with_body(random_dag(rng, 2), function_hash)


def chain_of(length: int, function_hash: str) -> DagSpec:
    return _with_body(chain(length), function_hash)


def call_of(method: str, function_hash: str) -> DagSpec:
    return _with_body(actor_call(method, max_retries=1), function_hash)


def _with_body(dag: DagSpec, function_hash: str) -> DagSpec:
    return dag._replace(tasks=tuple(_told(task, function_hash) for task in dag.tasks))


def _told(task: TaskSpec, function_hash: str) -> TaskSpec:
    """Arguments and bodies that the store has; `tests.model.dags` needs neither."""
    return task._replace(function_hash=function_hash, args=None)
