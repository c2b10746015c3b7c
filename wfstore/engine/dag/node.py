"""``@workflow.task``: functions and graph nodes of our own, which need nothing of ray.dag.

A `TaskDef` never changes; ``.options()`` makes another one. A `TaskNode` is one call in a graph, by identity.
"""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, ParamSpec, TypeVar, overload

from wfstore.engine.dag import adapter
from wfstore.engine.dag.options import VALID, WorkflowOptions
from wfstore.engine.dag.reference import WorkflowRef
from wfstore.engine.dag.walk import post_order
from wfstore.model.dag import FUNCTION

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Special:
    """What tells a task from a plain function of the newer generation.

    type, facts: as in `TaskSpec`. older: its arguments follow the older generation: what is nested is given as a value,
    and a task given twice is one object. signature: the callable that the arguments are for; None: the function.
    body: hash of the pickled function, where that is kept already.
    """

    type: str = FUNCTION
    facts: Mapping[str, Any] = field(default_factory=dict)
    older: bool = False
    signature: Callable[..., Any] | None = None
    body: str | None = None


PLAIN = Special()


@dataclass(frozen=True, eq=False, repr=False)
class TaskDef(Generic[P, R]):
    """A function that can be a task of a workflow. Called directly, it is the plain function.

    `settings`: its workflow options; `ray_options`: all others, which Ray takes (resources, max_retries, ...).
    `special`: what it is if it is no plain function.
    """

    function: Callable[P, R]
    settings: WorkflowOptions = field(default_factory=WorkflowOptions)
    ray_options: Mapping[str, Any] = field(default_factory=dict)
    special: Special = field(default_factory=lambda: PLAIN)

    def __post_init__(self) -> None:
        described = {name: getattr(self.function, name, None) for name in ("__name__", "__qualname__", "__doc__")}
        self.__dict__.update(described, __module__=self.function.__module__, __wrapped__=self.function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    @overload
    def bind(self, *args: P.args, **kwargs: P.kwargs) -> TaskNode[R]: ...
    @overload
    def bind(self, *args: Any, **kwargs: Any) -> TaskNode[R]: ...
    def bind(self, *args: Any, **kwargs: Any) -> TaskNode[R]:
        """One call in a graph. Nodes among the arguments become their outputs; nested ones become ObjectRefs."""
        return TaskNode(self, args, kwargs)

    def options(self, **options: Any) -> TaskDef[P, R]:
        """The same function with other options, layered per key. Raises ValueError naming a wrong one."""
        own = {key: value for key, value in options.items() if key in VALID}
        rays = {key: value for key, value in options.items() if key not in VALID}
        rays = {**self.ray_options, **checked_ray_options(rays)}
        return replace(self, settings=self.settings.updated(**own), ray_options=rays)

    def with_settings(self, settings: Mapping[str, Any]) -> TaskDef[P, R]:
        """What ``@workflow.options(...)`` above it makes."""
        return self.options(**settings)

    def __repr__(self) -> str:
        return f"<task {self.function.__module__}.{self.function.__qualname__}>"


class TaskNode(Generic[R]):
    """One call of a task in a graph. The same node used twice is one task."""

    __slots__ = ("__weakref__", "args", "key", "kwargs", "task")

    def __init__(
        self, task: TaskDef[..., R], args: tuple[Any, ...], kwargs: Mapping[str, Any], key: str | None = None
    ) -> None:
        self.task = task
        self.args = args
        self.kwargs = kwargs
        self.key = key or uuid.uuid4().hex

    def __repr__(self) -> str:
        return f"<node of {self.task!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # As one flat list: pickle would recurse through a chain.
        nodes = post_order(self, id, _direct)
        position = {id(node): index for index, node in enumerate(nodes)}

        def flat(value: Any) -> Any:
            return _Slot(position[id(value)]) if isinstance(value, TaskNode) else value

        rows = [
            (node.key, node.task, tuple(map(flat, node.args)), {k: flat(v) for k, v in node.kwargs.items()})
            for node in nodes
        ]
        return _rebuild, (rows,)


@dataclass(frozen=True, slots=True)
class _Slot:
    position: int


def _direct(node: TaskNode[Any]) -> Iterator[TaskNode[Any]]:
    yield from (value for value in (*node.args, *node.kwargs.values()) if isinstance(value, TaskNode))


def _rebuild(rows: list[tuple[str, TaskDef[..., Any], tuple[Any, ...], dict[str, Any]]]) -> TaskNode[Any]:
    nodes: list[TaskNode[Any]] = []

    def filled(value: Any) -> Any:
        return nodes[value.position] if type(value) is _Slot else value

    for key, task_def, args, kwargs in rows:
        arguments = tuple(map(filled, args)), {k: filled(v) for k, v in kwargs.items()}
        nodes.append(TaskNode(task_def, *arguments, key))
    return nodes[-1]


@overload
def task(function: Callable[P, R], /) -> TaskDef[P, R]: ...
@overload
def task(**options: Any) -> Callable[[Callable[P, R]], TaskDef[P, R]]: ...
def task(function: Callable[P, R] | None = None, /, **options: Any) -> Any:
    """``@task`` or ``@task(name=, metadata=, catch_exceptions=, checkpoint=, max_retries=, retry_exceptions=,
    num_cpus=, ...)``: the workflow options, and every option of a Ray task.

    Raises ValueError naming a wrong option, TypeError over what is no plain function.
    """
    if function is None:
        return lambda decorated: task(decorated).options(**options)
    if not inspect.isroutine(function):
        raise TypeError(f"@task goes directly on a function, not on {type(function).__name__} {function!r:.80}")
    if inspect.iscoroutinefunction(function):
        raise TypeError(f"a task cannot be 'async def': call asyncio.run() inside {function.__qualname__}")
    return TaskDef(function)


def checked_ray_options(options: Mapping[str, Any]) -> dict[str, Any]:
    checked = {}
    for key, value in options.items():
        if key == "retry_exceptions" and isinstance(value, type):
            value = [value]
        problem = adapter.option_problem(key, value)
        if problem:
            raise ValueError(f"Invalid option {key!r} for a workflow task ({VALID} or one of Ray's): {problem}")
        if key == "num_returns" and value not in (None, 1):
            raise ValueError("Workflow task can only have one return.")
        checked[key] = value
    return checked


#: What stands for the output of a task among the arguments of another.
NODE_TYPES: tuple[type, ...] = (TaskNode, adapter.DAGNode, WorkflowRef)


def is_node(value: Any) -> bool:
    """A node of a graph, Ray's or ours: something that can be run."""
    return isinstance(value, TaskNode | adapter.DAGNode)


def key_of(node: Any) -> str:
    """Identity of a node."""
    return node.key if isinstance(node, TaskNode | WorkflowRef) else adapter.key_of(node)
