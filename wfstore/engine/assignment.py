"""What the manager hands a worker, and what comes back: plain tuples, pickled by hand.

Ray moves a `bytes` argument without pickling it again; a tuple of primitives pickles in a microsecond. The classes here
only give the places names.
"""

from __future__ import annotations

import pickle
from typing import Any, NamedTuple

from wfstore.model.commands import Outcome
from wfstore.model.dag import FUNCTION

#: Workflow, run, task, attempt.
AttemptKey = tuple[str, int, str, int]
#: One Ray task in which attempts run, one after the other: epoch of the manager that began it, and a number.
LeaseId = tuple[int, int]

#: How an upstream value reaches the worker.
INLINE, FILE, REF, LATER = 0, 1, 2, 3


class Source(NamedTuple):
    """One upstream value: pickled bytes, the hash of a payload file, the position of a Ray object among the inputs, or
    (`LATER`) the id of a task that a wait did not choose. `nested`: the task gets an ObjectRef, because the value was
    bound inside a container."""

    form: int
    value: Any
    nested: bool = False


class Assignment(NamedTuple):
    """One attempt. `function`: pickled body, or None when the worker should read it from the store by its hash.

    go_on: the manager expects to have another attempt of the same kind when this one has ended: the worker reports by a
    call and takes it, instead of giving its lease back to Ray and being leased again.
    actor: method of a virtual actor and its state (None: not made yet)
    variables: environment variables to set (None: to take away) before user code
    most_bytes: of a value that is kept
    older: of the older generation: a returned ObjectRef is followed to its value
    """

    workflow_id: str
    run: int
    task_id: str
    attempt: int
    storage: str
    store_id: str
    manager: tuple[str, str, str, int]  # name and namespace of the manager, node it runs on, its epoch
    function_hash: str
    function: bytes | None
    args: tuple[int, Any] | None
    sources: tuple[Source, ...]
    shared: tuple[tuple[int, Any], ...]
    catch: bool
    checkpoint: bool
    retry_exceptions: bool | tuple[int, Any]
    go_on: bool = False
    type: str = FUNCTION
    actor: tuple[str, tuple[int, Any] | None] | None = None
    older: bool = False
    variables: dict[str, str | None] | None = None
    most_bytes: int | None = None

    @property
    def key(self) -> AttemptKey:
        return (self.workflow_id, self.run, self.task_id, self.attempt)

    def dumps(self) -> bytes:
        return pickle.dumps(tuple(self), 5)

    @classmethod
    def loads(cls, data: bytes) -> Assignment:
        return cls._make(pickle.loads(data))


def dump_outcome(outcome: Outcome) -> bytes:
    return pickle.dumps(outcome, 5)


def load_outcome(data: bytes) -> Outcome:
    """Only classes of wfstore.model are in there: user values travel as opaque bytes."""
    outcome = pickle.loads(data)
    assert isinstance(outcome, Outcome)
    return outcome
