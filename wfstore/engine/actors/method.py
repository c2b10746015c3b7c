"""One method of a virtual actor, on a worker: make the object from its state, call, take the state again.

The state is what ``__getstate__`` returned; a class without one has its ``__dict__`` kept, as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from wfstore.engine.assignment import FILE
from wfstore.model.payload import PayloadRef
from wfstore.payloads import PayloadStore, dumps, loads

CONSTRUCTOR = "__init__"


def call_method(
    cls: type,
    call: tuple[str, tuple[int, Any] | None],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    store: PayloadStore,
) -> tuple[Any, PayloadRef]:
    """(what the method returned, the state after it). call: the method and where the state before it lies.

    Raises what the method raises, ValueError for a state that JSON cannot hold.
    """
    method, place = call
    if method == CONSTRUCTOR:
        instance = cls(*args, **kwargs)
        return None, store.put(dumps(get_state(instance)))
    if place is None:
        raise RuntimeError(f"{cls.__qualname__} has no state to call {method!r} on")
    instance = _restored(cls, place, store)
    result = getattr(instance, method)(*args, **kwargs)
    return result, store.put(dumps(get_state(instance)))


def call_readonly(
    cls: type,
    call: tuple[str, tuple[int, Any]],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    store: PayloadStore,
) -> Any:
    """As `call_method`; the state after it is not taken."""
    return getattr(_restored(cls, call[1], store), call[0])(*args, **kwargs)


def _restored(cls: type, place: tuple[int, Any], store: PayloadStore) -> Any:
    form, value = place
    return restore(cls, loads(store.get(value) if form == FILE else value))


def has_own_state(cls: type) -> bool:
    """The class says itself what its state is. Since Python 3.11 every object has some ``__getstate__``."""
    return getattr(cls, "__getstate__", None) is not getattr(object, "__getstate__", None)


def get_state(instance: Any) -> Any:
    """What is kept of an object. Raises ValueError naming the class when that is not JSON and it has no
    ``__getstate__``."""
    if has_own_state(type(instance)):
        return instance.__getstate__()
    try:
        return json.dumps(instance.__dict__)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The virtual actor contains fields that can't be converted to JSON ({error}). Please define "
            f"`__getstate__` and `__setstate__` of {type(instance).__qualname__} explicitly."
        ) from error


def restore(cls: type[Any], state: Any) -> Any:
    """An object of `cls` with that state, made without its constructor."""
    instance = object.__new__(cls)
    if has_own_state(cls):
        instance.__setstate__(state)
    else:
        instance.__dict__.update(json.loads(state))
    return instance
