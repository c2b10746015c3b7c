"""A driver's side of the manager: commands that survive its restart, values, and the errors users know."""

from __future__ import annotations

import logging
import pickle
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
import ray._private.worker as ray_worker
from ray.exceptions import ActorDiedError, ActorUnavailableError, GetTimeoutError, RayActorError, RayTaskError

from wfstore import errors
from wfstore.engine import host, packages
from wfstore.engine.answers import Answer, as_read, fetch
from wfstore.engine.channel import SERVED, Channel, ChannelLostError, path_for
from wfstore.engine.context import current_task
from wfstore.engine.dag.build import build
from wfstore.engine.dag.functions import code_hash, dump_function, find_function
from wfstore.engine.driverlog import DriverLog, asking, submitter
from wfstore.engine.failures import as_rays
from wfstore.engine.patience import is_full
from wfstore.engine.provenance import WorkingTree, versions
from wfstore.log import resolve_storage
from wfstore.model.commands import CallActor, Cancel, Command, Configure, Delete, Resume, SendEvent, Submit
from wfstore.model.define import check_metadata, check_workflow_id
from wfstore.model.limits import checked, limits_of
from wfstore.model.payload import INLINE_LIMIT_BYTES, PayloadRef
from wfstore.model.sending import check_event_key
from wfstore.objects import is_uri
from wfstore.payloads import PayloadStore, dumps

#: A task that waits in ``ray.get`` lends its CPU to what it waits for; one that waits at a socket would not.
_BLOCKING = frozenset({"run", "wait", "call_actor"})
#: Thousands of sent events may be kept in the manager's memory: of a larger one only the place is.
_EVENT_INLINE_BYTES = 4096
_RETRY_FOR_S = 120.0
_RETRY_EVERY_S = 0.2
#: Whoever has kept a call for so long was there: one that waits for hours may outlive many managers.
_PRESENT_S = 30.0
#: A manager that waits for space on a full disk is waited for so long.
_FULL_FOR_S = 10.0
_NO_SPACE = "no space is left, and the manager waits for some. Free some: what was accepted goes on by itself then"
#: How long an observer waits for the manager, which may be stopped and yet hold its connections.
_PATIENCE_S = 30.0


class Client:
    """One manager as this process sees it."""

    def __init__(self, handle: Any, namespace: str) -> None:
        self._handle = handle
        self._waiter: Any = None
        self._in_worker = ray_worker.global_worker.mode == ray.WORKER_MODE
        self._tree = WorkingTree()
        path = path_for(host.NAME, namespace)
        self._channel = None if path is None else Channel(path)
        self._observing = None if path is None else Channel(path, _PATIENCE_S)
        self.namespace = namespace
        facts = host.describe(handle)
        self.storage: str = facts["storage"]
        self.limits: tuple[int | None, int | None] = (facts["max_running_workflows"], facts["max_pending_workflows"])
        self._sees_storage = is_uri(self.storage) or (Path(self.storage) / "store.json").exists()
        self.allowed = limits_of(facts["limits"])
        self._store = PayloadStore(self.storage, self.allowed.max_payload_bytes)
        self._driver: dict[str, Any] | None = None
        self._log = DriverLog(asking(lambda: self._handle, submitter(), self._channel))
        self._session = ray.get_runtime_context().get_session_name()

    def usable(self) -> bool:
        """The Ray this client belongs to is still the one this process is connected to."""
        return ray.is_initialized() and ray.get_runtime_context().get_session_name() == self._session

    # -- calls --------------------------------------------------------------------------------------------------------

    def call(self, method: str, *args: Any) -> Any:
        """Call the manager and wait; a manager that restarts meanwhile is asked again.

        Every method is idempotent, or carries the request id that makes it so.
        """
        if self._channel is not None and method in SERVED and not (self._in_worker and method in _BLOCKING):
            try:
                return self._channel.call(method, *args)
            except ChannelLostError:
                pass  # by Ray, then: the manager may be on its way back
        silent_since = time.monotonic()
        while True:
            asked = time.monotonic()
            try:
                return ray.get(getattr(self._handle, method).remote(*args))
            except RayTaskError as error:
                raise _cause_of(error) from None
            except (ActorUnavailableError, ActorDiedError) as error:
                there = self._find_again(error)
                now = time.monotonic()
                silent_since = now if now - asked > _PRESENT_S else silent_since
                if there and now - silent_since > _FULL_FOR_S and self._sees_storage and is_full(self.storage):
                    raise errors.StorageFullError(self.storage, _NO_SPACE) from None
                if not there or now - silent_since > _RETRY_FOR_S:
                    raise errors.ManagerLostError(self.storage, f"the manager does not answer: {error}") from None
                time.sleep(_RETRY_EVERY_S)

    def ask(self, method: str, *args: Any, timeout_s: float = 5.0) -> Any:
        """What the manager answers now, for those who can do without. Raises ManagerLostError soon where none does.

        timeout_s: beyond what the call itself waits for; 60 s altogether at most.
        """
        if self._observing is not None and method in SERVED:
            try:
                return self._observing.call(method, *args)
            except ChannelLostError:
                pass
        try:
            return ray.get(getattr(self._handle, method).remote(*args), timeout=timeout_s)
        except RayTaskError as error:
            raise _cause_of(error) from None
        except RayActorError as error:
            if not isinstance(error, ActorUnavailableError):
                self._handle = host.find(self.namespace) or self._handle
            raise errors.ManagerLostError(self.storage, f"the manager does not answer: {error}") from None
        except GetTimeoutError:
            raise errors.ManagerLostError(self.storage, f"the manager has not answered for {timeout_s:g} s") from None

    def _find_again(self, error: RayActorError) -> bool:
        if isinstance(error, ActorUnavailableError):
            return True
        cause = host.cause_of_death(error)
        if isinstance(cause, errors.StorageError):
            raise cause from None
        handle = host.find(self.namespace)
        self._handle = handle if handle is not None else self._handle
        return handle is not None

    def _ref(self, workflow_id: str, task_id: str | None = None, reading: bool = False, crowded: bool = False) -> Any:
        if crowded and self._waiter is None:
            self._waiter = host.waiter(self.storage, self.namespace)
        return (self._waiter if crowded else self._handle).value.remote(workflow_id, task_id, reading)

    def _take(self, answer: Answer, reading: bool = False, task_id: str | None = None) -> Any:
        if answer.error is None:
            return fetch(self.storage, answer.form, answer.value)
        error = as_rays(as_read(answer.error, task_id) if reading else answer.error)
        if answer.cause is not None:
            raise error from _original(self.storage, answer.cause)
        raise error

    # -- commands -----------------------------------------------------------------------------------------------------

    def submission(
        self,
        dag: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        workflow_id: str,
        metadata: Mapping[str, Any] | None,
        timeout_s: float | None = None,
        actor: tuple[str, str] | None = None,
    ) -> Submit:
        """The command that submits a DAG; its payloads are kept already. Raises TypeError and ValueError for a wrong
        DAG, id or metadata, before anything is written."""
        check_workflow_id(workflow_id)
        metadata = check_metadata(metadata)
        spec = build(dag, args, dict(kwargs), self.put, self.put_function)
        who = self._who()
        return Submit(workflow_id, spec, metadata, who, uuid.uuid4().hex, timeout_s=timeout_s, actor=actor)

    def run(self, command: Submit | Resume) -> Any:
        """Carry out a command and wait for the workflow's output. Raises what `decide` raises, WorkflowExecutionError
        from the task's error, WorkflowCancellationError."""
        self._announce(command)
        return self._take(self.call("run", pickle.dumps(command, 5)))

    def run_async(self, command: Submit | Resume) -> Any:
        """Return, once the command is in the log, an ObjectRef of the output, good across restarts of the manager."""
        self._announce(command)
        return self._ref(command.workflow_id, crowded=self.order(command))

    def _announce(self, command: Submit | Resume) -> None:
        if isinstance(command, Submit):
            self._log.created(command.workflow_id)
        else:
            self._log.watch()

    def order(self, command: Command) -> bool:
        """Carry out a command; returns when what it caused is in the log: whether many wait in the manager already."""
        crowded: bool = self.call("handle", pickle.dumps(command, 5))
        return crowded

    def call_actor(self, workflow_id: str, method: Any, wait: bool) -> Any:
        """Call a writing method of a virtual actor (`method`: a node of it). Returns what it returns, or an ObjectRef
        of that once the call is in the log."""
        spec = build(method, (), {}, self.put, self.put_function)
        who = self._who()
        command = CallActor(workflow_id, spec, who, uuid.uuid4().hex, who["job_id"])
        task_id, answer = self.call("call_actor", pickle.dumps(command, 5), wait)
        return self._take(answer) if wait else self._ref(workflow_id, task_id)

    def send_event(
        self,
        workflow_id: str,
        key: str,
        payload: Any,
        request_id: str | None = None,
        by: str | None = None,
        hold_s: float = 0.0,
    ) -> str:
        """Send an event to a workflow; returns, once it is durable, how it went (see `engine.deliveries`), as far as
        that is known within `hold_s`. Raises WorkflowNotFoundError, WorkflowEventHandleError, TypeError, ValueError."""
        check_event_key(key)
        data = dumps(payload)
        small = len(data) <= _EVENT_INLINE_BYTES
        ref = self.put(data) if small else PayloadRef(self.put_function(data), len(data))
        command = SendEvent(_id(workflow_id), key, ref, request_id or uuid.uuid4().hex, by or _job())
        outcome: str = self.call("send_event", pickle.dumps(command, 5), hold_s)
        return outcome

    def _who(self) -> dict[str, Any]:
        if self._driver is None:
            context = ray.get_runtime_context()
            environment = dict(context.runtime_env)
            self._driver = {"job_id": context.get_job_id(), "runtime_env": environment, "versions": versions()}
            if self._in_worker:
                self._driver["inside"] = True
            if self._log.enabled:
                self._driver["log"] = submitter()
            kept = packages.preserve(environment, self.put_function)
            self._driver |= {"packages": kept} if kept else {}
        return self._driver if self._in_worker else {**self._driver, "git": self._tree.now() or {}}

    def configure(self, limits: Mapping[str, int | None]) -> None:
        """Set limits of the store. Raises TypeError, ValueError for what is none."""
        self.order(Configure(checked(limits), uuid.uuid4().hex, _job()))
        self._learn_limits()

    def _learn_limits(self) -> None:
        self.allowed = limits_of(self.call("describe")["limits"])
        self._store.max_bytes = self.allowed.max_payload_bytes

    def _check_size(self, data: bytes) -> None:
        """Before anything is written. Raises LimitExceededError; others may have set the limits anew meanwhile."""
        try:
            self._store.check(len(data))
        except errors.LimitExceededError:
            self._learn_limits()
            self._store.check(len(data))

    def put(self, data: bytes) -> PayloadRef:
        """Keep a pickled value before the event that points to it."""
        self._check_size(data)
        if self._sees_storage or len(data) <= INLINE_LIMIT_BYTES:
            return self._store.put(data)
        kept: PayloadRef = self.call("keep", data, False)
        return kept

    def put_function(self, data: bytes) -> str:
        """Keep a function body; returns its hash."""
        self._check_size(data)
        ref: PayloadRef = self._store.put_file(data) if self._sees_storage else self.call("keep", data, True)
        return ref.hash

    def resumption(
        self, workflow_id: str, code: str = "stored", by: str | None = None, request_id: str | None = None
    ) -> Resume:
        """The command that resumes a workflow, with the function bodies it has (``stored``) or those that their modules
        have now (``current``). Raises ValueError naming a function that is not to be found."""
        if code not in ("stored", "current"):
            raise ValueError(f"code is {code!r}; it must be 'stored' or 'current'")
        functions: list[tuple[str, str, str | None]] = []
        if code == "current":
            for name, stored in self.call("unfinished_functions", _id(workflow_id)):
                new = find_function(name)
                functions.append((stored, self.put_function(dump_function(new)), code_hash(new)))
        return Resume(_id(workflow_id), request_id or uuid.uuid4().hex, by, tuple(functions))

    def rerun(self, workflow_id: str, by: str | None = None, request_id: str | None = None) -> str:
        """Run the DAG and the inputs of a workflow again; returns the new id once that is in the log. With the
        request_id of an earlier call it is the id that this one returned."""
        asked = request_id is not None
        new_id = f"{uuid.uuid5(uuid.NAMESPACE_URL, f'{request_id}/{_id(workflow_id)}')}" if asked else fresh_id()
        self.call("rerun", _id(workflow_id), new_id, request_id or uuid.uuid4().hex, by)
        return new_id

    def cancel(self, workflow_id: str, by: str | None = None, request_id: str | None = None) -> None:
        self.order(Cancel(_id(workflow_id), request_id or uuid.uuid4().hex, by))

    def delete(self, workflow_id: str, by: str | None = None, request_id: str | None = None) -> None:
        self.order(Delete(_id(workflow_id), request_id or uuid.uuid4().hex, by))

    def output(self, workflow_id: str, task_id: str | None) -> Any:
        try:
            answer = self.call("wait", _id(workflow_id), task_id)
        except errors.WorkflowNotFoundError:
            raise errors.WorkflowNotFoundError(workflow_id, f"No such workflow '{workflow_id}'") from None
        return self._take(answer, True, task_id)

    def output_ref(self, workflow_id: str, task_id: str | None) -> Any:
        return self._ref(_id(workflow_id), task_id, True)


def _job() -> str:
    job: str = ray.get_runtime_context().get_job_id()
    return job


def fresh_id() -> str:
    """An id for a workflow that nobody named."""
    return f"{uuid.uuid4()}.{time.time():.9f}"


def _id(workflow_id: Any) -> str:
    if not isinstance(workflow_id, str):
        raise TypeError("workflow_id has to be a string type.")
    return workflow_id


def _cause_of(error: RayTaskError) -> BaseException:
    cause: BaseException | None = error.cause
    return error if cause is None else cause


def _original(storage: str, cause: tuple[int, Any]) -> BaseException | None:
    """The exception of the task that failed, unpickled for the user who asked; None where it no longer loads."""
    form, value = cause
    try:
        error = fetch(storage, form, value)[1]
    except Exception as broken:  # its class may be gone, or raise while loading
        return RuntimeError(f"the original error could not be loaded: {broken}")
    return error if isinstance(error, BaseException) else None


_current: Client | None = None


def connect(
    storage: str | None = None,
    *,
    namespace: str | None = None,
    max_running: int | None = None,
    max_pending: int | None = None,
    limits: Mapping[str, int | None] | None = None,
) -> Client:
    """This process's client; starts Ray and the manager where there are none.

    limits: to be set, whether the manager is new or runs already.

    Raises RuntimeError for another storage in the same namespace, ValueError for other limits, the StorageError family.
    """
    global _current
    limits = checked(limits or {})
    if _current is not None and not _current.usable():
        _current = None
    inside = current_task()
    if namespace is None and inside is not None and inside.namespace:
        namespace = inside.namespace  # user code of a workflow speaks to the manager that runs it
    if _current is None or (namespace is not None and namespace != _current.namespace):
        host.ensure_ray()
        space = namespace or host.NAMESPACE
        handle = host.find(space) or host.start(storage, space, max_running, max_pending)
        _current = Client(handle, space)
    _check_same(_current, storage, max_running, max_pending)
    if limits:
        _current.configure(limits)
    return _current


def current() -> Client | None:
    """The client of this process if it is connected already; starts nothing."""
    return _current if _current is not None and _current.usable() else None


def join() -> Client | None:
    """This process's client of a manager that runs already, on this process's Ray or one that it can join."""
    global _current
    if current() is None:
        if not ray.is_initialized():
            try:
                ray.init(address="auto", logging_level=logging.WARNING)
            except ConnectionError:
                return None
        handle = host.find(host.NAMESPACE)
        _current = None if handle is None else Client(handle, host.NAMESPACE)
    return current()


def _check_same(client: Client, storage: str | None, max_running: int | None, max_pending: int | None) -> None:
    if storage is not None and resolve_storage(storage) != client.storage:
        raise RuntimeError(
            f"the manager of namespace {client.namespace!r} already uses {client.storage}; it cannot use "
            f"{resolve_storage(storage)} as well. Choose another namespace, or leave storage out."
        )
    for name, asked, have in (
        ("max_running_workflows", max_running, client.limits[0]),
        ("max_pending_workflows", max_pending, client.limits[1]),
    ):
        if asked is not None and asked != have:
            raise ValueError(f"{name} is {have} on the running manager; it cannot become {asked} while it runs")
