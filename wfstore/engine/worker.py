"""One attempt, on a Ray worker: fetch the arguments, run user code, keep the output, say how it went.

User code may raise, exit or return what cannot be pickled: every end becomes an `Outcome`. Only the death of the
process is left for the manager to notice.
"""

from __future__ import annotations

import os
import pickle
import time
import traceback
from functools import lru_cache, partial
from typing import Any

import ray
from ray.exceptions import RayActorError

from wfstore.engine import tails
from wfstore.engine.actors.method import call_method
from wfstore.engine.assignment import FILE, INLINE, LATER, REF, Assignment, LeaseId, dump_outcome
from wfstore.engine.context import Told, inside_task
from wfstore.engine.dag.arguments import load
from wfstore.engine.dag.build import build
from wfstore.engine.dag.continuation import is_continuation, unwrap
from wfstore.engine.dag.reference import Unresolved
from wfstore.engine.patience import with_patience
from wfstore.engine.probe import check_storage_visible
from wfstore.engine.reporter import REPORTER, ManagerSilentError, exchange, reports_quickly
from wfstore.log import now_us
from wfstore.model.commands import Outcome, Place
from wfstore.model.payload import INLINE_LIMIT_BYTES, PayloadRef
from wfstore.payloads import PayloadStore, SerializationError, dumps, hash_of, loads, short_repr

_TRACEBACK_LIMIT = 16_000
_MESSAGE_LIMIT = 2_000
_NAME_LIMIT = 200
_MOST_PER_LEASE = 100
#: How long a value waits for space on a full disk before its attempt fails.
_PATIENCE_S = 600.0
_SHORT_US = 100_000
#: What has waited so long for its worker may have been given up meanwhile. By two clocks: it decides only who looks.
_LATE_S = 1.0
_ANSWER_S = 5.0


@lru_cache(maxsize=256)
def _function(function_hash: str, storage: str, data: bytes | None) -> Any:
    return loads(PayloadStore(storage).get(function_hash) if data is None else data)


def _value(form: int, value: Any, storage: str, inputs: tuple[Any, ...]) -> Any:
    if form == INLINE:
        return loads(value)
    if form == FILE:
        return loads(PayloadStore(storage).get(value))
    return inputs[value]


def _bytes(form: int, value: Any, storage: str) -> bytes:
    data: bytes = PayloadStore(storage).get(value) if form == FILE else value
    return data


def _arguments(job: Assignment, inputs: tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if job.args is None:
        return (), {}
    upstream = []
    for form, value, nested in job.sources:
        if form == LATER:
            upstream.append(Unresolved(value) if value else None)
        elif form == REF and nested:
            upstream.append(inputs[value][0])
        elif nested:
            upstream.append(_reference(_value(form, value, job.storage, inputs)))
        else:
            upstream.append(_value(form, value, job.storage, inputs))
    shared = [_bytes(form, value, job.storage) for form, value in job.shared]
    return load(_bytes(*job.args, job.storage), upstream, shared, ray.put)


def _first(values: list[Any]) -> Any:
    return values[0]


def _reference(value: Any) -> Any:
    """An ObjectRef of `value`. Ray refuses to put what is one itself, but a task may return it."""
    if not isinstance(value, ray.ObjectRef):
        return ray.put(value)
    return ray.remote(num_cpus=0, max_retries=0)(_first).remote([value])


def attempt(
    lease: LeaseId, owner: tuple[str, str, str], asked_at: float, assignment: bytes, *inputs: Any
) -> tuple[bytes, Any]:
    """(pickled attempt that ran last, whether its output is the second value, and its pickled `Outcome`; the value
    itself when it is too large to travel in the outcome).

    Where the manager expects more of the same kind, outcomes but the last are reported by a call that brings the next
    assignment; nothing is left to return when there is none. Where the manager does not answer, the owner keeps what is
    returned for the next one.
    """
    waited = REPORTER.owner != owner or time.time() - asked_at > _LATE_S
    REPORTER.lease, REPORTER.owner = lease, owner
    job = Assignment.loads(assignment)
    if waited and not _is_wanted(owner, lease):
        stale = failed(RuntimeError("it was canceled, or its owner given up, before it began"), "lost")
        return pickle.dumps((job.key, False, dump_outcome(stale)), 5), None
    for _ in range(_MOST_PER_LEASE):
        outcome, large = _run(job, inputs)
        if not _goes_on(job, outcome) or large is not None:
            break
        reported = dump_outcome(outcome)
        try:
            following = exchange(job, reported)
        except ManagerSilentError:
            return pickle.dumps((job.key, False, reported), 5), None
        if following is None:
            return b"", None
        job, inputs = Assignment.loads(following), ()
    else:
        outcome, large = _run(job, inputs)
    return pickle.dumps((job.key, large is not None, dump_outcome(outcome)), 5), large


def _is_wanted(owner: tuple[str, str, str], lease: LeaseId) -> bool:
    """A node that was given up and lives may begin attempts that have been begun elsewhere since, and Ray may begin
    what was canceled while it started the worker."""
    try:
        actor = ray.get_actor(owner[0], owner[1])
        if actor._actor_id.hex() != owner[2]:
            return False
        return bool(actor.holds.remote(lease).future().result(_ANSWER_S))
    except TimeoutError:  # it is busy, and lives
        return True
    except (ValueError, RayActorError):
        return False


def _goes_on(job: Assignment, outcome: Outcome) -> bool:
    dag = outcome.continuation
    if dag is not None and dag.tasks[dag.output].options.inplace:
        return True
    return (job.go_on or reports_quickly(job)) and _short(outcome)


def _short(outcome: Outcome) -> bool:
    """A long attempt ends its Ray task: what Ray's own tools say about it is worth more than a millisecond."""
    return outcome.ok and outcome.place is not None and outcome.ended_at - outcome.place.started_at < _SHORT_US


def _run(job: Assignment, inputs: tuple[Any, ...]) -> tuple[Outcome, Any]:
    told = Told()
    outcome, large = _execute(job, inputs, told)
    return (outcome if told.progress is None else outcome._replace(progress=told.progress)), large


def _execute(job: Assignment, inputs: tuple[Any, ...], told: Told) -> tuple[Outcome, Any]:
    context = ray.get_runtime_context()
    place = Place(now_us(), context.get_node_id(), os.getpid(), context.get_task_id())
    began = time.perf_counter()
    try:
        if job.variables is not None:
            _set_variables(job.variables)
        check_storage_visible(job.storage, job.store_id, job.manager[2], place.node_id or "")
        function = _function(job.function_hash, job.storage, job.function)
        args, kwargs = _arguments(job, inputs)
    except BaseException as error:  # a broken pickle may raise anything, even exit
        return failed(error, "serialization", False, place), None
    place = place._replace(started_at=now_us())
    fetch_s = time.perf_counter() - began
    state = None
    printed = tails.mark(repr(job.key))
    try:
        with REPORTER.watch(job, place, told), inside_task(*_context(job), told):
            if job.actor is None:
                value = function(*args, **kwargs)
            else:
                value, state = call_method(function, job.actor, args, kwargs, _Patient(job.storage, job.most_bytes))
    except BaseException as error:  # SystemExit and KeyboardInterrupt are ends of user code like any other
        return _with_tails(failed(error, "app", _retryable(job, error), place, fetch_s), printed), None
    ended_at = now_us()
    try:
        outcome, large = _keep(job, value, place, ended_at, fetch_s)
        return (outcome if state is None else outcome._replace(state=state)), large
    except BaseException as error:
        kind = "serialization" if isinstance(error, (SerializationError, TypeError, ValueError)) else "app"
        return _with_tails(failed(error, kind, _retryable(job, error), place, fetch_s), printed), None


def _set_variables(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _context(job: Assignment) -> tuple[str, str, int, str, str]:
    return job.workflow_id, job.task_id, job.attempt, job.manager[1], job.function_hash


def _with_tails(outcome: Outcome, printed: tails.Mark) -> Outcome:
    stdout, stderr = printed.read()
    return outcome._replace(stdout=_clean(stdout), stderr=_clean(stderr))


class _Patient(PayloadStore):
    """Where no space is left for a value, it waits a while: the work was done."""

    def put(self, data: bytes) -> PayloadRef:
        return with_patience(self.storage, partial(super().put, data), _PATIENCE_S)

    def put_file(self, data: bytes) -> PayloadRef:
        return with_patience(self.storage, partial(super().put_file, data), _PATIENCE_S)


def _keep(job: Assignment, value: Any, place: Place, ended_at: int, fetch_s: float) -> tuple[Outcome, Any]:
    began = time.perf_counter()
    store = _Patient(job.storage, job.most_bytes)
    if is_continuation(value):
        dag = build(unwrap(value), (), {}, store.put, lambda body: store.put_file(body).hash)
        return Outcome(True, ended_at, place, continuation=dag, fetch_s=fetch_s), None
    while job.older and isinstance(value, ray.ObjectRef):
        value = ray.get(value)
    if job.catch:
        value = (value, None)
    data = dumps(value)
    large = len(data) > INLINE_LIMIT_BYTES
    if large and not job.checkpoint:
        ref = PayloadRef(hash_of(data), len(data))
    else:
        ref = store.put(data)
    outcome = Outcome(
        True,
        ended_at,
        place,
        output=ref,
        stored=job.checkpoint,
        output_repr=short_repr(value),
        fetch_s=round(fetch_s, 6),
        checkpoint_s=round(time.perf_counter() - began, 6),
    )
    return outcome, value if large else None


def _retryable(job: Assignment, error: BaseException) -> bool:
    if isinstance(job.retry_exceptions, bool):
        return job.retry_exceptions
    types = loads(_bytes(*job.retry_exceptions, job.storage))
    return isinstance(error, tuple(types))


def failed(
    error: BaseException,
    kind: str,
    retryable: bool = False,
    place: Place | None = None,
    fetch_s: float | None = None,
) -> Outcome:
    """The outcome of an attempt that ended in `error`, which whoever catches it or asks for the cause gets back."""
    text = _traceback(error)
    return Outcome(
        False,
        now_us(),
        place,
        kind=kind,
        retryable=retryable,
        error_type=_clean(type(error).__name__[:_NAME_LIMIT]),
        error_message=_message(error),
        traceback=text,
        error=_pickled_error(error, text),
        fetch_s=fetch_s,
    )


def _clean(text: str) -> str:
    """Text that UTF-8 can hold: lone surrogates come out of file names and broken decoders."""
    return text.encode("utf-8", "replace").decode()


def _message(error: BaseException) -> str:
    try:
        return _clean(str(error)[:_MESSAGE_LIMIT])
    except BaseException as broken:  # __str__ is user code too, and may even exit
        return _clean(
            f"<{type(error).__name__[:_NAME_LIMIT]}, whose __str__ raised {type(broken).__name__[:_NAME_LIMIT]}>"
        )


def _traceback(error: BaseException) -> str:
    try:
        text = "".join(traceback.format_exception(error))
    except BaseException:  # it asks for the texts of all errors that are involved
        text = "".join(traceback.format_tb(error.__traceback__)) + _message(error)
    return _clean(text[-_TRACEBACK_LIMIT:])


def _pickled_error(error: BaseException, text: str) -> PayloadRef:
    """The pickled ``(None, error)``; an exception that does not survive pickling is replaced by its traceback."""
    try:
        data = dumps((None, error))
        loads(data)
    except BaseException:
        data = dumps((None, RuntimeError(text)))
    if len(data) > INLINE_LIMIT_BYTES:
        data = dumps((None, RuntimeError(text)))
    return PayloadRef(hash_of(data), len(data), data)
