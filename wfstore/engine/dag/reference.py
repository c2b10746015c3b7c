"""`WorkflowRef`: a task of the workflow that runs, by its id, as an argument of another task.

Nodes of a graph describe tasks to come; a reference stands for one that the workflow has already. It can be pickled,
kept and passed on; outside of its workflow it means nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkflowRef:
    """The output of task `task_id`, once it is there."""

    task_id: str

    @property
    def key(self) -> str:
        """Identity in a graph."""
        return f"task {self.task_id}"


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Given to the body of a wait in the place of a value that it did not wait for."""

    task_id: str
