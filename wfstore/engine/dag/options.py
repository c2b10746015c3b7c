"""``workflow.options(...)``: what a user says about one task, and how it travels on a plain ``@ray.remote`` function.

Ray has no place for another library's options, but it keeps a task's public ``name`` option, whatever string type it
is: a `CarriedName` takes the workflow options along (docs/decisions/0003).
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Mapping
from typing import Any

from wfstore.engine.dag import adapter
from wfstore.model.dag import RetryPolicy
from wfstore.model.define import check_metadata

_FLAGS = ("catch_exceptions", "checkpoint", "allow_inplace")
_SECONDS = ("retry_delay", "max_retry_delay", "timeout")
VALID = ("name", "task_id", "metadata", *_FLAGS, *_SECONDS, "retry_backoff", "retry_jitter")
_MOST_BACKOFF = 100.0


class WorkflowOptions(Mapping[str, Any]):
    """Options of one task. None means "not said".

    name, task_id: synonyms; where a name repeats in a workflow, the later tasks get a suffix ``_n``
    metadata: a dict that JSON can hold
    catch_exceptions: the output is (result, None) or (None, exception)
    checkpoint: False: the output is not kept
    allow_inplace: of the older generation: as the output of a continuation, go on in the worker that returned it
    retry_delay: seconds until the first retry; each later one waits `retry_backoff` times as long (2), at most
        `max_retry_delay` seconds (600), longer or shorter by up to the share `retry_jitter` of it (0.1). The manager
        waits, no worker does. How often, and after which errors: Ray's max_retries and retry_exceptions
    timeout: seconds of user code that one attempt may take (noticed within 0.1 s); it is then stopped and tried again
        while max_retries allows, else it fails with AttemptTimeoutError

    ``f.options(**workflow.options(...))``, ``@ray.remote(**workflow.options(...))``, or ``@workflow.options(...)``
    above ``@ray.remote`` or ``@workflow.task``. Raises ValueError for an unknown key or a wrong value.
    """

    __slots__ = ("metadata", "name", "retry_backoff", "retry_jitter", *_FLAGS, *_SECONDS)

    name: str | None
    metadata: Mapping[str, Any] | None
    catch_exceptions: bool | None
    checkpoint: bool | None
    allow_inplace: bool | None
    retry_delay: float | None
    max_retry_delay: float | None
    timeout: float | None
    retry_backoff: float | None
    retry_jitter: float | None

    def __init__(
        self,
        name: str | None = None,
        task_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        catch_exceptions: bool | None = None,
        checkpoint: bool | None = None,
        *,
        allow_inplace: bool | None = None,
        retry_delay: float | None = None,
        retry_backoff: float | None = None,
        retry_jitter: float | None = None,
        max_retry_delay: float | None = None,
        timeout: float | None = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise ValueError(f"Invalid option keywords {set(unknown)} for workflow tasks. Valid ones are {set(VALID)}.")
        if name is not None and task_id is not None and name != task_id:
            raise ValueError(f"name {name!r} and task_id {task_id!r} mean the same; give one of them")
        self.name = _checked_name(task_id if name is None else name)
        # A copy, as JSON will give it back: later changes of the user's dict are not ours.
        self.metadata = check_metadata(metadata)
        self.catch_exceptions = _checked_flag("catch_exceptions", catch_exceptions)
        self.checkpoint = _checked_flag("checkpoint", checkpoint)
        self.allow_inplace = _checked_flag("allow_inplace", allow_inplace)
        self.retry_delay = _checked_number("retry_delay", retry_delay, 0)
        self.retry_backoff = _checked_number("retry_backoff", retry_backoff, 1, _MOST_BACKOFF)
        self.retry_jitter = _checked_number("retry_jitter", retry_jitter, 0, 1)
        self.max_retry_delay = _checked_number("max_retry_delay", max_retry_delay, 0)
        self.timeout = _checked_number("timeout", timeout, 0.001)

    def policy(self) -> RetryPolicy:
        """When the next attempt follows a failed one."""
        said = (self.retry_delay, self.retry_backoff, self.retry_jitter, self.max_retry_delay)
        if said == (None, None, None, None):
            return _NO_DELAY
        return RetryPolicy(
            *(default if value is None else value for value, default in zip(said, _NO_DELAY, strict=True))
        )

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


def _checked_number(key: str, value: object, least: float, most: float = math.inf) -> float | None:
    if value is None:
        return None
    if isinstance(value, datetime.timedelta):
        value = value.total_seconds()
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most or math.isinf(value):
        limits = f"at least {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
        raise ValueError(f"{key} must be a number of {limits}, not {value!r}")
    return float(value)


def checked_timeout(value: object) -> float | None:
    """Seconds; raises ValueError."""
    return _checked_number("timeout", value, 0.001)


_NO_DELAY = RetryPolicy()

#: The public name.
options = WorkflowOptions

NOTHING_SAID = WorkflowOptions()
