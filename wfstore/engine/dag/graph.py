"""The tasks of a graph, each once, upstream first; everything a user can have got wrong is found here, before anything
is stored."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from wfstore.engine.dag import adapter
from wfstore.engine.dag.arguments import is_reference
from wfstore.engine.dag.functions import full_name
from wfstore.engine.dag.node import PLAIN, Special, TaskNode, is_node, key_of
from wfstore.engine.dag.options import WorkflowOptions, carried
from wfstore.engine.dag.reference import WorkflowRef
from wfstore.engine.dag.scan import Scanner
from wfstore.engine.dag.walk import post_order


class Call(NamedTuple):
    """One task. The graph's inputs are filled in where they are arguments; those inside containers still stand."""

    key: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    ray_options: Mapping[str, Any]
    settings: WorkflowOptions
    special: Special = PLAIN


class Graph:
    """A checked graph: `calls` in post-order, the last one's output counts."""

    def __init__(self, dag: Any, inputs: adapter.InputValues) -> None:
        """Raises TypeError for what is no graph of functions or calls one wrongly, ValueError for wrong options,
        SerializationError for an argument that cannot be pickled."""
        check_root(dag)
        self._inputs = inputs
        self.scanner = Scanner(is_reference, inputs)
        self._signatures: dict[int, inspect.Signature | None] = {}
        self._calls: dict[str, Call] = {}
        nodes = post_order(dag, key_of, self._below)
        self.calls = [self._calls[key_of(node)] for node in nodes if not isinstance(node, WorkflowRef)]

    def _below(self, node: Any) -> list[Any]:
        if isinstance(node, WorkflowRef):
            return []
        call = self._read(node)
        self._calls[call.key] = call
        if call.ray_options.get("num_returns") not in (None, 1):
            raise ValueError("Workflow task can only have one return.")
        self._check_signature(call)
        return self.scanner.nodes(full_name(call.function), call.args, call.kwargs)

    def _read(self, node: Any) -> Call:
        if isinstance(node, TaskNode):
            task = node.task
            args, kwargs = self._filled(node.args, node.kwargs)
            return Call(node.key, task.function, args, kwargs, task.ray_options, task.settings, task.special)
        call = adapter.read(node)
        args, kwargs = self._filled(call.args, call.kwargs)
        return Call(call.key, call.function, args, kwargs, call.options, carried(call.options))

    def _filled(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        if any(map(adapter.is_input, args)):
            args = tuple(map(self._fill, args))
        if kwargs and any(map(adapter.is_input, kwargs.values())):
            kwargs = {key: self._fill(value) for key, value in kwargs.items()}
        return args, kwargs

    def _fill(self, value: Any) -> Any:
        return self._inputs.of(value) if adapter.is_input(value) else value

    def _check_signature(self, call: Call) -> None:
        checked = call.special.signature or call.function
        try:
            signature = self._signatures[id(checked)]
        except KeyError:
            signature = self._signatures[id(checked)] = _signature(checked)
        if signature is None:
            return
        try:
            signature.bind(*call.args, **call.kwargs)
        except TypeError as error:
            raise TypeError(f"{full_name(checked)}: {error}") from None


def check_root(dag: Any) -> None:
    """Raises TypeError for what cannot be run as a workflow."""
    if not is_node(dag):
        raise TypeError("Input should be a DAG.")
    adapter.check_root(dag)


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # some builtins have none; they find out when they are called
        return None
