"""``workflow.options(...)``: what a user says about one task, and how it travels on a plain ``@ray.remote`` function.

Ray has no place for another library's options, but it keeps a task's public ``name`` option, whatever string type it
is: a `CarriedName` takes the workflow options along (docs/decisions/0003).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from wfstore.engine.dag import adapter
from wfstore.model.define import check_metadata

VALID = ("name", "task_id", "metadata", "catch_exceptions", "checkpoint")


class WorkflowOptions(Mapping[str, Any]):
    """Options of one task. None means "not said".

    name, task_id: synonyms; where a name repeats in a workflow, the later tasks get a suffix ``_n``
    metadata: a dict that JSON can hold
    catch_exceptions: the output is (result, None) or (None, exception)
    checkpoint: False: the output is not kept

    ``f.options(**workflow.options(...))``, ``@ray.remote(**workflow.options(...))``, or ``@workflow.options(...)``
    above ``@ray.remote`` or ``@workflow.task``. Raises ValueError for an unknown key or a wrong value.
    """

    __slots__ = ("catch_exceptions", "checkpoint", "metadata", "name")

    name: str | None
    metadata: Mapping[str, Any] | None
    catch_exceptions: bool | None
    checkpoint: bool | None

    def __init__(
        self,
        name: str | None = None,
        task_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        catch_exceptions: bool | None = None,
        checkpoint: bool | None = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise ValueError(f"Invalid option keywords {set(unknown)} for workflow tasks. Valid ones are {set(VALID)}.")
        if name is not None and task_id is not None and name != task_id:
            raise ValueError(f"name {name!r} and task_id {task_id!r} mean the same; give one of them")
        self.name = _checked_name(task_id if name is None else name)
        check_metadata(metadata)
        # A copy, as JSON will give it back: later changes of the user's dict are not ours.
        self.metadata = None if metadata is None else json.loads(json.dumps(dict(metadata)))
        self.catch_exceptions = _checked_flag("catch_exceptions", catch_exceptions)
        self.checkpoint = _checked_flag("checkpoint", checkpoint)

    def __getitem__(self, key: str) -> CarriedName:
        if key != "name":
            raise KeyError(key)
        return CarriedName(self)

    def __iter__(self) -> Iterator[str]:
        yield "name"

    def __len__(self) -> int:
        return 1

    def __call__(self, function: Any) -> Any:
        """As a decorator. Raises ValueError over anything but a Ray remote function or a `task`."""
        if isinstance(function, adapter.RemoteFunction):
            return adapter.with_name(function, self["name"])
        if hasattr(function, "with_settings"):
            return function.with_settings(self.given())
        raise ValueError("Only apply 'workflow.options' to Ray remote functions.")

    def given(self) -> dict[str, Any]:
        """What was said, by its keyword."""
        everything = {key: getattr(self, key) for key in self.__slots__}
        return {key: value for key, value in everything.items() if value is not None}

    def updated(self, **changes: Any) -> WorkflowOptions:
        """The same with other values for some keys; metadata is replaced, not merged."""
        if "task_id" in changes and "name" not in changes:
            changes["name"] = changes.pop("task_id")
        return WorkflowOptions(**{**self.given(), **changes})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WorkflowOptions) and self.given() == other.given()

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.given(),)

    def __repr__(self) -> str:
        return f"options({', '.join(f'{key}={value!r}' for key, value in self.given().items())})"


class CarriedName(str):
    """A task name for Ray that takes workflow options along."""

    __slots__ = ("options",)

    options: WorkflowOptions

    def __new__(cls, options: WorkflowOptions) -> CarriedName:
        self = super().__new__(cls, options.name or "")
        self.options = options
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return CarriedName, (self.options,)


def carried(ray_options: Mapping[str, Any]) -> WorkflowOptions:
    """The workflow options among Ray's."""
    name = ray_options.get("name")
    return name.options if isinstance(name, CarriedName) else NOTHING_SAID


def _restore(given: dict[str, Any]) -> WorkflowOptions:
    return WorkflowOptions(**given)


def _checked_name(name: object) -> str | None:
    if name is not None and (not isinstance(name, str) or not name.strip() or not name.isprintable()):
        raise ValueError(f"name must be a non-empty string of printable characters, not {name!r}")
    return name


def _checked_flag(key: str, value: object) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"{key} must be True, False or None, not {value!r}")
    return value


#: The public name.
options = WorkflowOptions

NOTHING_SAID = WorkflowOptions()
