"""What a pickle says without being run: nothing that it names is imported or called.

Every class and function in it becomes a `Symbol` that remembers its name and what it would have been called with, so
that the shape of arguments, the name of a function or an exception, and plain values can be read from any pickle,
whoever made it. What does not fit this view (persistent ids, damage) gives `OPAQUE`.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from typing import Any

#: The module and name of what stands for the output of an upstream task, and for an ObjectRef, in old pickles.
UPSTREAM = ("ray.workflow.serialization_context", "_resolve_workflow_refs")
OBJECT_REF = ("ray.workflow.serialization", "_load_object_ref")
#: What stood before each positional argument; before a keyword argument stands its name.
POSITIONAL = b"__RAY_DUMMY__"
_MESSAGE_LIMIT = 2_000


class Symbol(type):
    """Something that the pickle names or would make by a call. It is a class, as only classes may be instantiated by
    an unpickler, and does nothing whatever is done to it.

    origin: (module, name) of a global, or the symbol that would be called; parts: the call's arguments, then whatever
    state would be set
    """

    origin: Any
    parts: list[Any]

    def __new__(mcs, origin: Any, *parts: Any) -> Symbol:
        made: Symbol = type.__new__(mcs, "symbol", (), {"__new__": Symbol.__call__})
        made.origin, made.parts = origin, list(parts)
        return made

    def __init__(cls, origin: Any, *parts: Any) -> None:
        """`type` itself would refuse these arguments."""

    def __call__(cls, *parts: Any, **named: Any) -> Symbol:
        if parts and isinstance(parts[0], Symbol):  # cloudpickle hands what it made to a function that fills it
            parts[0].parts.append(parts[1:])
        return Symbol(cls, *parts, *named.values())

    def __setstate__(cls, state: Any) -> None:
        cls.parts.append(state)

    def __setitem__(cls, key: Any, value: Any) -> None:
        cls.parts.append((key, value))

    def append(cls, item: Any) -> None:
        cls.parts.append(item)

    add = append


class _Opaque:
    """A pickle that cannot be read this way."""


OPAQUE = _Opaque()


class _Peeking(pickle.Unpickler):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self._symbols: dict[tuple[str, str], Symbol] = {}

    def find_class(self, module: str, name: str) -> Any:
        key = (module, name)
        if key not in self._symbols:
            self._symbols[key] = Symbol(key)
        return self._symbols[key]


def peek(data: bytes) -> Any:
    """The pickled value with symbols for all that is not plain data; `OPAQUE` when it cannot be read."""
    try:
        return _Peeking(data).load()
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception:  # a damaged or hostile pickle may make the unpickler raise anything
        return OPAQUE


def parts(value: Any) -> Iterator[Any]:
    """`value` and everything in it, each object once."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        if isinstance(item, Symbol):
            waiting += [item.origin, *item.parts]
        elif isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple | set | frozenset):
            waiting += item


def is_plain(value: Any) -> bool:
    """Only None, numbers, texts, bytes and containers of them."""
    return value is not OPAQUE and not any(isinstance(item, Symbol) for item in parts(value))


def called(value: Any) -> tuple[str, str] | None:
    """The global that `value` would be made by calling."""
    origin = value.origin if isinstance(value, Symbol) else None
    found = origin.origin if isinstance(origin, Symbol) else None
    return found if isinstance(found, tuple) else None


def function_name(root: Any) -> str | None:
    """module.qualname of a pickled function."""
    if not isinstance(root, Symbol):
        return None
    if isinstance(root.origin, tuple):
        return ".".join(root.origin)
    for item in parts(root.parts[1:]):
        if isinstance(item, dict) and isinstance(item.get("__qualname__"), str):
            module = item.get("__module__")
            return f"{module}.{item['__qualname__']}" if isinstance(module, str) else item["__qualname__"]
    return None


def exception_facts(root: Any) -> tuple[str | None, str | None]:
    """Name of the class and message of a pickled exception, as far as plain data say them."""
    if not isinstance(root, Symbol) or not isinstance(root.origin, Symbol):
        return None, None
    kind = root.origin
    name = kind.origin[1] if isinstance(kind.origin, tuple) else _made_class(kind)
    given = [item for item in root.parts if not isinstance(item, dict)]
    if not all(is_plain(item) for item in given):
        return name, None
    message = str(given[0]) if len(given) == 1 else str(tuple(given)) if given else ""
    return name, message[:_MESSAGE_LIMIT]


def _made_class(kind: Symbol) -> str | None:
    """A class of the driver's own script is pickled as the call that makes it again: (type, name, bases, ...)."""
    return kind.parts[1] if len(kind.parts) > 1 and isinstance(kind.parts[1], str) else None
