"""One short line about any value, for people who look at a history.

It is made by the writer next to the value, so it must not raise, not take long, and not copy the value: containers are
cut before they are written, arrays and frames are told by type and shape, and what the value's own ``__repr__`` does
wrong ends in ``<Type>``.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import reprlib
import types
from collections.abc import Iterable
from typing import Any

_MAX_ITEMS = 6
_MAX_DEPTH = 3
_MAX_TEXT = 80
_MAX_INT_BITS = 256
#: Above this length nobody's ``__repr__`` is trusted to be quick.
_MAX_TRUSTED_LEN = 1000
#: Libraries whose values may be huge and know their shape.
_SHAPED = frozenset({"numpy", "pandas", "polars", "pyarrow", "torch", "jax", "jaxlib", "tensorflow", "scipy", "xarray"})


def short_repr(value: Any, limit: int = 120) -> str:
    """At most `limit` characters, printable, on one line. Never raises (but lets KeyboardInterrupt through)."""
    try:
        text = _SHORT.repr1(value, _MAX_DEPTH)
    except KeyboardInterrupt:
        raise
    except BaseException:  # user code may raise anything, SystemExit too: a description is not worth a task
        text = _bare(value)
    return _one_line(text, limit)


def _one_line(text: str, limit: int) -> str:
    cut = text[:limit] if len(text) <= limit else text[: max(limit - 3, 0)] + "..."
    line = "".join(char if char.isprintable() else " " for char in cut)
    return line.encode("utf-8", "replace").decode()[:limit]


def _bare(value: Any) -> str:
    return f"<{type.__dict__['__qualname__'].__get__(type(value))}>"


class _Short(reprlib.Repr):
    """reprlib sorts whole sets and dictionaries and writes bytes, big integers and subclasses in full; not so here."""

    def repr1(self, x: Any, level: int) -> str:
        if isinstance(x, int) and type(x).__repr__ is int.__repr__:
            return repr(x) if x.bit_length() <= _MAX_INT_BITS else f"<int of {x.bit_length()} bits>"
        if isinstance(x, str) and type(x).__repr__ is str.__repr__:
            return repr(x[:_MAX_TEXT]) + ("..." if len(x) > _MAX_TEXT else "")
        if isinstance(x, bytes | bytearray | memoryview):
            return self._bytes(x)
        if type(x).__module__.partition(".")[0] in _SHAPED:
            return _shaped(x)
        if isinstance(x, types.FunctionType | types.BuiltinFunctionType | types.MethodType | type):
            return f"<{type(x).__name__} {x.__module__}.{x.__qualname__}>"
        return self._container(x, level) or self._instance(x, level)

    def _container(self, x: Any, level: int) -> str:
        name = type(x).__name__
        own: Any = type(x).__repr__
        if isinstance(x, dict) and own in _CONTAINER_REPRS:
            pairs = (f"{self.repr1(k, level - 1)}: {self.repr1(v, level - 1)}" for k, v in dict.items(x))
            return _wrapped(name, dict, x, "{", self._cut(pairs, dict.__len__(x), level), "}")
        if isinstance(x, list) and own in _CONTAINER_REPRS:
            return _wrapped(name, list, x, "[", self._items(list.__iter__(x), list.__len__(x), level), "]")
        if isinstance(x, tuple) and (own in _CONTAINER_REPRS or hasattr(type(x), "_fields")):
            inner = self._items(tuple.__iter__(x), tuple.__len__(x), level)
            return _wrapped(name, tuple, x, "(", inner + ("," if tuple.__len__(x) == 1 else ""), ")")
        if isinstance(x, set | frozenset) and own in _CONTAINER_REPRS:
            kind: Any = set if isinstance(x, set) else frozenset
            return _wrapped(name, set, x, "{", self._items(kind.__iter__(x), kind.__len__(x), level), "}")
        return ""

    def _items(self, items: Iterable[Any], size: int, level: int) -> str:
        return self._cut((self.repr1(item, level - 1) for item in items), size, level)

    @staticmethod
    def _cut(parts: Iterable[str], size: int, level: int) -> str:
        if not size:
            return ""
        if level <= 0:
            return f"...{size} items"
        more = [f"...{size} items"] if size > _MAX_ITEMS else []
        return ", ".join([*itertools.islice(parts, _MAX_ITEMS), *more])

    @staticmethod
    def _bytes(x: bytes | bytearray | memoryview) -> str:
        size = x.nbytes if isinstance(x, memoryview) else len(x)
        if isinstance(x, memoryview):
            return f"<memoryview of {size} bytes>"
        return repr(x[: _MAX_TEXT // 2]) + (f"...{size} bytes" if size > _MAX_TEXT // 2 else "")

    def _instance(self, x: Any, level: int) -> str:
        kind: Any = type(x)
        if isinstance(x, BaseException) and kind.__repr__ is BaseException.__repr__:
            return f"{kind.__name__}({self._items(x.args, len(x.args), level)})"
        if isinstance(x, functools.partial):
            return f"<partial of {self.repr1(x.func, level - 1)}>"
        if isinstance(x, types.SimpleNamespace):
            return f"{kind.__name__}({self.repr1(vars(x), level)})"
        if dataclasses.is_dataclass(x) and _is_generated(kind.__repr__):
            return self._dataclass(x, level)
        if kind.__repr__ is object.__repr__:
            return _bare(x)
        if hasattr(kind, "__len__") and len(x) > _MAX_TRUSTED_LEN:
            return f"<{kind.__qualname__} of {len(x)} items>"
        return str.__str__(repr(x))

    def _dataclass(self, x: Any, level: int) -> str:
        fields = [field.name for field in dataclasses.fields(x) if field.repr]
        parts = (f"{name}={self.repr1(getattr(x, name, None), level - 1)}" for name in fields)
        return f"{type(x).__qualname__}({self._cut(parts, len(fields), level)})"


_CONTAINER_REPRS: frozenset[Any] = frozenset(
    kind.__repr__
    for kind in (
        dict, collections.OrderedDict, collections.defaultdict, collections.Counter, list, tuple, set, frozenset
    )
)  # fmt: skip
_SHORT = _Short()


def _is_generated(method: Any) -> bool:
    code = getattr(getattr(method, "__wrapped__", None), "__code__", None)
    return code is not None and code.co_filename == "<string>"


def _wrapped(name: str, plain: type, x: Any, opening: str, inner: str, closing: str) -> str:
    if type(x) is plain:
        return "set()" if plain is set and not inner else f"{opening}{inner}{closing}"
    if hasattr(type(x), "_fields"):
        return f"{name}({inner.rstrip(',')})"
    return f"{name}({opening}{inner}{closing})" if inner else f"{name}()"


def _shaped(x: Any) -> str:
    kind = type(x)
    shape = getattr(x, "shape", None)
    if not isinstance(shape, tuple):
        return f"<{kind.__qualname__} of {len(x)} items>" if hasattr(kind, "__len__") else str.__str__(repr(x))
    dtype = getattr(x, "dtype", None)
    if not shape and dtype is not None and not getattr(dtype, "hasobject", False):
        return f"{kind.__name__}({str(x)[:_MAX_TEXT]})"
    size = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
    return f"{kind.__name__}(shape=({size})" + (f", dtype={dtype})" if dtype is not None else ")")
