"""A payload store in memory for tests of the DAG builder."""

from __future__ import annotations

from typing import Any

from wfstore.engine.dag.arguments import load
from wfstore.engine.dag.build import build
from wfstore.model.dag import DagSpec, TaskSpec
from wfstore.model.payload import INLINE_LIMIT_BYTES, PayloadRef
from wfstore.payloads import hash_of, loads


class MemoryStore:
    """What was put, and how often."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.calls: list[str] = []

    def put(self, data: bytes) -> PayloadRef:
        name = hash_of(data)
        self.calls.append(name)
        if len(data) <= INLINE_LIMIT_BYTES:
            return PayloadRef(name, len(data), data)
        self.files[name] = data
        return PayloadRef(name, len(data))

    def put_function(self, data: bytes) -> str:
        name = hash_of(data)
        self.calls.append(name)
        self.files[name] = data
        return name

    def get(self, ref: PayloadRef) -> bytes:
        return self.files[ref.hash] if ref.data is None else ref.data

    def build(self, dag: Any, *args: Any, **kwargs: Any) -> DagSpec:
        return build(dag, args, kwargs, self.put, self.put_function)

    def function(self, spec: TaskSpec) -> Any:
        return loads(self.files[spec.function_hash])

    def arguments(self, spec: TaskSpec, upstream: list[Any]) -> Any:
        """`upstream`: values; nested ones arrive as ("ref", value)."""
        given = [
            ("ref", value) if kind == "nested" else value for value, kind in zip(upstream, spec.kinds, strict=True)
        ]
        data = None if spec.args is None else self.get(spec.args)
        return load(data, given, [self.get(ref) for ref in spec.shared], lambda value: ("ref", value))

    def run(self, dag: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a graph in this process, from nothing but its spec and what was put."""
        spec = self.build(dag, *args, **kwargs)
        outputs: list[Any] = []
        for task in spec.tasks:
            positional, named = self.arguments(task, [outputs[i] for i in task.upstream])
            outputs.append(self.function(task)(*positional, **named))
        return outputs[spec.output]
