"""One workflow of an old store: which files say what about it.

    <id>/workflow_meta.json                  {"status": ...}; without it the workflow was never accepted
    <id>/user_run_metadata.json              user metadata
    <id>/{pre,post}_run_metadata.json        {"start_time": s}, {"end_time": s} of the last run
    <id>/duplicate_name_counter/<name>       how often a task name was used
    <id>/objects/<hash>                      content of an ObjectRef
    <id>/tasks/outputs.json                  {"output_task_id": entry}; written last, once all tasks of the DAG are
    <id>/tasks/<task>/inputs.json            task_options, user_metadata, workflow_refs (upstream ids)
    <id>/tasks/<task>/{args,func_body,output,exception}.pkl
    <id>/tasks/<task>/{pre,post}_task_metadata.json
    <id>/tasks/<task>/outputs.json           output_task_id: the task returned a continuation that ends there

Files were not written atomically: what a crash cut off counts as not there, and `OldWorkflow.notes` says so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wfstore.traces.errors import TraceError
from wfstore.traces.rayworkflow.files import Blob, Files

META = "workflow_meta.json"
FOLDERS = ("tasks", "objects", "duplicate_name_counter")
STATUSES = frozenset({"RUNNING", "PENDING", "SUCCESSFUL", "FAILED", "RESUMABLE", "CANCELED"})

#: Files up to this size are read together with the rest, so that remote storages are asked by several threads at once.
_EAGER_BYTES = 64 * 1024
#: A file whose time is that close to the time it holds was not copied, so its siblings' times can be believed too.
_SAME_TIME_US = 2_000_000
_STOP = b"."


@dataclass(frozen=True, slots=True)
class OldTask:
    """One task. Times are microseconds UTC of the worker's clock, of the last attempt.

    name: task_id without the suffix that made it unique; known: its definition was kept (under a task with
    ``checkpoint=False`` it was not); options: as in inputs.json; upstream: ids, by the position that `args` refers to;
    args, body, output, exception: pickles; continued_to: the task whose output becomes its own
    """

    task_id: str
    name: str
    known: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    upstream: tuple[str, ...] = ()
    started_us: int | None = None
    ended_us: int | None = None
    args: Blob | None = None
    body: Blob | None = None
    output: Blob | None = None
    exception: Blob | None = None
    continued_to: str | None = None


@dataclass(frozen=True, slots=True)
class OldWorkflow:
    """One workflow. Times are microseconds UTC of the manager's clock, of the last run.

    status: as stored, so that what was interrupted says RUNNING or PENDING; entry: the task whose output is the
    workflow's, None when the DAG was not kept whole; objects: content of ObjectRefs by hash; status_us: when the status
    was written, and times_kept: the files' own times mean something (they were not copied); notes: what was cut off
    """

    workflow_id: str
    status: str
    metadata: Mapping[str, Any]
    entry: str | None
    tasks: Mapping[str, OldTask]
    objects: Mapping[str, Blob]
    started_us: int | None = None
    ended_us: int | None = None
    submitted_us: int | None = None
    status_us: int | None = None
    times_kept: bool = False
    notes: tuple[str, ...] = ()


def read_workflow(files: Files, folder: str, workflow_id: str, submitted_us: int | None) -> OldWorkflow:
    """Raises TraceError naming the file that is damaged; OSError."""
    return _Reader(files, folder).workflow(workflow_id, submitted_us)


class _Reader:
    """The files of one workflow."""

    def __init__(self, files: Files, folder: str) -> None:
        self._files = files
        self._folder = folder
        self._notes: list[str] = []
        self._found: dict[str, Blob] = {}
        own, _ = files.children(folder)
        self._found.update(own)
        for part in FOLDERS:
            for blob in files.below(f"{folder}/{part}"):
                self._found[blob.path.removeprefix(f"{folder}/")] = blob

    def workflow(self, workflow_id: str, submitted_us: int | None) -> OldWorkflow:
        status = self._object(META).get("status")
        if status not in STATUSES:
            raise self._error(META, f"{status!r} is no status")
        entry = self._object("tasks/outputs.json", {})
        tasks = self._tasks()
        started = self._moment("pre_run_metadata.json", "start_time")
        written = self._found.get("pre_run_metadata.json")
        kept = started is not None and written is not None and _close(written.modified_us, started)
        return OldWorkflow(
            workflow_id=workflow_id,
            status=status,
            metadata=self._object("user_run_metadata.json", {}),
            entry=_text(entry.get("output_task_id")) or _text(entry.get("dynamic_output_task_id")),
            tasks=tasks,
            objects={name: self._small(blob) for name, blob in self._under("objects")},
            started_us=started,
            ended_us=self._moment("post_run_metadata.json", "end_time"),
            submitted_us=submitted_us,
            status_us=self._found[META].modified_us,
            times_kept=kept,
            notes=tuple(self._notes),
        )

    def _tasks(self) -> dict[str, OldTask]:
        names = dict.fromkeys(name for name, _ in self._under("duplicate_name_counter"))
        own: dict[str, set[str]] = {}
        for path, _ in self._under("tasks"):
            task_id, _, file = path.rpartition("/")
            if task_id:
                own.setdefault(task_id, set()).add(file)
        return {task_id: self._task(task_id, _base_name(task_id, names), own[task_id]) for task_id in sorted(own)}

    def _task(self, task_id: str, name: str, present: set[str]) -> OldTask:
        at = f"tasks/{task_id}"
        inputs = self._object(f"{at}/inputs.json", {})
        outputs = self._object(f"{at}/outputs.json", {})
        upstream = inputs.get("workflow_refs", [])
        if not isinstance(upstream, list) or not all(isinstance(item, str) for item in upstream):
            raise self._error(f"{at}/inputs.json", "workflow_refs is no list of task ids")
        options, metadata = inputs.get("task_options") or {}, inputs.get("user_metadata") or {}
        if not isinstance(options, dict) or not isinstance(metadata, dict):
            raise self._error(f"{at}/inputs.json", "task_options and user_metadata have to be objects")
        return OldTask(
            task_id=task_id,
            name=name,
            known="inputs.json" in present,
            options=options,
            metadata=metadata,
            upstream=tuple(upstream),
            started_us=self._moment(f"{at}/pre_task_metadata.json", "start_time"),
            ended_us=self._moment(f"{at}/post_task_metadata.json", "end_time"),
            args=self._pickle(f"{at}/args.pkl"),
            body=self._pickle(f"{at}/func_body.pkl"),
            output=self._pickle(f"{at}/output.pkl"),
            exception=self._pickle(f"{at}/exception.pkl"),
            continued_to=_text(outputs.get("output_task_id")) or _text(outputs.get("dynamic_output_task_id")),
        )

    def _under(self, folder: str) -> Iterable[tuple[str, Blob]]:
        prefix = f"{folder}/"
        return ((path.removeprefix(prefix), blob) for path, blob in self._found.items() if path.startswith(prefix))

    def _object(self, path: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
        """A JSON object; `default` where there is no file. NaN, which JSON does not have, becomes null."""
        if path not in self._found:
            if default is None:
                raise self._error(path, "is missing")
            return default
        try:
            value = json.loads(self._files.read(self._found[path].path), parse_constant=lambda _: None)
        except (ValueError, RecursionError) as error:
            raise self._error(path, f"is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise self._error(path, "is no JSON object")
        return value

    def _moment(self, path: str, key: str) -> int | None:
        """A time in microseconds. These files tell nothing else, so one that was cut off costs no more than a time."""
        try:
            value = self._object(path, {}).get(key)
        except TraceError as error:
            self._notes.append(f"{path}: {error.message}")
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
            return None
        return round(value * 1e6) if math.isfinite(value) else None

    def _pickle(self, path: str) -> Blob | None:
        blob = self._found.get(path)
        if blob is None:
            return None
        blob = self._small(blob)
        last = blob.data[-1:] if blob.data is not None else self._files.last_byte(blob.path)
        if last != _STOP:
            self._notes.append(f"{path}: is cut off after {blob.bytes} bytes")
            return None
        return blob

    def _small(self, blob: Blob) -> Blob:
        return blob._replace(data=self._files.read(blob.path)) if blob.bytes <= _EAGER_BYTES else blob

    def _error(self, path: str, message: str) -> TraceError:
        return TraceError(self._files.source, f"{self._folder}/{path}", message)


def _base_name(task_id: str, names: Mapping[str, None]) -> str:
    """The name that a suffix was put to; the id itself where none is known."""
    base, _, suffix = task_id.rpartition("_")
    return base if task_id not in names and suffix.isdecimal() and base in names else task_id


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _close(one: int | None, other: int) -> bool:
    return one is not None and abs(one - other) < _SAME_TIME_US
