"""What workers say about attempts that are under way: where they run, and how far they are.

The manager keeps the last word of each attempt in memory, for whoever looks. The log hears of it now and then, so that
it outlives the manager, and before anything but the attempt's own end ends it, so that it outlives the attempt.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from wfstore.engine.assignment import AttemptKey
from wfstore.model.commands import Cancel, Command, Expire, Place, RecordOutcome, RecordProgress
from wfstore.model.events import Event
from wfstore.model.progress import Progress
from wfstore.model.rows import Report
from wfstore.model.state import TaskState, WorkflowState

#: How often one attempt's progress goes into the log: at first each second, later when its age has grown by a
#: twentieth, so that an hour takes a hundred rows; with many of them each one less often.
_LOGGED_EVERY_S, _PER_AGE, _PER_REPORTER_S = 1.0, 0.05, 0.1
#: How often a worker may report: it is told so with each answer. With many of them each one less often, so that all
#: together take a small share of the manager's time.
_LEAST_PAUSE_S, _PAUSE_PER_REPORTER_S, _MOST_PAUSE_S = 0.25, 0.01, 30.0


@dataclass(slots=True)
class _Attempt:
    run: int
    attempt: int
    report: Report
    logged: Progress | None = None
    first_at: float = 0.0
    logged_at: float = 0.0


class Reports:
    """By task, as one attempt of a task runs at a time. touch: called with (workflow, task) when there is news."""

    def __init__(self, touch: Callable[[str, str], None]) -> None:
        self._attempts: dict[tuple[str, str], _Attempt] = {}
        self._touch = touch
        self._talking = 0

    def __bool__(self) -> bool:
        return bool(self._attempts)

    def started(self, key: AttemptKey, place: Place) -> None:
        """User code of an open attempt has begun."""
        self._of(key).report = self._of(key).report._replace(place=place)

    def said(self, key: AttemptKey, place: Place, progress: Progress) -> float:
        """An open attempt reports; returns for how many seconds its worker should say no more."""
        found = self._of(key)
        if found.report.progress is None:
            self._talking += 1
            found.first_at = found.logged_at = time.monotonic()
        found.report = Report(place, progress)
        self._touch(key[0], key[2])
        return self.pause_s

    @property
    def pause_s(self) -> float:
        """How long each worker should wait between two reports."""
        return min(max(_LEAST_PAUSE_S, self._talking * _PAUSE_PER_REPORTER_S), _MOST_PAUSE_S)

    def _of(self, key: AttemptKey) -> _Attempt:
        workflow_id, run, task_id, attempt = key
        found = self._attempts.get((workflow_id, task_id))
        if found is None or (found.run, found.attempt) != (run, attempt):
            self._forget(workflow_id, task_id)
            found = self._attempts[workflow_id, task_id] = _Attempt(run, attempt, Report())
        return found

    def about(self, workflow: WorkflowState, task: TaskState) -> Report | None:
        """As `model.rows.Said`."""
        found = self._attempts.get((workflow.workflow_id, task.task_id))
        if found is None or (found.run, found.attempt) != (task.open_run, task.open_attempt):
            return None
        return found.report

    def ended(self, event: Event) -> None:
        """An attempt has ended."""
        found = self._attempts.get((event.workflow_id or "", event.task_id or ""))
        if found is not None and (found.run, found.attempt) == (event.run, event.attempt):
            self._forget(event.workflow_id or "", event.task_id or "")

    def _forget(self, workflow_id: str, task_id: str) -> None:
        gone = self._attempts.pop((workflow_id, task_id), None)
        if gone is not None and gone.report.progress is not None:
            self._talking -= 1

    # -- into the log -------------------------------------------------------------------------------------------------

    def due(self, most: int) -> list[RecordProgress]:
        """What the log should hear of now."""
        now = time.monotonic()
        least_s = max(_LOGGED_EVERY_S, self._talking * _PER_REPORTER_S)
        return self._news(
            [
                name
                for name, found in self._attempts.items()
                if found.report.progress is not None
                and now - found.logged_at >= max(least_s, (now - found.first_at) * _PER_AGE)
            ],
            most,
        )

    def before(self, commands: Iterable[Command]) -> Iterator[Command]:
        """The commands, and before those that end attempts from outside what these said last."""
        for command in commands:
            if isinstance(command, Cancel | Expire):
                yield from self._news([name for name in self._attempts if name[0] == command.workflow_id])
            elif isinstance(command, RecordOutcome) and command.outcome.progress is None:
                name = (command.workflow_id, command.task_id)
                yield from self._news([name] if name in self._attempts else [])
            yield command

    def _news(self, names: list[tuple[str, str]], most: int | None = None) -> list[RecordProgress]:
        commands = []
        for workflow_id, task_id in names:
            found = self._attempts[workflow_id, task_id]
            place, progress = found.report
            if progress is None or progress == found.logged:
                continue
            found.logged, found.logged_at = progress, time.monotonic()
            commands.append(RecordProgress(workflow_id, found.run, task_id, found.attempt, progress, place))
            if len(commands) == most:
                break
        return commands
