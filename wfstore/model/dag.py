"""What was asked for: a DAG of tasks, in an order in which upstream comes first.

Tuples, because they travel: ten thousand of them pickle in a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from wfstore.model.payload import PayloadRef

ARGUMENT, NESTED = "argument", "nested"

_NOTHING: Mapping[str, Any] = {}


class TaskOptions(NamedTuple):
    """What the user said about one task. None means "not said".

    max_retries: how often it may be tried again after the first attempt; -1 is read as 0, as in ray.workflow
    retry_exceptions: True: any exception of user code is retried; a payload: the pickled tuple of exception types
    catch_exceptions: the output is (result, None) or (None, exception)
    checkpoint: False: the output is not kept
    ray_options: JSON-able Ray options (num_cpus, resources, ...); ray_options_pickled: those that are not JSON
    """

    max_retries: int = 3
    retry_exceptions: bool | PayloadRef = False
    catch_exceptions: bool | None = None
    checkpoint: bool | None = None
    ray_options: Mapping[str, Any] = _NOTHING
    ray_options_pickled: PayloadRef | None = None


class TaskSpec(NamedTuple):
    """One task as submitted.

    name: base name; the manager makes `task_id` of it by a suffix ``_n`` where names repeat
    function: module.qualname, for people; function_hash: sha256 of the pickled body, kept in the payload store
    args: pickled (args, kwargs) with placeholders for upstream outputs and shared arguments; None: no arguments
    upstream: positions in `DagSpec.tasks`, in the order of their placeholders; kinds: for each, `ARGUMENT` (given to
    the function as a value) or `NESTED` (inside a container: given as an ObjectRef, as plain Ray does)
    shared: large arguments and snapshots of ObjectRefs, each stored once under its hash
    """

    name: str
    function: str
    function_hash: str
    args: PayloadRef | None = None
    upstream: tuple[int, ...] = ()
    kinds: tuple[str, ...] = ()
    shared: tuple[PayloadRef, ...] = ()
    options: TaskOptions = TaskOptions()
    metadata: Mapping[str, Any] = _NOTHING


class DagSpec(NamedTuple):
    """Tasks in post-order (upstream first, innermost first); `output`: position of the one whose output counts."""

    tasks: tuple[TaskSpec, ...]
    output: int
