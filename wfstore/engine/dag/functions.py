"""Function bodies: their pickle, made once per function object, and the names people see."""

from __future__ import annotations

import re
import types
import unicodedata
import weakref
from collections.abc import Callable
from typing import Any

from wfstore.payloads import SerializationError, dumps

_ODD = re.compile(r"[^\w.\-]")
_bodies: weakref.WeakKeyDictionary[types.FunctionType, bytes] = weakref.WeakKeyDictionary()


def dump_function(function: Callable[..., Any]) -> bytes:
    """The pickled body. As in Ray, what a function refers to is taken along at its first use and not looked at again.

    Raises SerializationError naming the function.
    """
    plain = function if isinstance(function, types.FunctionType) else None
    data = None if plain is None else _bodies.get(plain)
    if data is None:
        try:
            data = dumps(function)
        except SerializationError as error:
            cause = error.__cause__
            raise SerializationError(
                error.type_name,
                f"Task function {full_name(function)} cannot be pickled: {type(cause).__name__}: {cause}. It refers to "
                "something that cannot travel; make that inside the function, or pass it as an argument.",
            ) from cause
        if plain is not None:
            _bodies[plain] = data
    return data


def full_name(function: Callable[..., Any]) -> str:
    """module.qualname, for people."""
    return f"{_module(function)}.{_qualname(function)}"


def default_name(function: Callable[..., Any]) -> str:
    """Task name of a function nobody named: module.qualname without brackets, as ray.workflow built it."""
    return f"{_module(function)}.{_ODD.sub('', unicodedata.normalize('NFKC', _qualname(function)))}"


def _module(function: Callable[..., Any]) -> str:
    return getattr(function, "__module__", None) or "__anonymous_module__"


def _qualname(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", None) or "__anonymous_func__"
