"""A user's graph into a `DagSpec`: what the manager is told, free of Ray and of user objects."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from wfstore.engine.dag import adapter
from wfstore.engine.dag.arguments import ArgumentDumper
from wfstore.engine.dag.functions import code_hash, default_name, dump_function, full_name
from wfstore.engine.dag.graph import Call, Graph
from wfstore.engine.dag.node import Special, key_of
from wfstore.engine.dag.options import CarriedName, WorkflowOptions
from wfstore.engine.dag.reference import WorkflowRef
from wfstore.model.dag import WAIT, WAITED, DagSpec, TaskOptions, TaskSpec
from wfstore.model.payload import PayloadRef
from wfstore.payloads import dumps

#: `max_calls` belongs to the process that runs the function, which here is the engine's own.
_NOT_RAYS = ("max_retries", "retry_exceptions", "num_returns", "max_calls")
_NO_METADATA: Mapping[str, Any] = {}


def build(
    dag: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    put: Callable[[bytes], PayloadRef],
    put_function: Callable[[bytes], str],
) -> DagSpec:
    """Tasks in post-order, innermost first; a node used several times is one task.

    args, kwargs: for the graph's InputNode. put keeps a pickled value, put_function a function body (and returns its
    hash); neither is called before the whole graph is checked.

    Raises TypeError (no graph, unsupported node, arguments that do not fit a function's signature), ValueError (wrong
    options), SerializationError, and what `put` and `put_function` raise.
    """
    inputs = adapter.InputValues(args, kwargs)
    calls = Graph(dag, inputs).calls
    bodies = {id(call.function): dump_function(call.function) for call in _first_calls(calls)}
    encoder = _Encoder(ArgumentDumper(put, inputs), put_function, bodies)
    position = {call.key: index for index, call in enumerate(calls)}
    return DagSpec(tuple(encoder.task(call, position) for call in calls), len(calls) - 1)


def _first_calls(calls: Iterable[Call]) -> Iterable[Call]:
    """One call of each function whose body is not kept yet."""
    return {id(call.function): call for call in calls if call.special.body is None}.values()


class _Encoder:
    """Calls into task specs. What many tasks share is encoded once."""

    def __init__(
        self, arguments: ArgumentDumper, put_function: Callable[[bytes], str], bodies: Mapping[int, bytes]
    ) -> None:
        self._arguments = arguments
        self._put_function = put_function
        self._bodies = bodies
        self._functions: dict[int, tuple[str, str, str, str | None]] = {}
        self._options: dict[Hashable, TaskOptions] = {}

    def task(self, call: Call, position: Mapping[str, int]) -> TaskSpec:
        special = call.special
        dumped = self._arguments.dump(call.args, call.kwargs, special.older)
        unnamed, function, function_hash, code = self._function(call)
        settings = call.settings
        return TaskSpec(
            settings.name or unnamed,
            function,
            function_hash,
            dumped.args,
            tuple(
                node.task_id if isinstance(node, WorkflowRef) else position[key_of(node)] for node in dumped.upstream
            ),
            tuple([WAITED] * len(dumped.kinds) if special.type == WAIT else dumped.kinds),
            tuple(dumped.shared),
            self._task_options(call.ray_options, settings, special),
            settings.metadata or _NO_METADATA,
            special.type,
            special.facts,
            code,
        )

    def _function(self, call: Call) -> tuple[str, str, str, str | None]:
        known = self._functions.get(id(call.function))
        if known is None:
            function_hash = call.special.body or self._put_function(self._bodies[id(call.function)])
            known = default_name(call.function), full_name(call.function), function_hash, code_hash(call.function)
            self._functions[id(call.function)] = known
        return known

    def _task_options(self, given: Mapping[str, Any], settings: WorkflowOptions, special: Special) -> TaskOptions:
        # Without the carrier: it equals a plain name, which is an option of Ray's.
        rays = (item for item in given.items() if not isinstance(item[1], CarriedName))
        said = (settings.catch_exceptions, settings.checkpoint, settings.policy(), settings.timeout)
        key: Hashable = (*said, settings.allow_inplace, special.older, *rays)
        try:
            known = self._options.get(key)
        except TypeError:  # a dict among the options: rare, so encoded each time
            return self._encoded_options(given, settings, special)
        if known is None:
            known = self._options[key] = self._encoded_options(given, settings, special)
        return known

    def _encoded_options(self, given: Mapping[str, Any], settings: WorkflowOptions, special: Special) -> TaskOptions:
        plain: dict[str, Any] = {}
        odd: dict[str, Any] = {}
        for key, value in given.items():
            if value is None or key in _NOT_RAYS or isinstance(value, CarriedName):
                continue
            (plain if _is_json(value) else odd)[key] = value
        retries = given.get("max_retries")
        return TaskOptions(
            max_retries=TaskOptions().max_retries if retries is None else retries,
            retry_exceptions=self._retry_exceptions(given.get("retry_exceptions", special.older)),
            catch_exceptions=settings.catch_exceptions,
            checkpoint=settings.checkpoint,
            ray_options=plain,
            ray_options_pickled=self._arguments.put(dumps(odd)) if odd else None,
            retry=settings.policy(),
            timeout_s=settings.timeout,
            inplace=bool(settings.allow_inplace),
            interruptible=special.older,
        )

    def _retry_exceptions(self, given: Any) -> bool | PayloadRef:
        if isinstance(given, list | tuple):
            return self._arguments.put(dumps(tuple(given))) if given else False
        return bool(given)


def _is_json(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError, RecursionError):
        return False
