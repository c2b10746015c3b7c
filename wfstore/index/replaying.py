"""What a manager would remember of some workflows, as rows of the views: made of their events by the model, not by SQL.

The model forgets runs and attempts that are over, so those are noted here as they go by.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from wfstore.model import events as ev
from wfstore.model.apply import apply
from wfstore.model.events import Event
from wfstore.model.rows import moment, task_row, workflow_row
from wfstore.model.state import State
from wfstore.model.statuses import RESUMABLE, RUNNING, WORKFLOW_ACTIVE

Row: TypeAlias = dict[str, Any]

WORKFLOWS, RUNS, TASKS, ATTEMPTS = "workflows", "runs", "tasks", "attempts"
#: view -> the columns that tell its rows apart, which is also their order.
KEYS = {
    WORKFLOWS: ("workflow_id",),
    RUNS: ("workflow_id", "run"),
    TASKS: ("workflow_id", "task_id"),
    ATTEMPTS: ("workflow_id", "run", "task_id", "attempt"),
}
_ENDS_RUN = frozenset({ev.WORKFLOW_SUCCEEDED, ev.WORKFLOW_FAILED, ev.WORKFLOW_CANCELED, ev.WORKFLOW_INTERRUPTED})
_ENDS_ATTEMPT = frozenset({ev.ATTEMPT_SUCCEEDED, ev.ATTEMPT_FAILED})
_OF_ATTEMPT = _ENDS_ATTEMPT | {ev.ATTEMPT_SUBMITTED, ev.ATTEMPT_STARTED, ev.ATTEMPT_PROGRESSED}
_OF_RUN = _ENDS_RUN | {ev.WORKFLOW_STARTED, ev.TASK_REUSED}


class Replay:
    """Feed it all events of some workflows, those of each in log order; then ask for rows."""

    def __init__(self) -> None:
        self._state = State()
        self._runs: dict[str, dict[int, Row]] = {}
        self._attempts: dict[str, dict[tuple[int, str, int], Row]] = {}

    def feed(self, events: Iterable[Event]) -> None:
        """Raises what the model raises about events that no manager wrote."""
        state, attempts = self._state, self._attempts
        for event in events:
            apply(state, event)
            type_ = event.type
            if type_ in _OF_ATTEMPT:
                self._of_attempt(attempts.setdefault(event.workflow_id or "", {}), event)
            elif type_ in _OF_RUN:
                self._of_run(self._runs.setdefault(event.workflow_id or "", {}), event)
            elif type_ == ev.WORKFLOW_DELETED:
                self._runs.pop(event.workflow_id or "", None)
                attempts.pop(event.workflow_id or "", None)

    def rows(self, alive: bool) -> dict[str, list[Row]]:
        """view -> its rows, sorted by their keys. alive: whether a manager holds the store."""
        ids = sorted(self._state.workflows)
        found: dict[str, list[Row]] = {name: [] for name in KEYS}
        for workflow_id in ids:
            workflow = self._state.workflows[workflow_id]
            row = workflow_row(workflow)
            if not alive and row["status"] in WORKFLOW_ACTIVE:
                row["status"] = RESUMABLE
            found[WORKFLOWS].append(row)
            found[TASKS] += [task_row(workflow, workflow.tasks[task_id]) for task_id in sorted(workflow.tasks)]
            found[ATTEMPTS] += [row for _, row in sorted(self._attempts.get(workflow_id, {}).items())]
            runs = [row for _, row in sorted(self._runs.get(workflow_id, {}).items()) if row["started_at"] is not None]
            for row in runs:
                row["outcome"] = row["outcome"] or (RUNNING if alive else RESUMABLE)
            if runs and workflow.run != runs[-1]["run"]:
                runs[-1]["run"] = workflow.run  # what the model takes for its last run is what has to be there
            found[RUNS] += runs
        return found

    def _of_attempt(self, attempts: dict[tuple[int, str, int], Row], event: Event) -> None:
        key = event.run or 0, event.task_id or "", event.attempt or 0
        row = attempts.get(key)
        if row is None:
            row = attempts[key] = _attempt(event, key)
        row["status"] = event.status or row["status"]
        row["error_type"] = event.error_type or row["error_type"]
        if event.type == ev.ATTEMPT_SUBMITTED:
            row["submitted_at"] = row["submitted_at"] or moment(event.ts)
            runs = self._runs.get(event.workflow_id or "", {})
            if (run := runs.get(key[0])) is not None:
                run["attempts"] += 1
                run["tasks_run"] += event.attempt == 1
        elif event.type == ev.ATTEMPT_STARTED:
            row["started_at"] = row["started_at"] or moment(event.ts_source or event.ts)
        elif event.type in _ENDS_ATTEMPT:
            row["ended_at"] = moment(event.ts_source or event.ts)
            if event.type == ev.ATTEMPT_FAILED:
                row["kind"] = event.kind or row["kind"]
            elif event.bytes is not None:
                row["output_bytes"] = event.bytes

    def _of_run(self, runs: dict[int, Row], event: Event) -> None:
        number = event.run or 0
        row = runs.get(number)
        if row is None:
            row = runs[number] = _run(event, number)
        if event.type == ev.TASK_REUSED:
            row["tasks_reused"] += 1
        elif event.type == ev.WORKFLOW_STARTED:
            row["reason"] = row["reason"] or event.kind
            row["started_at"] = row["started_at"] or moment(event.ts)
        elif row["ended_at"] is None:
            row["ended_at"], row["outcome"] = moment(event.ts), event.status
            row["error_type"] = event.error_type if event.type == ev.WORKFLOW_FAILED else None


def _attempt(event: Event, key: tuple[int, str, int]) -> Row:
    run, task_id, attempt = key
    row = dict.fromkeys(("status", "kind", "submitted_at", "started_at", "ended_at", "output_bytes", "error_type"))
    about = {"workflow_id": event.workflow_id, "run": run, "task_id": task_id, "attempt": attempt}
    return {**about, **row, "submitted_seq": event.seq}


def _run(event: Event, number: int) -> Row:
    row = dict.fromkeys(("reason", "started_at", "ended_at", "outcome", "error_type"))
    return {"workflow_id": event.workflow_id, "run": number, **row, "tasks_run": 0, "tasks_reused": 0, "attempts": 0}
