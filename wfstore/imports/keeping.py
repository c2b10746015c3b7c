"""The pickles of an old workflow on their way into the store: byte for byte where they name nothing of the removed
library, else wrapped so that whoever loads them gets stand-ins. None is opened here."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from wfstore.model.dag import ARGUMENT, NESTED
from wfstore.model.payload import INLINE_LIMIT_BYTES, PayloadRef
from wfstore.payloads import PayloadStore, Shared, SharedRef, Upstream, hash_of, short_repr
from wfstore.traces.rayworkflow import Blob
from wfstore.traces.rayworkflow.peek import (
    OBJECT_REF,
    OPAQUE,
    POSITIONAL,
    UPSTREAM,
    called,
    exception_facts,
    function_name,
    is_plain,
    parts,
    peek,
)
from wfstore.traces.rayworkflow.pickles import Arguments, Missing, Wrapped, names_removed, object_keys

_PROTOCOL = 5
#: A larger output is not looked into for a short description of it.
_SHOWN_BYTES = 64 * 1024
#: One workflow is one commit, which must not grow beyond what memory and the log take easily.
_INLINE_PER_WORKFLOW_BYTES = 8 << 20
_LOST_BODY = "ray.workflow kept no function of this task: it cannot run again"
_LOST_ARGUMENTS = "ray.workflow kept no arguments of this task: it cannot run again"


class Failure(NamedTuple):
    """An exception. error: the pickled (None, exception); type_name, message: as far as the pickle tells them."""

    error: PayloadRef
    type_name: str
    message: str | None


class Encoded(NamedTuple):
    """A task's code and arguments in the form of `TaskSpec`. function: module.qualname, None when the pickle does not
    tell; lost: why the task can never run again."""

    function: str | None
    function_hash: str
    args: PayloadRef | None
    upstream: tuple[str, ...]
    kinds: tuple[str, ...]
    shared: tuple[PayloadRef, ...]
    lost: str | None = None


class _Given(NamedTuple):
    """A task's arguments in the form of `TaskSpec`."""

    args: PayloadRef | None
    upstream: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    shared: tuple[PayloadRef, ...] = ()


class _Uses(NamedTuple):
    """Where arguments refer to upstream tasks (by position) and ObjectRefs (by hash): as one of their own, and
    inside another."""

    own: set[int | str]
    nested: set[int | str]


class Keeper:
    """Keeps pickles in a store; `payloads` None: computes what it would keep and writes nothing.

    read: content of a blob by its path
    """

    def __init__(self, payloads: PayloadStore | None, read: Callable[[str], bytes]) -> None:
        self._payloads = payloads
        self._read = read
        self._inline_left = _INLINE_PER_WORKFLOW_BYTES
        self._objects: Mapping[str, Blob] = {}
        self._functions: dict[str, tuple[str | None, str]] = {}
        self._files: set[str] = set()
        self._bodies: dict[str, bytes] = {}

    def next_workflow(self, objects: Mapping[str, Blob]) -> None:
        """What follows belongs to another workflow. objects: content of its ObjectRefs by hash."""
        self._inline_left = _INLINE_PER_WORKFLOW_BYTES
        self._objects = objects

    def value(self, blob: Blob) -> tuple[PayloadRef, str | None]:
        """An output, and a short description of it where it is plain data."""
        data = self._bytes(blob)
        shown = peek(data) if len(data) <= _SHOWN_BYTES else OPAQUE
        return self._put(self._loadable(data)), short_repr(shown) if is_plain(shown) else None

    def failure(self, blob: Blob) -> Failure:
        """An exception that a task raised."""
        data = self._bytes(blob)
        name, message = exception_facts(peek(data))
        return Failure(self._put(_dumps((None, self._wrapped(data)))), name or "Exception", message)

    def task(self, body: Blob | None, args: Blob | None, upstream: tuple[str, ...]) -> Encoded:
        """A task's code and arguments."""
        if body is None:
            return Encoded(None, self._missing(_LOST_BODY), None, upstream, (ARGUMENT,) * len(upstream), (), _LOST_BODY)
        function, function_hash = self._function(self._bytes(body))
        arguments = None if args is None else self._arguments(self._bytes(args), upstream)
        if arguments is None:
            kinds = (ARGUMENT,) * len(upstream)
            lost = self._missing(_LOST_ARGUMENTS)
            return Encoded(function, lost, None, upstream, kinds, (), _LOST_ARGUMENTS)
        return Encoded(function, function_hash, *arguments)

    def kept(self, ref: PayloadRef) -> bytes | None:
        """The pickle behind a reference that this object gave out; None in a dry run when it is a large one."""
        data = self._bodies.get(ref.hash) if ref.data is None else ref.data
        return self._payloads.get(ref.hash) if data is None and self._payloads is not None else data

    def _arguments(self, data: bytes, upstream: tuple[str, ...]) -> _Given | None:
        """None when they are not whole."""
        root = peek(data)
        if is_plain(root):
            flat = _plain_arguments(root)
            return None if flat is None else _Given(self._put(_dumps(flat)) if any(flat) else None)
        uses = _all_uses(data, len(upstream), self._objects) if root is OPAQUE else _uses(root)
        values: dict[int | str, Any] = {}
        refs: dict[int | str, Any] = {}
        places: list[tuple[str, str]] = []
        shared: list[PayloadRef] = []
        for key in sorted(uses.own | uses.nested, key=_order):
            own: Any
            nested: Any
            if isinstance(key, str):
                if key not in self._objects:
                    return None
                own, nested = Shared(len(shared)), SharedRef(len(shared))
                shared.append(self._put(self._loadable(self._bytes(self._objects[key]))))
            elif key < len(upstream):
                own, nested = Upstream(len(places)), Upstream(len(places) + (key in uses.own))
                kinds = (ARGUMENT,) * (key in uses.own) + (NESTED,) * (key in uses.nested)
                places += [(upstream[key], kind) for kind in kinds]
            else:
                return None
            values.update({key: own} if key in uses.own else {})
            refs.update({key: nested} if key in uses.nested else {})
        ref = self._put(_dumps(Arguments(data, values, refs)))
        return _Given(ref, tuple(task_id for task_id, _ in places), tuple(kind for _, kind in places), tuple(shared))

    def _function(self, data: bytes) -> tuple[str | None, str]:
        key = hash_of(data)
        if key not in self._functions:
            loadable = self._loadable(data)
            self._functions[key] = function_name(peek(data)), self._file(loadable)
            self._bodies[self._functions[key][1]] = loadable
        return self._functions[key]

    def _missing(self, reason: str) -> str:
        return self._file(_dumps(Missing(reason)))

    def _loadable(self, data: bytes) -> bytes:
        return _dumps(self._wrapped(data)) if names_removed(data) else data

    def _wrapped(self, data: bytes) -> Wrapped:
        keys = object_keys(data) if names_removed(data) else []
        known = {key: self._objects[key] for key in keys if key in self._objects}
        return Wrapped(data, {key: self._wrapped(self._bytes(blob)) for key, blob in known.items()})

    def _bytes(self, blob: Blob) -> bytes:
        return self._read(blob.path) if blob.data is None else blob.data

    def _put(self, data: bytes) -> PayloadRef:
        if len(data) <= min(INLINE_LIMIT_BYTES, self._inline_left):
            self._inline_left -= len(data)
            return PayloadRef(hash_of(data), len(data), data)
        return PayloadRef(self._file(data), len(data))

    def _file(self, data: bytes) -> str:
        key = hash_of(data)
        if key not in self._files:
            if self._payloads is not None:
                self._payloads.put_file(data)
            self._files.add(key)
        return key


def _dumps(value: Any) -> bytes:
    return pickle.dumps(value, _PROTOCOL)


def _plain_arguments(flat: Any) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """(args, kwargs); None for what are none."""
    if not isinstance(flat, list) or len(flat) % 2:
        return None
    pairs = list(zip(flat[::2], flat[1::2], strict=True))
    args = tuple(value for name, value in pairs if name == POSITIONAL)
    return args, {name: value for name, value in pairs if name != POSITIONAL}


def _uses(root: Any) -> _Uses:
    own: set[int | str] = set()
    nested: set[int | str] = set()
    for item in root[1::2] if isinstance(root, list) else ():
        key = _key(item)
        if key is not None:
            own.add(key)
            continue
        nested.update(key for part in parts(item) if (key := _key(part)) is not None)
    return _Uses(own, nested)


def _key(item: Any) -> int | str | None:
    origin = called(item)
    if origin == UPSTREAM and isinstance(item.parts[0], int):
        return int(item.parts[0])
    return str(item.parts[0]).rpartition("/")[2] if origin == OBJECT_REF else None


def _order(key: int | str) -> tuple[bool, int | str]:
    return isinstance(key, str), key


def _all_uses(data: bytes, upstream: int, objects: Mapping[str, Blob]) -> _Uses:
    """Everything both ways, for arguments whose shape cannot be seen."""
    keys: set[int | str] = {*range(upstream), *(key for key in object_keys(data) if key in objects)}
    return _Uses(keys, set(keys))
