"""Reads WfFormat 1.5 files (wfcommons.org): a workflow's DAG with the run times and file sizes that were recorded.

Pure: a file in, frozen dataclasses out. It follows no reference to another file and knows no other version of the
format.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from os import PathLike
from pathlib import Path
from typing import Any

from wfstore.traces._executions import Execution, by_id, executions, machines
from wfstore.traces._fields import Field

SCHEMA_VERSION = "1.5"

#: What systems append to the name of a task to tell it from its kin: "bwa_ID000003", "ALIGN_9".
_SUFFIX = re.compile(r"_(?:ID)?\d+$")


@dataclass(frozen=True, slots=True)
class TraceTask:
    """One recorded task.

    id: unique in the trace; name: as recorded; category: the name without a running number, what statistics group by
    parents, children: ids, each edge seen from both ends
    runtime_s: seconds, None where no execution was recorded
    input_bytes, output_bytes: sums of its files' sizes
    input_files, output_files: ids of its files
    program, arguments: what it ran; cores: how many it asked for; memory_bytes: its peak
    executed_at: when it began, as written in the file; machines: names of the nodes where it ran
    facts: other measured numbers under their names in the format
    """

    id: str
    name: str
    category: str
    parents: tuple[str, ...]
    children: tuple[str, ...]
    runtime_s: float | None
    input_bytes: int
    output_bytes: int
    input_files: tuple[str, ...] = ()
    output_files: tuple[str, ...] = ()
    program: str | None = None
    cores: float | None = None
    memory_bytes: int | None = None
    arguments: tuple[str, ...] = ()
    executed_at: str | None = None
    machines: tuple[str, ...] = ()
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trace:
    """One recorded workflow: its tasks in an order in which parents come first.

    path: the file; makespan_s: wall time of the recorded execution in seconds; executed_at: as written in the file;
    files: id -> size in bytes; machines: node name -> what the file says of it; created_at: of the file, as written
    executed: there is an execution section
    """

    path: str
    name: str
    description: str
    tasks: tuple[TraceTask, ...]
    files: Mapping[str, int]
    makespan_s: float | None = None
    executed_at: str | None = None
    created_at: str | None = None
    executed: bool = True
    machines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def edges(self) -> int:
        """How many pairs of parent and child there are."""
        return sum(len(task.parents) for task in self.tasks)


def read(path: str | PathLike[str]) -> Trace:
    """The trace in a WfFormat 1.5 file.

    An edge counts when either end names it. Raises TraceError (a ValueError) that names file and field: not JSON,
    another version, a field missing or of the wrong type, an id twice or unknown, a cycle. OSError: unreadable.
    """
    document = Field.of_file(Path(path))
    version = document.text("schemaVersion")
    if version != SCHEMA_VERSION:
        raise document.error("schemaVersion", f"version {SCHEMA_VERSION} is read here, not {version!r}")
    workflow = document.child("workflow")
    specification = workflow.child("specification")
    specified = by_id(specification, "tasks")
    if not specified:
        raise specification.error("tasks", "there is no task")
    files = _files(specification)
    execution = workflow.child("execution") if workflow.has("execution") else None
    executed = executions(execution, specified) if execution else {}
    parents = _parents(specified)
    return Trace(
        path=str(path),
        name=document.text("name"),
        description=document.text("description", ""),
        tasks=tuple(
            _task(specified[task_id], parents, children, files, executed.get(task_id, Execution()))
            for task_id, children in _ordered(parents, specification)
        ),
        files=files,
        makespan_s=execution.number("makespanInSeconds") if execution else None,
        executed_at=execution.text("executedAt", "") or None if execution else None,
        created_at=document.text("createdAt", "") or None,
        executed=execution is not None,
        machines=machines(execution) if execution else {},
    )


def _files(specification: Field) -> dict[str, int]:
    if not specification.has("files"):
        return {}
    return {name: item.size("sizeInBytes") or 0 for name, item in by_id(specification, "files").items()}


def _parents(specified: Mapping[str, Field]) -> dict[str, dict[str, None]]:
    """id -> its parents, in the order of the file (a dict keeps it), from both ends of each edge."""
    parents: dict[str, dict[str, None]] = {task_id: {} for task_id in specified}
    for task_id, item in specified.items():
        for key in ("parents", "children"):
            for position, other in enumerate(item.texts(key)):
                if other not in parents:
                    raise item.error(f"{key}[{position}]", f"there is no task {other!r}")
                child, parent = (task_id, other) if key == "parents" else (other, task_id)
                parents[child][parent] = None
    return parents


def _ordered(parents: Mapping[str, Iterable[str]], specification: Field) -> list[tuple[str, tuple[str, ...]]]:
    """(id, its children), parents first."""
    try:
        order = list(TopologicalSorter(parents).static_order())
    except CycleError as error:
        raise specification.error("tasks", "a cycle: " + " -> ".join(error.args[1])) from error
    children: dict[str, list[str]] = {task_id: [] for task_id in order}
    for task_id in order:
        for parent in parents[task_id]:
            children[parent].append(task_id)
    return [(task_id, tuple(children[task_id])) for task_id in order]


def _task(
    item: Field,
    parents: Mapping[str, Iterable[str]],
    children: tuple[str, ...],
    files: Mapping[str, int],
    executed: Execution,
) -> TraceTask:
    task_id = item.text("id")
    name = item.text("name")
    sizes: dict[str, int] = {}
    for key in ("inputFiles", "outputFiles"):
        sizes[key] = 0
        for position, file in enumerate(item.texts(key)):
            if file not in files:
                raise item.error(f"{key}[{position}]", f"there is no file {file!r}")
            sizes[key] += files[file]
    return TraceTask(
        id=task_id,
        name=name,
        category=_SUFFIX.sub("", name) or name,
        parents=tuple(parents[task_id]),
        children=children,
        runtime_s=executed.runtime_s,
        input_bytes=sizes["inputFiles"],
        output_bytes=sizes["outputFiles"],
        input_files=item.texts("inputFiles"),
        output_files=item.texts("outputFiles"),
        program=executed.program,
        cores=executed.cores,
        memory_bytes=executed.memory_bytes,
        arguments=executed.arguments,
        executed_at=executed.executed_at,
        machines=executed.machines,
        facts=executed.facts or {},
    )
