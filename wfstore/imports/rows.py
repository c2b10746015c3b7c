"""Events about one imported workflow, in the making: the rows that a manager would have written, at the old times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wfstore.imports.keeping import Encoded, Failure
from wfstore.model import events as ev
from wfstore.model.dag import ARGUMENT, TaskOptions, TaskSpec
from wfstore.model.draft import Draft, where
from wfstore.model.events import Event
from wfstore.model.identity import Keys
from wfstore.model.payload import PayloadRef, payload_uri
from wfstore.model.statuses import CANCELED, FAILED, PENDING, RETRYING, RUNNING, SUCCESSFUL
from wfstore.model.wire import dumps, options_to_json, ref_to_json
from wfstore.traces.rayworkflow import OldTask

BY = "import:ray-workflow"
#: Of those that ray.workflow kept among Ray's options: ours, or none of Ray's public ones.
_NOT_RAYS = frozenset({"max_retries", "retry_exceptions", "num_returns", "max_calls", "_metadata"})

_CRASHED = "WorkerCrashedError"
_NO_ERROR = "ray.workflow kept no error: the worker died, or the output could not be stored"
#: kind -> status of the attempt and of its task, type and message of the error
_DROPPED = {
    "lost": (FAILED, PENDING, "AttemptLost", "the cluster ended while this attempt ran"),
    "canceled": (CANCELED, CANCELED, "Canceled", None),
    "system": (FAILED, FAILED, _CRASHED, _NO_ERROR),
}


def task_options(task: OldTask) -> TaskOptions:
    """The options of inputs.json; the defaults where they are not there."""
    given = task.options
    retries = given.get("max_retries")
    rays = given.get("ray_options")
    return TaskOptions(
        max_retries=retries if isinstance(retries, int) else TaskOptions().max_retries,
        retry_exceptions=bool(given.get("retry_exceptions")),
        catch_exceptions=True if given.get("catch_exceptions") else None,
        checkpoint=False if given.get("checkpoint") is False else None,
        ray_options={
            key: value
            for key, value in (rays if isinstance(rays, dict) else {}).items()
            if key not in _NOT_RAYS and value is not None
        },
    )


class Rows:
    """Collects the rows. `at` sets the moment of those that follow; one that is not known is that of the last row.

    runs: how many a deleted workflow of this id had; by: what every row says who wrote it
    """

    def __init__(self, workflow_id: str, runs: int, now: int, by: str = BY) -> None:
        self._by = by
        self._draft = Draft(workflow_id, runs, now, by=by)
        self._begun = 0
        self._specs: dict[str, TaskSpec] = {}
        self._keys = Keys()
        self.attempts: dict[str, int] = {}

    @property
    def events(self) -> list[Event]:
        return [event._replace(by=self._by) for event in self._draft.events]

    @property
    def begun_again(self) -> bool:
        """There was a run before this one."""
        return self._begun > 1

    def at(self, moment: int | None) -> None:
        if moment is not None:
            self._draft.now = moment

    def workflow(self, type_: str, status: str | None = None, **columns: Any) -> None:
        self._draft.workflow(type_, status, **columns)

    def begin(self, kind: str) -> None:
        """The next run. Attempts count anew."""
        self._draft.run += 1
        self._begun += 1
        self.attempts.clear()
        self.workflow(ev.WORKFLOW_STARTED, RUNNING, kind=kind)

    def task(self, type_: str, task_id: str, task_status: str, **columns: Any) -> None:
        self._draft.task(type_, task_id, task_status, **columns)

    def define(self, task: OldTask, code: Encoded, creator: str | None) -> None:
        spec = TaskSpec(
            task.name,
            code.function or task.name,
            code.function_hash,
            code.args,
            code.upstream,
            code.kinds,
            code.shared,
            task_options(task),
            task.metadata,
        )
        self.define_spec(task.task_id, spec, {"creator": creator})

    def define_spec(self, task_id: str, spec: TaskSpec, more: Mapping[str, Any]) -> None:
        """spec: with ids as `upstream`; more: attributes that a spec does not have."""
        self._specs[task_id] = spec
        key = self._keys.give(task_id, spec, [str(one) for one in spec.upstream], more.get("creator"))
        args = spec.args
        self.task(
            ev.TASK_DEFINED,
            task_id,
            PENDING,
            status=PENDING,
            name=spec.name,
            hash=spec.function_hash,
            bytes=None if args is None else args.bytes,
            uri=None if args is None or args.data is not None else payload_uri(args.hash),
            payload=None if args is None else args.data,
            attributes={
                "function": spec.function,
                "key": None if key == spec.function else key,
                "upstream": list(spec.upstream),
                "kinds": None if all(kind == ARGUMENT for kind in spec.kinds) else list(spec.kinds),
                "options": options_to_json(spec.options),
                "metadata": dict(spec.metadata),
                "shared": [ref_to_json(ref) for ref in spec.shared],
                "args": None if args is None else args.hash,
                **more,
            },
        )

    def submit(self, task_id: str, ready: int | None, started: int | None, node_id: str | None = None) -> None:
        """The next attempt at a task, and its start (and the machine) where it is known."""
        self.at(ready)
        self.attempts[task_id] = attempt = self.attempts.get(task_id, 0) + 1
        self._draft.submit(task_id, attempt, self._specs[task_id])
        if started is not None:
            self.at(started)
            self._attempt(ev.ATTEMPT_STARTED, task_id, RUNNING, RUNNING, ts_source=started, node_id=node_id)

    def succeed(
        self,
        task_id: str,
        ended: int | None,
        output: PayloadRef | None,
        shown: str | None = None,
        continued_to: str | None = None,
        stored: bool = True,
    ) -> None:
        """Its attempt ended well. output: None when nothing is known of it, or it is a continuation's; stored: the
        store has its bytes."""
        self.at(ended)
        kept = None if continued_to is not None else stored and output is not None
        self._attempt(
            ev.ATTEMPT_SUCCEEDED,
            task_id,
            SUCCESSFUL,
            SUCCESSFUL,
            ts_source=ended,
            attributes=dumps({"output_repr": shown, "checkpointed": kept}),
            **where(output, stored),
        )
        if continued_to is not None:
            self.task(ev.TASK_CONTINUED, task_id, SUCCESSFUL, attributes={"output_task": continued_to})

    def fail(self, task_id: str, failure: Failure, ended: int | None) -> None:
        """Its attempt ended with an exception of user code."""
        self.at(ended)
        self._attempt(
            ev.ATTEMPT_FAILED,
            task_id,
            FAILED,
            FAILED,
            ts_source=ended,
            kind="app",
            error_type=failure.type_name,
            error_message=failure.message,
            **where(failure.error),
        )

    def retry(self, task_id: str) -> None:
        """Another attempt follows in the same run."""
        self.task(ev.ATTEMPT_RETRY_SCHEDULED, task_id, RETRYING, attempt=self.attempts[task_id] + 1)

    def drop(self, task_id: str, kind: str, ended: int | None) -> None:
        """Its attempt left neither an output nor an error. kind: lost, canceled, or system where it failed the run."""
        status, task_status, error_type, message = _DROPPED[kind]
        self._attempt(
            ev.ATTEMPT_FAILED,
            task_id,
            status,
            task_status,
            ts_source=ended,
            kind=kind,
            error_type=error_type,
            error_message=message,
        )

    def fail_workflow(self, task_id: str | None, failure: Failure | None) -> None:
        """The run ended with the error of `task_id`. failure: None when none was kept."""
        self.workflow(
            ev.WORKFLOW_FAILED,
            FAILED,
            error_type=_CRASHED if failure is None else failure.type_name,
            error_message=_NO_ERROR if failure is None else failure.message,
            attributes={"failed_task_id": task_id},
        )

    def _attempt(self, type_: str, task_id: str, status: str, task_status: str, **columns: Any) -> None:
        self._draft.events.append(
            Event(
                ts=self._draft.now,
                type=type_,
                workflow_id=self._draft.workflow_id,
                run=self._draft.run,
                task_id=task_id,
                attempt=self.attempts[task_id],
                status=status,
                task_status=task_status,
                **columns,
            )
        )
