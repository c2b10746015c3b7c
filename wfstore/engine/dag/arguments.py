"""Arguments of a task: pickled with placeholders for what is known only later, and put together again on the worker.

As in Ray, a node or ObjectRef given as an argument arrives as its value, one inside a container as an ObjectRef. The
content of ObjectRefs is read once per graph and kept, for the objects themselves may die with their owner.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import ray

from wfstore.engine.dag import adapter
from wfstore.engine.dag.node import NODE_TYPES, key_of
from wfstore.engine.dag.scan import pickled
from wfstore.model.dag import ARGUMENT, NESTED
from wfstore.model.payload import INLINE_LIMIT_BYTES, PayloadRef
from wfstore.payloads import hash_of
from wfstore.payloads.pickling import PLAIN_TYPES, PROTOCOL
from wfstore.payloads.placeholders import Shared, SharedRef, Upstream, same


class Dumped(NamedTuple):
    """`args`: None when there are none. `upstream`: nodes in the order of their placeholders, with their `kinds`: once
    for each use as an argument, as Ray gives each its own copy, and once for all uses inside containers."""

    args: PayloadRef | None
    upstream: list[Any]
    kinds: list[str]
    shared: list[PayloadRef]


class _Snapshot(NamedTuple):
    """Content of an ObjectRef, `inside`: of the references in it; `bare`: it is itself nothing but a reference."""

    ref: PayloadRef
    inside: tuple[PayloadRef, ...] = ()
    bare: bool = False


class _NotWhole(Exception):
    """A value holds a node or a reference and cannot be pickled apart from its task."""


class ArgumentDumper:
    """Pickles the arguments of one graph's tasks. Large ones are pickled and kept once for all tasks."""

    def __init__(self, put: Callable[[bytes], PayloadRef], inputs: adapter.InputValues) -> None:
        self.put = put
        self.inputs = inputs
        self._large: dict[int, tuple[Any, PayloadRef]] = {}
        self._snapshots: dict[str, _Snapshot] = {}

    def dump(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], older: bool = False) -> Dumped:
        """older: as the older generation did, nodes inside containers become values, and each node one object.

        Raises what the values' own pickling raises, and what Ray raises for an ObjectRef that failed.
        """
        if not args and not kwargs:
            return Dumped(None, [], [], [])
        draft = _Draft(self, older)
        data = draft.pickle(args, kwargs)
        if len(data) > INLINE_LIMIT_BYTES and self._split(draft.unknown):
            draft = _Draft(self, older)
            data = draft.pickle(args, kwargs)
        return Dumped(self.put(data), draft.upstream, draft.kinds, draft.shared)

    def large(self, value: Any) -> PayloadRef | None:
        """Where the value is kept apart, if it is known to be large or says so itself."""
        if id(value) in self._large or _stated_bytes(value) > INLINE_LIMIT_BYTES:
            return self._keep_apart(value)
        return None

    def _split(self, values: list[Any]) -> bool:
        return sum(self._keep_apart(value) is not None for value in values) > 0

    def _keep_apart(self, value: Any) -> PayloadRef | None:
        known = self._large.get(id(value))
        if known is not None:
            return known[1]
        try:
            data = pickled(value, _refuse)
        except _NotWhole:
            return None
        if len(data) <= INLINE_LIMIT_BYTES:
            return None
        ref = self.put(data)
        self._large[id(value)] = (value, ref)  # with the value, so that no other object gets its id meanwhile
        return ref

    def snapshot(self, reference: Any) -> _Snapshot:
        """The content of an ObjectRef, and the content of those inside it."""
        key: str = reference.hex()
        known = self._snapshots.get(key)
        if known is not None:
            return known
        inside: dict[str, PayloadRef] = {}

        def replace(obj: Any) -> tuple[Any, ...] | None:
            if not is_reference(obj):
                return None
            inner = self.snapshot(obj)
            _check_nestable(inner)
            inside.update((ref.hash, ref) for ref in (inner.ref, *inner.inside))
            return SharedRef, (inner.ref.hash,)

        content = ray.get(reference)
        ref = self.put(pickled(content, replace))
        snapshot = self._snapshots[key] = _Snapshot(ref, tuple(inside.values()), is_reference(content))
        return snapshot


class _Draft:
    """The arguments of one task on their way into bytes. `unknown`: those whose size shows only in the pickle."""

    def __init__(self, dumper: ArgumentDumper, older: bool) -> None:
        self._dumper = dumper
        self._older = older
        self.upstream: list[Any] = []
        self.kinds: list[str] = []
        self.shared: list[PayloadRef] = []
        self.unknown: list[Any] = []
        self._nested: dict[str, int] = {}
        self._positions: dict[str, int] = {}

    def pickle(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
        outer = tuple(map(self._outer, args)), {key: self._outer(value) for key, value in kwargs.items()}
        return pickled(outer, self._inner) if self.unknown else pickle.dumps(outer, PROTOCOL)

    def _outer(self, value: Any) -> Any:
        if type(value) in PLAIN_TYPES and _stated_bytes(value) <= INLINE_LIMIT_BYTES:
            return value
        if isinstance(value, NODE_TYPES):
            return Upstream(self._once(value, ARGUMENT) if self._older else self._append(value, ARGUMENT))
        if is_reference(value):
            return Shared(self._share(self._dumper.snapshot(value)))
        kept = self._dumper.large(value)
        if kept is not None:
            return Shared(self._share(_Snapshot(kept)))
        self.unknown.append(value)
        return value

    def _inner(self, obj: Any) -> tuple[Any, ...] | None:
        if isinstance(obj, NODE_TYPES):
            if adapter.is_input(obj):
                return same, (self._dumper.inputs.of(obj),)
            return Upstream, (self._once(obj, ARGUMENT if self._older else NESTED),)
        if is_reference(obj):
            snapshot = self._dumper.snapshot(obj)
            _check_nestable(snapshot)
            return SharedRef, (self._share(snapshot),)
        return None

    def _once(self, node: Any, kind: str) -> int:
        position = self._nested.get(key_of(node))
        if position is None:
            position = self._nested[key_of(node)] = self._append(node, kind)
        return position

    def _append(self, node: Any, kind: str) -> int:
        self.upstream.append(node)
        self.kinds.append(kind)
        return len(self.upstream) - 1

    def _share(self, snapshot: _Snapshot) -> int:
        for ref in (snapshot.ref, *snapshot.inside):
            if ref.hash not in self._positions:
                self._positions[ref.hash] = len(self.shared)
                self.shared.append(ref)
        return self._positions[snapshot.ref.hash]


def _check_nestable(snapshot: _Snapshot) -> None:
    if snapshot.bare:  # Ray has no way to make such an object again
        raise NotImplementedError("Workflow does not support checkpointing nested object references yet.")


def is_reference(value: Any) -> bool:
    """An ObjectRef."""
    return isinstance(value, ray.ObjectRef)


def _stated_bytes(value: Any) -> int:
    """Size of what says it without being pickled; else 0."""
    if isinstance(value, str | bytes | bytearray):
        return len(value)
    stated = value.nbytes if hasattr(type(value), "nbytes") else 0
    return stated if isinstance(stated, int) else 0


def _refuse(obj: Any) -> None:
    if isinstance(obj, NODE_TYPES) or is_reference(obj):
        raise _NotWhole


def load(
    data: bytes | None,
    upstream: Sequence[Any],
    shared: Sequence[bytes] = (),
    make_ref: Callable[[Any], Any] = ray.put,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """(args, kwargs) for the function.

    data: of `TaskSpec.args`; upstream: for each of `TaskSpec.upstream` its value, or the ObjectRef where the kind is
    nested; shared: the bytes of each of `TaskSpec.shared`; make_ref: makes an ObjectRef of a value.
    """
    if data is None:
        return (), {}
    args, kwargs = _Context(upstream, shared, make_ref).read(data)
    return args, kwargs


class _Context:
    """What the placeholders of one task stand for."""

    def __init__(self, upstream: Sequence[Any], shared: Sequence[bytes], make_ref: Callable[[Any], Any]) -> None:
        self._shared = shared
        self._make_ref = make_ref
        self._refs: dict[int, Any] = {}
        self._by_hash: dict[str, int] | None = None
        self.real: dict[str, Callable[..., Any]] = {
            "Upstream": upstream.__getitem__,
            "Shared": self._value,
            "SharedRef": self._ref,
            "same": same,
        }

    def read(self, data: bytes) -> Any:
        return _Loader(io.BytesIO(data), self.real).load()

    def _value(self, position: int) -> Any:
        return self.read(self._shared[position])

    def _ref(self, key: int | str) -> Any:
        position = self._position(key) if isinstance(key, str) else key
        if position not in self._refs:
            self._refs[position] = self._make_ref(self._value(position))
        return self._refs[position]

    def _position(self, hash: str) -> int:
        # Only for references inside shared payloads: hashing those again is dear, and rarely needed.
        if self._by_hash is None:
            self._by_hash = {hash_of(data): position for position, data in enumerate(self._shared)}
        return self._by_hash[hash]


class _Loader(pickle.Unpickler):
    """Puts the real things in the place of the placeholders."""

    def __init__(self, file: Any, real: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__(file)
        self._real = real

    def find_class(self, module: str, name: str) -> Any:
        return self._real[name] if module == Upstream.__module__ else super().find_class(module, name)
