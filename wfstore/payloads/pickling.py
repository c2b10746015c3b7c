"""Values to bytes and back.

In a process that has Ray loaded, values are pickled by Ray's own copy of cloudpickle and not by the package of that
name: each copy keeps its own table of classes that were pickled by value, and only one table makes a class of the
user's script the same class in function bodies, in stored values and in values that travel through Ray's object store
(docs/decisions/0003). `loads` reads either without Ray.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
from typing import Any

import cloudpickle

from wfstore.errors import WfstoreError

PROTOCOL = 5
#: Exact types whose plain pickle is the right one, whatever they hold.
PLAIN_TYPES = frozenset({type(None), bool, int, float, complex, str, bytes})

_RAYS_COPY = "ray.cloudpickle"


class SerializationError(WfstoreError, TypeError):
    """A value cannot be pickled. ``type_name`` is its type; the message says why, and what to do."""

    def __init__(self, type_name: str, message: str) -> None:
        self.type_name = type_name
        self.message = message
        super().__init__(type_name, message)

    def __str__(self) -> str:
        return self.message


def type_name(value: Any) -> str:
    """module.qualname of the value's type, without "builtins."."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def serialization_error(value: Any, cause: BaseException, what: str = "A value") -> SerializationError:
    """`what` names the place for the reader, e.g. "Argument 'x' of f"."""
    name = type_name(value)
    return SerializationError(
        name,
        f"{what} (of type {name}) cannot be pickled: {type(cause).__name__}: {cause}. "
        "Pass the plain data it is made from, and make it inside the task that uses it.",
    )


def dumps(value: Any) -> bytes:
    """The pickled value. Raises `SerializationError`, also when the value's own pickling code raises or exits."""
    if type(value) in PLAIN_TYPES:
        return pickle.dumps(value, PROTOCOL)
    pickler = sys.modules.get(_RAYS_COPY) or cloudpickle
    try:
        data: bytes = pickler.dumps(value, protocol=PROTOCOL)
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:
        raise serialization_error(value, error) from error
    return data


def loads(data: bytes) -> Any:
    """The value. Runs whatever code the pickle names: only for a value somebody asked for."""
    if _RAYS_COPY in sys.modules:
        return pickle.loads(data)
    return _WithoutRay(io.BytesIO(data)).load()


class _WithoutRay(pickle.Unpickler):
    """Functions and classes pickled by value name Ray's copy of cloudpickle; the package of that name reads them."""

    def find_class(self, module: str, name: str) -> Any:
        if module == _RAYS_COPY or module.startswith(_RAYS_COPY + "."):
            module = module.removeprefix("ray.")
        return super().find_class(module, name)


def hash_of(data: bytes) -> str:
    """sha256, hex."""
    return hashlib.sha256(data).hexdigest()
