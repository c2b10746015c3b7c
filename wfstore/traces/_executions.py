"""The execution section of a WfFormat file: what was measured of each task, and the machines that there were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wfstore.traces._fields import Field

#: Measured numbers of a task that stand under the same name in every version of the format.
FACTS = ("avgCPU", "readBytes", "writtenBytes", "energyInKWh", "avgPowerInW", "priority")


@dataclass(frozen=True, slots=True)
class Execution:
    """What was recorded of one task; every field may be missing."""

    runtime_s: float | None = None
    executed_at: str | None = None
    program: str | None = None
    arguments: tuple[str, ...] = ()
    cores: float | None = None
    memory_bytes: int | None = None
    machines: tuple[str, ...] = ()
    facts: Mapping[str, float] | None = None


def by_id(owner: Field, key: str, name: str = "id") -> dict[str, Field]:
    """The objects of a list by their ids. Raises TraceError for an id that is there twice."""
    found: dict[str, Field] = {}
    for item in owner.children(key):
        value = item.text(name)
        if value in found:
            raise item.error(name, f"{value!r} is there twice, first at {found[value].place}")
        found[value] = item
    return found


def executions(section: Field, specified: Mapping[str, Field]) -> dict[str, Execution]:
    """By task id. Raises TraceError for a task that the specification does not have, or a machine nobody declared."""
    known = by_id(section, "machines", "nodeName") if section.has("machines") else None
    found: dict[str, Execution] = {}
    for task_id, item in by_id(section, "tasks").items():
        if task_id not in specified:
            raise item.error("id", f"there is no task {task_id!r} in the specification")
        names = item.texts("machines")
        for position, name in enumerate(names):
            if known is not None and name not in known:
                raise item.error(f"machines[{position}]", f"there is no machine {name!r}")
        command = item.child("command") if item.has("command") else None
        found[task_id] = Execution(
            runtime_s=item.number("runtimeInSeconds"),
            executed_at=item.text("executedAt", "") or None,
            program=command.text("program", "") or None if command else None,
            arguments=command.texts("arguments") if command else (),
            cores=item.number("coreCount"),
            memory_bytes=item.size("memoryInBytes"),
            machines=names,
            facts={key: value for key in FACTS if (value := item.number(key)) is not None},
        )
    return found


def machines(section: Field) -> dict[str, Mapping[str, Any]]:
    """Node name -> what else the file says of it, as it says it."""
    if not section.has("machines"):
        return {}
    return {name: item.rest("nodeName") for name, item in by_id(section, "machines", "nodeName").items()}
