"""What lies inside arguments: pickling without keeping the bytes, as that is the only way to see into any object."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ray.cloudpickle import CloudPickler

from wfstore.engine.dag import adapter
from wfstore.engine.dag.node import NODE_TYPES
from wfstore.payloads.pickling import PLAIN_TYPES, PROTOCOL, serialization_error
from wfstore.payloads.placeholders import same

Replace = Callable[[Any], tuple[Any, ...] | None]


class _ReplacingPickler(CloudPickler):
    """Ray's pickler; where `replace(object)` returns a reduction, that is written instead of the object.

    By an override of the reducer and not by persistent ids: those call back for every number and string, this one only
    for what pickle does not know by heart.
    """

    def __init__(self, file: Any, replace: Replace, **options: Any) -> None:
        super().__init__(file, protocol=PROTOCOL, **options)  # type: ignore[no-untyped-call]
        self._replace = replace

    def reducer_override(self, obj: Any) -> Any:
        reduced = self._replace(obj)
        return super().reducer_override(obj) if reduced is None else reduced  # type: ignore[no-untyped-call]


def pickled(value: Any, replace: Replace) -> bytes:
    """The bytes. Raises what the value's own pickling and `replace` raise."""
    file = io.BytesIO()
    _ReplacingPickler(file, replace).dump(value)  # type: ignore[no-untyped-call]
    return file.getvalue()


class _Nowhere:
    def write(self, data: Any) -> int:
        return len(data)


def _skip_buffer(_: pickle.PickleBuffer) -> None:
    """Returning nothing keeps arrays out of the pickle."""


class Scanner:
    """Finds the nodes in the arguments of one graph; each object is looked into once."""

    def __init__(self, is_atom: Callable[[Any], bool], inputs: adapter.InputValues) -> None:
        """`is_atom`: what has no inside, an ObjectRef say; `inputs`: what to look into where an input is bound."""
        self._is_atom = is_atom
        self._inputs = inputs
        self._seen: dict[int, tuple[Any, tuple[Any, ...]]] = {}

    def nodes(self, what: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
        """In argument order. Raises SerializationError naming the argument of `what`."""
        found: list[Any] = []
        for label, value in labelled(args, kwargs):
            if type(value) in PLAIN_TYPES:
                continue
            if isinstance(value, NODE_TYPES):
                found.append(value)
                continue
            try:
                found.extend(self.inside(value))
            except (Exception, SystemExit) as error:
                raise serialization_error(value, error, f"Argument {label!r} of {what}") from error
        return found

    def inside(self, value: Any) -> tuple[Any, ...]:
        """Nodes inside one value."""
        known = self._seen.get(id(value))
        if known is None:
            known = self._seen[id(value)] = (value, self._look(value))
        return known[1]

    def _look(self, value: Any) -> tuple[Any, ...]:
        found: list[Any] = []

        def replace(obj: Any) -> tuple[Any, ...] | None:
            if isinstance(obj, NODE_TYPES):
                if adapter.is_input(obj):
                    return same, (self._inputs.of(obj),)
                found.append(obj)
            elif not self._is_atom(obj):
                return None
            return same, (None,)

        pickler = _ReplacingPickler(_Nowhere(), replace, buffer_callback=_skip_buffer)
        pickler.dump(value)  # type: ignore[no-untyped-call]
        return tuple(found)


def labelled(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """(position from 0 or keyword, value)."""
    yield from enumerate(args)
    yield from kwargs.items()
