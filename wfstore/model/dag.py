"""What was asked for: a DAG of tasks, in an order in which upstream comes first.

Tuples, because they travel: ten thousand of them pickle in a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from wfstore.model.payload import PayloadRef

#: How an upstream task feeds another: its value, an ObjectRef of it, one of those that `workflow.wait` chooses among,
#: or only by coming first.
ARGUMENT, NESTED, WAITED, ORDER = "argument", "nested", "waited", "order"

#: What a task is: user code on a Ray worker; a timer of the manager's; an event listener's two steps; a choice among
#: other tasks; a method of a virtual actor.
FUNCTION, TIMER, EVENT, EVENT_CHECKPOINTED, WAIT, ACTOR = (
    "function",
    "timer",
    "event",
    "event_checkpointed",
    "wait",
    "actor",
)

_NOTHING: Mapping[str, Any] = {}


class RetryPolicy(NamedTuple):
    """When the next attempt follows a failed one: after ``delay_s * backoff ** (failures - 1)`` seconds, at most
    `max_delay_s`, each time longer or shorter by up to the share `jitter` of it."""

    delay_s: float = 0.0
    backoff: float = 2.0
    jitter: float = 0.1
    max_delay_s: float = 600.0


class TaskOptions(NamedTuple):
    """What the user said about one task. None means "not said".

    max_retries: how often it may be tried again after the first attempt; -1 is read as 0, as in ray.workflow
    retry_exceptions: True: any exception of user code is retried; a payload: the pickled tuple of exception types
    catch_exceptions: the output is (result, None) or (None, exception)
    checkpoint: False: the output is not kept
    ray_options: JSON-able Ray options (num_cpus, resources, ...); ray_options_pickled: those that are not JSON
    retry: when the next attempt follows; timeout_s: how long user code of one attempt may take
    inplace: of the older generation's ``allow_inplace``: go on in the worker of the task that returned it
    interruptible: as in the older generation, a dead worker leaves the workflow RESUMABLE, not FAILED
    """

    max_retries: int = 3
    retry_exceptions: bool | PayloadRef = False
    catch_exceptions: bool | None = None
    checkpoint: bool | None = None
    ray_options: Mapping[str, Any] = _NOTHING
    ray_options_pickled: PayloadRef | None = None
    retry: RetryPolicy = RetryPolicy()
    timeout_s: float | None = None
    inplace: bool = False
    interruptible: bool = False


class TaskSpec(NamedTuple):
    """One task as submitted.

    name: base name; the manager makes `task_id` of it by a suffix ``_n`` where names repeat
    function: module.qualname, for people; function_hash: sha256 of the pickled body, kept in the payload store
    args: pickled (args, kwargs) with placeholders for upstream outputs and shared arguments; None: no arguments
    upstream: positions in `DagSpec.tasks`, in the order of their placeholders, or ids of tasks that the workflow has
    already; kinds: for each, `ARGUMENT` (given to the function as a value), `NESTED` (inside a container: given as an
    ObjectRef, as plain Ray does), `WAITED` or `ORDER`
    shared: large arguments and snapshots of ObjectRefs, each stored once under its hash
    type: what it is; facts: what that type needs, JSON-able (delay_s or due_at of a timer, num_returns and timeout_s of
    a wait, method of an actor call)
    code: `code_hash` of the function, where its source or its byte code is known
    """

    name: str
    function: str
    function_hash: str
    args: PayloadRef | None = None
    upstream: tuple[int | str, ...] = ()
    kinds: tuple[str, ...] = ()
    shared: tuple[PayloadRef, ...] = ()
    options: TaskOptions = TaskOptions()
    metadata: Mapping[str, Any] = _NOTHING
    type: str = FUNCTION
    facts: Mapping[str, Any] = _NOTHING
    code: str | None = None


class DagSpec(NamedTuple):
    """Tasks in post-order (upstream first, innermost first); `output`: position of the one whose output counts."""

    tasks: tuple[TaskSpec, ...]
    output: int
