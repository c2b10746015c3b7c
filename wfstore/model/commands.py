"""What may be asked of the manager. Commands are plain values; `request_id` makes each of them idempotent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from wfstore.model.dag import DagSpec
from wfstore.model.payload import PayloadRef
from wfstore.model.progress import Progress

_NOTHING: Mapping[str, Any] = {}


class Submit(NamedTuple):
    """Run a DAG under an id. An id that exists is resumed, or answered from the store.

    timeout_s: how long each run may take; rerun_of: the workflow that it repeats; actor: class (module.qualname) and
    hash of the pickled class, when the DAG is the construction of a virtual actor.
    """

    workflow_id: str
    dag: DagSpec
    metadata: Mapping[str, Any] | None = None
    driver: Mapping[str, Any] = _NOTHING
    request_id: str | None = None
    by: str | None = None
    timeout_s: float | None = None
    rerun_of: str | None = None
    actor: tuple[str, str] | None = None


class CallActor(NamedTuple):
    """Call a writing method of a virtual actor: one more task at the end of its chain of calls."""

    workflow_id: str
    dag: DagSpec
    driver: Mapping[str, Any] = _NOTHING
    request_id: str | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on with a workflow that failed or was interrupted.

    functions: new bodies for tasks that have not succeeded: (hash of the old one, hash of the new one, the
    new one's `TaskSpec.code`)
    """

    workflow_id: str
    request_id: str | None = None
    by: str | None = None
    functions: tuple[tuple[str, str, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Cancel:
    """End a workflow that waits, runs or was interrupted, for good."""

    workflow_id: str
    request_id: str | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Hide a workflow that neither runs nor waits; its id is free again.

    run: only if this was its last run, else it counts as active: it went on since somebody looked
    """

    workflow_id: str
    request_id: str | None = None
    by: str | None = None
    run: int | None = None


@dataclass(frozen=True, slots=True)
class Interrupt:
    """The manager that ran this workflow is gone: its attempts are lost, the workflow can be resumed."""

    workflow_id: str


@dataclass(frozen=True, slots=True)
class Fire:
    """The time has come that a timer, a wait or the next attempt of a task was waiting for."""

    workflow_id: str
    run: int
    task_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Expire:
    """A run has taken longer than the workflow's `timeout_s`."""

    workflow_id: str
    run: int


class SendEvent(NamedTuple):
    """Send an event to a workflow: kept until a listener of it has taken the event of this key."""

    workflow_id: str
    key: str
    payload: PayloadRef
    request_id: str | None = None
    by: str | None = None


class AwaitEvent(NamedTuple):
    """A listener waits for the next event that is sent under `key`."""

    workflow_id: str
    run: int
    task_id: str
    attempt: int
    key: str


@dataclass(frozen=True, slots=True)
class Configure:
    """Set limits of the store; None: the default again. It is about no workflow."""

    limits: Mapping[str, int | None]
    request_id: str | None = None
    by: str | None = None
    workflow_id: str = ""


class RecordRead(NamedTuple):
    """A readonly method of a virtual actor ended; it is no task and changes nothing.

    ended_at: microseconds UTC of the worker's clock; caller: Ray job of the driver
    """

    workflow_id: str
    method: str
    ended_at: int
    duration_s: float
    caller: str
    error_type: str | None = None
    error_message: str | None = None


class Place(NamedTuple):
    """Where an attempt runs. Times are microseconds UTC of the worker's clock."""

    started_at: int
    node_id: str | None = None
    worker_pid: int | None = None
    ray_task_id: str | None = None


@dataclass(frozen=True, slots=True)
class RecordStarted:
    """User code of an attempt has begun (reported by itself only when it takes long)."""

    workflow_id: str
    run: int
    task_id: str
    attempt: int
    place: Place


@dataclass(frozen=True, slots=True)
class RecordProgress:
    """What an attempt last said about its progress. place: where it runs, if its start is not in the log yet."""

    workflow_id: str
    run: int
    task_id: str
    attempt: int
    progress: Progress
    place: Place | None = None


class Outcome(NamedTuple):
    """How user code ended, as the worker measured it.

    ok: it returned; `output` is what it returned unless `continuation` is set; a payload that was not kept
    (``checkpoint=False``) has `stored` False.
    kind: of a failure: app, system, oom, serialization, timeout, lost; error: the pickled ``(None, exception)``
    retryable: the exception is one that the task's ``retry_exceptions`` names
    place: None when the worker died before it could say
    state: of a virtual actor after the method; stdout, stderr: their tails, of a failed attempt
    progress: what user code said last
    ended_at: microseconds UTC; fetch_s, checkpoint_s: seconds spent on arguments and on storing the output
    """

    ok: bool
    ended_at: int
    place: Place | None = None
    output: PayloadRef | None = None
    stored: bool = True
    output_repr: str | None = None
    continuation: DagSpec | None = None
    kind: str | None = None
    retryable: bool = False
    error_type: str | None = None
    error_message: str | None = None
    traceback: str | None = None
    error: PayloadRef | None = None
    fetch_s: float | None = None
    checkpoint_s: float | None = None
    state: PayloadRef | None = None
    stdout: str | None = None
    stderr: str | None = None
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class RecordOutcome:
    """An attempt ended."""

    workflow_id: str
    run: int
    task_id: str
    attempt: int
    outcome: Outcome


Command = (
    Submit
    | CallActor
    | Resume
    | Cancel
    | Delete
    | Interrupt
    | Fire
    | Expire
    | SendEvent
    | AwaitEvent
    | Configure
    | RecordRead
    | RecordStarted
    | RecordProgress
    | RecordOutcome
)
