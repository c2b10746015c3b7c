"""``workflow.continuation(dag)``: the graph whose output takes the place of the task's own.

Inside a workflow task the graph itself is the answer and the manager runs it. Anywhere else there is no manager to ask,
so it runs at once on plain Ray, and nothing of it is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ray

from wfstore.engine.context import current_task
from wfstore.engine.dag import adapter
from wfstore.engine.dag.arguments import load
from wfstore.engine.dag.graph import Call, Graph, check_root
from wfstore.engine.dag.node import NODE_TYPES, is_node, key_of
from wfstore.engine.dag.options import CarriedName
from wfstore.engine.dag.scan import pickled
from wfstore.payloads.pickling import PLAIN_TYPES
from wfstore.payloads.placeholders import Upstream


def continuation(dag: Any) -> Any:
    """Inside a workflow task: what the task should return. Elsewhere: the graph's value, from plain Ray.

    Raises TypeError for what is no graph.
    """
    check_root(dag)
    return dag if current_task() is not None else ray.get(submit(dag))


def is_continuation(value: Any) -> bool:
    """A task's return value that stands for a graph to run: a bare node counts as well."""
    return is_node(value)


def unwrap(value: Any) -> Any:
    """The graph of a continuation."""
    return value


def submit(dag: Any) -> Any:
    """Give every task of the graph to Ray, and return the ObjectRef of its output."""
    graph = Graph(dag, adapter.InputValues())
    remotes: dict[int, Any] = {}
    refs: dict[str, Any] = {}
    for call in graph.calls:
        remote = remotes.get(id(call.function))
        if remote is None:
            remote = remotes[id(call.function)] = ray.remote(call.function)
        args = tuple(_with_refs(value, refs, graph) for value in call.args)
        kwargs = {key: _with_refs(value, refs, graph) for key, value in call.kwargs.items()}
        refs[call.key] = remote.options(**_ray_options(call)).remote(*args, **kwargs)
    return refs[graph.calls[-1].key]


def _ray_options(call: Call) -> dict[str, Any]:
    return {
        key: str(value) if isinstance(value, CarriedName) else value
        for key, value in call.ray_options.items()
        if key != "max_calls"  # Ray takes it from the decorator only
    }


def _with_refs(value: Any, refs: Mapping[str, Any], graph: Graph) -> Any:
    if type(value) in PLAIN_TYPES:
        return value
    if is_node(value):
        return refs[key_of(value)]
    if not graph.scanner.inside(value):
        return value
    inside: list[Any] = []

    def replace(obj: Any) -> tuple[Any, ...] | None:
        if not isinstance(obj, NODE_TYPES):
            return None
        inside.append(refs[key_of(obj)])
        return Upstream, (len(inside) - 1,)

    return load(pickled(((value,), {}), replace), inside)[0][0]
