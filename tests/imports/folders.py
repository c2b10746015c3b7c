"""Old stores built by hand, in the layout that ray.workflow 2.3 to 2.47 wrote. Nothing here needs that library."""

from __future__ import annotations

import json
import os
import pickle
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import cloudpickle

DUMMY = b"__RAY_DUMMY__"
T0 = 1_700_000_000.0
_HOMES = {
    "_resolve_workflow_refs": "ray.workflow.serialization_context",
    "_load_object_ref": "ray.workflow.serialization",
    "continuation": "ray.workflow.api",
    "gone_for_good": "ray.workflow.api",
}


class Call:
    """Pickles into the call of a function of the removed library."""

    def __init__(self, name: str, *args: Any) -> None:
        self.name, self.args = name, args

    def __reduce__(self) -> Any:
        return getattr(sys.modules[_HOMES[self.name]], self.name), self.args


def upstream(position: int) -> Call:
    """What stood for the output of the task at `position` of workflow_refs."""
    return Call("_resolve_workflow_refs", position)


def object_ref(key: str, workflow_id: str = "w") -> Call:
    """What stood for an ObjectRef whose content lies under `key`."""
    return Call("_load_object_ref", f"objects/{key}", workflow_id)


def dumps(value: Any) -> bytes:
    """Pickled while modules of the removed library seem to be there."""
    modules: dict[str, types.ModuleType] = {"ray": types.ModuleType("ray")}
    for name, home in _HOMES.items():
        module = modules.setdefault(home, types.ModuleType(home))
        function = types.FunctionType((lambda *args: None).__code__, {}, name)
        function.__module__, function.__qualname__ = home, name
        setattr(module, name, function)
    with mock.patch.dict(sys.modules, modules):
        return pickle.dumps(value, 5)


def script_function(source: str, name: str) -> Callable[..., Any]:
    """A function of a driver's own script: pickled by value."""
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(source, scope)
    function: Callable[..., Any] = scope[name]
    return function


class OldFolder:
    """A storage folder of ray.workflow."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "workflows" / "__status__").mkdir(parents=True)
        (root / "_valid").touch()

    def workflow(self, workflow_id: str, status: str | None, entry: str | None = None, **facts: Any) -> OldWorkflowDir:
        """facts: metadata, started, ended (seconds)."""
        return OldWorkflowDir(self.root / "workflows" / workflow_id, status, entry, **facts)

    def chain(self, workflow_id: str, start: float = T0) -> None:
        """A finished workflow of three tasks, each given the one before: 1 + 1 + 1."""
        made = self.workflow(workflow_id, "SUCCESSFUL", "shop.add_1", started=start, ended=start + 1)
        made.task("shop.one", one, started=start + 0.1, ended=start + 0.2, output=1)
        for number, name, above in ((2, "shop.add", "shop.one"), (3, "shop.add_1", "shop.add")):
            at = start + number / 10
            made.task(name, add, [upstream(0), 1], refs=[above], started=at, ended=at + 0.1, output=number)


class OldWorkflowDir:
    def __init__(
        self,
        folder: Path,
        status: str | None,
        entry: str | None,
        metadata: Mapping[str, Any] | None = None,
        started: float | None = None,
        ended: float | None = None,
    ) -> None:
        self.folder = folder
        self.names: dict[str, int] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self.json("user_run_metadata.json", metadata or {})
        if status is not None:
            self.json("workflow_meta.json", {"status": status})
        if entry is not None:
            self.json("tasks/outputs.json", {"output_task_id": entry})
        if started is not None:
            self.timed("pre_run_metadata.json", "start_time", started)
        if ended is not None:
            self.timed("post_run_metadata.json", "end_time", ended)

    def json(self, path: str, value: Any) -> Path:
        return self.file(path, json.dumps(value).encode())

    def file(self, path: str, data: bytes) -> Path:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return target

    def timed(self, path: str, key: str, seconds: float) -> None:
        os.utime(self.json(path, {key: seconds}), (seconds, seconds))

    def task(
        self,
        task_id: str,
        function: Callable[..., Any] | None = None,
        args: list[Any] | None = None,
        *,
        kwargs: Mapping[str, Any] | None = None,
        refs: list[str] | None = None,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        **facts: Any,
    ) -> None:
        """facts: started, ended, failed (seconds), output, error, continued_to, and task options."""
        at = f"tasks/{task_id}"
        base = name or task_id.rstrip("0123456789").removesuffix("_") or task_id
        self.names[base] = self.names.get(base, -1) + 1
        self.json(f"duplicate_name_counter/{base}", self.names[base])
        options = {key: facts.pop(key) for key in list(facts) if key in _OPTIONS}
        if function is not None:
            inputs = {
                "task_id": task_id,
                "task_options": {"task_type": "FUNCTION", **_OPTIONS, **options},
                "user_metadata": metadata or {},
                "workflow_refs": refs or [],
            }
            self.json(f"{at}/inputs.json", inputs)
            self.file(f"{at}/func_body.pkl", cloudpickle.dumps(function))
            flat = [part for value in args or [] for part in (DUMMY, value)]
            flat += [part for item in (kwargs or {}).items() for part in item]
            self.file(f"{at}/args.pkl", dumps(flat))
        self._ran(at, **facts)

    def _ran(
        self,
        at: str,
        *,
        started: float | None = None,
        ended: float | None = None,
        failed: float | None = None,
        output: Any = ...,
        error: BaseException | None = None,
        continued_to: str | None = None,
    ) -> None:
        if started is not None:
            self.timed(f"{at}/pre_task_metadata.json", "start_time", started)
        if ended is not None:
            self.timed(f"{at}/post_task_metadata.json", "end_time", ended)
        if output is not ...:
            self.file(f"{at}/output.pkl", dumps(output))
        if error is not None:
            path = self.file(f"{at}/exception.pkl", dumps(error))
            when = failed if failed is not None else (started or T0) + 0.01
            os.utime(path, (when, when))
        if continued_to is not None:
            self.json(f"{at}/outputs.json", {"output_task_id": continued_to})

    def object(self, key: str, value: Any) -> str:
        self.file(f"objects/{key}", dumps(value))
        return key


_OPTIONS = {
    "max_retries": 3,
    "catch_exceptions": False,
    "retry_exceptions": False,
    "checkpoint": True,
    "ray_options": {},
}
#: 32 bytes in URL-safe base64, as the old library named the content of an ObjectRef.
KEYS = [letter * 43 + "=" for letter in "ABCDEF"]


def one() -> int:
    return 1


def add(x: Any, y: Any = 0) -> Any:
    return x + y
