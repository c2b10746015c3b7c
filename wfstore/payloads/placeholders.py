"""What stands in pickled arguments for something that is known only when the task runs.

A reader without Ray gets these objects as they are; the engine puts the real things in their place while it unpickles.
The classes' names are part of the stored format: they may move only if their old names keep working.
"""

from __future__ import annotations

from typing import Any


class _Placeholder:
    """Equal and hashable by its class and key."""

    __slots__ = ("key",)

    def __init__(self, key: Any) -> None:
        self.key = key

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.key,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Placeholder) and type(other) is type(self) and bool(other.key == self.key)

    def __hash__(self) -> int:
        return hash((type(self), self.key))


class Upstream(_Placeholder):
    """The output of an upstream task: position in `TaskSpec.upstream`."""

    __slots__ = ()


class Shared(_Placeholder):
    """The value of a shared payload: position in `TaskSpec.shared`."""

    __slots__ = ()


class SharedRef(_Placeholder):
    """An ObjectRef to the value of a shared payload: position in `TaskSpec.shared`, or the payload's hash where the
    reference lies inside another shared payload, which knows no positions."""

    __slots__ = ()


def same(value: Any) -> Any:
    """The value itself: how a DAG input bound inside a container is written."""
    return value
