"""Handles of virtual actors: what a driver, or another workflow's task, calls methods by."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import ray

from wfstore import errors
from wfstore.engine import client
from wfstore.engine.actors.definition import ActorClass, is_readonly, prepare, readonly
from wfstore.engine.actors.method import CONSTRUCTOR
from wfstore.engine.actors.reading import read
from wfstore.engine.dag.functions import dump_function
from wfstore.engine.dag.node import TaskDef
from wfstore.engine.dag.step import StepFunction, Workflow, step, with_options
from wfstore.payloads import PayloadStore, loads

_reading = ray.remote(max_retries=0)(read)


class VirtualActorClass:
    """A class of durable objects; see ``workflow.virtual_actor``."""

    def __init__(self, cls: type) -> None:
        self._cls = cls
        self.__doc__ = cls.__doc__

    def get_or_create(self, actor_id: str, *args: Any, **kwargs: Any) -> VirtualActor:
        """A handle of the actor `actor_id`, at once. Where there is none, its construction with these arguments begins;
        where there is one, they are ignored.

        Raises TypeError for wrong arguments, ValueError for the id of a workflow.
        """
        link = client.connect()
        body = link.put_function(dump_function(self._cls))
        actor = ActorClass(self._cls, body)
        dag = actor.call(actor.task(CONSTRUCTOR), args, kwargs)
        link.order(link.submission(dag, (), {}, actor_id, None, actor=(actor.name, body)))
        return VirtualActor(actor_id, actor)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name = self._cls.__name__
        raise TypeError(
            f"Actors cannot be instantiated directly. Instead of '{name}()', use '{name}.get_or_create(actor_id)'."
        )

    def __repr__(self) -> str:
        return f"<virtual actor class {ActorClass(self._cls).name}>"


class _Decorator:
    """``@workflow.virtual_actor`` and ``@workflow.virtual_actor.readonly``."""

    readonly = staticmethod(readonly)

    def __call__(self, cls: type) -> VirtualActorClass:
        """Make a class durable. Its state is what ``__getstate__`` returns; without one its ``__dict__``, which JSON
        has to be able to hold.

        Raises TypeError for what is no class, ValueError for one with only one of ``__getstate__``, ``__setstate__``.
        """
        return VirtualActorClass(prepare(cls))


virtual_actor = _Decorator()


class VirtualActor:
    """A handle of one actor. It can be pickled and given to tasks."""

    def __init__(self, actor_id: str, actor: ActorClass) -> None:
        self._actor_id = actor_id
        self._actor = actor

    @property
    def actor_id(self) -> str:
        return self._actor_id

    def ready(self) -> Any:
        """An ObjectRef that resolves once the actor is constructed; it raises what the construction raised."""
        first = client.connect().call("tasks", self._actor_id)[0]["task_id"]
        return client.connect().output_ref(self._actor_id, first)

    def __getattr__(self, name: str) -> ActorMethod:
        if name.startswith("__"):
            raise AttributeError(name)
        self._actor.method(name)
        return ActorMethod(self._actor_id, self._actor, self._actor.task(name))

    def __reduce__(self) -> tuple[Any, ...]:
        return get_actor, (self._actor_id,)

    def __repr__(self) -> str:
        return f"<virtual actor {self._actor_id!r} of {self._actor.name}>"


class ActorMethod:
    """One method of one actor, with its options."""

    def __init__(self, actor_id: str, actor: ActorClass, task: TaskDef[..., Any]) -> None:
        self._actor_id = actor_id
        self._actor = actor
        self._task = task
        self._name: str = task.special.facts["method"]

    def options(self, **options: Any) -> ActorMethod:
        """name, metadata, catch_exceptions, max_retries, ... and those of a Ray task. Raises ValueError for others."""
        return ActorMethod(self._actor_id, self._actor, with_options(self._task, options))

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Call it and wait for what it returns. Writers run one after the other, in the order of the calls.

        Raises TypeError for wrong arguments, WorkflowExecutionError for a method that failed (or an earlier one: it is
        tried again first), VirtualActorNotInitializedError for a readonly one before the construction has ended.
        """
        call = self._actor.call(self._task, args, kwargs)
        if self._readonly:
            return _read(self._actor_id, call)
        return client.connect().call_actor(self._actor_id, call, wait=True)

    def run_async(self, *args: Any, **kwargs: Any) -> Any:
        """As `run`, returning an ObjectRef once the call is in the log."""
        call = self._actor.call(self._task, args, kwargs)
        if self._readonly:
            return _read_async(self._actor_id, call)
        return client.connect().call_actor(self._actor_id, call, wait=False)

    def step(self, *args: Any, **kwargs: Any) -> Workflow[Any]:
        """The call as a step of another workflow."""
        self._actor.call(self._task, args, kwargs)
        calling: StepFunction = step(_run_method).options(name=f"{self._task.settings.name}.call", max_retries=0)
        return calling.step(self._actor_id, self._name, self._task.settings.given(), args, kwargs)

    @property
    def _readonly(self) -> bool:
        return is_readonly(self._actor.method(self._name))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = f"object.{self._name}"
        raise TypeError(f"Actor methods cannot be called directly. Instead of running '{call}()', try '{call}.run()'.")


def get_actor(actor_id: str) -> VirtualActor:
    """A handle of an actor that exists; its class comes from the store.

    Raises VirtualActorNotFoundError (a KeyError).
    """
    link = client.connect()
    _, body, _ = link.call("actor", actor_id)
    return VirtualActor(actor_id, ActorClass(_class(link.storage, body), body))


@lru_cache(maxsize=128)
def _class(storage: str, body: str) -> type:
    cls: type = loads(PayloadStore(storage).get(body))
    return cls


def _run_method(
    actor_id: str, method: str, said: Mapping[str, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    return getattr(get_actor(actor_id), method).options(**said).run(*args, **kwargs)


def _read_async(actor_id: str, call: Workflow[Any]) -> Any:
    link = client.connect()
    name, stored, state = link.call("actor", actor_id)
    if state is None:
        raise errors.VirtualActorNotInitializedError(actor_id)
    body: str = call.task.special.body or stored
    options = {key: value for key, value in call.task.ray_options.items() if value is not None}
    context = (actor_id, link.namespace, f"{name}.{uuid.uuid4().hex[:8]}")
    method = call.task.special.facts["method"]
    catch = bool(call.task.settings.catch_exceptions)
    task = _reading.options(**{**options, "name": call.task.settings.name})
    return task.remote(link.storage, context, body, (method, state), catch, call.args, call.kwargs)


def _read(actor_id: str, call: Workflow[Any]) -> Any:
    try:
        return ray.get(_read_async(actor_id, call))
    except ray.exceptions.RayTaskError as error:
        raise error.as_instanceof_cause() from None  # type: ignore[no-untyped-call]
