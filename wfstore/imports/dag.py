"""The DAG of an old workflow: which task made which by a continuation, and an order in which upstream comes first."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from wfstore.traces.errors import TraceError
from wfstore.traces.rayworkflow import OldTask, OldWorkflow


class OldDag:
    """tasks: by id, those included that are only named by others; groups: ids of the tasks that came into being
    together, upstream first, by the task whose continuation they are (None: submitted at the start, or nobody knows);
    creator: the reverse"""

    def __init__(self, old: OldWorkflow) -> None:
        """Raises TraceError for tasks that wait for each other."""
        self.tasks: dict[str, OldTask] = {
            # What has an output needs no other task's, as ray.workflow saw it.
            name: task if task.output is None else replace(task, continued_to=None)
            for name, task in old.tasks.items()
        }
        self.groups: dict[str | None, list[str]] = {None: []}
        self.creator: dict[str, str | None] = {}
        self._source, self._entry = old.workflow_id, old.entry
        self._not_kept: list[tuple[int, str]] = []
        if old.entry is not None:
            self._collect(None, old.entry)
        # Those under a task that was not kept have no definition: that they ran is all there is to know.
        for task in sorted(self.tasks.values(), key=_moment):
            if task.task_id not in self.creator:
                self._collect(self._likely_creator(task), task.task_id)
        self._check_continuations()
        self.groups = {creator: self._ordered(group) for creator, group in self.groups.items()}

    def creators(self, task_id: str) -> list[str]:
        """The task itself, the one that made it, and so on."""
        chain = [task_id]
        while (creator := self.creator[chain[-1]]) is not None:
            chain.append(creator)
        return chain

    def end(self, task_id: str) -> str:
        """Whose own output is the output of `task_id`."""
        while (following := self.tasks[task_id].continued_to) is not None:
            task_id = following
        return task_id

    def _collect(self, creator: str | None, output: str) -> None:
        """What `output` needs and nobody has yet is of `creator`'s making; then the same for each of those."""
        waiting: deque[tuple[str | None, str]] = deque([(creator, output)])
        while waiting:
            maker, task_id = waiting.popleft()
            above = [task_id]
            while above:
                task_id = above.pop()
                if task_id in self.creator:
                    continue
                task = self.tasks.setdefault(task_id, OldTask(task_id, task_id))
                self.creator[task_id] = maker
                self.groups.setdefault(maker, []).append(task_id)
                above += task.upstream
                if task.output is None and task.continued_to is None and task.ended_us is not None:
                    bisect.insort(self._not_kept, (task.ended_us, task_id))
                if task.continued_to is not None:
                    waiting.append((task_id, task.continued_to))

    def _likely_creator(self, task: OldTask) -> str | None:
        """Of the tasks whose outputs were not kept, the one that ended last before this one began."""
        before = bisect.bisect_left(self._not_kept, _moment(task))
        return self._not_kept[before - 1][1] if before else self._entry

    def _check_continuations(self) -> None:
        ends: set[str] = set()
        for task_id in self.tasks:
            chain: dict[str, None] = {}
            following: str | None = task_id
            while following is not None and following not in ends:
                if following in chain:
                    raise self._cycle([*chain, following])
                chain[following] = None
                following = self.tasks[following].continued_to
            ends.update(chain)

    def _ordered(self, group: list[str]) -> list[str]:
        inside = set(group)
        above: Mapping[str, list[str]] = {
            task_id: [name for name in self.tasks[task_id].upstream if name in inside] for task_id in group
        }
        try:
            return list(TopologicalSorter(above).static_order())
        except CycleError as error:
            raise self._cycle(error.args[1]) from error

    def _cycle(self, tasks: list[str]) -> TraceError:
        return TraceError(self._source, "tasks", "a cycle: " + " -> ".join(tasks))


def _moment(task: OldTask) -> tuple[int, str]:
    return 2**62 if task.started_us is None else task.started_us, task.task_id
