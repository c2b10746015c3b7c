"""Function bodies: their pickle, made once per function object, and the names people see."""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import re
import textwrap
import types
import unicodedata
import weakref
from collections.abc import Callable
from typing import Any

from wfstore.engine.dag import adapter
from wfstore.payloads import SerializationError, dumps

_ODD = re.compile(r"[^\w.\-]")
_bodies: weakref.WeakKeyDictionary[Any, bytes] = weakref.WeakKeyDictionary()
_codes: weakref.WeakKeyDictionary[Any, str | None] = weakref.WeakKeyDictionary()


def dump_function(function: Callable[..., Any]) -> bytes:
    """The pickled body. As in Ray, what a function refers to is taken along at its first use and not looked at again.

    Raises SerializationError naming the function.
    """
    plain = function if isinstance(function, types.FunctionType | type) else None
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


def code_hash(function: Callable[..., Any]) -> str | None:
    """16 hexadecimal digits of what the function does: of its source as Python reads it, without decorators,
    docstrings, comments and layout; where there is no source, of its byte code. None for what has neither.

    What it calls, closes over and gets as arguments does not count.
    """
    if not isinstance(function, types.FunctionType | type):
        return None
    if function not in _codes:
        text = _source(function) or (
            _byte_code(function.__code__) if isinstance(function, types.FunctionType) else None
        )
        digest = None if text is None else hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8)
        _codes[function] = None if digest is None else digest.hexdigest()
    return _codes[function]


def _source(function: types.FunctionType | type) -> str | None:
    """None where the source is not to be had, or holds more than the one definition, as that of a lambda does."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    found = tree.body[0] if len(tree.body) == 1 else None
    if not isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return None
    found.decorator_list = []
    for node in ast.walk(found):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            documented = ast.get_docstring(node, clean=False) is not None
            node.body = (node.body[1:] if documented else node.body) or [ast.Pass()]
    return ast.unparse(found)


def _byte_code(code: types.CodeType) -> str:
    held = [_byte_code(value) if isinstance(value, types.CodeType) else repr(value) for value in code.co_consts]
    return repr((code.co_code, held, code.co_names, code.co_varnames, code.co_freevars))


def find_function(name: str) -> Callable[..., Any]:
    """The function that has this `full_name` in this process now; its module is imported if need be.

    Raises ValueError for one that cannot be found by its name.
    """
    parts = name.split(".")
    if "<locals>" in parts:
        raise ValueError(f"function {name} was defined inside another function: its current code cannot be found")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part, None)
        function: Callable[..., Any] | None = adapter.body(found)
        if function is not None and callable(function):
            return function
    raise ValueError(f"function {name} is not to be found any more: its current code cannot be run")


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
