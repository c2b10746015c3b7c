"""``@workflow.virtual_actor``: a class whose objects are durable.

A virtual actor is a workflow without an end. Its constructor is the first task, every writing method one more, each
behind the one before; what the object is between them is in the log.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from wfstore.engine.actors.method import CONSTRUCTOR, has_own_state
from wfstore.engine.context import current_task
from wfstore.engine.dag.functions import default_name, full_name
from wfstore.engine.dag.node import Special, TaskDef
from wfstore.engine.dag.options import WorkflowOptions
from wfstore.engine.dag.step import Workflow, check_arguments, with_options
from wfstore.model.dag import ACTOR

_READONLY = "__wfstore_readonly__"
_F = TypeVar("_F", bound=Callable[..., Any])


def readonly(method: _F) -> _F:
    """Marks a method that changes nothing: it sees the last committed state, beside others, and is not queued."""
    setattr(method, _READONLY, True)
    return method


def is_readonly(method: Callable[..., Any]) -> bool:
    return getattr(method, _READONLY, False)


@dataclass(frozen=True)
class ActorClass:
    """A class and the hash under which its pickled body is kept (None: not kept yet)."""

    cls: type
    body: str | None = None

    @property
    def name(self) -> str:
        return full_name(self.cls)

    def method(self, name: str) -> Callable[..., Any]:
        """Raises AttributeError for what is no public method."""
        found = getattr(self.cls, name, None)
        if name.startswith("_") or not inspect.isfunction(found):
            raise AttributeError(f"No method with name '{name}'")
        return found

    def task(self, method: str) -> TaskDef[..., Any]:
        """The task of calling a method."""
        function = getattr(self.cls, method)
        named = function if inspect.isfunction(function) else self.cls
        special = Special(ACTOR, {"method": method}, True, _without_self(self.cls, method), self.body)
        return TaskDef(self.cls, WorkflowOptions(name=default_name(named)), special=special)

    def call(self, task: TaskDef[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Workflow[Any]:
        """One call of it. Raises TypeError for wrong arguments."""
        method = task.special.facts["method"]
        assert task.special.signature is not None
        what = f"Invalid input arguments for virtual actor method '{method}'"
        check_arguments(task.special.signature, args, kwargs, what)
        return Workflow(task, args, kwargs)


def _without_self(cls: type[Any], method: str) -> Callable[..., Any]:
    if method == CONSTRUCTOR:
        return cls
    bound: Callable[..., Any] = getattr(object.__new__(cls), method)
    return bound


@dataclass(frozen=True)
class StepInMethod:
    """``self.method.step(...)`` inside of a method: the next call of the same actor, as what the method returns."""

    cls: type
    method: str
    said: Mapping[str, Any] = field(default_factory=dict)

    def options(self, **options: Any) -> StepInMethod:
        """Raises ValueError naming a wrong option."""
        said = {**self.said, **options}
        with_options(ActorClass(self.cls).task(self.method), said)
        return StepInMethod(self.cls, self.method, said)

    def step(self, *args: Any, **kwargs: Any) -> Workflow[Any]:
        """Raises RuntimeError outside of a method of a virtual actor, TypeError for wrong arguments."""
        context = current_task()
        if context is None:
            raise RuntimeError(f"{self.method}.step(...) works inside a method of the virtual actor only")
        actor = ActorClass(self.cls, context.body)
        task = actor.task(self.method)
        return actor.call(with_options(task, self.said) if self.said else task, args, kwargs)


def prepare(cls: Any) -> type:
    """Check a class and give its methods ``.step`` and ``.options`` for use inside of other methods.

    Raises TypeError for what is no class, ValueError for one that has only one of ``__getstate__``, ``__setstate__``.
    """
    if not isinstance(cls, type):
        raise TypeError(f"@workflow.virtual_actor goes on a class, not on {type(cls).__name__} {cls!r:.80}")
    own_get = has_own_state(cls)
    own_set = hasattr(cls, "__setstate__")
    if own_set and not own_get:
        raise ValueError("The class does not have '__getstate__' method")
    if own_get and not own_set:
        raise ValueError("The class does not have '__setstate__' method")
    for name, function in inspect.getmembers(cls, inspect.isfunction):
        if not name.startswith("__"):
            inside = StepInMethod(cls, name)
            function.__dict__.update(step=inside.step, options=inside.options)
    return cls
