"""One workflow as a WfFormat 1.5 document (wfcommons.org): its DAG, when and where each task ran, sizes of outputs.

What the format has no word for stays behind: attempts before the one that counted, errors, metadata, values. What an
imported trace said beyond that (commands, names of files, machines) is written as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from wfstore._history import History
from wfstore._version import __version__
from wfstore.model.events import TASK_DEFINED, WORKFLOW_SUBMITTED

SCHEMA_VERSION = "1.5"

#: Ids in the format have no other characters.
_FOREIGN = re.compile(r"[^0-9A-Za-z_.-]")


class _Task(NamedTuple):
    """A row of `tasks`, the attempt that counted (None: it never ran), and what an imported trace said of it."""

    id: str
    row: Mapping[str, Any]
    attempt: Mapping[str, Any] | None
    recorded: Mapping[str, Any]

    @property
    def runtime_s(self) -> float | None:
        return None if self.row["duration_s"] is None else max(0.0, self.row["duration_s"])


def to_wfformat(history: History) -> dict[str, Any]:
    """The document, ready for `json.dumps`. Tasks that never ran have no entry in its execution section, and a
    workflow that never ran has no such section."""
    said = _recorded(history)
    tasks = _tasks(history, said)
    ids = {task.row["task_id"]: task.id for task in tasks}
    parents = _parents(history, ids)
    flow = said.get(None, {})
    row = history.workflow
    specification, files = _specification(tasks, parents, flow)
    workflow: dict[str, Any] = {"specification": {"tasks": specification, "files": files}}
    ran = [task for task in tasks if task.runtime_s is not None]
    if ran:
        workflow["execution"] = _execution(row, ran, flow)
    document = {
        "name": row["name"] or history.workflow_id,
        "description": f"Workflow {history.workflow_id}, exported by wfstore",
        "createdAt": _iso(row["submitted_at"]),
        "schemaVersion": SCHEMA_VERSION,
        "runtimeSystem": {"name": "wfstore", "version": __version__, "url": "https://pypi.org/project/wfstore"},
    }
    return {**document, "workflow": workflow}


def _recorded(history: History) -> dict[str | None, Mapping[str, Any]]:
    """What an import kept of its trace, by task id (None: of the workflow)."""
    events = history.events.select("type", "task_id", "by", "attributes").iter_rows()
    kept = (WORKFLOW_SUBMITTED, TASK_DEFINED)
    found: dict[str | None, Mapping[str, Any]] = {}
    for type_, task_id, by, attributes in events:
        if type_ in kept:  # an id that was deleted may be another workflow's now: the last word counts
            imported = by == "import:wfformat" and attributes
            found[task_id] = json.loads(attributes).get("recorded", {}) if imported else {}
    return found


def _tasks(history: History, said: Mapping[str | None, Mapping[str, Any]]) -> list[_Task]:
    last: dict[str, dict[str, Any]] = {}
    for attempt in history.attempts.iter_rows(named=True):
        task_id = attempt["task_id"]
        if attempt["status"] == "SUCCESSFUL" or last.get(task_id, attempt)["status"] != "SUCCESSFUL":
            last[task_id] = attempt
    rows = list(history.tasks.iter_rows(named=True))
    ids = _ids([row["task_id"] for row in rows])
    return [_Task(ids[row["task_id"]], row, last.get(row["task_id"]), said.get(row["task_id"], {})) for row in rows]


def _ids(names: Iterable[str]) -> dict[str, str]:
    """Name -> id: the name where the format takes it, else one like it that nobody else has."""
    names = list(names)
    taken = {name for name in names if name and not _FOREIGN.search(name)}
    found: dict[str, str] = {}
    for name in names:
        made, count = _FOREIGN.sub("_", name) or "_", 1
        while made != name and made in taken:
            count += 1
            made = f"{_FOREIGN.sub('_', name)}_{count}"
        taken.add(made)
        found[name] = made
    return found


def _parents(history: History, ids: Mapping[str, str]) -> dict[str, list[str]]:
    """Id -> ids of its parents: the tasks it was given, and the one whose continuation it belongs to."""
    found: dict[str, dict[str, None]] = {made: {} for made in ids.values()}
    for row in history.tasks.select("task_id", "upstream").iter_rows():
        found[ids[row[0]]].update((ids[name], None) for name in row[1])
    for above, below in history.edges.select("upstream_task_id", "task_id").iter_rows():
        found[ids[below]][ids[above]] = None
    return {made: list(above) for made, above in found.items()}


def _specification(
    tasks: list[_Task], parents: Mapping[str, list[str]], flow: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The tasks and the files of the specification. An output is a file of its own, which the children read."""
    sizes: dict[str, int] = dict(flow.get("files", {}))
    children: dict[str, list[str]] = {task.id: [] for task in tasks}
    output: dict[str, list[str]] = {}
    for task in tasks:
        for above in parents[task.id]:
            children[above].append(task.id)
        if "outputFiles" in task.recorded:
            output[task.id] = list(task.recorded["outputFiles"])
        elif task.row["output_bytes"] is not None:
            name = f"{task.id}.out"
            output[task.id] = [name]
            sizes[name] = task.row["output_bytes"]
    specified = [
        {
            "name": _FOREIGN.sub("_", task.recorded.get("name") or task.row["name"] or task.id),
            "id": task.id,
            "parents": parents[task.id],
            "children": children[task.id],
            "inputFiles": _inputs(task, parents, output),
            "outputFiles": output.get(task.id, []),
        }
        for task in tasks
    ]
    return specified, [{"id": name, "sizeInBytes": size} for name, size in sizes.items()]


def _inputs(task: _Task, parents: Mapping[str, list[str]], output: Mapping[str, list[str]]) -> list[str]:
    if "inputFiles" in task.recorded:
        return list(task.recorded["inputFiles"])
    return [name for above in parents[task.id] for name in output.get(above, [])]


def _execution(row: Mapping[str, Any], ran: list[_Task], flow: Mapping[str, Any]) -> dict[str, Any]:
    began = row["started_at"] or row["submitted_at"]
    ends = [task.row["ended_at"] for task in ran if task.row["ended_at"] is not None]
    ended = row["ended_at"] or max(ends, default=began)
    entries = [_executed(task) for task in ran]
    known: Mapping[str, Any] = flow.get("machines", {})
    names = dict.fromkeys([*known, *(name for entry in entries for name in entry.get("machines", ()))])
    return {
        "makespanInSeconds": max(0.0, (ended - began).total_seconds()),
        "executedAt": _iso(began),
        "tasks": entries,
        "machines": [{"nodeName": name, **known.get(name, {})} for name in names],
    }


def _executed(task: _Task) -> dict[str, Any]:
    attempt = task.attempt or {}
    entry: dict[str, Any] = {"id": task.id, "runtimeInSeconds": task.runtime_s}
    started = attempt.get("started_at") or task.row["started_at"]
    if started is not None:
        entry["executedAt"] = _iso(started)
    if "execution" in task.recorded:
        return {**entry, **task.recorded["execution"]}
    if task.row["function"]:
        entry["command"] = {"program": task.row["function"], "arguments": []}
    cores = attempt.get("num_cpus")
    if cores is not None and cores >= 1:  # the format knows no share of a core
        entry["coreCount"] = int(cores) if float(cores).is_integer() else cores
    if attempt.get("node_id"):
        entry["machines"] = [attempt["node_id"]]
    return entry


def _iso(moment: datetime) -> str:
    return moment.replace(tzinfo=UTC).isoformat()
