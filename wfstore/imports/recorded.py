"""A WfFormat trace told as events: the rows that a manager would have written had it run those tasks at those times.

The file knows of no attempt that failed, so each task that ran has one attempt. What the views have no column for stays
as it was recorded under `recorded` in the attributes, from where an export takes it back.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from typing import Any

from wfstore.imports.rows import Rows
from wfstore.imports.schedule import Ran, began, in_order, schedule
from wfstore.model import events as ev
from wfstore.model.dag import ARGUMENT, TaskOptions, TaskSpec
from wfstore.model.define import check_workflow_id
from wfstore.model.draft import where
from wfstore.model.events import Event
from wfstore.model.payload import PayloadRef
from wfstore.model.statuses import PENDING, SUCCESSFUL
from wfstore.payloads import hash_of
from wfstore.traces import Trace, TraceError, TraceTask
from wfstore.traces.rayworkflow.pickles import Missing

BY = "import:wfformat"
#: The function body of every imported task: opening it says why it cannot run again.
BODY = pickle.dumps(Missing("a WfFormat trace keeps no code and no values: this task cannot run again"), 5)
_LONGEST_FUNCTION = 80


def tell(trace: Trace, workflow_id: str, runs: int, now: int) -> list[Event]:
    """The rows of one workflow. runs: how many a deleted workflow of this id had; now: microseconds UTC.

    Raises TraceError for a trace without an execution or with times that are none, InvalidCommandError for the id.
    """
    check_workflow_id(workflow_id)
    if not trace.executed:
        raise TraceError(trace.path, "workflow.execution", "is missing: nothing was executed, there is no history")
    start = began(trace)
    ran = schedule(trace, start)
    last = max((one for one in ran if not one.task.children), key=lambda one: one.after)
    rows = Rows(workflow_id, runs, start, BY)
    _submit(rows, trace, last.task.id, now)
    for task in trace.tasks:
        rows.define_spec(task.id, _spec(task), {"recorded": _recorded(task)})
    rows.begin("new")
    only = next(iter(trace.machines)) if len(trace.machines) == 1 else None
    for ends, one in in_order(ran):
        if not ends:
            node = one.task.machines[0] if one.task.machines else only
            rows.submit(one.task.id, one.ready, one.started, node)
        else:
            rows.succeed(one.task.id, one.ended, _output(trace, one.task), stored=False)
    _end(rows, trace, start, ran, last)
    return rows.events


def _submit(rows: Rows, trace: Trace, output_task: str, now: int) -> None:
    metadata = {"name": trace.name, "description": trace.description or None}
    rows.workflow(
        ev.WORKFLOW_SUBMITTED,
        PENDING,
        name=trace.name,
        attributes={
            "metadata": _known(metadata),
            "output_task": output_task,
            "tasks": len(trace.tasks),
            "source": trace.path,
            "imported_at": now,
            "recorded": {"files": dict(trace.files), "machines": dict(trace.machines)},
        },
    )


def _end(rows: Rows, trace: Trace, start: int, ran: list[Ran], last: Ran) -> None:
    """The run ends as late as the file says, and not before its last task."""
    makespan_us = min(trace.makespan_s or 0.0, 1e11) * 1e6
    rows.at(max(start + round(makespan_us), *(one.after for one in ran)))
    output = where(_output(trace, last.task), False)
    rows.workflow(ev.WORKFLOW_SUCCEEDED, SUCCESSFUL, attributes={"output_task": last.task.id}, **output)


def _spec(task: TraceTask) -> TaskSpec:
    program = (task.program or "").strip()
    told = bool(program) and len(program) <= _LONGEST_FUNCTION and program.isprintable()
    numbers = {"input_bytes": task.input_bytes, "memory_bytes": task.memory_bytes}
    return TaskSpec(
        name=task.category,
        function=program if told else task.category,
        function_hash=hash_of(BODY),
        upstream=task.parents,
        kinds=(ARGUMENT,) * len(task.parents),
        options=TaskOptions(ray_options=_known({"num_cpus": task.cores})),
        metadata={**_known(numbers), **task.facts},
    )


def _recorded(task: TraceTask) -> Mapping[str, Any]:
    """In the words of the format, as the export writes them."""
    command = _known({"program": task.program, "arguments": list(task.arguments) or None})
    execution = {
        "command": command or None,
        "coreCount": task.cores,
        "memoryInBytes": task.memory_bytes,
        "machines": list(task.machines) or None,
        **task.facts,
    }
    files = {"inputFiles": list(task.input_files), "outputFiles": list(task.output_files)}
    return {"name": task.name, **files, "execution": _known(execution)}


def _output(trace: Trace, task: TraceTask) -> PayloadRef:
    """Of known size and unknown content: the hash is that of the files' names and sizes."""
    files = {name: trace.files[name] for name in task.output_files}
    return PayloadRef(hash_of(json.dumps([task.id, files]).encode()), task.output_bytes)


def _known(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}
