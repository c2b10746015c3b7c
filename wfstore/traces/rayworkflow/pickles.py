"""Opening what ray.workflow pickled, with stand-ins for what it names of the removed library.

An old pickle that names nothing of it is kept byte for byte. The others are wrapped: `Wrapped` and `Arguments` pickle
into a call of `reopen` or `arguments` over the old bytes, so that whoever loads a value (a worker, `Store.output`)
opens it then and there, where the user's modules are. The names of these two functions are part of the stored format:
they may move only if their old names keep working.

It runs user code, as unpickling does, and imports Ray only where the pickle itself names it.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import pickle
import re
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NoReturn

from wfstore.traces.rayworkflow.peek import OBJECT_REF, POSITIONAL, UPSTREAM

_OLD, _NEW = "ray.workflow", "wfstore.workflow"
_RAYS_COPY = "ray.cloudpickle"
_OPTIONS = "workflow.io/options"
#: What only a pickle that needs a stand-in can contain.
_REMOVED = (b"ray.workflow", b"ray.remote_function")
_OBJECT_KEY = re.compile(rb"objects/([A-Za-z0-9_\-]{43}=)")
#: Ray's own name for what an ObjectRef's content was stored under begins with this.
_OBJECTS = "objects/"


def names_removed(data: bytes) -> bool:
    """It may name something that newest Ray does not have (any more)."""
    return any(name in data for name in _REMOVED)


def object_keys(data: bytes) -> list[str]:
    """Hashes of the ObjectRefs' contents that a pickle may name."""
    return list(dict.fromkeys(key.decode() for key in _OBJECT_KEY.findall(data)))


class Wrapped:
    """Pickles into what an old pickle holds. objects: content of the ObjectRefs it names, by hash."""

    def __init__(self, data: bytes, objects: Mapping[str, Any]) -> None:
        self.data = data
        self.objects = dict(objects)

    def __reduce__(self) -> tuple[Any, ...]:
        return reopen, (self.data, self.objects)


class Arguments:
    """Pickles into (args, kwargs). values, refs: what stands in the place of an upstream task (by position) or of an
    ObjectRef (by hash) where it is an argument of its own, and where it lies inside another."""

    def __init__(self, data: bytes, values: Mapping[int | str, Any], refs: Mapping[int | str, Any]) -> None:
        self.data = data
        self.values = dict(values)
        self.refs = dict(refs)

    def __reduce__(self) -> tuple[Any, ...]:
        return arguments, (self.data, self.values, self.refs)


class Missing:
    """Pickles into an error: for what the old store does not hold."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return _raise_missing, (self.reason,)


def _raise_missing(reason: str) -> NoReturn:
    raise LookupError(reason)


def reopen(data: bytes, objects: Mapping[str, Any]) -> Any:
    """The value of an old pickle. What was an ObjectRef is one again in a process that is connected to Ray, elsewhere
    it is its content."""
    return _Opening(data, {key: _reference(value) for key, value in objects.items()}).load()


def arguments(data: bytes, values: Mapping[int | str, Any], refs: Mapping[int | str, Any]) -> tuple[Any, Any]:
    """(args, kwargs) of an old pickle of arguments. Raises ValueError when it holds something else."""
    opening = _Opening(data, {**{key: _Argument(key) for key in values}, **refs})
    flat = opening.load()
    if not isinstance(flat, list) or len(flat) % 2:
        raise ValueError(f"these are not arguments that ray.workflow kept: {type(flat).__name__}")
    given = list(zip(flat[::2], (opening.own_value(item, values) for item in flat[1::2]), strict=True))
    args = tuple(value for name, value in given if name == POSITIONAL)
    return args, {name: value for name, value in given if name != POSITIONAL}


class _Argument:
    """What is only ever an argument of its own: no ObjectRef is made for it."""

    def __init__(self, key: int | str) -> None:
        self.key = key


def _reference(value: Any) -> Any:
    ray = sys.modules.get("ray")
    return ray.put(value) if ray is not None and ray.is_initialized() else value


class _Opening(pickle.Unpickler):
    """Finds stand-ins for the removed library. known: what stands for an upstream task or an ObjectRef."""

    def __init__(self, data: bytes, known: Mapping[Any, Any]) -> None:
        super().__init__(io.BytesIO(data))
        self._known = known
        self._keys: dict[int, Any] = {id(value): key for key, value in known.items()}

    def find_class(self, module: str, name: str) -> Any:
        stand_in = self._stand_in(module, name)
        if stand_in is not None:
            return stand_in
        if module.startswith(_RAYS_COPY) and _RAYS_COPY not in sys.modules:
            module = module.removeprefix("ray.")
        return super().find_class(module, name)

    def own_value(self, item: Any, values: Mapping[int | str, Any]) -> Any:
        """An argument of its own: the value where an upstream task or ObjectRef stands."""
        key = self._keys.get(id(item))
        return item if key is None else values.get(key, item)

    def _stand_in(self, module: str, name: str) -> Any:
        if (module, name) == UPSTREAM:
            return self._known.__getitem__
        if (module, name) == OBJECT_REF:
            return self._object
        if (module, name) == ("ray.remote_function", "RemoteFunction"):
            return _remote_function()
        if name == "subimport" and module.startswith((_RAYS_COPY, "cloudpickle")):
            return _import
        if module == _OLD or module.startswith(f"{_OLD}."):
            return _now(module, name)
        return None

    def _object(self, key: str, workflow_id: str) -> Any:
        return self._known[key.removeprefix(_OBJECTS)]


def _import(name: str) -> Any:
    """A module that a function refers to."""
    if name == _OLD or name.startswith(f"{_OLD}."):
        name = name.replace(_OLD, _NEW, 1)
    return importlib.import_module(name)


def _now(module: str, name: str) -> Any:
    """What ray.workflow offered, under the same name in wfstore.workflow. Raises AttributeError naming it."""
    if name == "asyncio_run":
        return _run
    for home in (module.replace(_OLD, _NEW, 1), _NEW):
        try:
            return getattr(importlib.import_module(home), name)
        except (ModuleNotFoundError, AttributeError):
            continue
    raise AttributeError(f"it names {module}.{name}, which wfstore.workflow does not have")


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def _remote_function() -> type:
    """A class whose unpickled instances turn into remote functions of the Ray that is here, whatever Ray's own were
    made of when they were pickled."""
    ray: Any = importlib.import_module("ray")
    real: type = importlib.import_module("ray.remote_function").RemoteFunction

    def set_state(self: Any, state: dict[str, Any]) -> None:
        fresh = _made_remote(ray.remote, state)
        # In place, for the function's own globals may hold this very object (recursion).
        self.__class__ = real
        self.__dict__.update(fresh.__dict__)

    return type("RemoteFunction", (real,), {"__setstate__": set_state})


def _made_remote(remote: Callable[..., Any], state: Mapping[str, Any]) -> Any:
    options = {key: value for key, value in state["_default_options"].items() if value is not None}
    ours = (options.pop("_metadata", None) or {}).get(_OPTIONS)
    made = remote(**options)(state["_function"]) if options else remote(state["_function"])
    if ours:
        made = importlib.import_module(_NEW).options(**ours)(made)
    return made
