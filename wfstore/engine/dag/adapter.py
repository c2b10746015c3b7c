"""The one door to ray.dag and to what ray keeps private about its nodes.

Ray calls the node classes developer API; everything the engine needs of them is in here, in neutral words. `_body` of
a FunctionNode is the only private attribute that is read.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import ray
from ray.dag import ClassMethodNode, ClassNode, DAGInputData, DAGNode, FunctionNode, InputAttributeNode, InputNode
from ray.remote_function import RemoteFunction

__all__ = ["ClassMethodNode", "DAGNode", "InputValues", "RayCall", "RemoteFunction"]


class RayCall(NamedTuple):
    """What a FunctionNode says. `options` are Ray's, as given."""

    key: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    options: Mapping[str, Any]


def read(node: DAGNode) -> RayCall:
    """Raises TypeError for a node that is no plain function call."""
    if type(node) is not FunctionNode:
        raise TypeError(f"Unsupported DAG node: {describe(node)}")
    return RayCall(node.get_stable_uuid(), node._body, tuple(node.get_args()), node.get_kwargs(), node.get_options())


def key_of(node: DAGNode) -> str:
    """Identity of a node, kept by its copies."""
    key: str = node.get_stable_uuid()
    return key


def check_root(node: Any) -> None:
    """Raises TypeError for a class node: an actor has no output that could be kept."""
    if isinstance(node, ClassNode | ClassMethodNode):
        raise TypeError("Currently workflow does not support classes as DAG inputs.")


def describe(node: DAGNode) -> str:
    """Class of the node, and what it was bound from."""
    body = getattr(node, "_body", None) if isinstance(node, FunctionNode | ClassNode) else None
    name = getattr(body, "__qualname__", None)
    return type(node).__name__ + (f" of {name}" if name else "")


def is_input(node: Any) -> bool:
    """A place for a value given to run()."""
    return isinstance(node, InputNode | InputAttributeNode)


class InputValues:
    """What run() was given for the InputNode of a graph.

    ``inp`` is the one positional value, or all of them in a DAGInputData; ``inp[0]`` and ``inp.x`` are the first
    positional and the keyword x. As in Ray, they are an item and an attribute of the one value where that is all there
    is and the graph asks for more than its first.
    """

    def __init__(self, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> None:
        self._args = args
        self._kwargs = dict(kwargs or {})
        self._whole = args[0] if len(args) == 1 and not self._kwargs else _everything(args, self._kwargs)

    def of(self, node: Any) -> Any:
        """Raises TypeError when run() was not given what the node stands for."""
        if isinstance(node, InputNode):
            if not self._args and not self._kwargs:
                raise TypeError("the DAG has an InputNode, and no input was given")
            return self._whole
        facts = node.get_other_args_to_resolve()
        key, source = facts["key"], facts["dag_input_node"]
        alone = len(self._args) == 1 and not self._kwargs
        if alone and set(source.input_attribute_nodes) != {0}:
            return self._part(key, facts["accessor_method"] == "__getattr__")
        try:
            return self._args[key] if isinstance(key, int) else self._kwargs[key]
        except (IndexError, KeyError):
            raise TypeError(f"the DAG asks for input {key!r}; {self._given()}") from None

    def _part(self, key: Any, attribute: bool) -> Any:
        try:
            return getattr(self._whole, key) if attribute else self._whole[key]
        except (IndexError, KeyError, AttributeError, TypeError) as error:
            what = f"the one value given, of type {type(self._whole).__name__}, has none"
            raise TypeError(f"the DAG asks for input {key!r}; {what}") from error

    def _given(self) -> str:
        return f"given were {len(self._args)} positional ones and {sorted(self._kwargs)}"


def _everything(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> DAGInputData:
    return DAGInputData(*args, **kwargs)  # type: ignore[no-untyped-call]


def with_name(function: RemoteFunction, name: str) -> RemoteFunction:
    """The same remote function with another default name; the one given is left as it is."""
    node: FunctionNode = function.bind()  # type: ignore[no-untyped-call]
    renamed: RemoteFunction = ray.remote(**{**node.get_options(), "name": name})(node._body)
    return renamed


def body(function: Any) -> Any:
    """The plain function below what Ray's or our decorator made of it."""
    if isinstance(function, RemoteFunction):
        node: FunctionNode = function.bind()  # type: ignore[no-untyped-call]
        return node._body
    return getattr(function, "function", function)


def options_of(function: RemoteFunction) -> dict[str, Any]:
    """Ray options given to a remote function."""
    node: FunctionNode = function.bind()  # type: ignore[no-untyped-call]
    return dict(node.get_options())


def option_problem(key: str, value: Any) -> str | None:
    """Ray's own words about a task option, None when it takes it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.remote(**{key: value})(_probe)
    except (TypeError, ValueError, AssertionError) as error:
        return str(error) or type(error).__name__
    return None


def _probe() -> None:
    """Something for Ray to check options against."""
