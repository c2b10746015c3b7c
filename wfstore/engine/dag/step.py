"""The older generation: ``@workflow.step``, ``.step()`` and the `Workflow` objects that it builds.

They are the same tasks on the same engine. What differs is said in `Special.older`: nested workflows become values, one
given twice is one object, application errors are always retried, a dead worker leaves the workflow RESUMABLE.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from wfstore.engine.dag import adapter
from wfstore.engine.dag.functions import full_name
from wfstore.engine.dag.node import Special, TaskDef, TaskNode, checked_ray_options
from wfstore.engine.dag.options import VALID, WorkflowOptions

R = TypeVar("R")
OLDER = Special(older=True)


class Runnable(TaskNode[R]):
    """A node that can be run without ``workflow.run``, as the older generation did."""

    __slots__ = ()

    def run(self, workflow_id: str | None = None, metadata: Mapping[str, Any] | None = None) -> R:
        """Run it durably and return its output. Arguments and errors as of ``workflow.run``."""
        from wfstore.engine import client  # nodes are described without an engine; only running them needs one

        link = client.connect()
        value: R = link.run(link.submission(self, (), {}, workflow_id or client.fresh_id(), metadata))
        return value

    def run_async(self, workflow_id: str | None = None, metadata: Mapping[str, Any] | None = None) -> Any:
        """As `run`, returning an ObjectRef once the workflow is in the log."""
        from wfstore.engine import client

        link = client.connect()
        return link.run_async(link.submission(self, (), {}, workflow_id or client.fresh_id(), metadata))


class Workflow(Runnable[R]):
    """A workflow that has not run: the output of a step to come. Lazy: what is never run has no effect."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        raise ValueError(
            "Workflow[T] objects are not serializable. They can be arguments of other steps, or be returned by one, "
            "but they cannot be pickled, put into Ray's object store or returned inside of other values."
        )

    def __repr__(self) -> str:
        return f"<Workflow of {self.task!r}>"


class StepFunction:
    """A function whose ``.step(...)`` makes a `Workflow`."""

    def __init__(self, task: TaskDef[..., Any]) -> None:
        self.task = task
        self.__wrapped__ = task.function

    @property
    def function(self) -> Callable[..., Any]:
        """The plain function."""
        return self.task.function

    def step(self, *args: Any, **kwargs: Any) -> Workflow[Any]:
        """One call. Raises TypeError for arguments that the function does not take."""
        check_arguments(self.task.function, args, kwargs)
        return Workflow(self.task, args, kwargs)

    def options(self, **options: Any) -> StepFunction:
        """The same step with other options: name, metadata (merged with what was said before), catch_exceptions,
        max_retries (of application errors too), checkpoint, allow_inplace, retry_delay, ..., timeout and those of a Ray
        task. Raises ValueError naming a wrong one."""
        return StepFunction(with_options(self.task, options))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name = getattr(self.task.function, "__name__", "step")
        raise TypeError(
            f"Workflow steps cannot be called directly. Instead of running '{name}()', try '{name}.step()'."
        )

    def __repr__(self) -> str:
        return f"<step {full_name(self.task.function)}>"


def with_options(task: TaskDef[..., Any], options: Mapping[str, Any]) -> TaskDef[..., Any]:
    """The older generation merges the metadata of several layers, where the newer one replaces it."""
    own = {key: value for key, value in options.items() if key in VALID}
    rays = {key: value for key, value in options.items() if key not in VALID}
    if own.get("metadata") is not None and task.settings.metadata:
        checked = WorkflowOptions(metadata=own["metadata"]).metadata
        own["metadata"] = {**task.settings.metadata, **(checked or {})}
    settings = task.settings.updated(**own)
    return TaskDef(task.function, settings, {**task.ray_options, **checked_ray_options(rays)}, task.special)


def step(function: Any = None, /, **options: Any) -> Any:
    """``@step`` or ``@step(name=, max_retries=, ...)``; a Ray remote function will do as well.

    Raises ValueError naming a wrong option, TypeError over what is no function.
    """
    if function is None:
        return lambda decorated: step(decorated).options(**options)
    plain = adapter.body(function)
    if isinstance(plain, type) or not callable(plain):
        raise TypeError(f"@workflow.step goes on a function, not on {type(function).__name__} {function!r:.80}")
    rays: dict[str, Any] = adapter.options_of(function) if isinstance(function, adapter.RemoteFunction) else {}
    return StepFunction(TaskDef(plain, ray_options=rays, special=OLDER))


def check_arguments(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], what: str = ""
) -> None:
    """Raises TypeError for arguments that `function` does not take; `what` begins the message."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # some builtins have none
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{what or full_name(function)}: {error}") from None
