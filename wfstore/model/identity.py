"""What makes a task comparable across runs: its function and where it stands in the DAG, not the id it happened to get.

Tasks of one function stand at one place where they come of the same creator's place, take outputs from the same places
and are named alike: the members of a fan-out share a place however many they are, the links of a chain do not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from wfstore.model.dag import ORDER, TaskSpec
from wfstore.model.state import TaskState, WorkflowState

#: What a name may have of one task, or of one day, only: numbers, and ids in hexadecimal digits.
_OWN = re.compile(r"[0-9a-fA-F]{8,}|\d+")
_NO_TASKS: Mapping[str, TaskState] = {}
_SHAPE_BYTES = 8


class Keys:
    """Gives task keys: the function's name, and from the second place on at which it stands "#2", "#3" and so on, in
    the order of definition. What `workflow` knows counts on."""

    def __init__(self, workflow: WorkflowState | None = None) -> None:
        self._tasks = _NO_TASKS if workflow is None else workflow.tasks
        self._known: Mapping[bytes, str] = {} if workflow is None else workflow.places
        self._counted: Mapping[str, int] = {} if workflow is None else workflow.place_counts
        self._new: dict[bytes, str] = {}
        self._counts: dict[str, int] = {}
        self._given: dict[str, str] = {}

    def give(self, task_id: str, spec: TaskSpec, upstream: Sequence[str], creator: str | None) -> str:
        """Of a task that is about to be defined. upstream, creator: ids of tasks that have a key."""
        above = {self.of(one) for one, kind in zip(upstream, spec.kinds, strict=True) if kind != ORDER}
        place = _place(spec.function, spec.name, None if creator is None else self.of(creator), above)
        key = self._known.get(place) or self._new.get(place)
        if key is None:
            count = self._counts.get(spec.function, self._counted.get(spec.function, 0)) + 1
            self._counts[spec.function] = count
            key = self._new[place] = spec.function if count == 1 else f"{spec.function}#{count}"
        self._given[task_id] = key
        return key

    def of(self, task_id: str) -> str:
        """The key of a task that has one."""
        return self._given.get(task_id) or self._tasks[task_id].key


def remember(workflow: WorkflowState, task: TaskState, facts: Mapping[str, Any]) -> None:
    """What the definition of `task` says of its identity. A log older than keys has a function's name for each."""
    task.key = facts.get("key") or task.function
    task.code = facts.get("code")
    tasks = workflow.tasks
    above = {tasks[one].key for one, kind in zip(task.upstream, task.kinds, strict=True) if kind != ORDER}
    place = _place(task.function, task.name, None if task.creator is None else tasks[task.creator].key, above)
    if place not in workflow.places:
        workflow.places[place] = task.key
        workflow.place_counts[task.function] = workflow.place_counts.get(task.function, 0) + 1


def shape(tasks: Iterable[tuple[str, Sequence[int | str], Sequence[str]]]) -> str:
    """16 hexadecimal digits that tell one DAG from another: of (task key, positions of its upstream tasks, their kinds)
    in the order of definition. Arguments, options and code do not count."""
    digest = blake2b(digest_size=_SHAPE_BYTES)
    for key, upstream, kinds in tasks:
        digest.update(repr((key, tuple(upstream), tuple(kinds))).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _place(function: str, name: str, creator: str | None, above: Collection[str]) -> bytes:
    said = "\0".join((function, _alike(name), creator or "", *sorted(above)))
    return blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@lru_cache(4096)
def _alike(name: str) -> str:
    return _OWN.sub("#", name)
